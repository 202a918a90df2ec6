//! What is known of a world from preferences between its episodes: rewards by the likelihood of the answers, next
//! states by least squares, both with noise that explores.

use std::f64::consts::PI;

use data::linear_mdp::{ACTIONS, feature};
pub use data::linear_mdp::{Chance, Episode, FEATURES, HORIZON, NUMBERS, Policy, STATES};
use ledger::streams::normal_f64;
use rand_pcg::Pcg64;

use crate::linear::{backward, cholesky, dot, forward};

/// A world to act in. Its rewards show in nothing but answers.
pub trait World: std::fmt::Debug + Send + Sync {
    /// The episodes of two policies under a chance.
    fn episodes(&self, policies: [&Policy; 2], chance: &Chance) -> [Episode; 2];

    /// Whether the first of two episodes is the better one, by somebody who errs.
    fn prefers_first(&self, episodes: &[Episode; 2], chance: &Chance) -> bool;
}

/// Rounds that a network has room for.
pub const MOST_ROUNDS: usize = 20_000;

/// Longest step of Newton's method.
const STEP: f64 = 2.0;
/// Most of its steps at a time.
const STEPS: usize = 6;
/// Gradients below this are 0.
const FLAT: f64 = 1e-10;

/// φ(τ⁰) − φ(τ¹), by feature: 1 for what the first episode alone met, −1 for what the second did.
#[must_use]
pub fn difference(episodes: &[Episode; 2]) -> Vec<f64> {
    let mut features = vec![0.0; FEATURES];
    for (episode, sign) in episodes.iter().zip([1.0, -1.0]) {
        for (step, visit) in episode.iter().enumerate() {
            features[visit.feature(step)] += sign;
        }
    }
    features
}

/// Rewards θ as the answers tell them: the maximum of their likelihood under a logistic law with a ridge, and the
/// precision Σ = λI + Σ xxᵀ over what was asked.
#[derive(Debug, Clone)]
pub struct Rewards {
    ridge: f64,
    /// x of every question, turned so that the answer was "the first".
    answers: Vec<Vec<f64>>,
    precision: Vec<f64>,
    /// Lower factor of the precision.
    factor: Vec<f64>,
    /// θ̂.
    pub estimate: Vec<f64>,
}

crate::kept!(Rewards { ridge, answers, precision, factor, estimate });

impl Rewards {
    /// Nothing asked yet, of `dimensions` features and ridge λ.
    #[must_use]
    pub fn new(dimensions: usize, ridge: f64) -> Self {
        let mut precision = vec![0.0; dimensions * dimensions];
        precision.iter_mut().step_by(dimensions + 1).for_each(|value| *value = ridge);
        let factor = cholesky(&precision, dimensions);
        Self { ridge, answers: Vec::new(), precision, factor, estimate: vec![0.0; dimensions] }
    }

    /// Takes in an answer to a question with this difference.
    pub fn learn(&mut self, difference: &[f64], first: bool) {
        let dimensions = difference.len();
        for (row, a) in self.precision.chunks_exact_mut(dimensions).zip(difference) {
            if *a != 0.0 {
                row.iter_mut().zip(difference).for_each(|(value, b)| *value += a * b);
            }
        }
        self.factor = cholesky(&self.precision, dimensions);
        let sign = if first { 1.0 } else { -1.0 };
        self.answers.push(difference.iter().map(|x| sign * x).collect());
    }

    /// How many answers there are.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.answers.len()
    }

    /// ‖x‖ in Σ⁻¹.
    #[must_use]
    pub fn spread(&self, difference: &[f64]) -> f64 {
        let whitened = forward(&self.factor, difference);
        dot(&whitened, &whitened).sqrt()
    }

    /// E|⟨x, θ − θ′⟩| of two draws θ, θ′ ~ N(θ̂, σ²Σ⁻¹): (2/√π)·σ·‖x‖.
    #[must_use]
    pub fn disagreement(&self, difference: &[f64], sigma: f64) -> f64 {
        2.0 / PI.sqrt() * sigma * self.spread(difference)
    }

    /// θ ~ N(θ̂, σ²Σ⁻¹).
    pub fn draw(&self, sigma: f64, random: &mut Pcg64) -> Vec<f64> {
        let noise: Vec<f64> = self.estimate.iter().map(|_| normal_f64(random)).collect();
        let spread = backward(&self.factor, &noise);
        self.estimate.iter().zip(spread).map(|(mean, noise)| mean + sigma * noise).collect()
    }

    /// Moves θ̂ towards the maximum of Σ ln Φ(⟨x, θ⟩) − ½λ‖θ‖², from where it is, by at most six steps of Newton's
    /// method of length 2 at most: whole ones overflow where answers are few and all alike.
    pub fn fit(&mut self) {
        let dimensions = self.estimate.len();
        for _ in 0..STEPS {
            let mut gradient: Vec<f64> =
                self.estimate.iter().map(|theta| self.ridge * theta).collect();
            let mut curvature = vec![0.0; dimensions * dimensions];
            curvature.iter_mut().step_by(dimensions + 1).for_each(|value| *value = self.ridge);
            for x in &self.answers {
                // 1 − Φ(⟨x, θ⟩), which neither overflows nor cancels.
                let wrong = (1.0 + dot(x, &self.estimate).exp()).recip();
                let weight = wrong * (1.0 - wrong);
                for (i, a) in x.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                    gradient[i] -= wrong * a;
                    let row = &mut curvature[i * dimensions..][..dimensions];
                    row.iter_mut().zip(x).for_each(|(value, b)| *value += weight * a * b);
                }
            }
            if gradient.iter().all(|value| value.abs() < FLAT) {
                return;
            }
            let factor = cholesky(&curvature, dimensions);
            let step = backward(&factor, &forward(&factor, &gradient));
            let share = (STEP / dot(&step, &step).sqrt()).min(1.0);
            self.estimate.iter_mut().zip(step).for_each(|(theta, step)| *theta -= share * step);
        }
    }
}

