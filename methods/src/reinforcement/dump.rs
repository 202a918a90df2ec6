//! # DUMP: a distribution-level curriculum by upper confidence bounds
//!
//! ## Mechanism
//! Each source (difficulty) `j` keeps a window of the last `k` absolute advantages of its
//! responses and a count `n_j`. Before each step
//! `UCB_j = mean(window) + sqrt(2 ln(n_tot + 1)/(n_j + 1))` (an empty window has mean 0) and
//! `P_j = softmax(UCB/τ)`; the batch is drawn with replacement, a source by `P`, then a prompt of it;
//! the policy learns by GRPO. Large advantages mark sources where the policy is neither always right
//! nor always wrong: with two outcomes at rate p the mean is 2·sqrt(p(1 − p)), flat in the middle.
//! `variant: paper` counts prompts, as the paper's batch samples; `code` counts responses, so that its bonus
//! is about sqrt(G) times smaller.
//!
//! ## Claim
//! Knights and knaves, 3 to 14 people: above uniform sampling at every size, at 9 people more than 0.5
//! against less than 0 answer reward (figure 1). Of the second setting the printed means are 1.17 and
//! 0.90, but its printed rows average 1.02 and 0.90. Greedy sampling (τ → 0) −0.91 against −0.66.
//!
//! ## Sources
//! Wang, Cui, Li, Wan, Zhao, arXiv:2504.09710; ZhentingWang/DUMP@235e85d
//! `verl/utils/curriculum_learning.py`, `ray_trainer.py`.
//!
//! ## Differences
//! - The code also pushes validation results into windows and counts: its test set steers the
//!   curriculum. Here no order can see an evaluation, in either variant: that part of the code is left out.
//! - The window holds whole prompts, `k/G` of them rounded down, each with its mean |A|: at G = 8 the last 296
//!   of the code's 300 responses.
//! - The code's uniform baseline shuffles without replacement; compare with `grpo` with
//!   `draws: replacement`, which is this method at infinite τ, and with shuffles.
//! - The code's source order depends on hashes (`list(set(…))`); here it is that of the data.
//! - Its success counters are never read there, and are left out.
//! - GRPO is that of `grpo`, with its defaults; the code's has `beta: 0.001`, `responses: 16` and `batch_size: 128`
//!   in mini-batches of 32, so four updates on each batch (`minibatches: 4`).

use std::collections::VecDeque;

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::{Sources, step_rounds};
use lab::policy::{PolicyGradient, PolicySettings};
use lab::recipe::{Recipe, Step};
use lab::seat::{EpochPlan, Facts, Feedback, Order, OrderSource};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::order::OrderLaw;
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// What a source's count counts.
    pub enum Variant {
        /// Prompts.
        Paper = "paper",
        /// Responses.
        Code = "code",
    }
}

