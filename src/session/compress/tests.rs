//! How numbers of tokens are told.

use super::*;

#[test]
fn tokens_are_rounded_for_people() {
    for (tokens, said) in [
        (0.0, "0"),
        (-5.0, "0"),
        (87.0, "87"),
        (912.0, "910"),
        (4_567.0, "4,600"),
        (91_499.0, "91,000"),
        (1_234_567.0, "1,235,000"),
    ] {
        assert_eq!(round(tokens), said);
    }
}
