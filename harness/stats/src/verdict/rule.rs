//! The rule of the verdict: from the ends of an interval to words.

use super::{ClaimKind, ClaimTest, Scale, Verdict, in_words};
use crate::interval::Interval;

impl ClaimKind {
    /// Where the interval has to lie above: the smallest effect, or the margin below 0.
    #[must_use]
    pub fn bound(self) -> f64 {
        match self {
            Self::Superior { smallest_effect } => smallest_effect,
            // 0.0 - 0.0, not -0.0.
            Self::NonInferior { margin } => 0.0 - margin,
        }
    }

    /// The verdict of an interval with these ends; an end that nothing bounds decides nothing.
    #[must_use]
    pub fn verdict(self, low: Option<f64>, high: Option<f64>) -> Verdict {
        let bound = self.bound();
        // "At least 0" asks for an effect: no effect at all is not one.
        let enough = |low: f64| match self {
            Self::Superior { .. } => low >= bound && low > 0.0,
            Self::NonInferior { .. } => low >= bound,
        };
        match (low.is_some_and(enough), high.is_some_and(|high| high < bound)) {
            (true, false) => Verdict::Reproduced,
            (false, true) => Verdict::NotReproduced,
            _ => Verdict::Inconclusive,
        }
    }
}

/// Whether an effect is there though the claim of its size is not reproduced.
#[must_use]
pub fn direction_shown(kind: ClaimKind, verdict: Verdict, low: f64) -> bool {
    matches!(kind, ClaimKind::Superior { .. }) && verdict != Verdict::Reproduced && low > 0.0
}

/// The rule itself.
pub(super) fn decide(test: &ClaimTest, mean: f64, interval: Interval) -> (Verdict, String) {
    let alike = is_alike(mean, interval);
    let (verdict, why) = if is_thin(test, interval) {
        let words = format!(
            "all {} effects are alike, which tells nothing of their spread",
            test.effects.len()
        );
        (Verdict::Inconclusive, words)
    } else {
        let verdict = test.kind.verdict(Some(interval.low), Some(interval.high));
        (verdict, where_it_lies(test.kind, verdict, interval, test.scale))
    };
    let spread = if alike { ", all alike" } else { "" };
    let measured = format!(
        "mean {}, {} % interval {} to {}, {} pairs{spread}",
        in_words(mean, test.scale),
        (interval.level * 1e4).round() / 1e2,
        in_words(interval.low, test.scale),
        in_words(interval.high, test.scale),
        test.effects.len()
    );
    (verdict, format!("{why} ({measured})"))
}

/// Whether an interval has no width but rounding.
fn is_alike(mean: f64, interval: Interval) -> bool {
    interval.high - interval.low <= 1e-12 * mean.abs()
}

/// Whether the effects are all alike and too few for that to say anything.
pub(super) fn is_thin(test: &ClaimTest, interval: Interval) -> bool {
    let tail = (1.0 - interval.level) / 2.0;
    let mean = interval.low.midpoint(interval.high);
    is_alike(mean, interval) && (-(test.effects.len() as f64)).exp2() > tail
}

/// Where the interval lies, in words.
fn where_it_lies(kind: ClaimKind, verdict: Verdict, interval: Interval, scale: Scale) -> String {
    let bound = in_words(kind.bound(), scale);
    let bound = match kind {
        ClaimKind::Superior { .. } => format!("the smallest effect {bound}"),
        ClaimKind::NonInferior { .. } => format!("the margin {bound}"),
    };
    let shown = direction_shown(kind, verdict, interval.low);
    match verdict {
        Verdict::Reproduced => format!("the interval lies at or above {bound}"),
        Verdict::NotReproduced if shown => {
            let none = in_words(0.0, scale);
            format!("the interval lies below {bound}, though above {none}")
        }
        Verdict::NotReproduced => format!("the interval lies below {bound}"),
        Verdict::Inconclusive if shown => {
            format!("the interval lies above {} but holds {bound}", in_words(0.0, scale))
        }
        Verdict::Inconclusive => format!("the interval holds {bound}"),
    }
}
