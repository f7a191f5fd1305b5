//! The service's error codes: what can be done about each, and what it means in plain words. Pure.
//!
//! Source: Feishu's open documentation, the "error codes" of the message, file, card and authentication pages; those of the
//! endpoint call are known from the official SDKs only.

/// What to do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Trying again later may help.
    Passing,
    /// The message that was to be answered is gone, or nothing can stand under it.
    TargetGone,
    /// The card as such was refused.
    CardRefused,
    /// The text is too long or the form is not accepted.
    FormRefused,
    /// Nothing can be said in this chat.
    ChatClosed,
    /// The app lacks a permission.
    Permission,
    /// The credentials are wrong or the app is disabled.
    Credentials,
    /// Nothing can be done.
    Final,
}

use Kind::{
    CardRefused, ChatClosed, Credentials, Final, FormRefused, Passing, Permission, TargetGone,
};

const TOKEN: &str = "the access token was not accepted; a new one is fetched";
const FAST: &str = "too fast; it is tried again";
const SCOPE: &str = "a permission is missing: grant it in the console and publish a version";
const FORM: &str = "the form of the message is not accepted";
const CARD: &str = "the card is not accepted";
const SPEECH: &str = "the bot may not speak in this chat";
const SECRET: &str = "app_id or app_secret is wrong";
const FILE: &str = "the file cannot be had this way";

/// First and last code, what to do, what it means.
const CODES: [(i64, i64, Kind, &str); 55] = [
    (1, 1, Passing, "the service is busy"),
    (403, 403, Final, "the service forbids it to this app"),
    (514, 514, Credentials, SECRET),
    (9_499, 9_499, FormRefused, FORM),
    (10_002, 10_002, Final, CARD),
    (10_003, 10_003, Credentials, SECRET),
    (10_014, 10_014, Credentials, SECRET),
    (11_232, 11_233, Passing, FAST),
    (
        11_310,
        11_310,
        CardRefused,
        "the card has too many tables or elements",
    ),
    (
        200_810,
        200_810,
        CardRefused,
        "the card is still being written",
    ),
    (
        200_850,
        200_850,
        CardRefused,
        "the card shows no more while it is written",
    ),
    (200_860, 200_860, CardRefused, "the card is too large"),
    (200_000, 200_999, CardRefused, CARD),
    (230_001, 230_001, FormRefused, FORM),
    (
        230_002,
        230_002,
        ChatClosed,
        "the bot is not in this group: add it",
    ),
    (
        230_006,
        230_006,
        ChatClosed,
        "the ability \"Bot\" is off: add it and publish a version",
    ),
    (230_011, 230_011, TargetGone, "the message was taken back"),
    (
        230_013,
        230_013,
        ChatClosed,
        "the person is outside of the app's availability: widen it",
    ),
    (
        230_017,
        230_017,
        FormRefused,
        "the file was not uploaded by this app",
    ),
    (230_018, 230_018, ChatClosed, SPEECH),
    (230_020, 230_020, Passing, FAST),
    (
        230_022,
        230_022,
        Final,
        "it holds words that the service or the organisation blocks",
    ),
    (230_025, 230_025, FormRefused, "the message is too long"),
    (230_027, 230_027, Permission, SCOPE),
    (
        230_028,
        230_028,
        Final,
        "data-loss prevention blocks it, perhaps for a phone number or an address",
    ),
    (230_031, 230_031, Final, "the card is older than 14 days"),
    (230_035, 230_035, ChatClosed, SPEECH),
    (
        230_038,
        230_038,
        ChatClosed,
        "the chat belongs to another organisation",
    ),
    (
        230_049,
        230_049,
        Passing,
        "the same message is still being sent",
    ),
    (230_053, 230_053, ChatClosed, "the person has muted the bot"),
    (
        230_055,
        230_055,
        FormRefused,
        "a file of this kind is sent as another kind of message",
    ),
    (
        230_071,
        230_072,
        TargetGone,
        "nothing can stand under this message, or it was changed too often",
    ),
    (
        230_075,
        230_075,
        Final,
        "the message is too old to be changed",
    ),
    (230_099, 230_099, CardRefused, CARD),
    (230_110, 230_110, TargetGone, "the message was deleted"),
    (
        231_001,
        231_001,
        Final,
        "there is no such emoji: see reaction_emoji in docs/feishu.md",
    ),
    (231_003, 231_003, Final, "the message was taken back"),
    (231_007, 231_007, Final, "the reaction is not the bot's"),
    (232_009, 232_009, ChatClosed, "the group was dissolved"),
    (234_001, 234_043, Final, FILE),
    (300_000, 300_999, CardRefused, CARD),
    (99_991_400, 99_991_400, Passing, FAST),
    (
        99_991_401,
        99_991_401,
        Permission,
        "this machine's address is not on the app's list of allowed addresses",
    ),
    (
        99_991_403,
        99_991_403,
        Passing,
        "the organisation's calls of this month are used up",
    ),
    (99_991_661, 99_991_661, Passing, TOKEN),
    (99_991_662, 99_991_662, Credentials, "the app is disabled"),
    (99_991_663, 99_991_671, Passing, TOKEN),
    (99_991_672, 99_991_672, Permission, SCOPE),
    (
        99_991_673,
        99_991_673,
        Credentials,
        "the app is not to be used in this organisation",
    ),
    (99_991_676, 99_991_679, Permission, SCOPE),
    (
        99_992_351,
        99_992_361,
        Final,
        "an id is unknown or of another app: ids of people differ from app to app",
    ),
    (99_992_402, 99_992_402, FormRefused, FORM),
    (
        1_000_040_343,
        1_000_040_343,
        Passing,
        "the service is in trouble",
    ),
    (1_000_040_344, 1_000_040_344, Credentials, SECRET),
    (
        1_000_040_350,
        1_000_040_351,
        Credentials,
        "the app has too many connections, or belongs to the other service: see domain and \"a second program\" in docs/feishu.md",
    ),
];