/// Next states as they were met, by step, state and action. With one feature each the least squares of the values
/// behind them with ridge λ are sums over λ + n.
#[derive(Debug, Clone)]
pub struct Dynamics {
    ridge: f64,
    met: Vec<[f64; STATES]>,
}

crate::kept!(Dynamics { ridge, met });

impl Dynamics {
    /// Nothing met yet, and ridge λ.
    #[must_use]
    pub fn new(ridge: f64) -> Self {
        Self { ridge, met: vec![[0.0; STATES]; FEATURES] }
    }

    /// Takes in an episode.
    pub fn learn(&mut self, episode: &Episode) {
        for (step, visit) in episode.iter().enumerate() {
            self.met[visit.feature(step)][visit.next] += 1.0;
        }
    }

    /// The policy that is greedy for Q = θ + θ_P, backwards from the last step: θ_P ~ N(θ̂_P, σ²/(λ + n)) around the
    /// least squares θ̂_P of the values of the next states. Of equal actions the first.
    pub fn greedy(&self, rewards: &[f64], sigma: f64, random: &mut Pcg64) -> Policy {
        let mut policy = [0; HORIZON * STATES];
        let mut later = [0.0; STATES];
        for step in (0..HORIZON).rev() {
            let mut values = [0.0; STATES];
            for (state, value) in values.iter_mut().enumerate() {
                let worth: [f64; ACTIONS] = std::array::from_fn(|action| {
                    let at = feature(step, state, action);
                    let scale = self.ridge + self.met[at].iter().sum::<f64>();
                    let noise = sigma * normal_f64(random) / scale.sqrt();
                    rewards[at] + dot(&self.met[at], &later) / scale + noise
                });
                let best = (0..ACTIONS).fold(0, |a, b| if worth[b] > worth[a] { b } else { a });
                policy[step * STATES + state] = best;
                *value = worth[best];
            }
            later = values;
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;
    use data::linear_mdp::Process;

    /// Answers whose precision is diag(4, 1, ¼), without a ridge to speak of.
    fn card() -> Rewards {
        let mut rewards = Rewards::new(3, 1e-12);
        for difference in [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]] {
            rewards.learn(&difference, true);
        }
        rewards
    }

    #[test]
    fn the_disagreement_is_the_cards_and_that_of_draws() {
        let (rewards, x) = (card(), [1.0, 2.0, 0.5]);
        assert!((rewards.spread(&x) - 2.291_288).abs() < 1e-6);
        let closed = rewards.disagreement(&x, 0.3);
        assert!((closed - 0.775_632).abs() < 1e-6, "{closed}");
        let mut random = trial::streams().generator("draws");
        let mut gap = || {
            let [a, b] = [(); 2].map(|()| dot(&rewards.draw(0.3, &mut random), &x));
            (a - b).abs()
        };
        let mean = (0..200_000).map(|_| gap()).sum::<f64>() / 200_000.0;
        // Five standard errors.
        assert!((mean - closed).abs() < 0.007, "{mean}");
        assert_eq!(rewards.disagreement(&[0.0; 3], 0.3), 0.0);
    }

    #[test]
    fn the_estimate_is_where_the_gradient_of_the_likelihood_vanishes() {
        let mut rewards = Rewards::new(3, 1.0);
        let asked = [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, -1.0], [1.0, -1.0, 0.0]];
        for (x, first) in asked.iter().zip([true, true, true, false]) {
            rewards.learn(x, first);
        }
        rewards.fit();
        let loss = |theta: &[f64]| {
            let terms = rewards.answers.iter().map(|x| (1.0 + (-dot(x, theta)).exp()).ln());
            terms.sum::<f64>() + 0.5 * dot(theta, theta)
        };
        let best = loss(&rewards.estimate);
        for place in 0..3 {
            for by in [1e-3, -1e-3] {
                let mut moved = rewards.estimate.clone();
                moved[place] += by;
                assert!(loss(&moved) > best, "{place} {by}");
            }
        }
    }

    #[test]
    fn answers_all_alike_leave_a_finite_estimate() {
        let mut rewards = Rewards::new(2, 1e-6);
        for _ in 0..500 {
            rewards.learn(&[30.0, -30.0], true);
            rewards.fit();
        }
        assert!(rewards.estimate.iter().all(|theta| theta.is_finite()), "{:?}", rewards.estimate);
        assert!(rewards.estimate[0] > 0.0);
    }

    #[test]
    fn without_noise_and_with_true_dynamics_the_policy_is_the_greedy_one() {
        let process = Process::numbered(3);
        let mut dynamics = Dynamics::new(1e-9);
        let mut random = trial::streams().generator("worlds");
        for _ in 0..60_000 {
            let chance = Chance::draw(&mut random);
            let policy: Policy =
                std::array::from_fn(|_| ledger::order::bounded(&mut random, 3) as usize);
            chance.episodes.iter().for_each(|one| dynamics.learn(&process.episode(&policy, one)));
        }
        let rewards: Vec<f64> = (0..FEATURES).map(|at| process.reward_of(at)).collect();
        let policy = dynamics.greedy(&rewards, 0.0, &mut random);
        assert!(process.best_value() - process.value(&policy) < 0.02);
    }
}
