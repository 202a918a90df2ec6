//! Small tabular Markov decision processes, which are linear ones with one feature for each step, state and action.
//!
//! Of every (step, state, action) the next state's probabilities are Dirichlet(½) and the reward is uniform in
//! [0, 8/3]; the first state is uniform. All are rounded to multiples of 2⁻¹² (rewards of 8/3 · 2⁻¹²), so that they do
//! not depend on a platform's logarithm. Values are exact, by dynamic programming.

use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::sample::sample_id;
use ledger::streams::normal_f64;
use rand_pcg::Pcg64;

/// States.
pub const STATES: usize = 4;
/// Actions.
pub const ACTIONS: usize = 3;
/// Steps of an episode.
pub const HORIZON: usize = 3;
/// Features: one for each step, state and action.
pub const FEATURES: usize = HORIZON * STATES * ACTIONS;

/// Units of a probability, and of the noise that decides.
const UNITS: u64 = 1 << 12;
/// Values of one number of an example's noise; all of them are exact in f32.
const NOISE: u64 = 1 << 24;
/// The largest reward of a step.
const LARGEST: f64 = 8.0 / 3.0;

/// An action for each (step, state), step by step.
pub type Policy = [usize; HORIZON * STATES];

/// What happened in one step of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Where it began.
    pub state: usize,
    /// What was done.
    pub action: usize,
    /// Where it led.
    pub next: usize,
}

impl Visit {
    /// The number of its feature, in step `step`.
    #[must_use]
    pub fn feature(&self, step: usize) -> usize {
        feature(step, self.state, self.action)
    }
}

/// The number of the feature of a step, state and action.
#[must_use]
pub fn feature(step: usize, state: usize, action: usize) -> usize {
    (step * STATES + state) * ACTIONS + action
}

/// An episode.
pub type Episode = [Visit; HORIZON];

/// The chance in the two episodes of one round. That of the answer which of them is better is no part of it: who
/// knew it would read rewards off the answer without noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// First state, then next states, of the one episode and of the other; in [0, 1).
    pub episodes: [[f32; HORIZON + 1]; 2],
}

/// Numbers of a [`Chance`].
pub const NUMBERS: usize = 2 * (HORIZON + 1);

impl Chance {
    /// A draw.
    pub fn draw(random: &mut Pcg64) -> Self {
        let mut unit = || bounded(random, NOISE) as f32 / NOISE as f32;
        Self { episodes: [(); 2].map(|()| [(); HORIZON + 1].map(|()| unit())) }
    }

    /// All numbers in a row.
    #[must_use]
    pub fn row(&self) -> [f32; NUMBERS] {
        std::array::from_fn(|at| self.episodes[at / (HORIZON + 1)][at % (HORIZON + 1)])
    }

    /// What a row says; none where it has another length.
    #[must_use]
    pub fn of_row(row: &[f32]) -> Option<Self> {
        let row: &[f32; NUMBERS] = row.try_into().ok()?;
        let episode = |at: usize| std::array::from_fn(|i| row[at * (HORIZON + 1) + i]);
        Some(Self { episodes: [episode(0), episode(1)] })
    }

    /// The sample id, over the row as f32 LE.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.row().iter().flat_map(|value| value.to_le_bytes()).collect();
        sample_id(&bytes, &[])
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Probabilities of next states, by feature; each row sums to 1.
    transitions: Vec<[f64; STATES]>,
    /// Rewards by feature.
    rewards: [f64; FEATURES],
    number: u32,
}

impl Process {
    /// The process of this number.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        let digest = Digest::of_parts(&[b"palimpsest/linear-mdp/v1", &number.to_le_bytes()]);
        let mut random = ledger::order::generator(&digest);
        let transitions = (0..FEATURES).map(|_| dirichlet(&mut random)).collect();
        let mut reward = || LARGEST * bounded(&mut random, UNITS + 1) as f64 / UNITS as f64;
        Self { transitions, rewards: [(); FEATURES].map(|()| reward()), number }
    }

    /// The episode of a policy under a chance.
    #[must_use]
    pub fn episode(&self, policy: &Policy, chance: &[f32; HORIZON + 1]) -> Episode {
        let mut state = index(&[1.0 / STATES as f64; STATES], chance[0]);
        std::array::from_fn(|step| {
            let action = policy[step * STATES + state];
            let next = index(&self.transitions[feature(step, state, action)], chance[step + 1]);
            Visit { state: std::mem::replace(&mut state, next), action, next }
        })
    }

    /// The reward of a feature.
    ///
    /// # Panics
    /// When there is no such feature.
    #[must_use]
    pub fn reward_of(&self, feature: usize) -> f64 {
        self.rewards[feature]
    }

    /// The sum of an episode's rewards.
    #[must_use]
    pub fn reward(&self, episode: &Episode) -> f64 {
        episode.iter().enumerate().map(|(step, visit)| self.rewards[visit.feature(step)]).sum()
    }

    /// Whether somebody prefers the first of two episodes, who does so with probability
    /// 1/(1 + exp(−Δ)), Δ the difference of rewards: the same answer whenever the same round is asked about.
    #[must_use]
    pub fn prefers_first(&self, episodes: &[Episode; 2], chance: &Chance) -> bool {
        let difference = self.reward(&episodes[0]) - self.reward(&episodes[1]);
        (1.0 + (-difference).exp()).recip() > self.answer(chance)
    }

    /// The answer to a round is "the first" where its probability is above this.
    fn answer(&self, chance: &Chance) -> f64 {
        let (number, id) = (self.number.to_le_bytes(), chance.id());
        let parts: [&[u8]; 3] = [b"palimpsest/linear-mdp/answer/v1", &number, id.as_bytes()];
        ledger::streams::unit_f64(&mut ledger::order::generator(&Digest::of_parts(&parts)))
    }

    /// The expected sum of rewards under a policy.
    #[must_use]
    pub fn value(&self, policy: &Policy) -> f64 {
        self.values(|step, state, _| policy[step * STATES + state])
    }

    /// The largest expected sum of rewards.
    #[must_use]
    pub fn best_value(&self) -> f64 {
        self.values(|_, _, worth| {
            (0..ACTIONS).fold(0, |a, b| if worth[b] > worth[a] { b } else { a })
        })
    }

    /// The value of acting as `choose` says, which sees the worth of each action.
    fn values(&self, choose: impl Fn(usize, usize, &[f64; ACTIONS]) -> usize) -> f64 {
        let mut later = [0.0; STATES];
        for step in (0..HORIZON).rev() {
            later = std::array::from_fn(|state| {
                let worth = std::array::from_fn(|action| {
                    let at = feature(step, state, action);
                    let next = self.transitions[at].iter().zip(later);
                    self.rewards[at] + next.map(|(p, value)| p * value).sum::<f64>()
                });
                worth[choose(step, state, &worth)]
            });
        }
        later.iter().sum::<f64>() / STATES as f64
    }
}

