//! What keeps a turn from going on for ever: the caps of a turn, and the guard that sees calls going round in circles.
//!
//! The guard counts the calls of the turn, not of the history: compression does not reset it, and after a crash it goes
//! on with what the journal noted. Pure; no thread of its own.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::chat::{CallPrint, ToolCall};

/// Repetitions after which the model is told, and after which the turn is ended.
const TELL_AT: usize = 3;
const STOP_AT: usize = 6;
/// Longest circle that is noticed: A, A-B, A-B-C.
const MAX_PERIOD: usize = 3;
/// Calls that can matter.
const MAX_TRAIL: usize = MAX_PERIOD * STOP_AT;

/// How much one turn may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TurnLimits {
    /// Rounds of tools.
    pub rounds: u32,
    /// From the turn's begin; looked at before each model call, and what tools run is cut there.
    pub time: Duration,
    /// Tokens of all its model calls, in and out.
    pub tokens: u64,
}

/// Why a turn gets no more tools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cap {
    Rounds(u32),
    Time(Duration),
    Tokens(u64),
    /// The same call, or the same few calls, gave the same result so often.
    Circle(usize),
}

impl Cap {
    /// Says it to the person, at the end of the answer.
    pub(super) fn for_person(self) -> String {
        match self {
            Self::Rounds(n) => format!("Stopped after {n} tool rounds."),
            Self::Time(limit) => format!("Stopped after {}.", minutes(limit)),
            Self::Tokens(limit) => format!("Stopped after {limit} tokens."),
            Self::Circle(n) => {
                format!("Stopped: the same tool calls gave the same results {n} times.")
            }
        }
    }

    /// Says it to the model, which answers without tools then.
    pub(super) fn for_model(self) -> String {
        let why = match self {
            Self::Rounds(_) => "The limit of tool rounds for this request is reached.".to_owned(),
            Self::Time(_) => "The time for this request is used up.".to_owned(),
            Self::Tokens(_) => "The tokens for this request are used up.".to_owned(),
            Self::Circle(n) => {
                format!("The same tool calls gave the same results {n} times; tools are off now.")
            }
        };
        format!(
            "{why} Answer now without tools: say what is done, what is not, and what you found."
        )
    }
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        secs if secs >= 60 && secs.is_multiple_of(60) => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

/// What a turn has used so far, over all processes that worked on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SoFar {
    /// The calls that have ended, in order.
    pub calls: Vec<CallPrint>,
    /// Tokens of its model calls.
    pub tokens: u64,
}

/// Watches one turn.
pub(super) struct Guard {
    limits: TurnLimits,
    until: Instant,
    trail: Vec<CallPrint>,
    rounds: u32,
    tokens: u64,
    circle: Option<usize>,
}

impl Guard {
    pub(super) fn new(limits: TurnLimits, so_far: SoFar) -> Self {
        let mut guard = Self {
            limits,
            until: Instant::now() + limits.time,
            trail: Vec::new(),
            rounds: 0,
            tokens: so_far.tokens,
            circle: None,
        };
        for call in so_far.calls {
            guard.note(call);
        }
        // A turn that was at its end goes on once: it may have been told since.
        guard.circle = None;
        guard
    }

    /// Returns when the turn's time is over.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Counts a round of calls that begins.
    pub(super) fn round(&mut self) {
        self.rounds += 1;
    }

    /// Counts tokens of a model call; unknown ones count for nothing.
    pub(super) fn spend(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Returns the cap that is reached, if any.
    pub(super) fn cap(&self) -> Option<Cap> {
        let limits = self.limits;
        if self.rounds >= limits.rounds {
            return Some(Cap::Rounds(self.rounds));
        }
        if let Some(n) = self.circle {
            return Some(Cap::Circle(n));
        }
        if Instant::now() >= self.until {
            return Some(Cap::Time(limits.time));
        }
        (self.tokens >= limits.tokens).then_some(Cap::Tokens(limits.tokens))
    }

    /// Notes a call that has ended; returns a remark for its result if it is part of a circle.
    pub(super) fn note(&mut self, call: CallPrint) -> Option<String> {
        if self.trail.len() == MAX_TRAIL {
            self.trail.remove(0);
        }
        self.trail.push(call);
        let (period, times) = circle(&self.trail);
        if times >= STOP_AT {
            self.circle = Some(times);
        }
        (times >= TELL_AT).then(|| remark(period, times))
    }
}

fn remark(period: usize, times: usize) -> String {
    let what = if period == 1 {
        "This call"
    } else {
        "This sequence of calls"
    };
    format!(
        "[{what} gave the same result {times} times. Repeating it changes nothing: do something else, or answer with what you have.]"
    )
}

/// Finds the shortest sequence that the trail ends with repeatedly, and how often.
fn circle(trail: &[CallPrint]) -> (usize, usize) {
    (1..=MAX_PERIOD)
        .map(|period| {
            let mut last_first = trail.rchunks_exact(period);
            let times = match last_first.next() {
                Some(last) => 1 + last_first.take_while(|chunk| *chunk == last).count(),
                None => 0,
            };
            (period, times)
        })
        .find(|(_, times)| *times >= TELL_AT)
        .unwrap_or((1, 1))
}

/// Makes the mark of a call and its result.
pub(super) fn print_of(call: &ToolCall, result: &str) -> CallPrint {
    // White space in the arguments makes no other call.
    let arguments = serde_json::from_str::<serde_json::Value>(&call.arguments)
        .map_or_else(|_| call.arguments.clone(), |value| value.to_string());
    CallPrint {
        call: hash(&[&call.name, &arguments]),
        result: hash(&[result]),
    }
}

fn hash(parts: &[&str]) -> i64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TurnLimits = TurnLimits {
        rounds: 99,
        time: Duration::from_secs(900),
        tokens: 1_000,
    };