settings! {
    /// Settings of `dump`.
    pub struct Settings {
        /// What a source's count counts.
        variant: Variant = Variant::Paper, from "arXiv:2504.09710, section 3";
        /// k: responses in a source's window.
        window: u32 = 300, range Range::of(1.0..), from "arXiv:2504.09710, section 4.1";
        /// τ of the softmax.
        tau: f64 = 0.1, range Range::above(0.0), from "arXiv:2504.09710, section 4.1";
        /// Prompts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "trl max_grad_norm; verl grad_clip";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "verl";
        use policy: PolicySettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "GRPO on the difficulties where advantages are large, by upper confidence bounds",
    paper: Paper {
        title: "DUMP: automated distribution-level curriculum learning for RL-based LLM post-training",
        authors: "Wang, Cui, Li, Wan, Zhao",
        year: 2025,
        reference: "arXiv:2504.09710",
        code: "ZhentingWang/DUMP@235e85d",
    },
    claim: PaperClaim {
        statement: "higher reward over training than uniform sampling of sources",
        number: "knights and knaves, 9 people: answer reward above 0.5 against below 0",
        source: "arXiv:2504.09710, figure 1",
    },
    baseline: Some("grpo"),
    needs: &[offers::VERIFIER, offers::PROMPTS, offers::GROUPS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { batch_size, clip_norm, schedule, policy, adamw, .. } = settings.clone();
        let order = Bandit::new(&settings, &task.side.groups, &task.side.group_names);
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(PolicyGradient::new(policy, task)?);
        let step = Step::Gradient { objective, optimizer };
        let (order, clip_norm) = (Box::new(order), Some(clip_norm));
        Ok(Recipe { order, clip_norm, ..Recipe::of(batch_size, schedule, step) })
    },
};

/// What is known of a source.
#[derive(Debug, Clone, Default)]
struct Arm {
    /// Mean |A| of each of its last prompts.
    window: VecDeque<f64>,
    /// n_j.
    count: f64,
    /// Prompts drawn.
    drawn: u64,
}

lab::kept!(Arm { window, count, drawn });

#[derive(Debug)]
struct Bandit {
    sources: Sources,
    groups: Vec<u32>,
    names: Vec<String>,
    arms: Vec<Arm>,
    batch: u32,
    tau: f64,
    /// Prompts in a window.
    capacity: usize,
    /// What a prompt counts for.
    weight: f64,
}

impl Bandit {
    fn new(settings: &Settings, groups: &[u32], names: &[String]) -> Self {
        let responses = settings.policy.rollouts.responses;
        let sources = Sources::new(groups, 0);
        Self {
            arms: vec![Arm::default(); sources.len()],
            sources,
            groups: groups.to_vec(),
            names: names.to_vec(),
            batch: settings.batch_size,
            tau: settings.tau,
            capacity: (settings.window / responses).max(1) as usize,
            weight: match settings.variant {
                Variant::Paper => 1.0,
                Variant::Code => f64::from(responses),
            },
        }
    }
}

/// UCB of each source from its mean |A| and its count.
fn bounds(means: &[f64], counts: &[f64]) -> Vec<f64> {
    let total: f64 = counts.iter().sum();
    let bonus = |count: f64| (2.0 * (total + 1.0).ln() / (count + 1.0)).sqrt();
    means.iter().zip(counts).map(|(mean, count)| mean + bonus(*count)).collect()
}

/// exp((x − max)/τ): softmax but for its sum.
fn weights(bounds: &[f64], tau: f64) -> Vec<f64> {
    let top = bounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    bounds.iter().map(|bound| ((bound - top) / tau).exp()).collect()
}

impl Order for Bandit {
    fn law(&self) -> OrderLaw {
        OrderLaw::Adaptive
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        step_rounds(self.batch, budget_samples)
    }

    fn observe(&mut self, feedback: Feedback<'_>) {
        let Feedback::Step { ids, scores } = feedback else { return };
        for (id, score) in ids.iter().zip(scores) {
            let arm = &mut self.arms[self.groups[*id as usize] as usize];
            arm.window.push_back(*score);
            if arm.window.len() > self.capacity {
                arm.window.pop_front();
            }
            arm.count += self.weight;
            arm.drawn += 1;
        }
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let mean = |arm: &Arm| arm.window.iter().sum::<f64>() / arm.window.len().max(1) as f64;
        let means: Vec<f64> = self.arms.iter().map(mean).collect();
        let counts: Vec<f64> = self.arms.iter().map(|arm| arm.count).collect();
        let weights = weights(&bounds(&means, &counts), self.tau);
        let mut random = source.streams.keyed("draws", 0, epoch);
        let ids = self.sources.draw(&weights, self.batch as usize, &mut random);
        EpochPlan { ids, block: epoch }
    }

    fn facts(&self) -> Facts {
        let draws = self.names.iter().zip(&self.arms);
        draws.map(|(name, arm)| (format!("prompts_of_{name}"), arm.drawn.into())).collect()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("arms", &mut self.arms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::seed::Seed;
    use ledger::streams::Streams;

    fn close(found: &[f64], expected: [f64; 3]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    fn shares(bounds: &[f64]) -> Vec<f64> {
        let weights = weights(bounds, 0.1);
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    fn bandit(settings: &Settings) -> Bandit {
        let groups: Vec<u32> = (0..60).map(|id| id % 3).collect();
        Bandit::new(settings, &groups, &["3", "4", "5"].map(str::to_owned))
    }

    fn drawn(bandit: &mut Bandit, epoch: u32) -> Vec<u32> {
        let streams = Streams::new(Seed::from_integer(3).bytes);
        let seed = [0; 32];
        let source =
            OrderSource { effective_seed: &seed, streams: &streams, examples: 60, eligible: None };
        bandit.epoch(epoch, &source).ids
    }

    #[test]
    fn bounds_and_shares_are_those_of_the_formula() {
        let bounds = bounds(&[0.2, 0.8, 0.5], &[1600.0, 320.0, 160.0]);
        close(&bounds, [0.297_697, 1.018_186, 0.808_082]);
        close(&shares(&bounds), [0.000_662, 0.890_415, 0.108_924]);
    }

    #[test]
    fn a_source_never_drawn_comes_next() {
        let bounds = bounds(&[0.2, 0.8, 0.0], &[1600.0, 320.0, 0.0]);
        assert!((bounds[2] - 3.888_599).abs() < 1e-6, "{}", bounds[2]);
        assert!(shares(&bounds)[2] > 1.0 - 1e-6);
    }

    #[test]
    fn permuting_sources_permutes_their_shares_and_nothing_else() {
        let one = shares(&bounds(&[0.2, 0.8, 0.5], &[1600.0, 320.0, 160.0]));
        let other = shares(&bounds(&[0.5, 0.2, 0.8], &[160.0, 1600.0, 320.0]));
        close(&other, [one[2], one[0], one[1]]);
    }

    #[test]
    fn the_first_batch_is_uniform_and_later_ones_follow_the_advantages() {
        let mut bandit = bandit(&Settings { batch_size: 600, ..Settings::default() });
        let ids = drawn(&mut bandit, 0);
        for group in 0..3 {
            let share = ids.iter().filter(|id| *id % 3 == group).count();
            assert!((150..250).contains(&share), "{share}");
        }
        let scores: Vec<f64> = ids.iter().map(|id| f64::from(u8::from(id % 3 == 1))).collect();
        bandit.observe(Feedback::Step { ids: &ids, scores: &scores });
        let later = drawn(&mut bandit, 1);
        assert!(later.iter().filter(|id| *id % 3 == 1).count() > 590);
        assert_eq!(bandit.arms[1].window.len(), 37, "300 responses are 37 prompts of 8");
    }

    #[test]
    fn the_code_counts_responses_where_the_paper_counts_prompts() {
        let count = |variant| {
            let mut bandit = bandit(&Settings { variant, ..Settings::default() });
            bandit.observe(Feedback::Step { ids: &[0, 3, 1], scores: &[0.5, 0.5, 0.5] });
            (bandit.arms[0].count, bandit.arms[1].count)
        };
        assert_eq!(count(Variant::Paper), (2.0, 1.0));
        assert_eq!(count(Variant::Code), (16.0, 8.0));
    }

    #[test]
    fn at_infinite_temperature_the_ids_are_those_of_uniform_draws_with_replacement() {
        let mut adaptive = bandit(&Settings { tau: 1e300, ..Settings::default() });
        adaptive.observe(Feedback::Step { ids: &[0, 1, 2], scores: &[0.0, 2.0, 0.7] });
        let sources = Sources::new(&adaptive.groups, 60);
        let mut uniform = lab::orders::Replacement { sources, batch: 16 };
        let streams = Streams::new(Seed::from_integer(3).bytes);
        let seed = [0; 32];
        let source =
            OrderSource { effective_seed: &seed, streams: &streams, examples: 60, eligible: None };
        for epoch in 0..20 {
            assert_eq!(adaptive.epoch(epoch, &source).ids, uniform.epoch(epoch, &source).ids);
        }
        assert_ne!(drawn(&mut bandit(&Settings::default()), 1), drawn(&mut adaptive, 2));
    }
}
