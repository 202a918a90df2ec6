//! # PR-LSVI: preferences, asked for where they still tell something
//!
//! ## Mechanism
//! Every round t, on features φ of episodes:
//! - θ̂ = argmax Σ ln Φ(±⟨x, θ⟩) − ½λ‖θ‖² over what was asked, x = φ(τ⁰) − φ(τ¹), Φ logistic; Σ = λI + Σ xxᵀ;
//! - θ̄ ~ N(θ̂, `sigma_r`²Σ⁻¹), and backwards over steps Q = ⟨φ, θ̄⟩ + ⟨φ, θ̄_P⟩ with θ̄_P ~ N(θ̂_P, `sigma_p`²Σ_h⁻¹) around the least
//!   squares of the next states' values; π_t is greedy for it. Noise takes the place of a bonus for what is unknown;
//! - τ⁰ of π_t and τ¹ of π_{t−1} are acted out;
//! - their order is asked for where two draws of θ would still disagree: E|⟨x, θ − θ′⟩| = (2/√π)·`sigma_r`·‖x‖_{Σ⁻¹} >
//!   `epsilon`. `query: all` asks about all that differ, `query: random` with probability `share`.
//!
//! Without noise (`sigma_r: 0, sigma_p: 0, query: all`) it is the greedy baseline.
//!
//! ## Claim
//! Regret of order √T + T^{1−β} with T^{2β} questions, for ε = T^{−β}: sublinear, and questions fall as ε grows (theorem;
//! the paper has no experiment and no number).
//!
//! ## Sources
//! Wu and Sun, arXiv:2310.14554 (ICLR 2024); no code. Only the abstract and its reviews were at hand: the algorithm is from
//! memory, the closed form of the condition is derived here, and compared with draws in a test.
//!
//! ## Differences
//! - The theorem's constants are too large to run: λ, both sigmas and ε are assumed. Nothing is truncated (α_L, α_U).
//! - θ̂ is fitted every round up to the 50th and every fifth from there on, from where it was, by Newton steps no longer than
//!   2; undamped ones overflow while answers are few. Both episodes of a round teach next states.
//! - On features that are one-hot Σ_h is a diagonal of counts.

use std::sync::Arc;

use lab::LabError;
use lab::method::Method;
use lab::network::{Network, values};
use lab::offers;
use lab::preferences::{
    Chance, Dynamics, FEATURES, HORIZON, MOST_ROUNDS, NUMBERS, Policy, Rewards, STATES, World,
    difference,
};
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Costs, Facts, Learner, StepInfo, TaskInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::Tensor;

choice! {
    /// When the order of two episodes is asked for.
    pub enum Query {
        /// Where draws of the rewards still disagree about it by more than ε.
        Active = "active",
        /// Wherever two episodes differ.
        All = "all",
        /// By chance.
        Random = "random",
    }
}

settings! {
    /// Settings of `pr-lsvi`.
    pub struct Settings {
        /// When the order of two episodes is asked for.
        query: Query = Query::Active, from "the method; the others are controls";
        /// ε of `active`.
        epsilon: f64 = 0.25, range Range::of(0.0..), from "assumed";
        /// Probability of `random`, where two episodes differ.
        share: f64 = 0.2, range Range::of(0.0..=1.0), from "assumed";
        /// Noise of the rewards.
        sigma_r: f64 = 1.0, range Range::of(0.0..), from "assumed: the theorem's is too large to run";
        /// Noise of the next states' values.
        sigma_p: f64 = 1.0, range Range::of(0.0..), from "assumed: the theorem's is too large to run";
        /// λ of both regressions.
        ridge: f64 = 1.0, range Range::above(0.0), from "assumed";
    }
}

/// Rounds up to which rewards are fitted in each, and how often from there on.
const EAGER: u64 = 50;
const EVERY: u64 = 5;

