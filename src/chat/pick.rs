//! Finds the dialog a person means: by its id, its number in the last list, its title, or a beginning of either. Pure.
//!
//! One rule for every place where dialogs are named by hand: slash commands, `picobot send`, `picobot sessions`.

/// A dialog that may be meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice<'a> {
    /// The dialog's name inside its chat.
    pub id: &'a str,
    /// Its title; may be empty.
    pub title: &'a str,
    /// Its number in the list the person saw last, from 1.
    pub number: Option<usize>,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Picked {
    /// No dialog fits.
    Nothing,
    /// The dialog at this place among the choices.
    One(usize),
    /// Several fit equally well: their places, in the order of the choices.
    Several(Vec<usize>),
}

/// Picks a dialog. The first rule that fits decides: the whole id, the number, the whole title, a beginning of an id or a
/// title. Letter case does not matter; a beginning that only one title has wins over one that many ids have.
pub fn pick(choices: &[Choice<'_>], wanted: &str) -> Picked {
    let wanted = wanted.trim();
    if wanted.is_empty() {
        return Picked::Nothing;
    }
    let folded = fold(wanted);
    let exact: [&dyn Fn(&Choice<'_>) -> bool; 4] = [
        &|choice| choice.id == wanted,
        &|choice| fold(choice.id) == folded,
        &|choice| choice.number.is_some() && choice.number == number(wanted),
        &|choice| fold(choice.title.trim()) == folded,
    ];
    for rule in exact {
        match places(choices, rule).as_slice() {
            [] => {}
            several => return found(several.to_vec()),
        }
    }
    let by_id = places(choices, |choice| fold(choice.id).starts_with(&folded));
    let by_title = places(choices, |choice| {
        fold(choice.title.trim()).starts_with(&folded)
    });
    match (by_id.len(), by_title.len()) {
        (1, 1) | (0, _) | (_, 0) => {}
        (_, 1) => return found(by_title),
        _ => {}
    }
    let mut both = by_id;
    both.extend(by_title);
    both.sort_unstable();
    both.dedup();
    found(both)
}

fn places(choices: &[Choice<'_>], fits: impl Fn(&Choice<'_>) -> bool) -> Vec<usize> {
    (0..choices.len())
        .filter(|at| fits(&choices[*at]))
        .collect()
}

fn found(mut places: Vec<usize>) -> Picked {
    match places.len() {
        0 => Picked::Nothing,
        1 => Picked::One(places.remove(0)),
        _ => Picked::Several(places),
    }
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Reads a number as people type it: `3`, `#3`, `3.`, and the wide digits of Chinese input methods.
fn number(text: &str) -> Option<usize> {
    let text = text.trim_start_matches(['#', '＃']);
    let text = text.trim_end_matches(['.', '。', ')', '）', '、']);
    let digits: String = text
        .chars()
        .map(|c| match c {
            '０'..='９' => char::from(b'0' + u8::try_from(c as u32 - '０' as u32).unwrap_or(0)),
            other => other,
        })
        .collect();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choices<'a>(of: &[(&'a str, &'a str, usize)]) -> Vec<Choice<'a>> {
        of.iter()
            .map(|(id, title, number)| Choice {
                id,
                title,
                number: (*number > 0).then_some(*number),
            })
            .collect()
    }

    fn check(wanted: &str, expected: Picked) {
        let known = choices(&[
            ("d1", "Trip to Kyoto", 3),
            ("d2", "整理下载目录", 2),
            ("d14", "Trip to Oslo", 1),
            ("d3", "2024 taxes", 0),
            ("d7", "Dinner 🍜", 0),
            ("d8", "d9", 0),
        ]);
        assert_eq!(pick(&known, wanted), expected, "{wanted:?}");
    }

    #[test]
    fn every_way_of_naming() {
        check("d1", Picked::One(0));
        check(" D14 ", Picked::One(2));
        check("1", Picked::One(2));
        check("#3", Picked::One(0));
        check("2.", Picked::One(1));
        check("２", Picked::One(1));
        check("整理", Picked::One(1));
        check("trip to k", Picked::One(0));
        check("2024", Picked::One(3));
        check("dinner 🍜", Picked::One(4));
        check("din", Picked::One(4));
        check("d9", Picked::One(5));
    }

    #[test]
    fn several_or_none() {
        check("trip", Picked::Several(vec![0, 2]));
        check("d", Picked::Several(vec![0, 1, 2, 3, 4, 5]));
        check("9", Picked::Nothing);
        check("99999999999999999999999", Picked::Nothing);
        check("", Picked::Nothing);
        check("oslo", Picked::Nothing);
        let twins = choices(&[("d1", "A", 0), ("d2", "a", 0)]);
        assert_eq!(pick(&twins, "a"), Picked::Several(vec![0, 1]));
    }

    fn some() -> impl Strategy<Value = Vec<(String, String)>> {
        let title = "[ab0-2中文 #.🍜]{0,4}";
        proptest::collection::vec(("[ad][0-2]{1,2}", title), 0..8).prop_map(|mut all| {
            all.sort();
            all.dedup_by(|a, b| a.0 == b.0);
            all
        })
    }

    proptest! {
        #[test]
        fn what_is_picked_fits(all in some(), wanted in "[abd0-2中文 #.🍜]{0,4}") {
            let known: Vec<Choice<'_>> = all
                .iter()
                .enumerate()
                .map(|(at, (id, title))| Choice { id, title, number: (at % 2 == 0).then_some(at + 1) })
                .collect();
            let fits = |choice: &Choice<'_>| {
                let text = wanted.trim().to_lowercase();
                choice.id.to_lowercase().starts_with(&text)
                    || choice.title.trim().to_lowercase().starts_with(&text)
                    || choice.number == number(wanted.trim())
            };
            match pick(&known, &wanted) {
                Picked::Nothing => prop_assert!(
                    wanted.trim().is_empty()
                        || !known.iter().any(|c| c.id.starts_with(wanted.trim()))
                ),
                Picked::One(at) => prop_assert!(fits(&known[at])),
                Picked::Several(places) => {
                    prop_assert!(places.len() > 1 && places.is_sorted());
                    prop_assert!(places.iter().all(|at| fits(&known[*at])));
                }
            }
        }

        #[test]
        fn whole_ids_and_numbers_always_work(all in some()) {
            let known: Vec<Choice<'_>> = all
                .iter()
                .enumerate()
                .map(|(at, (id, title))| Choice { id, title, number: Some(at + 1) })
                .collect();
            for (at, choice) in known.iter().enumerate() {
                prop_assert_eq!(pick(&known, choice.id), Picked::One(at));
                prop_assert_eq!(pick(&known, &(at + 1).to_string()), Picked::One(at));
            }
        }
    }
}
