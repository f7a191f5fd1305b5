//! A short unified diff of two texts, for the model and the person to see what an edit did. Pure; no thread.
//!
//! Lines are compared by the greedy algorithm of E. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986),
//! after common lines at both ends are set aside.

use crate::tools::words::head;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;
/// Differences past this are shown as one block replaced by another; the search stays below some megabytes.
const MAX_DIFFERENCES: usize = 400;
/// Longest diff shown, in lines and in bytes of one line.
const MAX_LINES: usize = 80;
const MAX_LINE_BYTES: usize = 300;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Same,
    Removed,
    Added,
}

/// Writes the differences with line numbers (`@@ -12 +12 @@`), cut where they get long.
pub(super) fn unified(old: &str, new: &str) -> String {
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let ops = operations(&old, &new);
    let near = near_changes(&ops);
    let mut out = Vec::new();
    let (mut a, mut b) = (0, 0);
    let mut shown_before = false;
    for (op, near) in ops.iter().zip(near) {
        if near && !shown_before {
            out.push(format!("@@ -{} +{} @@", a + 1, b + 1));
        }
        shown_before = near;
        let line = match op {
            Op::Same => line(' ', old[a]),
            Op::Removed => line('-', old[a]),
            Op::Added => line('+', new[b]),
        };
        if near {
            out.push(line);
        }
        a += usize::from(*op != Op::Added);
        b += usize::from(*op != Op::Removed);
    }
    if out.len() > MAX_LINES {
        let more = out.len() - MAX_LINES;
        out.truncate(MAX_LINES);
        out.push(format!("[{more} more lines of diff]"));
    }
    out.join("\n") + "\n"
}

fn line(sign: char, text: &str) -> String {
    let (content, end) = match text.strip_suffix('\n') {
        Some(content) => (content, ""),
        None => (text, " [no line end]"),
    };
    let content = content.strip_suffix('\r').unwrap_or(content);
    let shown = head(content, MAX_LINE_BYTES);
    let more = if shown.len() < content.len() {
        "…"
    } else {
        ""
    };
    format!("{sign}{shown}{more}{end}")
}

/// Marks the operations that are changes or stand near one.
fn near_changes(ops: &[Op]) -> Vec<bool> {
    let mut near = vec![false; ops.len()];
    for (index, op) in ops.iter().enumerate() {
        if *op != Op::Same {
            let end = (index + CONTEXT + 1).min(ops.len());
            near[index.saturating_sub(CONTEXT)..end].fill(true);
        }
    }
    near
}

fn operations(old: &[&str], new: &[&str]) -> Vec<Op> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let middle = shortest(old, new).unwrap_or_else(|| {
        let mut ops = vec![Op::Removed; old.len()];
        ops.resize(old.len() + new.len(), Op::Added);
        ops
    });
    let mut ops = vec![Op::Same; head];
    ops.extend(middle);
    ops.resize(ops.len() + tail, Op::Same);
    ops
}

/// For each count of differences, how far each diagonal (old line minus new line) gets into the old text.
struct Reach {
    offset: usize,
    ends: Vec<usize>,
}

impl Reach {
    fn get(&self, diagonal: isize) -> usize {
        self.ends[(self.offset as isize + diagonal) as usize]
    }
}

/// Finds the shortest list of operations, unless it takes too many differences.
fn shortest(old: &[&str], new: &[&str]) -> Option<Vec<Op>> {
    let most = (old.len() + new.len()).min(MAX_DIFFERENCES);
    let mut reach = Reach {
        offset: most + 1,
        ends: vec![0; 2 * most + 3],
    };
    let mut history = Vec::new();
    for differences in 0..=most as isize {
        history.push(reach.ends.clone());
        for diagonal in (-differences..=differences).step_by(2) {
            let mut a = if goes_down(&reach, diagonal, differences) {
                reach.get(diagonal + 1)
            } else {
                reach.get(diagonal - 1) + 1
            };
            while let (Some(x), Some(y)) = (old.get(a), new_line(new, a, diagonal)) {
                if *x != y {
                    break;
                }
                a += 1;
            }
            let slot = (reach.offset as isize + diagonal) as usize;
            reach.ends[slot] = a;
            if a >= old.len() && a as isize - diagonal >= new.len() as isize {
                return Some(trace(history, reach.offset, old.len(), new.len()));
            }
        }
    }
    None
}

