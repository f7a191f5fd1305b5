//! The `picobot` binary: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    picobot::platform::tune_allocator();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == "--sandbox-exec")
    {
        return picobot::sandbox::helper_main();
    }
    picobot::cli::main()
}
