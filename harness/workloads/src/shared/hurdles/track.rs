//! The track: a car that must steer through gaps in walls, in plain double precision.
//!
//! The car, a disc of diameter 0.06, starts at x = 0, y = 0 at rest sideways and drives forward at
//! speed 1. Walls stand at x = s, 2s, … ([`HURDLES`] of them), each with one gap of width w whose
//! centre is uniform in ±0.3. Every 0.05 s the car chooses a ∈ [−1, 1], the sideways velocity it
//! wants as a share of the largest, 1.5; the velocity follows with a time constant of 0.1 s:
//!
//! ```text
//! v ← v + (1.5·a − v)·(1 − exp(−0.05/0.1));   y ← y + 0.05·v;   x ← x + 0.05
//! ```
//!
//! It passes a wall when its whole body is within the gap at the moment its centre crosses; the
//! episode ends at the first wall it hits. A task (p₀, p₁) of the unit square sets w = 0.12·p₀ and
//! s = 0.4 + 0.8·(1 − p₁): with p₀ < ½ the gap is narrower than the car, so that half of the tasks
//! cannot be solved by anyone.

use ledger::streams::{normal_f64, unit_f64};
use rand_pcg::Pcg64;

/// Walls on a track.
pub const HURDLES: usize = 5;
/// Numbers that the car sees: offset of the next gap's centre over 0.3, its own sideways velocity
/// over 1.5, the distance to the next wall.
pub const SENSES: usize = 3;
/// Diameter of the car.
const CAR: f64 = 0.06;
/// Time between two decisions, s; at speed 1 also the way between them.
const TICK: f64 = 0.05;
/// Time constant of the sideways velocity, s.
const LAG: f64 = 0.1;
/// Largest sideways velocity.
const FASTEST: f64 = 1.5;
/// Largest distance of a gap's centre from the middle.
const SPREAD: f64 = 0.3;

/// Walls and their gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Width of every gap.
    pub gap: f64,
    /// Distance between walls, and of the first from the start.
    pub spacing: f64,
    /// Where the gaps' centres are.
    pub centres: [f64; HURDLES],
}

impl Track {
    /// A track of this task, its gaps drawn from `random`.
    #[must_use]
    pub fn of(task: [f64; 2], random: &mut Pcg64) -> Self {
        let centres = std::array::from_fn(|_| SPREAD * (2.0 * unit_f64(random) - 1.0));
        Self { gap: 2.0 * CAR * task[0], spacing: 0.4 + 0.8 * (1.0 - task[1]), centres }
    }
}

/// A driver: the wanted velocity is tanh(w·senses + b), of the largest one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// w.
    pub weights: [f64; SENSES],
    /// b.
    pub bias: f64,
}

impl Policy {
    /// The wanted velocity, as a share of the largest.
    #[must_use]
    pub fn mean(&self, senses: &[f64; SENSES]) -> f64 {
        let products = self.weights.iter().zip(senses).map(|(weight, sense)| weight * sense);
        (products.sum::<f64>() + self.bias).tanh()
    }
}

/// One decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// What the car saw.
    pub senses: [f64; SENSES],
    /// What it chose, noise included.
    pub action: f64,
    /// Walls passed before the next decision, of [`HURDLES`].
    pub reward: f64,
}

/// Drives a track to its end or to the first hit. With `noise`, normal numbers of that deviation
/// are added to the actions. Returns every decision; their rewards sum to the share of walls passed.
pub fn drive(
    track: &Track,
    policy: &Policy,
    mut noise: Option<(f64, &mut Pcg64)>,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let [mut x, mut y, mut velocity] = [0.0, 0.0, 0.0];
    let follow = 1.0 - (-TICK / LAG).exp();
    for (wall, centre) in (1..).zip(&track.centres) {
        let place = f64::from(wall) * track.spacing;
        while x < place {
            let senses = [(centre - y) / SPREAD, velocity / FASTEST, place - x];
            let mut action = policy.mean(&senses);
            if let Some((deviation, random)) = &mut noise {
                action += *deviation * normal_f64(random);
            }
            velocity += (FASTEST * action.clamp(-1.0, 1.0) - velocity) * follow;
            // Where the car crosses the wall's plane, when it does so in this tick.
            let crossing = y + velocity * (place - x).min(TICK);
            y += velocity * TICK;
            x += TICK;
            let crossed = x >= place;
            let fits = (crossing - centre).abs() <= (track.gap - CAR) / 2.0;
            let reward = if crossed && fits { 1.0 / HURDLES as f64 } else { 0.0 };
            decisions.push(Decision { senses, action, reward });
            if crossed && !fits {
                return decisions;
            }
        }
    }
    decisions
}

/// Share of walls passed.
#[must_use]
pub fn passed(decisions: &[Decision]) -> f64 {
    decisions.iter().map(|decision| decision.reward).sum()
}
