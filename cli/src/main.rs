//! The `belljar` program: arguments in, exit code out.
#![forbid(unsafe_code)]
#![expect(
    unreachable_pub,
    reason = "a program has no outside: `pub` is what a module shows to the others"
)]

mod args;
mod commands;
mod config;
mod errors;
mod evidence;
mod exit;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(args::usage::parse(std::env::args_os()).and_then(commands::dispatch))
}
