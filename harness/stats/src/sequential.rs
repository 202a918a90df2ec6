//! Stopping early: a confidence sequence of the mean paired effect, valid at every number of seeds
//! at once, so that looking after each seed and stopping when it is settled costs nothing.
//!
//! Under a true mean m, the likelihood ratio of the scale-invariant part of the data with a normal
//! prior N(0, g) on (mean - m) / sd to the data without effect,
//! M_n = (1 + n g)^(-1/2) ((1 + t²/v) / (1 + t²/(v (1 + n g))))^(n/2), v = n - 1,
//! is a martingale whatever the sd, and passes 1/α with probability α at most, over all n (Ville).
//! The means that have not been passed are the sequence; its width is closed form.
//!
//! It rests on differences that are normal, as the t interval does. Sources: Lai (1976), Ann.
//! Statist. 4, 265-280; Wang and Ramdas (2023), arXiv 2310.03722.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::distribution::check_level;
use super::error::{all_finite, between, in_range, require};
use super::verdict::ClaimKind;

const NAME: &str = "the confidence sequence";

/// Settings that must be fixed before the first seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopping {
    /// Confidence that the whole sequence covers the mean, in 0.5..=0.9999.
    pub level: f64,
    /// Variance g of the prior on the standardised effect; 4 is narrowest from 5 to 20 seeds. Any
    /// fixed value is valid.
    pub prior_variance: f64,
    /// Seeds before which nothing is settled.
    pub least: usize,
    /// Seeds planned.
    pub most: usize,
}

impl Stopping {
    /// 95 %, a prior of variance 4, at least 3 seeds.
    #[must_use]
    pub fn planned(most: usize) -> Self {
        Self { level: 0.95, prior_variance: 4.0, least: 3, most }
    }

    fn check(&self) -> Result<(), StatsError> {
        check_level(self.level)?;
        between("the prior variance", self.prior_variance, 0.0, f64::INFINITY)?;
        require(NAME, 2, self.least)?;
        require(NAME, self.least, self.most)
    }
}

/// The sequence after some seeds; an end is `None` while nothing bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Seeds so far.
    pub seeds: usize,
    /// Mean effect so far.
    pub mean: f64,
    /// Half of the width of the interval around this mean alone.
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

