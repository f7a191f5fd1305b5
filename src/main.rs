//! The `picobot` binary.

fn main() {}
