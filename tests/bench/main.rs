//! Measures the release binary.
fn main() {}
