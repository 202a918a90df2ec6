//! Time-to-target of one run: where its evaluation curve crosses the target.
//!
//! The metric is fitted by isotonic regression on the order of the evaluations (unit weights), and
//! the fit is read at the target by linear interpolation. "First evaluation at the target" is late
//! by half an evaluation interval on average and early when the metric is noisy; both readings are
//! kept, the isotonic one is the score.
//!
//! The rule, exactly. Let f_0 <= f_1 <= ... be the fit and t_0 < t_1 < ... the train times (for a
//! lower-is-better metric both metric and target are negated first). Let j be the first index with
//! f_j >= target.
//! - No such j: the run is censored.
//! - j = 0: the crossing is t_0.
//! - Otherwise it is t_{j-1} + (target - f_{j-1}) / (f_j - f_{j-1}) * (t_j - t_{j-1}).
//!
//! Hence point j-1 is the *last* point of its pooled block and point j the *first* of its own: a
//! flat block below the target is walked to its end, and a target equal to a block's level is
//! crossed where the block begins. Samples and steps use the same fit on their own axes.
//!
//! Source: pool-adjacent-violators, Barlow et al. (1972), "Statistical inference under order
//! restrictions".

use serde::{Deserialize, Serialize};

use crate::goal::Direction;

/// One evaluation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvalPoint {
    /// The train clock at the evaluation, in seconds.
    pub train_seconds: f64,
    /// Samples consumed by then.
    pub samples: u64,
    /// Optimiser steps taken by then.
    pub steps: u64,
    /// The metric.
    pub value: f64,
}

/// Where a curve crosses its target; `None` means not within the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// Train seconds at which the isotonic fit reaches the target: the score.
    pub isotonic: Option<f64>,
    /// Train seconds of the first evaluation at the target or better.
    pub first: Option<f64>,
    /// Train seconds of the third of the first three consecutive evaluations at the target or
    /// better.
    pub held3: Option<f64>,
    /// Samples at which the isotonic fit reaches the target.
    pub samples: Option<f64>,
    /// Steps at which the isotonic fit reaches the target.
    pub steps: Option<f64>,
    /// Train seconds of the first evaluation that was not finite; the curve ends before it.
    pub diverged_at: Option<f64>,
}

/// Why a curve has no crossing to speak of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CrossingError {
    /// No evaluation at all.
    #[error("the curve has no evaluation: evaluate at least once before the budget ends")]
    Empty,
    /// A target that is NaN or infinite.
    #[error("target {target} is not a finite number")]
    Target {
        /// The target as given.
        target: f64,
    },
    /// A train time that is negative, NaN or infinite.
    #[error("evaluation {index} has train time {seconds} s: expected a finite time from 0 up")]
    Time {
        /// Position of the evaluation, from 0.
        index: usize,
        /// Its train time.
        seconds: f64,
    },
    /// A train time that is not later than the one before.
    #[error(
        "evaluation {index} at {seconds} s is not later than the one before it at {before} s: \
         the train clock must advance between evaluations"
    )]
    TimeOrder {
        /// Position of the later evaluation, from 0.
        index: usize,
        /// Its train time.
        seconds: f64,
        /// The train time before it.
        before: f64,
    },
    /// Samples or steps that fall.
    #[error("evaluation {index} has {found} {axis}, fewer than the {before} before it")]
    CountOrder {
        /// "samples" or "steps".
        axis: &'static str,
        /// Position of the later evaluation, from 0.
        index: usize,
        /// Its count.
        found: u64,
        /// The count before it.
        before: u64,
    },
}

/// The non-decreasing sequence closest to `values` in least squares (PAVA, unit weights).
///
/// The result has the length and the mean of `values`; each element of a pooled block is the block's
/// mean. Values must be finite.
#[must_use]
pub fn isotonic(values: &[f64]) -> Vec<f64> {
    struct Block {
        mean: f64,
        count: usize,
    }
    let mut blocks: Vec<Block> = Vec::with_capacity(values.len());
    for &value in values {
        let mut block = Block { mean: value, count: 1 };
        while let Some(before) = blocks.pop_if(|before| before.mean > block.mean) {
            let count = before.count + block.count;
            // A convex combination cannot leave the range of the two means, a ratio of sums could.
            let share = block.count as f64 / count as f64;
            block = Block { mean: before.mean * (1.0 - share) + block.mean * share, count };
        }
        blocks.push(block);
    }
    blocks.iter().flat_map(|block| std::iter::repeat_n(block.mean, block.count)).collect()
}

/// Where the curve `points` crosses `target`; the rule is in the module documentation.
///
/// The first value that is not finite ends the curve: the run diverged there
/// ([`Crossing::diverged_at`]), and only the evaluations before it count.
///
/// # Errors
/// When there is no point, the target is not finite, a train time is not finite or not later than
/// the one before, or samples or steps fall.
pub fn crossing(
    points: &[EvalPoint],
    target: f64,
    direction: Direction,
) -> Result<Crossing, CrossingError> {
    check(points, target)?;
    let end = points.iter().position(|point| !point.value.is_finite());
    let curve = end.map_or(points, |end| &points[..end]);
    let target = direction.orient(target);
    let values: Vec<f64> = curve.iter().map(|point| direction.orient(point.value)).collect();
    let fit = isotonic(&values);
    let at = |axis: fn(&EvalPoint) -> f64| {
        interpolate(&fit, &curve.iter().map(axis).collect::<Vec<_>>(), target)
    };
    let met = |value: &f64| *value >= target;
    let seconds = |index: usize| curve.get(index).map(|point| point.train_seconds);
    Ok(Crossing {
        isotonic: at(|point| point.train_seconds),
        first: values.iter().position(met).and_then(seconds),
        held3: values
            .windows(3)
            .position(|three| three.iter().all(met))
            .and_then(|index| seconds(index + 2)),
        samples: at(|point| point.samples as f64),
        steps: at(|point| point.steps as f64),
        diverged_at: end.and_then(|end| points.get(end)).map(|point| point.train_seconds),
    })
}

/// Reads the non-decreasing `fit` over `axis` at `target`.
fn interpolate(fit: &[f64], axis: &[f64], target: f64) -> Option<f64> {
    let j = fit.iter().position(|&level| level >= target)?;
    let Some(before) = j.checked_sub(1) else { return axis.first().copied() };
    // Halves, because the distance of two finite numbers can exceed the range of f64.
    let rise = |to: f64| to * 0.5 - fit[before] * 0.5;
    let share = rise(target) / rise(fit[j]);
    Some(axis[before] + share * (axis[j] - axis[before]))
}

fn check(points: &[EvalPoint], target: f64) -> Result<(), CrossingError> {
    if points.is_empty() {
        return Err(CrossingError::Empty);
    }
    if !target.is_finite() {
        return Err(CrossingError::Target { target });
    }
    for (index, point) in points.iter().enumerate() {
        let seconds = point.train_seconds;
        if !(seconds.is_finite() && seconds >= 0.0) {
            return Err(CrossingError::Time { index, seconds });
        }
    }
    for (before, pair) in points.windows(2).enumerate() {
        let [earlier, later] = pair else { continue };
        let index = before + 1;
        if later.train_seconds <= earlier.train_seconds {
            return Err(CrossingError::TimeOrder {
                index,
                seconds: later.train_seconds,
                before: earlier.train_seconds,
            });
        }
        for (axis, found, before) in
            [("samples", later.samples, earlier.samples), ("steps", later.steps, earlier.steps)]
        {
            if found < before {
                return Err(CrossingError::CountOrder { axis, index, found, before });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
