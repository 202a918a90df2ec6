//! # Covar-GMM: tasks where reward rises with time
//!
//! ## Mechanism
//! Every 250 tasks Gaussian mixtures with 2 to 10 full covariances are fitted to the last 250 rows
//! `[p, t, r]`: task, place in the window from 0 to 1, reward. The one with the lowest AIC is kept. The next
//! task is uniform with probability 0.2 and before the first fit; otherwise a Gaussian is chosen in
//! proportion to `max(0, cov(t, r))`, a point drawn from it, time and reward dropped and the rest clipped
//! to the box. When no covariance is above 0, every Gaussian is as likely.
//!
//! ## Claim
//! Stump Tracks, 20 M steps: 33.3 % of 50 test tasks mastered, between ALP-GMM (39.6) and uniform tasks
//! (18.2), level with RIAC (32.1); figures of ALP-GMM's paper at second hand.
//!
//! ## Sources
//! Moulin-Frier, Nguyen, Oudeyer, "Self-organization of early vocal development in infants and
//! machines", Frontiers in Psychology 4, 2014 (IGMM); Portelas et al., arXiv:1910.07224 (CoRL 2019);
//! flowersteam/teachDeepRL@747cda2 `teachers/algos/covar_gmm.py`.
//!
//! ## Differences
//! - The student gets the point of the workload's lattice that is nearest to the proposal; the teacher
//!   remembers the proposal.
//! - Rewards are in 0..=1 as the workload gives them; the code rescales −150..350 to that.
//! - The code does not seed its mixtures; here all randomness comes from the run's named streams.

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::seat::{Facts, TaskInfo};
use lab::state::State;
use lab::teaching::mixtures::{MixtureSettings, TaskMixture};
use lab::teaching::{Lattice, Teacher, TeachingSettings, recipe};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::OrderLaw;
use ledger::settings;

settings! {
    /// Settings of `covar-gmm`.
    pub struct Settings {
        /// Whether a falling reward counts as much as a rising one.
        absolute: bool = false, from "covar_gmm.py: absolute_lp";
        use mixture: MixtureSettings;
        use teaching: TeachingSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "tasks from the Gaussian where reward rises most with time",
    paper: Paper {
        title: "Self-organization of early vocal development in infants and machines: the role of intrinsic motivation",
        authors: "Moulin-Frier, Nguyen, Oudeyer",
        year: 2014,
        reference: "doi:10.3389/fpsyg.2013.01006",
        code: "flowersteam/teachDeepRL@747cda2",
    },
    claim: PaperClaim {
        statement: "masters more of the task space than uniformly drawn tasks",
        number: "Stump Tracks, 20 M steps: 33.3 against 18.2 % of test tasks",
        source: "arXiv:1910.07224, as reported by a third party",
    },
    baseline: Some("random-tasks"),
    needs: &[offers::TASKS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { absolute, mixture, teaching } = Settings::read(values)?;
        let lattice = Lattice::of(task)?;
        let round = mixture.fit_rate;
        let teacher = CovarGmm::new(absolute, mixture, lattice, task);
        recipe(&teaching, task, lattice, round, OrderLaw::Adaptive, teacher)
    },
};

#[derive(Debug)]
struct CovarGmm {
    absolute: bool,
    window: u32,
    seen: u32,
    /// Tasks of the window with time and reward, row by row.
    rows: Vec<f64>,
    mixture: TaskMixture,
}

impl CovarGmm {
    fn new(
        absolute: bool,
        mixture: MixtureSettings,
        lattice: Lattice,
        task: &TaskInfo<'_>,
    ) -> Self {
        Self {
            absolute,
            window: mixture.fit_rate,
            seen: 0,
            rows: Vec::new(),
            mixture: TaskMixture::new(mixture, lattice, task),
        }
    }
}

/// How much a Gaussian's last two coordinates, time and reward, rise together.
fn interest(covariance: &[f64], dimensions: usize, absolute: bool) -> f64 {
    let together = covariance[(dimensions - 1) * dimensions - 1];
    if absolute { together.abs() } else { together.max(0.0) }
}

impl Teacher for CovarGmm {
    fn propose(&mut self) -> Vec<f64> {
        self.mixture
            .propose(|gaussian| interest(&gaussian.covariance, gaussian.mean.len(), self.absolute))
    }

    fn observe(&mut self, task: &[f64], reward: f64) {
        self.rows.extend(task);
        self.rows.extend([f64::from(self.seen) / f64::from(self.window), reward]);
        self.seen += 1;
        if self.seen == self.window {
            self.mixture.fit(&self.rows, task.len() + 2);
            self.rows.clear();
            self.seen = 0;
        }
    }

    fn facts(&self) -> Facts {
        self.mixture.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("seen", &mut self.seen)?;
        state.of("rows", &mut self.rows)?;
        self.mixture.state(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::json;

    #[test]
    fn interest_is_the_covariance_of_time_and_reward_where_it_is_positive() {
        // Order: two coordinates of the task, time, reward.
        let mut covariance = [0.0; 16];
        (covariance[11], covariance[14]) = (0.3, 0.3);
        assert_eq!(interest(&covariance, 4, false), 0.3);
        (covariance[11], covariance[14]) = (-0.3, -0.3);
        assert_eq!(interest(&covariance, 4, false), 0.0);
        assert_eq!(interest(&covariance, 4, true), 0.3);
    }

    #[test]
    fn with_uniform_tasks_only_it_is_random_tasks_bit_for_bit() {
        let random = crate::find("random-tasks").unwrap().method;
        let stage = workloads::fixture("hurdle-car", &with([])).unwrap();
        let plain = stage.run(random, &with([]), 1_000, 1).unwrap();
        let settings = with([("random_ratio", json!(1.0))]);
        let neutral = stage.run(&METHOD, &settings, 1_000, 1).unwrap();
        assert_eq!((plain.digest, plain.order), (neutral.digest, neutral.order));
    }

    #[test]
    fn tasks_gather_where_reward_rises() {
        let stage = workloads::fixture("task-grid", &with([])).unwrap();
        let trace = stage.run(&METHOD, &with([]), 5_000, 1).unwrap();
        let last = &trace.order.ids[3_000..];
        let near = last.iter().filter(|id| *id / 100 < 50 && *id % 100 < 50).count();
        assert!(near as f64 / last.len() as f64 > 0.5, "{near}");
        assert_eq!((trace.law, &trace.facts["mixture_fits"]), (OrderLaw::Adaptive, &json!(20)));
    }
}
