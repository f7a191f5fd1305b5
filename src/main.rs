//! The `picobot` binary.

use picobot::sandbox;

fn main() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == sandbox::HELPER_ARGUMENT)
    {
        std::process::exit(sandbox::helper_main());
    }
}
