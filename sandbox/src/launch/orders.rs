//! What the inner side of a run is told of its plan, once there is one.
//!
//! Launcher and init are started before that, so they can't have it by inheritance. It travels in a
//! file in memory, since arguments and variables may be longer than any message: JSON, and after its
//! end (a NUL) the contents of the made files as they are.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use belljar_model::{Budgets, Label, OsText, Plan, Streams};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::SetupError;
use crate::capture::Rung;
use crate::error::At;
use crate::observe::Opened;
use crate::plan::{Host, HostEntry, HostEntryKind};

/// One run, as far as launcher, init and build need to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) label: Label,
    pub(super) rung: Rung,
    /// Seconds by which the wall clock is moved, and the boot clock with it.
    pub(super) offset_s: i64,
    pub(super) streams: Streams,
    pub(super) budgets: Budgets,
    pub(super) command: Vec<OsText>,
    /// Where the command starts, below the root folder.
    pub(super) cwd: OsText,
    pub(super) env: Vec<(OsText, OsText)>,
    /// The scratch folder of this run.
    pub(super) scratch: OsText,
    /// The folder that stands at `/build`.
    pub(super) root: OsText,
    pub(super) hidden: Vec<OsText>,
    pub(super) gitdir: Option<OsText>,
    pub(super) entries: Vec<HostEntry>,
    /// There is an egress proxy.
    pub(super) doors: Option<Opened>,
}

const STEP: &str = "tell the sandbox of its plan";

impl Orders {
    pub(super) fn new(
        plan: &Plan,
        host: &Host,
        label: Label,
        rung: Rung,
        offset_s: i64,
        scratch: &std::path::Path,
        door: Option<&super::Door>,
    ) -> Self {
        Self {
            label,
            rung,
            offset_s,
            streams: plan.streams,
            budgets: plan.budgets,
            command: plan.command.clone(),
            cwd: plan.cwd.clone(),
            env: plan
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.value.clone()))
                .collect(),
            scratch: scratch.into(),
            root: host.root.as_path().into(),
            hidden: host.hidden.iter().map(|p| p.as_path().into()).collect(),
            gitdir: host.gitdir.as_deref().map(Into::into),
            entries: [&host.entries[..], door.map_or(&[], super::Door::shown)].concat(),
            doors: door.map(super::Door::opened),
        }
    }

    /// Writes them down.
    pub(super) fn write(&self) -> Result<OwnedFd, SetupError> {
        let head = Head {
            orders: Cow::Borrowed(self),
            lengths: contents(&self.entries).map(Vec::len).collect(),
        };
        let mut bytes =
            serde_json::to_vec(&head).map_err(|_| SetupError::new(STEP, Errno::EINVAL))?;
        bytes.push(0);
        for content in contents(&self.entries) {
            bytes.extend_from_slice(content);
        }
        let file = memfd_create("belljar-orders", MFdFlags::MFD_CLOEXEC).step(STEP)?;
        let mut file = File::from(file);
        file.write_all(&bytes).step(STEP)?;
        Ok(file.into())
    }

    /// Reads what [`Self::write`] wrote; more than one process may.
    pub(super) fn read(file: OwnedFd) -> Result<Self, SetupError> {
        let file = File::from(file);
        let len = file.metadata().step(STEP)?.len();
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).step(STEP)?;
        Self::parse(&bytes).ok_or_else(|| SetupError::new(STEP, Errno::EBADMSG))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|b| *b == 0)?;
        let (head, rest) = bytes.split_at(end);
        let head: Head<'_> = serde_json::from_slice(head).ok()?;
        let mut orders = head.orders.into_owned();
        let (mut rest, mut lengths) = (&rest[1..], head.lengths.into_iter());
        for entry in &mut orders.entries {
            if let HostEntryKind::Made { content } | HostEntryKind::Covered { content } =
                &mut entry.kind
            {
                let (own, others) = rest.split_at_checked(lengths.next()?)?;
                *content = own.to_vec();
                rest = others;
            }
        }
        rest.is_empty().then_some(orders)
    }
}

/// The part that is JSON.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    orders: Cow<'a, Orders>,
    /// Of the contents that follow.
    lengths: Vec<usize>,
}

fn contents(entries: &[HostEntry]) -> impl Iterator<Item = &Vec<u8>> {
    entries.iter().filter_map(|e| match &e.kind {
        HostEntryKind::Made { content } | HostEntryKind::Covered { content } => Some(content),
        HostEntryKind::Bind { .. }
        | HostEntryKind::Symlink { .. }
        | HostEntryKind::Cache { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn any_bytes_arrive_as_they_are() {
        let odd: &[u8] = b"\xff\\x41\n\" \xe2\x80\xae";
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(odd));
        let entry = |kind| HostEntry {
            target: odd.into(),
            kind,
            reason: "",
        };
        let orders = Orders {
            label: Label::B,
            rung: Rung::OverlayTmpfs,
            offset_s: -1,
            streams: Streams::PipesWithStdin,
            budgets: Budgets {
                disk_bytes: Some(u64::MAX),
                ..Budgets::default()
            },
            command: vec![odd.into(), "".into()],
            cwd: odd.into(),
            env: vec![(odd.into(), odd.into())],
            scratch: odd.into(),
            root: odd.into(),
            hidden: vec![odd.into()],
            gitdir: Some(odd.into()),
            entries: vec![
                entry(HostEntryKind::Bind {
                    source: path.clone(),
                }),
                entry(HostEntryKind::Cache { source: path }),
                entry(HostEntryKind::Symlink { to: odd.into() }),
                entry(HostEntryKind::Made {
                    content: (0..=255).collect(),
                }),
                entry(HostEntryKind::Made { content: vec![] }),
                entry(HostEntryKind::Covered {
                    content: b"over".to_vec(),
                }),
                entry(HostEntryKind::Made {
                    content: vec![0; 3],
                }),
            ],
            doors: Some(Opened {
                ports: vec![80, 65_535],
                learns: true,
            }),
        };
        let file = orders.write().unwrap();
        let again = file.try_clone().unwrap();
        assert_eq!(Orders::read(file).unwrap(), orders);
        assert_eq!(Orders::read(again).unwrap(), orders);
    }

    #[test]
    fn what_is_cut_off_or_longer_is_refused() {
        let orders = Orders {
            label: Label::A,
            rung: Rung::Copy,
            offset_s: 0,
            streams: Streams::Pipes,
            budgets: Budgets::default(),
            command: vec!["true".into()],
            cwd: "".into(),
            env: vec![],
            scratch: "/s".into(),
            root: "/r".into(),
            hidden: vec![],
            gitdir: None,
            entries: vec![HostEntry {
                target: "/etc/x".into(),
                kind: HostEntryKind::Made {
                    content: b"abc".to_vec(),
                },
                reason: "",
            }],
            doors: None,
        };
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(
            &mut {
                let mut file = File::from(orders.write().unwrap());
                std::io::Seek::rewind(&mut file).unwrap();
                file
            },
            &mut bytes,
        )
        .unwrap();
        assert_eq!(Orders::parse(&bytes), Some(orders));
        for end in 0..bytes.len() {
            assert_eq!(Orders::parse(&bytes[..end]), None, "{end}");
        }
        bytes.push(b'x');
        assert_eq!(Orders::parse(&bytes), None);
    }
}
