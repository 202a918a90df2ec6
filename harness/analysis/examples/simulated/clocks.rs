//! A machine with simulated clocks: what the gate's self-test and `regression_power` measure.
//!
//! Every run of a cell takes exp(drift + jitter) seconds, both normal: the drift is that of its
//! round and met by both sides, the jitter is its own. The drift comes from the same machine whoever
//! runs, so that only pairs see through it.

use std::collections::BTreeMap;

use analysis::regress::decide::{Decision, FloorAt, confirm, decide};
use analysis::regress::machine::Machine;
use analysis::regress::metric::{Class, Metric, Value};
use analysis::regress::report::Verdict;
use analysis::regress::snapshot::{Cell, Snapshot};
use analysis::regress::{NoiseFloor, Report, Rule};
use ledger::digest::Digest;
use ledger::goal::Direction;
use ledger::seed::Seed;
use ledger::streams::{Streams, normal_f64};

/// Seconds since 1970 at which every simulated gate runs.
pub const NOW: u64 = 1_763_900_000;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Design {
    /// Time metrics, one an arm.
    pub metrics: usize,
    /// Of these so many are slower in the head.
    pub slowed: usize,
    /// By this share.
    pub slowdown: f64,
    /// Interleaved pairs.
    pub pairs: u32,
    /// Standard deviation of the drift between rounds, in log units.
    pub drift: f64,
    /// Standard deviation of a run's own jitter, in log units.
    pub jitter: f64,
}

impl Design {
    /// 100 metrics, drift of 5 %, jitter of 2 %: the simulation of the design notes.
    pub fn of(pairs: u32, slowed: usize, slowdown: f64) -> Self {
        Self { metrics: 100, slowed, slowdown, pairs, drift: 0.05, jitter: 0.02 }
    }

    /// Both sides of one session, for the arms whose number passes `wanted`.
    pub fn session(
        &self,
        seed: u64,
        session: &str,
        wanted: impl Fn(usize) -> bool,
    ) -> (Snapshot, Snapshot) {
        let streams = Streams::new(Seed::from_integer(seed).bytes);
        let mut rng = streams.generator(session);
        let (mut base, mut head) = (Vec::new(), Vec::new());
        for arm in 0..self.metrics {
            let slower = if arm < self.slowed { self.slowdown.ln_1p() } else { 0.0 };
            for round in 0..self.pairs {
                let drift = self.drift * normal_f64(&mut rng);
                let mut run = |more: f64| drift + more + self.jitter * normal_f64(&mut rng);
                let (one, other) = (run(0.0), run(slower));
                if wanted(arm) {
                    base.push(cell(arm, round, one.exp()));
                    head.push(cell(arm, round, other.exp()));
                }
            }
        }
        (snapshot(session, base), snapshot(session, head))
    }

    /// The noise floor from `rounds` comparisons of the base with itself.
    pub fn floor(&self, seed: u64, rounds: u32, rule: &Rule) -> NoiseFloor {
        let same = Self { slowed: 0, ..*self };
        let sessions: Vec<(Snapshot, Snapshot)> =
            (0..rounds).map(|round| same.session(seed, &format!("aa-{round}"), |_| true)).collect();
        NoiseFloor::measure(&sessions, rule, NOW).expect("rounds of one machine")
    }

    /// What the first round alone says, and what the whole gate does: with a second round of the
    /// suspects if it asks for it.
    pub fn gate(&self, seed: u64, floor: &NoiseFloor, rule: &Rule) -> (Report, Report) {
        let at = FloorAt { floor: Some(floor), now_unix: NOW };
        let (base, head) = self.session(seed, "first", |_| true);
        match decide(&base, &head, at, rule).expect("one suite") {
            Decision::Final { report } => (*report.clone(), *report),
            Decision::NeedsConfirmation { provisional, cells } => {
                let again = |arm: usize| cells.iter().any(|cell| cell.arm == arm_name(arm));
                let (second_base, second_head) = self.session(seed, "second", again);
                let first = *provisional.clone();
                let both = confirm(*provisional, &base, &second_base, &second_head, at);
                (first, both.expect("fresh"))
            }
        }
    }

    /// How many slowed and how many unchanged metrics a report calls regressed.
    pub fn alarms(&self, report: &Report) -> (usize, usize) {
        let regressed = report.rows.iter().filter(|row| row.verdict == Verdict::Regressed);
        let slowed = |name: &str| (0..self.slowed).any(|arm| arm_name(arm) == name);
        let (right, wrong): (Vec<_>, Vec<_>) = regressed.partition(|row| slowed(&row.name.arm));
        (right.len(), wrong.len())
    }
}

fn arm_name(arm: usize) -> String {
    format!("arm-{arm:04}")
}

/// One run with one time.
pub fn cell(arm: usize, round: u32, seconds: f64) -> Cell {
    Cell {
        workload: "simulated".to_owned(),
        arm: arm_name(arm),
        seed: "0".to_owned(),
        round,
        config: Digest::of(b"simulated"),
        code: None,
        failed: None,
        disturbed: false,
        metrics: vec![Metric {
            name: "train-seconds".to_owned(),
            class: Class::Time,
            unit: "s".to_owned(),
            direction: Some(Direction::LowerIsBetter),
            tolerance: None,
            margin: None,
            best: None,
            value: Value::Number(seconds),
        }],
    }
}

/// These cells on the simulated machine.
pub fn snapshot(session: &str, cells: Vec<Cell>) -> Snapshot {
    let parts = BTreeMap::from([("cpu".to_owned(), "simulated".to_owned())]);
    let session = Some(session.to_owned());
    Snapshot::new("simulated".to_owned(), Machine::new(parts), None, session, cells)
        .expect("cells that fit")
}
