//! The `picobot` binary: hands over to the library.

use std::process::ExitCode;

use picobot::{cli, platform, sandbox};

fn main() -> ExitCode {
    platform::tune_allocator();
    let first = std::env::args_os().nth(1);
    if first.is_some_and(|argument| argument == sandbox::HELPER_ARGUMENT) {
        platform::close_inherited();
        return ExitCode::from(u8::try_from(sandbox::helper_main()).unwrap_or(1));
    }
    cli::main()
}
