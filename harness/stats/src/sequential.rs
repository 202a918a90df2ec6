//! Stopping early: a confidence sequence of the mean paired effect, valid at every number of seeds
//! at once, so that looking after each seed and stopping when it is settled costs nothing.
//!
//! Under a true mean m, the likelihood ratio of the scale-invariant part of the data with a normal
//! prior N(0, g) on (mean - m) / sd to the data without effect,
//! M_n = (1 + n g)^(-1/2) ((1 + t²/v) / (1 + t²/(v (1 + n g))))^(n/2), v = n - 1,
//! is a martingale whatever the sd, and passes 1/α with probability α at most, over all n (Ville).
//! The means that have not been passed are the sequence; its width is closed form.
//!
//! It rests on differences that are normal, as the t interval does, and that fails where a seed now
//! and then collapses: the seeds before the first collapse are much alike and say nothing of it.
//! So an end counts only once a collapse could not well have gone unseen: either after so many seeds
//! that one of the share `collapse` would have shown with probability `level`, or as far as
//! [`super::betting`] allows, which pays for every value that the range of the effects holds.
//!
//! Sources: Lai (1976), Ann. Statist. 4, 265-280; Wang and Ramdas (2023), arXiv 2310.03722.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::betting::{Range, lower_bounds, upper_bounds};
use super::distribution::check_level;
use super::error::{all_finite, between, in_range, require};
use super::verdict::{ClaimKind, Verdict};

const NAME: &str = "the confidence sequence";
/// Share of collapsing seeds that must not go unseen, where a suite says nothing else.
pub const COLLAPSE: f64 = 0.1;

/// Settings that must be fixed before the first seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopping {
    /// Confidence that the whole sequence covers the mean, in 0.5..=0.9999.
    pub level: f64,
    /// Variance g of the prior on the standardised effect; 4 is narrowest from 5 to 20 seeds. Any
    /// fixed value is valid.
    pub prior_variance: f64,
    /// Share of seeds whose collapse must not go unseen, in 0..0.5; 0 takes all effects to be normal.
    #[serde(default = "collapse")]
    pub collapse: f64,
    /// Seeds before which nothing is settled.
    pub least: usize,
    /// Seeds planned.
    pub most: usize,
}

/// Serde's default, for files of before the key.
fn collapse() -> f64 {
    COLLAPSE
}

impl Stopping {
    /// 95 %, a prior of variance 4, collapses of one seed in ten, at least 3 seeds.
    #[must_use]
    pub fn planned(most: usize) -> Self {
        Self { level: 0.95, prior_variance: 4.0, collapse: COLLAPSE, least: 3, most }
    }

    fn check(&self) -> Result<(), StatsError> {
        check_level(self.level)?;
        between("the prior variance", self.prior_variance, 0.0, f64::INFINITY)?;
        if self.collapse != 0.0 {
            between("the share of collapsing seeds", self.collapse, 0.0, 0.5)?;
        }
        require(NAME, 2, self.least)?;
        require(NAME, self.least, self.most)
    }

    /// Seeds after which a collapse of the share `collapse` has shown with probability `level`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "level and share are checked, so the quotient is a small positive number"
    )]
    pub fn enough_seeds(&self) -> usize {
        if self.collapse == 0.0 {
            return 0;
        }
        ((1.0 - self.level).ln() / (1.0 - self.collapse).ln() - 1e-9).ceil() as usize
    }

    /// The largest share of collapsing seeds that `seeds` of them without one leave possible.
    #[must_use]
    pub fn unseen(&self, seeds: usize) -> f64 {
        1.0 - (1.0 - self.level).powf(1.0 / seeds.max(1) as f64)
    }
}

/// The sequence after some seeds; an end is `None` while nothing bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Seeds so far.
    pub seeds: usize,
    /// Mean effect so far.
    pub mean: f64,
    /// Half of the width of the interval around this mean alone, were the effects normal.
    pub half_width: Option<f64>,
    /// The largest lower end so far.
    pub low: Option<f64>,
    /// The smallest upper end so far.
    pub high: Option<f64>,
}

/// Where a sequence of seeds could stop, and what that saves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// One entry per seed.
    pub steps: Vec<Step>,
    /// Seeds after which the claim was settled; `None` where it is not settled.
    pub settled_after: Option<usize>,
    /// Whether the claim holds, where it is settled.
    pub holds: Option<bool>,
    /// Planned seeds that need not run.
    pub saved: usize,
    /// The settings.
    pub stopping: Stopping,
}