    fn print(call: i64) -> CallPrint {
        CallPrint {
            call,
            result: call * 10,
        }
    }

    /// Notes calls and returns for each whether a remark was made.
    fn remarks(guard: &mut Guard, calls: &[i64]) -> Vec<bool> {
        calls
            .iter()
            .map(|call| guard.note(print(*call)).is_some())
            .collect()
    }

    #[test]
    fn the_same_call_is_told_at_three_and_stopped_at_six() {
        let mut guard = Guard::new(LIMITS, SoFar::default());
        assert_eq!(
            remarks(&mut guard, &[7, 7, 7, 7, 7]),
            [false, false, true, true, true]
        );
        assert_eq!(guard.cap(), None);
        let text = guard.note(print(7)).unwrap();
        assert!(text.contains("This call gave the same result 6 times"));
        assert_eq!(guard.cap(), Some(Cap::Circle(6)));
    }

    #[test]
    fn another_result_or_another_call_is_no_circle() {
        let mut guard = Guard::new(LIMITS, SoFar::default());
        for n in 0..40 {
            let polled = CallPrint { call: 1, result: n };
            assert_eq!(guard.note(polled), None);
        }
        assert_eq!(
            remarks(&mut guard, &[7, 7, 8, 7, 7, 8, 7, 9]),
            [false; 8],
            "twice each is not yet a circle"
        );
        assert_eq!(guard.cap(), None);
    }

    #[test]
    fn ping_pong_is_seen() {
        for circle in [&[1, 2][..], &[1, 2, 3]] {
            let mut guard = Guard::new(LIMITS, SoFar::default());
            let calls: Vec<i64> = circle
                .iter()
                .copied()
                .cycle()
                .take(circle.len() * 6)
                .collect();
            let told = remarks(&mut guard, &calls);
            let first = told.iter().position(|told| *told);
            assert_eq!(first, Some(circle.len() * 3 - 1), "{told:?}");
            assert_eq!(guard.cap(), Some(Cap::Circle(6)));
        }
    }

    #[test]
    fn a_process_goes_on_where_another_ended() {
        let so_far = SoFar {
            calls: vec![print(4); 5],
            tokens: 999,
        };
        let mut guard = Guard::new(LIMITS, so_far);
        assert_eq!(guard.cap(), None);
        guard.spend(1);
        assert_eq!(guard.cap(), Some(Cap::Tokens(1_000)));
        guard.note(print(4));
        assert_eq!(guard.cap(), Some(Cap::Circle(6)));
    }

    #[test]
    fn rounds_and_time_are_capped() {
        let limits = TurnLimits {
            rounds: 1,
            ..LIMITS
        };
        let mut guard = Guard::new(limits, SoFar::default());
        guard.round();
        assert_eq!(
            guard.cap().map(Cap::for_person),
            Some("Stopped after 1 tool rounds.".to_owned())
        );
        let limits = TurnLimits {
            time: Duration::ZERO,
            ..LIMITS
        };
        let cap = Guard::new(limits, SoFar::default()).cap().unwrap();
        assert_eq!(cap.for_person(), "Stopped after 0 s.");
        assert_eq!(
            Cap::Time(Duration::from_secs(900)).for_person(),
            "Stopped after 15 min."
        );
        assert!(cap.for_model().contains("Answer now without tools"));
    }

    #[test]
    fn white_space_makes_no_other_call() {
        let call = |arguments: &str| ToolCall {
            id: "x".to_owned(),
            name: "t".to_owned(),
            arguments: arguments.to_owned(),
        };
        let print = |arguments: &str| print_of(&call(arguments), "r");
        assert_eq!(print(r#"{"a":1}"#), print(r#" { "a" : 1 } "#));
        assert_ne!(print(r#"{"a":1}"#), print(r#"{"a":2}"#));
        assert_ne!(print("{"), print_of(&call("{"), "other"));
    }
}
