//! Another kernel, in an emulated machine that lives for one command.

use std::process::Command;

use crate::project::belljar_bin;
use crate::{Ran, repository};

/// The kernel series that the vm tier covers, with the Landlock ABI that each has.
pub const KERNELS: [(&str, u32); 2] = [("6.1", 2), ("6.12", 6)];

/// A guest to be: options for `scripts/vm`.
#[derive(Debug)]
pub struct Vm {
    series: String,
    command: Command,
}

impl Vm {
    /// A guest with a kernel of this series and nothing in it but busybox.
    pub fn of(series: &str) -> Self {
        let mut command = Command::new(repository().join("scripts/vm"));
        command.args(["-t", "150"]);
        Self {
            series: series.to_owned(),
            command,
        }
    }

    /// The same with belljar, linked statically, at `/bin/belljar`.
    pub fn with_belljar(series: &str) -> Self {
        let mut vm = Self::of(series);
        vm.command
            .arg("-f")
            .arg(format!("{}:/bin/belljar", belljar_bin().display()));
        vm
    }

    /// The same with the sandbox crate's tests of budgets, linked statically, at `/bin/budget`:
    /// `BELLJAR_BUDGET_TEST`.
    ///
    /// # Panics
    /// If that names none.
    pub fn with_budget_tests(series: &str) -> Self {
        let bin = std::env::var("BELLJAR_BUDGET_TEST")
            .expect("BELLJAR_BUDGET_TEST: scripts/test builds and names it");
        Self::of(series).file(&bin, "/bin/budget")
    }

    /// Adds words to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.command.arg("-a").arg(words);
        self
    }

    /// Adds a file.
    pub fn file(mut self, from: &str, to: &str) -> Self {
        self.command.arg("-f").arg(format!("{from}:{to}"));
        self
    }

    /// Boots, runs a shell script as root, and powers off. Lines end in `\n` alone.
    pub fn shell(mut self, script: &str) -> Ran {
        let mut ran = Ran::of(
            self.command
                .arg(&self.series)
                .args(["--", "sh", "-c", script]),
        );
        ran.stdout = ran.stdout.replace('\r', "");
        ran
    }
}
