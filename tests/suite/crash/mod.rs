//! The gateway is killed with SIGKILL at every labelled step of its work and at random moments, and started again.
//!
//! Two clients give tasks all the while. In the end nothing acknowledged may be lost, nothing doubled, no side effect
//! repeated, and every request that the model saw must be legal (`world.rs` judges). `PICOBOT_CRASHES` sets the number of
//! random kills and `PICOBOT_SEED` the row of moments.

mod peer;
mod plan;
mod world;

use std::io::Write;
use std::time::Duration;

use world::{Death, World};

/// Random kills unless the environment says otherwise.
const KILLS: u64 = 60;
/// Tasks that each client may give during one life of the gateway.
const TASKS_PER_LIFE: usize = 2;
/// A label must be reached within so many tasks of each client.
const TASKS_AT_LABEL: usize = 12;

/// Kills at the first, second and third time a label is passed, then again while recovering.
#[cfg(debug_assertions)]
#[track_caller]
fn kill_at(label: &'static str) {
    for n in 1..=3 {
        let mut world = World::new();
        world.live(TASKS_AT_LABEL, &Death::At(label, n));
        world.live(2 * TASKS_AT_LABEL, &Death::At(label, 1));
        world.settle();
    }
}

/// The labels stand only in builds with debug assertions.
#[cfg(debug_assertions)]
mod labels {
    use super::kill_at;

    #[test]
    fn before_inputs_are_stored() {
        kill_at("inbox-begun");
    }

    #[test]
    fn after_inputs_are_stored() {
        kill_at("inbox-stored");
    }

    #[test]
    fn when_a_turn_has_begun() {
        kill_at("turn-begun");
    }

    #[test]
    fn before_a_step_is_stored() {
        kill_at("step-begun");
    }

    #[test]
    fn after_a_step_is_stored() {
        kill_at("step-stored");
    }

    #[test]
    fn when_a_tool_has_run() {
        kill_at("tool-ran");
    }

    #[test]
    fn before_the_end_of_a_turn_is_stored() {
        kill_at("turn-ended");
    }

    #[test]
    fn after_the_end_of_a_turn_is_stored() {
        kill_at("turn-stored");
    }
}

#[test]
fn at_random_moments() {
    let kills = number_from("PICOBOT_CRASHES").unwrap_or(KILLS);
    let seed = number_from("PICOBOT_SEED").unwrap_or(1);
    say(&format!("{kills} kills with PICOBOT_SEED={seed}"));
    let mut dice = Dice(seed);
    let mut world = World::new();
    let mut limit = 0;
    for _ in 0..kills {
        let death = match dice.below(6) {
            0 => Death::AfterStart(dice.moment(100)),
            1 => Death::AfterReady(dice.moment(20)),
            _ => Death::AfterReady(dice.moment(250)),
        };
        limit += TASKS_PER_LIFE;
        world.live(limit, &death);
    }
    let tally = world.settle();
    world.requests_have_the_right_types();
    // Every check of `settle` has passed: a loss, a repeat or a silence would have ended the test.
    say(&format!(
        "{kills} kills, {} inputs given, {} acknowledged: 0 lost, 0 doubled, 0 side effects repeated, 0 silent, \
         integrity_check ok; {} answered, {} given up after three crashes, {} calls interrupted and told",
        tally.given, tally.acknowledged, tally.done, tally.given_up, tally.interrupted
    ));
    assert!(
        kills < 1_000 || tally.acknowledged >= 1_500,
        "{} acknowledged inputs are too few",
        tally.acknowledged
    );
    assert!(tally.done > 0, "the kills come too fast to test anything");
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Tells also when the test passes, where `eprintln!` would be kept back.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "crash: {text}");
}

/// Random numbers that are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A moment in so many milliseconds, to the microsecond.
    fn moment(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.below(millis * 1_000))
    }
}