/// Files have a page of their own.
const FILES: [(i64, &str); 9] = [
    (234_002, SCOPE),
    (234_003, "the file does not belong to this message"),
    (234_006, "the file is too large"),
    (234_010, "the file is empty"),
    (234_011, "it is no image that the service knows"),
    (234_037, "the file is larger than 100 MB"),
    (234_038, "the chat forbids to take files out"),
    (234_039, "the image has too many pixels"),
    (
        234_043,
        "files of cards, stickers and forwarded messages cannot be fetched",
    ),
];

fn find(code: i64) -> Option<&'static (i64, i64, Kind, &'static str)> {
    // Narrow ones stand before the wide ones that hold them.
    CODES
        .iter()
        .find(|(first, last, ..)| (*first..=*last).contains(&code))
}

/// Tells what to do about a code; of an unknown one, nothing.
pub(super) fn kind(code: i64) -> Kind {
    match code {
        // User tokens are not used; being told so is as good a reason for a new token as any.
        99_991_677 => Passing,
        _ => find(code).map_or(Final, |(.., kind, _)| *kind),
    }
}

/// Returns what a code means, empty if it is not known.
pub(super) fn meaning(code: i64) -> &'static str {
    if code == 99_991_677 {
        return TOKEN;
    }
    let file = FILES.iter().find(|(known, _)| *known == code);
    file.map(|(_, meaning)| *meaning)
        .or_else(|| find(code).map(|(.., meaning)| *meaning))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code of the reference, by what is done about it.
    #[test]
    fn every_code_of_the_reference_has_its_handling_and_its_words() {
        let all: [(Kind, &[i64]); 8] = [
            (
                Passing,
                &[
                    1,
                    1_000_040_343,
                    99_991_400,
                    230_020,
                    11_232,
                    11_233,
                    230_049,
                    99_991_403,
                    99_991_661,
                    99_991_663,
                    99_991_664,
                    99_991_665,
                    99_991_668,
                    99_991_671,
                    99_991_677,
                ],
            ),
            (TargetGone, &[230_011, 230_110, 230_071, 230_072]),
            (
                CardRefused,
                &[
                    230_099, 11_310, 200_380, 200_381, 200_570, 200_621, 200_740, 200_750, 200_770,
                    200_810, 200_830, 200_850, 200_860, 200_861, 300_301, 300_305, 300_309,
                    300_310, 300_311, 300_313, 300_317,
                ],
            ),
            (
                FormRefused,
                &[230_025, 230_001, 230_055, 230_017, 9_499, 99_992_402],
            ),
            (
                ChatClosed,
                &[
                    230_002, 230_006, 230_013, 230_018, 230_035, 230_038, 230_053, 232_009,
                ],
            ),
            (
                Permission,
                &[230_027, 99_991_672, 99_991_676, 99_991_679, 99_991_401],
            ),
            (
                Credentials,
                &[
                    514,
                    10_003,
                    10_014,
                    99_991_662,
                    99_991_673,
                    1_000_040_344,
                    1_000_040_350,
                    1_000_040_351,
                ],
            ),
            (
                Final,
                &[
                    403, 10_002, 230_022, 230_028, 230_031, 230_075, 231_001, 231_003, 231_007,
                    234_001, 234_002, 234_003, 234_006, 234_010, 234_011, 234_037, 234_038,
                    234_039, 234_043, 99_992_351, 99_992_361,
                ],
            ),
        ];
        for (expected, codes) in all {
            for code in codes {
                assert_eq!(kind(*code), expected, "{code}");
                assert!(!meaning(*code).is_empty(), "{code}");
            }
        }
        for unknown in [0, -1, 2, 999, 230_999, i64::MAX] {
            assert_eq!((kind(unknown), meaning(unknown)), (Final, ""), "{unknown}");
        }
    }
}