/// The confidence sequence of the mean of `effects`, in the order in which the seeds ran; `range` is
/// what an effect can come to, where that is known.
///
/// The ends are running ones: an interval never grows again. Where low passes high the effects
/// were not what the method supposes (or the one case in 20 happened); both are kept.
///
/// # Errors
/// When an effect is not finite or outside of the range, squares leave the range of f64, or a setting is out of range.
pub fn confidence_sequence(
    effects: &[f64],
    stopping: Stopping,
    range: Option<Range>,
) -> Result<Vec<Step>, StatsError> {
    stopping.check()?;
    all_finite(NAME, effects)?;
    let alpha = (1.0 - stopping.level) / 2.0;
    let bets = range
        .map(|range| {
            Ok((lower_bounds(effects, range, alpha)?, upper_bounds(effects, range, alpha)?))
        })
        .transpose()?;
    let mut steps = Vec::with_capacity(effects.len());
    let (mut mean, mut squares) = (0.0_f64, 0.0_f64);
    let (mut low, mut high): (Option<f64>, Option<f64>) = (None, None);
    for (seeds, &effect) in (1..).zip(effects) {
        let gap = effect - mean;
        mean += gap / seeds as f64;
        squares = in_range(NAME, squares + gap * (effect - mean))?;
        let half_width = half_width(seeds, squares, stopping);
        let alone = half_width.map(|half| (mean - half, mean + half));
        // Before enough seeds the sequence goes no further in than the bets allow. What it said then does not
        // count afterwards: it did not know of the collapses that have shown since.
        let bet = bets.as_ref().map(|(lows, highs)| (lows[seeds - 1], highs[seeds - 1]));
        let ends = if seeds >= stopping.enough_seeds() {
            alone
        } else {
            alone.zip(bet).map(|(ends, bet)| (ends.0.min(bet.0), ends.1.max(bet.1)))
        };
        if let Some((from, to)) = ends {
            low = Some(low.map_or(from, |before| before.max(from)));
            high = Some(high.map_or(to, |before| before.min(to)));
        }
        steps.push(Step { seeds, mean, half_width, low, high });
    }
    Ok(steps)
}

/// Half of the width after `n` effects with this sum of squared deviations: with
/// R = ((1 + n g) / α²)^(1/n), t² = v (R - 1) / (1 - R / (1 + n g)); none while R >= 1 + n g, nor
/// without any spread (equal values tell nothing of the next).
fn half_width(n: usize, squares: f64, stopping: Stopping) -> Option<f64> {
    let (seeds, alpha) = (n as f64, 1.0 - stopping.level);
    let growth = 1.0 + seeds * stopping.prior_variance;
    let root = (growth / (alpha * alpha)).powf(1.0 / seeds);
    // t² s² / n = squares (R - 1) / (1 - R / growth) / n.
    let scaled = squares / seeds * (root - 1.0) / (1.0 - root / growth);
    (n >= 2 && root < growth && squares > 0.0).then(|| scaled.sqrt())
}

/// Where these effects, one per seed in the order run and positive in favour of the claim, settle
/// it: by the rule of [`ClaimKind::verdict`], with the ends of the sequence.
///
/// # Errors
/// As [`confidence_sequence`], when the claim's number is negative or not finite, or when there are
/// more effects than planned seeds.
pub fn stop(
    effects: &[f64],
    claim: ClaimKind,
    stopping: Stopping,
    range: Option<Range>,
) -> Result<Stopped, StatsError> {
    let steps = confidence_sequence(effects, stopping, range)?;
    require("the plan of seeds", effects.len(), stopping.most)?;
    super::verdict::check_kind(claim)?;
    let holds = |step: &Step| match claim.verdict(step.low, step.high) {
        Verdict::Reproduced => Some(true),
        Verdict::NotReproduced => Some(false),
        Verdict::Inconclusive => None,
    };
    let settled = steps
        .iter()
        .filter(|step| step.seeds >= stopping.least)
        .find_map(|step| holds(step).map(|holds| (step.seeds, holds)));
    Ok(Stopped {
        settled_after: settled.map(|(seeds, _)| seeds),
        holds: settled.map(|(_, holds)| holds),
        saved: settled.map_or(0, |(seeds, _)| stopping.most - seeds),
        steps,
        stopping,
    })
}

#[cfg(test)]
#[path = "sequential/tests.rs"]
mod tests;