/// The method.
pub static METHOD: Method = Method {
    summary: "acts by noisy values, and asks which episode is better where draws disagree",
    paper: Paper {
        title: "Making RL with Preference-based Feedback Efficient via Randomization",
        authors: "Wu, Sun",
        year: 2023,
        reference: "arXiv:2310.14554",
        code: "none",
    },
    claim: PaperClaim {
        statement: "sublinear regret with few questions",
        number: "none",
        source: "theorems; the paper has no experiment",
    },
    baseline: None,
    needs: &[offers::PREFERENCES],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let world = task.side.world.clone().ok_or_else(|| task.unfit("it has no world"))?;
        if task.budget_samples > MOST_ROUNDS as u64 {
            return Err(task.unfit(format!(
                "its budget is {} rounds, but at most {MOST_ROUNDS} are kept",
                task.budget_samples
            )));
        }
        let learner = PrLsvi::new(settings, world, task);
        Ok(Recipe::of(1, Schedule::Constant, Step::Learner(Box::new(learner))))
    },
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { query, epsilon, share, sigma_r, .. } = Settings::read(&resolved)?;
    let usual = Settings::default();
    let joint = |what: String| Err(SettingError::Joint(what));
    let unused = |name: &str, of: &str| {
        joint(format!("setting \"{name}\" is of query \"{of}\" alone: leave it out"))
    };
    if query != Query::Active && epsilon != usual.epsilon {
        return unused("epsilon", "active");
    }
    if query != Query::Random && share != usual.share {
        return unused("share", "random");
    }
    if query == Query::Active && sigma_r == 0.0 {
        return joint(
            "setting \"sigma_r\" is 0, but must be above 0 where \"query\" is \"active\": without noise \
             nothing would ever be asked"
                .to_owned(),
        );
    }
    Ok(resolved)
}

#[derive(Debug)]
struct PrLsvi {
    settings: Settings,
    world: Arc<dyn World>,
    rewards: Rewards,
    dynamics: Dynamics,
    /// π_{t−1}.
    before: Policy,
    noise: Pcg64,
    questions: Pcg64,
    rounds: u64,
}

impl PrLsvi {
    fn new(settings: Settings, world: Arc<dyn World>, task: &TaskInfo<'_>) -> Self {
        let [noise, questions] =
            ["exploration", "questions"].map(|name| task.streams.generator(name));
        Self {
            rewards: Rewards::new(FEATURES, settings.ridge),
            dynamics: Dynamics::new(settings.ridge),
            before: [0; HORIZON * STATES],
            settings,
            world,
            noise,
            questions,
            rounds: 0,
        }
    }

    fn asks(&mut self, difference: &[f64]) -> bool {
        let Settings { query, epsilon, share, sigma_r, .. } = self.settings;
        // Of two episodes that met the same features an answer tells nothing.
        if difference.iter().all(|x| *x == 0.0) {
            return false;
        }
        match query {
            Query::Active => self.rewards.disagreement(difference, sigma_r) > epsilon,
            Query::All => true,
            Query::Random => unit_f64(&mut self.questions) < share,
        }
    }

    /// One round; its policy, and whether it asked.
    fn round(&mut self, chance: &Chance) -> (Policy, bool) {
        if self.rounds <= EAGER || self.rounds.is_multiple_of(EVERY) {
            self.rewards.fit();
        }
        let Settings { sigma_r, sigma_p, .. } = self.settings;
        let drawn = self.rewards.draw(sigma_r, &mut self.noise);
        let policy = self.dynamics.greedy(&drawn, sigma_p, &mut self.noise);
        let episodes = self.world.episodes([&policy, &self.before], chance);
        let x = difference(&episodes);
        let asks = self.asks(&x);
        if asks {
            self.rewards.learn(&x, self.world.prefers_first(&episodes, chance));
        }
        episodes.iter().for_each(|episode| self.dynamics.learn(episode));
        self.before = policy;
        self.rounds += 1;
        (policy, asks)
    }
}