/// The part of [0, 1) that `chance` lies in, where parts have these sizes.
fn index(probabilities: &[f64; STATES], chance: f32) -> usize {
    let mut reached = 0.0;
    probabilities
        .iter()
        .position(|probability| {
            reached += probability;
            f64::from(chance) < reached
        })
        .unwrap_or(STATES - 1)
}

/// Dirichlet(½), in whole units; what rounding leaves falls to the most probable.
fn dirichlet(random: &mut Pcg64) -> [f64; STATES] {
    // The square of a normal number is twice one of Gamma(½).
    let draws: [f64; STATES] = [(); STATES].map(|()| normal_f64(random).powi(2));
    let sum: f64 = draws.iter().sum();
    let mut rounded = draws.map(|draw| (draw / sum * UNITS as f64).floor() / UNITS as f64);
    let most = (0..STATES).fold(0, |a, b| if rounded[b] > rounded[a] { b } else { a });
    rounded[most] += 1.0 - rounded.iter().sum::<f64>();
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chances(count: usize) -> Vec<Chance> {
        let mut random = ledger::order::generator(&Digest::of(b"chances"));
        (0..count).map(|_| Chance::draw(&mut random)).collect()
    }

    /// Every action everywhere: the three policies that always do the same.
    fn constant(action: usize) -> Policy {
        [action; HORIZON * STATES]
    }

    #[test]
    fn every_row_of_probabilities_sums_to_one_and_rewards_are_in_range() {
        for number in 0..5 {
            let process = Process::numbered(number);
            for row in &process.transitions {
                assert_eq!(row.iter().sum::<f64>(), 1.0);
                assert!(row.iter().all(|p| (0.0..=1.0).contains(p)), "{row:?}");
            }
            assert!(process.rewards.iter().all(|r| (0.0..=LARGEST).contains(r)));
        }
        assert_ne!(Process::numbered(0), Process::numbered(1));
    }

    #[test]
    fn the_value_of_a_policy_is_the_mean_reward_of_its_episodes() {
        let process = Process::numbered(0);
        for action in 0..ACTIONS {
            let policy = constant(action);
            let rewards: Vec<f64> = chances(20_000)
                .iter()
                .flat_map(|chance| chance.episodes)
                .map(|chance| process.reward(&process.episode(&policy, &chance)))
                .collect();
            let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
            let exact = process.value(&policy);
            // Three standard errors of 40,000 episodes, whose rewards spread by at most 4.
            assert!((mean - exact).abs() < 0.06, "{mean} and {exact}");
        }
    }

    #[test]
    fn no_policy_is_above_the_best_value_and_one_reaches_it() {
        let process = Process::numbered(2);
        let best = process.best_value();
        // Coordinate by coordinate, backwards: dynamic programming found by trying.
        let mut policy = constant(0);
        for place in (0..policy.len()).rev() {
            let worth = |action: usize| {
                let mut tried = policy;
                tried[place] = action;
                process.value(&tried)
            };
            let tried = (0..ACTIONS).map(worth);
            assert!(tried.clone().all(|value| value <= best + 1e-12));
            policy[place] = (0..ACTIONS).fold(0, |a, b| if worth(b) > worth(a) { b } else { a });
        }
        assert!((process.value(&policy) - best).abs() < 1e-12);
    }

    #[test]
    fn answers_follow_the_logistic_law_of_the_difference() {
        let process = Process::numbered(1);
        let chances = chances(4_000);
        let episodes = [
            process.episode(&constant(0), &chances[0].episodes[0]),
            process.episode(&constant(1), &chances[1].episodes[0]),
        ];
        let difference = process.reward(&episodes[0]) - process.reward(&episodes[1]);
        let first =
            chances.iter().filter(|chance| process.prefers_first(&episodes, chance)).count();
        let expected = 1.0 / (1.0 + (-difference).exp());
        assert!((first as f64 / 4_000.0 - expected).abs() < 0.025, "{first} {expected}");
    }

    #[test]
    fn a_chance_survives_its_row_and_its_id_is_of_every_number() {
        let chance = chances(1)[0];
        assert_eq!(Chance::of_row(&chance.row()), Some(chance));
        assert_eq!(Chance::of_row(&chance.row()[1..]), None);
        let mut other = chance;
        other.episodes[1][HORIZON] += 1.0 / 1024.0;
        assert_ne!(other.id(), chance.id());
    }
}
