//! Whole builds through the command line, as a user types it.
#![forbid(unsafe_code)]

mod bad_input;
mod clients;
mod clocks;
mod corpora;
mod documents;
mod egress;
mod egress_check;
mod evidence;
mod evidence_folder;
mod exit_codes;
mod far;
mod file_operations;
mod file_times;
mod leaks;
mod learn;
mod lifetime;
mod outputs;
mod outside;
mod proxy;
mod require;
mod skew;
mod tools;

use belljar_tests::{Project, Ran};

/// A project with one source file, for commands that need no more.
fn small() -> Project {
    let project = Project::empty();
    project.write("source.txt", "source\n");
    project
}

/// `belljar run OPTIONS -- sh -c SCRIPT`.
fn run(project: &Project, options: &[&str], script: &str) -> Ran {
    project.belljar([&["run"], options, &["--", "sh", "-c", script]].concat())
}

/// `belljar verify OPTIONS -- sh -c SCRIPT`.
fn verify(project: &Project, options: &[&str], script: &str) -> Ran {
    project.belljar([&["verify"], options, &["--", "sh", "-c", script]].concat())
}
