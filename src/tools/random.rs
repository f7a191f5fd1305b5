//! Random names that nobody can guess beforehand. Asks the kernel; no state.

use std::fmt::Write as _;

use rustix::rand::{GetRandomFlags, getrandom};

/// Returns `2 * N` random hexadecimal digits. `N` is at most 32.
pub(crate) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    // Up to 256 bytes come whole; only a kernel older than 3.17 refuses.
    if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
        let id = uuid::Uuid::now_v7();
        for (byte, other) in bytes.iter_mut().zip(id.as_bytes().iter().rev().cycle()) {
            *byte = *other;
        }
    }
    let mut hex = String::with_capacity(2 * N);
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_hexadecimal_and_never_the_same() {
        let (a, b) = (random_hex::<8>(), random_hex::<8>());
        assert_ne!(a, b);
        assert!(a.len() == 16 && a.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
