//! # Random tasks: no teacher
//!
//! ## Mechanism
//! Every task is drawn uniformly from the task space, whatever the student earned before.
//!
//! ## Claim
//! The baseline of teacher algorithms: where much of the space is too hard or cannot be solved, most
//! episodes teach nothing. Stump Tracks, 20 M steps: 18.2 % of the test tasks mastered, against 39.6 %
//! with ALP-GMM.
//!
//! ## Sources
//! Portelas, Colas, Hofmann, Oudeyer, arXiv:1910.07224 (CoRL 2019); flowersteam/teachDeepRL@747cda2
//! `teacher_controller.py`, `toy_env.py`.
//!
//! ## Differences
//! - A draw is snapped to the nearest point of the workload's lattice of tasks; as these are the
//!   centres of equal cells, tasks are uniform draws with replacement from the training examples.

use lab::method::Method;
use lab::offers;
use lab::teaching::{Lattice, TeachingSettings, Uniform, recipe};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::OrderLaw;
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `random-tasks`.
    pub struct Settings {
        /// Tasks in a round of the transcript; nothing else depends on it.
        round: u32 = 250, range Range::of(1.0..), from "alp_gmm.py: fit_rate";
        use teaching: TeachingSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "tasks drawn uniformly: the baseline of teachers",
    paper: Paper {
        title: "Teacher algorithms for curriculum learning of deep RL in continuously parameterized environments",
        authors: "Portelas, Colas, Hofmann, Oudeyer",
        year: 2019,
        reference: "arXiv:1910.07224",
        code: "flowersteam/teachDeepRL@747cda2",
    },
    claim: PaperClaim {
        statement: "uniformly drawn tasks master fewer tasks than any teacher's",
        number: "Stump Tracks, 20 M steps: 18.2 % of test tasks, against 39.6 % with ALP-GMM",
        source: "paper, as reported by a third party",
    },
    baseline: None,
    needs: &[offers::TASKS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { round, teaching } = Settings::read(values)?;
        let lattice = Lattice::of(task)?;
        let teacher = Uniform::new(lattice, task);
        recipe(&teaching, task, lattice, round, OrderLaw::Replacement, teacher)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;

    #[test]
    fn every_task_is_as_likely_and_some_come_back() {
        let stage = workloads::fixture("task-grid", &with([])).unwrap();
        let trace = stage.run(&METHOD, &with([]), 20_000, 3).unwrap();
        assert_eq!(trace.law, OrderLaw::Replacement);
        assert_eq!(trace.rounds().len(), 80);
        // Chi-squared over 100 cells: mean 99, deviation 14.1.
        let mut counts = [0.0_f64; 100];
        for id in &trace.order.ids {
            counts[(id / 1000 * 10 + id % 100 / 10) as usize] += 1.0;
        }
        let statistic: f64 = counts.iter().map(|count| (count - 200.0).powi(2) / 200.0).sum();
        assert!((45.0..155.0).contains(&statistic), "{statistic}");
        let mut distinct = trace.order.ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        // 10,000·(1 − e⁻²) of the 10,000 tasks.
        assert!((8_550..8_750).contains(&distinct.len()), "{}", distinct.len());
    }

    #[test]
    fn the_length_of_rounds_changes_nothing_but_the_transcript() {
        let stage = workloads::fixture("hurdle-car", &with([])).unwrap();
        let trained =
            |round: u32| stage.run(&METHOD, &with([("round", round.into())]), 500, 3).unwrap();
        let [long, short] = [trained(250), trained(50)];
        assert_eq!((long.digest, &long.order.ids), (short.digest, &short.order.ids));
        assert_eq!((long.rounds().len(), short.rounds().len()), (2, 10));
    }
}
