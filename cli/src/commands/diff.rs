//! `belljar diff`: two files or trees of the host, by the engine that compares a pair.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use belljar_compare::{Options, Side, compare};
use belljar_model::{Label, Manifest, OsText, exit};
use belljar_sandbox::capture;

use crate::args::DiffArgs;
use crate::errors::CommandError;
use crate::evidence::error::errno_of;
use crate::evidence::report::text;

/// One side: what is there, and how it is read.
struct Read {
    folder: bool,
    fd: OwnedFd,
    manifest: Manifest,
}

/// Compares and says what differs: 0 if nothing does, 3 if something does.
pub fn run(args: &DiffArgs) -> Result<ExitCode, CommandError> {
    let name = args
        .a
        .file_name()
        .map_or_else(|| "file".into(), OsText::from);
    let (a, b) = (
        read(&args.a, &name, Label::A)?,
        read(&args.b, &name, Label::B)?,
    );
    if a.folder != b.folder {
        return Err(CommandError::usage("a file and a folder can't be compared")
            .hint("name two files or two folders"));
    }
    let open_a = |path: &OsText| a.open(path);
    let open_b = |path: &OsText| b.open(path);
    let side = |read| {
        let (manifest, tree): (_, &dyn belljar_compare::Tree) = read;
        Side {
            manifest,
            tree,
            clock: None,
        }
    };
    let options = Options {
        strict: true,
        strict_mtime: args.strict_mtime,
    };
    let differences = compare(
        side((&a.manifest, &open_a)),
        side((&b.manifest, &open_b)),
        options,
    );
    if args.json {
        super::print(&crate::evidence::json(&differences))?;
    } else if !args.quiet {
        // stdout: what was asked for is the report.
        super::print_styled(&text::compared(&differences))?;
    }
    let same = differences.gating().next().is_none();
    Ok(ExitCode::from(if same { exit::OK } else { exit::DIFFERS }))
}

fn read(path: &Path, name: &OsText, run: Label) -> Result<Read, CommandError> {
    let shown = OsText::from(path);
    let failed = |e: io::Error| {
        let errno = errno_of(&e);
        CommandError::usage(format!(
            "could not open {shown}: {errno:?} ({})",
            errno.desc()
        ))
        .hint("name two files or two folders that can be read")
    };
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(
            CommandError::usage(format!("{shown} is neither a file nor a folder"))
                .hint("name two files or two folders"),
        );
    }
    let fd: OwnedFd = File::open(path).map_err(failed)?.into();
    let folder = kind.is_dir();
    let manifest = if folder {
        capture::walk(fd.as_fd(), run)
    } else {
        // Both sides get one name, so that they are one path.
        capture::single(&fd, name.clone(), run)
    };
    let manifest = manifest.map_err(|e| CommandError::usage(e.to_string()).hint(e.hint()))?;
    Ok(Read {
        folder,
        fd,
        manifest,
    })
}

impl Read {
    fn open(&self, path: &OsText) -> io::Result<File> {
        if self.folder {
            return capture::open(self.fd.as_fd(), path);
        }
        // The digest has read to the end: again from the beginning.
        let file = File::from(self.fd.try_clone()?);
        io::Seek::rewind(&mut &file)?;
        Ok(file)
    }
}