fn new_line<'a>(new: &[&'a str], a: usize, diagonal: isize) -> Option<&'a str> {
    usize::try_from(a as isize - diagonal)
        .ok()
        .and_then(|b| new.get(b))
        .copied()
}

/// Tells whether the furthest way to a diagonal comes from an added line (else from a removed one).
fn goes_down(reach: &Reach, diagonal: isize, differences: isize) -> bool {
    diagonal == -differences
        || (diagonal != differences && reach.get(diagonal - 1) < reach.get(diagonal + 1))
}

/// Walks back from the end over the noted reaches.
fn trace(history: Vec<Vec<usize>>, offset: usize, old_len: usize, new_len: usize) -> Vec<Op> {
    let (mut a, mut b) = (old_len as isize, new_len as isize);
    let mut ops = Vec::new();
    for (differences, ends) in history.into_iter().enumerate().rev() {
        let reach = Reach { offset, ends };
        let diagonal = a - b;
        let down = goes_down(&reach, diagonal, differences as isize);
        let from = if down { diagonal + 1 } else { diagonal - 1 };
        let from_a = reach.get(from) as isize;
        let from_b = from_a - from;
        while a > from_a && b > from_b {
            ops.push(Op::Same);
            a -= 1;
            b -= 1;
        }
        if differences > 0 {
            ops.push(if down { Op::Added } else { Op::Removed });
            (a, b) = (from_a, from_b);
        }
    }
    ops.reverse();
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_what_changed_with_a_little_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n";
        let new = "1\n2\n3\nfour\n5\n6\n7";
        let expected = "@@ -2 +2 @@\n 2\n 3\n-4\n+four\n 5\n 6\n-7\n+7 [no line end]\n";
        assert_eq!(unified(old, new), expected);
    }

    #[test]
    fn far_changes_get_their_own_heads() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("3\n4\n", "3\n3b\n4\n").replace("17\n", "");
        let shown = unified(&old, &new);
        assert_eq!(
            shown,
            "@@ -2 +2 @@\n 2\n 3\n+3b\n 4\n 5\n@@ -15 +16 @@\n 15\n 16\n-17\n 18\n 19\n"
        );
    }

    #[test]
    fn huge_differences_are_cut() {
        let old: String = (0..5_000).map(|n| format!("a{n}\n")).collect();
        let new: String = (0..5_000).map(|n| format!("b{n}\n")).collect();
        let shown = unified(&old, &new);
        assert_eq!(shown.lines().count(), MAX_LINES + 1);
        assert!(shown.ends_with("[9921 more lines of diff]\n"), "{shown}");
    }

    fn replay(old: &[&str], new: &[&str], ops: &[Op]) -> (Vec<String>, Vec<String>) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Same => {
                    assert_eq!(old[a.len()], new[b.len()]);
                    a.push(old[a.len()].to_owned());
                    b.push(new[b.len()].to_owned());
                }
                Op::Removed => a.push(old[a.len()].to_owned()),
                Op::Added => b.push(new[b.len()].to_owned()),
            }
        }
        (a, b)
    }

    /// Length of the longest common subsequence by the textbook table.
    fn common(old: &[&str], new: &[&str]) -> usize {
        let mut table = vec![vec![0; new.len() + 1]; old.len() + 1];
        for i in 0..old.len() {
            for j in 0..new.len() {
                table[i + 1][j + 1] = if old[i] == new[j] {
                    table[i][j] + 1
                } else {
                    table[i][j + 1].max(table[i + 1][j])
                };
            }
        }
        table[old.len()][new.len()]
    }

    proptest! {
        #[test]
        fn operations_lead_from_old_to_new_and_are_fewest(
            old in prop::collection::vec("[abc]", 0..20),
            new in prop::collection::vec("[abc]", 0..20),
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let ops = operations(&old, &new);
            let (a, b) = replay(&old, &new, &ops);
            prop_assert_eq!(a, old.clone());
            prop_assert_eq!(b, new.clone());
            let same = ops.iter().filter(|op| **op == Op::Same).count();
            prop_assert_eq!(same, common(&old, &new));
        }
    }
}
