//! Pearson's correlation by two passes over exactly summed terms.

use super::Correlation;
use crate::provenance::exact_sum::ExactSum;
use crate::provenance::ranks;

/// Two centred and scaled columns with their sums of squares.
pub(crate) struct Pairing {
    /// Deviations of the first column from its mean.
    pub(crate) x: Vec<f64>,
    /// Deviations of the second.
    pub(crate) y: Vec<f64>,
    /// sqrt(Σ x² Σ y²), which makes r of Σ xy.
    pub(crate) scale: f64,
}

impl Pairing {
    /// Centres both columns. Every step is a function of one row and of exact sums, so that the
    /// order of the rows changes no bit.
    pub(crate) fn of(x: &[f64], y: &[f64]) -> Self {
        let (x, y) = (deviations(x), deviations(y));
        let scale = (squares(&x) * squares(&y)).sqrt();
        Self { x, y, scale }
    }

    /// What the least-squares line of y on x leaves of y, row by row.
    pub(crate) fn residuals(&self) -> Vec<f64> {
        let slope = self.products() / squares(&self.x);
        self.x.iter().zip(&self.y).map(|(x, y)| slope.mul_add(-x, *y)).collect()
    }

    /// Σ xy, without which nothing changes under a permutation of one column.
    pub(crate) fn products(&self) -> f64 {
        ExactSum::of(self.x.iter().zip(&self.y).map(|(x, y)| x * y))
    }
}

/// Deviations from the mean, divided by a power of two so that their squares neither overflow nor
/// underflow. The mean of the rounded deviations is taken off again (Chan, Golub and LeVeque 1983),
/// which keeps the digits of scores with a large common offset.
fn deviations(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    // First to a size at which differences cannot overflow, then to a size near 1.
    let mut column: Vec<f64> = values.iter().map(|value| value * power_below(largest)).collect();
    for _ in 0..2 {
        let mean = ExactSum::of(column.iter().copied()) / column.len() as f64;
        column.iter_mut().for_each(|value| *value -= mean);
    }
    let spread = column.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let factor = power_below(spread);
    column.iter_mut().for_each(|value| *value *= factor);
    column
}

/// A power of two that brings `size` near 1; 1 for zero.
fn power_below(size: f64) -> f64 {
    if size == 0.0 { 1.0 } else { 2_f64.powi(-(size.log2().floor() as i32).clamp(-1000, 1000)) }
}

/// Pearson's r. Neither argument may be constant, and no score NaN or infinite.
pub(crate) fn pearson(positions: &[u64], scores: &[f64], ties: u64) -> Correlation {
    pearson_of(&ranks::as_numbers(positions), scores, ties)
}

/// Pearson's r of two columns of numbers.
pub(crate) fn pearson_of(x: &[f64], y: &[f64], ties: u64) -> Correlation {
    let pairing = Pairing::of(x, y);
    let r = (pairing.products() / pairing.scale).clamp(-1.0, 1.0);
    // Near ±1 the residual of the regression says what 1 - r² has lost: 1 - r² is the share of the
    // squares of y that x leaves over.
    let complement = if r.abs() > 0.9 {
        squares(&pairing.residuals()) / squares(&pairing.y)
    } else {
        (1.0 - r) * (1.0 + r)
    };
    Correlation { r, complement, ties }
}

fn squares(column: &[f64]) -> f64 {
    ExactSum::of(column.iter().map(|value| value * value))
}