/// The confidence sequence of the mean of `effects`, in the order in which the seeds ran.
///
/// The ends are running ones: an interval never grows again. Where low passes high the effects
/// were not what the method supposes (or the one case in 20 happened); both are kept.
///
/// # Errors
/// When an effect is not finite, squares leave the range of f64, or a setting is out of range.
pub fn confidence_sequence(effects: &[f64], stopping: Stopping) -> Result<Vec<Step>, StatsError> {
    stopping.check()?;
    all_finite(NAME, effects)?;
    let mut steps = Vec::with_capacity(effects.len());
    let (mut mean, mut squares) = (0.0_f64, 0.0_f64);
    let (mut low, mut high): (Option<f64>, Option<f64>) = (None, None);
    for (seeds, &effect) in (1..).zip(effects) {
        let gap = effect - mean;
        mean += gap / seeds as f64;
        squares = in_range(NAME, squares + gap * (effect - mean))?;
        let half_width = half_width(seeds, squares, stopping);
        if let Some(half) = half_width {
            low = Some(low.map_or(mean - half, |before| before.max(mean - half)));
            high = Some(high.map_or(mean + half, |before| before.min(mean + half)));
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
/// it: "better by at least s" holds once low > 0 and the mean reaches s, and fails once high < s;
/// "not worse by more than d" holds once low > -d, and fails once high < -d.
///
/// # Errors
/// As [`confidence_sequence`], when the claim's number is negative or not finite, or when there are
/// more effects than planned seeds.
pub fn stop(effects: &[f64], claim: ClaimKind, stopping: Stopping) -> Result<Stopped, StatsError> {
    let steps = confidence_sequence(effects, stopping)?;
    require("the plan of seeds", effects.len(), stopping.most)?;
    super::verdict::check_kind(claim)?;
    let settled = steps
        .iter()
        .filter(|step| step.seeds >= stopping.least)
        .find_map(|step| settles(step, claim).map(|holds| (step.seeds, holds)));
    Ok(Stopped {
        settled_after: settled.map(|(seeds, _)| seeds),
        holds: settled.map(|(_, holds)| holds),
        saved: settled.map_or(0, |(seeds, _)| stopping.most - seeds),
        steps,
        stopping,
    })
}

fn settles(step: &Step, claim: ClaimKind) -> Option<bool> {
    let above = |bound: f64| step.low.is_some_and(|low| low > bound);
    let below = |bound: f64| step.high.is_some_and(|high| high < bound);
    let (holds, fails) = match claim {
        ClaimKind::Superior { smallest_effect } => {
            (above(0.0) && step.mean >= smallest_effect, below(smallest_effect))
        }
        ClaimKind::NonInferior { margin } => (above(-margin), below(-margin)),
    };
    match (holds, fails) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLEAR: [f64; 8] = [0.30, 0.28, 0.33, 0.31, 0.29, 0.32, 0.30, 0.31];

    #[test]
    fn a_clear_effect_stops_early_and_says_what_it_saved() {
        let claim = ClaimKind::Superior { smallest_effect: 0.05 };
        let found = stop(&CLEAR, claim, Stopping::planned(20)).unwrap();
        let after = found.settled_after.unwrap();
        assert!(after < 8 && found.saved == 20 - after, "{found:?}");
        assert_eq!(found.holds, Some(true));
        let against = CLEAR.map(|effect| -effect);
        let found = stop(&against, claim, Stopping::planned(20)).unwrap();
        assert_eq!(found.holds, Some(false));
    }

    #[test]
    fn noise_around_nothing_is_not_settled_for_a_small_claim() {
        let effects = [0.2, -0.3, 0.25, -0.1, 0.05, -0.15];
        let found =
            stop(&effects, ClaimKind::Superior { smallest_effect: 0.1 }, Stopping::planned(6));
        let found = found.unwrap();
        assert_eq!((found.settled_after, found.saved), (None, 0));
    }

    #[test]
    fn equal_effects_bound_nothing() {
        let steps = confidence_sequence(&[0.5; 6], Stopping::planned(6)).unwrap();
        assert!(steps.iter().all(|step| step.low.is_none() && step.high.is_none()));
    }

    #[test]
    fn plans_that_cannot_be_followed_are_refused() {
        let claim = ClaimKind::NonInferior { margin: 0.1 };
        let plan = Stopping::planned(5);
        assert!(matches!(stop(&CLEAR, claim, plan), Err(StatsError::TooFew { found: 5, .. })));
        for bad in [
            Stopping { level: 95.0, ..plan },
            Stopping { prior_variance: 0.0, ..plan },
            Stopping { prior_variance: f64::NAN, ..plan },
            Stopping { least: 1, ..plan },
            Stopping { least: 6, ..plan },
        ] {
            assert!(confidence_sequence(&[0.1, 0.2], bad).is_err(), "{bad:?}");
        }
        let nan = confidence_sequence(&[0.1, f64::NAN], plan).unwrap_err();
        assert!(matches!(nan, StatsError::NotFinite { index: 1, .. }));
    }

    proptest! {
        #[test]
        fn the_sequence_never_grows_and_moves_with_its_effects(
            effects in prop::collection::vec(-1.0..1.0f64, 2..30), shift in -5.0..5.0f64,
        ) {
            let steps = confidence_sequence(&effects, Stopping::planned(30)).unwrap();
            for pair in steps.windows(2) {
                prop_assert!(pair[1].low >= pair[0].low || pair[0].low.is_none());
                prop_assert!(pair[1].high <= pair[0].high || pair[0].high.is_none());
            }
            let moved: Vec<f64> = effects.iter().map(|effect| effect + shift).collect();
            let moved = confidence_sequence(&moved, Stopping::planned(30)).unwrap();
            for (here, there) in steps.iter().zip(&moved) {
                if let (Some(here), Some(there)) = (here.low, there.low) {
                    prop_assert!((here + shift - there).abs() < 1e-6, "{here} {there}");
                }
            }
        }
    }
}