impl Learner for PrLsvi {
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        for row in values(&batch.inputs)?.chunks_exact(NUMBERS) {
            let chance = Chance::of_row(row)
                .ok_or_else(|| LabError::Order("an example is no chance of a round".to_owned()))?;
            let at = i64::try_from(self.rounds).unwrap_or(i64::MAX);
            let (policy, asks) = self.round(&chance);
            let actions = policy.map(|action| action as f32);
            network.buffers[0].f_get(at)?.f_copy_(&Tensor::f_from_slice(&actions)?)?;
            let _ = network.buffers[1].f_get(at)?.f_fill_(if asks { 2.0 } else { 1.0 })?;
        }
        Ok(None)
    }

    fn costs(&self) -> Costs {
        Costs::from([("questions", self.rewards.answers() as u64)])
    }

    fn facts(&self) -> Facts {
        Facts::from([("rounds".to_owned(), self.rounds.into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("rewards", &mut self.rewards)?;
        state.of("dynamics", &mut self.dynamics)?;
        state.of("before", &mut self.before)?;
        state.of("noise", &mut self.noise)?;
        state.of("questions", &mut self.questions)?;
        state.of("rounds", &mut self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::linear_mdp::Process;
    use lab::trial;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn run(settings: Value, rounds: u64) -> Trace {
        let entry = workloads::find("linear-mdp").unwrap();
        let fixture = Fixture::generated(entry, &trial::with([])).unwrap();
        fixture.run(&METHOD, &serde_json::from_value(settings).unwrap(), rounds, 3).unwrap()
    }

    /// Policies round by round, and what was asked.
    fn rounds(trace: &Trace) -> (Vec<Policy>, usize) {
        let [policies, asked] = [0, 1].map(|at| values(&trace.network.buffers[at]).unwrap());
        let done = asked.iter().filter(|round| **round > 0.0).count();
        let policy = |row: &[f32]| std::array::from_fn(|at| row[at] as usize);
        let policies = policies.chunks_exact(HORIZON * STATES).take(done).map(policy).collect();
        (policies, asked.iter().filter(|round| **round > 1.0).count())
    }

    fn lost(policies: &[Policy]) -> f64 {
        let process = Process::numbered(0);
        let best = process.best_value();
        policies.iter().map(|policy| best - process.value(policy)).sum::<f64>()
            / policies.len() as f64
    }

    #[test]
    fn with_noise_it_loses_less_and_less_and_without_noise_it_stays_where_it_is_caught() {
        let (noisy, _) = rounds(&run(json!({"query": "all"}), 1_500));
        let (early, late) = (lost(&noisy[..300]), lost(&noisy[1_200..]));
        assert!(late < 0.5 * early, "{early} {late}");
        let greedy = json!({"query": "all", "sigma_r": 0, "sigma_p": 0});
        let (greedy, _) = rounds(&run(greedy, 1_500));
        assert!(lost(&greedy[1_200..]) > late, "{} {late}", lost(&greedy[1_200..]));
    }

    #[test]
    fn questions_fall_as_epsilon_grows_and_none_is_wasted_on_the_same_episode() {
        let asked = |epsilon: f64| rounds(&run(json!({"epsilon": epsilon, "sigma_r": 0.2}), 600)).1;
        let counts = [0.02, 0.05, 0.1, 0.2].map(asked);
        assert!(counts.is_sorted_by(|a, b| a > b), "{counts:?}");
        // With ε = 0 all is asked but what does not differ.
        let (_, all) = rounds(&run(json!({"epsilon": 0}), 300));
        assert!((1..300).contains(&all), "{all}");
    }

    #[test]
    fn a_random_questioner_asks_its_share_and_facts_count_it() {
        let trace = run(json!({"query": "random", "share": 0.25}), 800);
        let (_, asked) = rounds(&trace);
        assert!((150..250).contains(&asked), "{asked}");
        assert_eq!(trace.facts["questions"], asked);
        assert_eq!(trace.facts["rounds"], 800);
    }

    #[test]
    fn settings_that_nothing_reads_and_noise_of_nothing_are_refused() {
        let refused = |with: Value| {
            (METHOD.resolve)(&serde_json::from_value(with).unwrap()).unwrap_err().to_string()
        };
        assert!(
            refused(json!({"query": "all", "epsilon": 0.1})).contains("of query \"active\" alone")
        );
        assert!(refused(json!({"share": 0.1})).contains("of query \"random\" alone"));
        assert!(refused(json!({"sigma_r": 0})).contains("nothing would ever be asked"));
    }
}
