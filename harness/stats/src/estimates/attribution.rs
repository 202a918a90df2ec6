//! Which items' positions move the held-out loss most.

use serde::{Deserialize, Serialize};

use super::EstimateError;
use super::agreement::Interval;
use super::error::check_finite;
use super::moments::{mean, sd};
use super::validity::Band;
use crate::distribution::{fisher_f_tail, student_t_bound};

/// p-value above which a curve is called flat.
const FLAT_ABOVE: f64 = 0.05;

/// What the position of one item does to the held-out loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// The item.
    pub item: usize,
    /// Largest minus smallest estimated held-out loss over its positions.
    pub range: f64,
    /// Standard deviation over its positions.
    pub sd: f64,
    /// Least-squares change of the held-out loss for one position later.
    pub slope: f64,
    /// 95 % interval of the slope: slope ± t(0.975, n − 1) · s / sqrt(Σ(t − t̄)²) with the residual sd
    /// s of the n held-out pilots.
    pub slope_interval: Interval,
    /// The position with the lowest estimated loss.
    pub best_position: usize,
    /// P(F(T − 1, n − 1) > sd²/s²): how often residuals alone would vary so much.
    pub p: f64,
    /// Whether the curve cannot be told from the estimator's residuals: neither by its spread
    /// (p > 0.05) nor by its slope, whose interval then holds 0. The F test of the spread asks about
    /// any shape and has little power against a trend.
    pub flat: bool,
}

/// The items by the standard deviation of their held-out curves `[item][position]`, largest first.
/// The residuals of the held-out pilots are taken as those of every point, independent and normal.
///
/// # Errors
/// For curves of fewer than two positions, and losses that are not finite.
pub fn rank(curves: &[Vec<f64>], band: &Band) -> Result<Vec<Influence>, EstimateError> {
    let mut ranked = Vec::with_capacity(curves.len());
    for (item, curve) in curves.iter().enumerate() {
        if curve.len() < 2 {
            let (what, unit, found) = ("a curve", "positions", curve.len());
            return Err(EstimateError::TooFew { what, needed: 2, unit, found });
        }
        check_finite("held-out loss at position", curve)?;
        ranked.push(influence(item, curve, band));
    }
    // Stable: equal items stay in the order of their numbers.
    ranked.sort_by(|a: &Influence, b| b.sd.total_cmp(&a.sd));
    Ok(ranked)
}

fn influence(item: usize, curve: &[f64], band: &Band) -> Influence {
    let (mut low, mut high, mut best_position) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    for (position, &loss) in curve.iter().enumerate() {
        if loss < low {
            (low, best_position) = (loss, position);
        }
        high = high.max(loss);
    }
    let middle = (curve.len() - 1) as f64 / 2.0;
    let level = mean(curve);
    let (mut squares, mut products) = (0.0, 0.0);
    for (position, loss) in curve.iter().enumerate() {
        let from = position as f64 - middle;
        squares += from * from;
        products += from * (loss - level);
    }
    let (spread, slope) = (sd(curve), products / squares);
    let freedom = band.pilots.saturating_sub(1);
    let bound = student_t_bound(0.95, freedom).unwrap_or(f64::INFINITY);
    let half = bound * band.residual_sd / squares.sqrt();
    let p = if spread == 0.0 {
        1.0
    } else if band.residual_sd == 0.0 {
        0.0
    } else {
        fisher_f_tail((spread / band.residual_sd).powi(2), curve.len() - 1, freedom)
    };
    Influence {
        item,
        range: high - low,
        sd: spread,
        slope,
        slope_interval: Interval { low: slope - half, high: slope + half },
        best_position,
        p,
        flat: p > FLAT_ABOVE && (slope - half) * (slope + half) <= 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAND: Band = Band { bias: 0.0, residual_sd: 0.1, pilots: 5 };

    #[test]
    fn items_are_ranked_by_what_their_position_does_and_flat_ones_said_so() {
        let curves =
            [vec![1.0, 1.05, 0.95, 1.0], vec![4.0, 3.0, 2.0, 1.0], vec![1.0, 1.0, 1.0, 1.0]];
        let ranked = rank(&curves, &BAND).unwrap();
        assert_eq!(ranked.iter().map(|one| one.item).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!(ranked.iter().map(|one| one.flat).collect::<Vec<_>>(), [false, true, true]);
        let first = &ranked[0];
        assert_eq!((first.range, first.best_position), (3.0, 3));
        assert!((first.slope + 1.0).abs() < 1e-12);
        // t(0.975, 4) = 2.7764451052 (scipy 1.17), Σ(t − t̄)² = 5.
        let half = 2.776_445_105_2 * 0.1 / 5.0_f64.sqrt();
        assert!((first.slope_interval.high - (half - 1.0)).abs() < 1e-9);
    }

    #[test]
    fn curves_without_positions_and_bad_losses_are_refused() {
        let refused = rank(&[vec![1.0]], &BAND).unwrap_err().to_string();
        assert_eq!(refused, "a curve needs at least 2 positions, found 1");
        assert!(rank(&[vec![1.0, f64::NAN]], &BAND).is_err());
    }

    /// Curves of nothing but residuals are called flat at least 9 times in 10: two tests at 0.05.
    #[test]
    fn noise_is_called_flat_as_often_as_the_levels_say() {
        let mut rng = ledger::streams::Streams::new([9; 32]).generator("noise");
        let mut draw = || ledger::streams::normal_f64(&mut rng);
        let mut flat = 0;
        for _ in 0..2000 {
            let pilots: Vec<f64> = (0..5).map(|_| draw()).collect();
            let band = Band { bias: 0.0, residual_sd: sd(&pilots), pilots: 5 };
            let curve: Vec<f64> = (0..8).map(|_| draw()).collect();
            flat += u32::from(rank(&[curve], &band).unwrap()[0].flat);
        }
        // Between both tests' misses apart (1800) and together (1900); sd of a count is 13.4.
        assert!((1760..1936).contains(&flat), "{flat}");
    }

    #[test]
    fn a_curve_whose_slope_is_told_from_noise_is_not_flat_whatever_its_spread_says() {
        // A weak trend over many places: its spread is below that of the residuals.
        let curve: Vec<f64> = (0..40).map(|at| f64::from(at) * 0.004).collect();
        let found = &rank(&[curve], &BAND).unwrap()[0];
        assert!(found.p > 0.3 && found.slope_interval.low > 0.0, "{found:?}");
        assert!(!found.flat);
    }
}
