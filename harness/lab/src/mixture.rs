//! Gaussian mixtures with full covariances, fitted by expectation–maximisation in double precision.
//!
//! The fit is that of scikit-learn's `GaussianMixture` with its defaults: one start from k-means,
//! at most 100 iterations, an end when the mean log-likelihood per row moves by less than 1e-3,
//! 1e-6 added to every variance. Only the random numbers differ.

use std::f64::consts::TAU;
use std::ops::RangeInclusive;

use ledger::choice;
use ledger::streams::{normal_f64, unit_f64};
use rand_pcg::Pcg64;

use crate::linear::{cholesky, dot};

mod kmeans;

/// Added to every variance, so that no component can shrink to a point.
const REGULARISATION: f64 = 1e-6;

/// Change of the mean log-likelihood per row below which a fit has converged.
const TOLERANCE: f64 = 1e-3;

/// Most iterations of a fit.
const ITERATIONS: usize = 100;

choice! {
    /// What a number of components is chosen by; the lowest value wins.
    pub enum Criterion {
        /// 2p − 2·log-likelihood.
        Aic = "aic",
        /// p·ln n − 2·log-likelihood.
        Bic = "bic",
    }
}

/// Rows of the same length, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// All values.
    pub values: &'a [f64],
    /// Values per row, at least 1.
    pub dimensions: usize,
}

impl<'a> Rows<'a> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [f64]> + Clone {
        self.values.chunks_exact(self.dimensions)
    }

    fn at(&self, index: usize) -> &'a [f64] {
        &self.values[index * self.dimensions..][..self.dimensions]
    }
}

/// The cluster of each row, in 0..`clusters`, by k-means; at most as many clusters as there are rows.
#[must_use]
pub fn clustered(rows: Rows<'_>, clusters: usize, random: &mut Pcg64) -> Vec<usize> {
    if rows.is_empty() || clusters == 0 {
        Vec::new()
    } else {
        kmeans::labels(rows, clusters, random)
    }
}

/// One Gaussian of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its share.
    pub weight: f64,
    /// Mean, d numbers.
    pub mean: Vec<f64>,
    /// Covariance, d × d, row by row.
    pub covariance: Vec<f64>,
    /// Lower Cholesky factor of the covariance, d × d, row by row.
    factor: Vec<f64>,
    /// Log-weight plus log-density at the mean.
    peak: f64,
}

crate::kept!(Component { weight, mean, covariance, factor, peak });

impl Component {
    fn new(weight: f64, mean: Vec<f64>, covariance: Vec<f64>) -> Self {
        let dimensions = mean.len();
        let factor = cholesky(&covariance, dimensions);
        let logs = factor.iter().step_by(dimensions + 1).map(|pivot| pivot.ln());
        let peak = weight.ln() - logs.sum::<f64>() - 0.5 * dimensions as f64 * TAU.ln();
        Self { weight, mean, covariance, factor, peak }
    }

    /// A draw from this Gaussian.
    pub fn sample(&self, random: &mut Pcg64) -> Vec<f64> {
        let dimensions = self.mean.len();
        let noise: Vec<f64> = (0..dimensions).map(|_| normal_f64(random)).collect();
        let rows = self.factor.chunks_exact(dimensions);
        rows.zip(&self.mean).map(|(row, mean)| mean + dot(row, &noise)).collect()
    }

    /// Log-density at every row plus the log-weight, into `joint`; `whitened` is room for d numbers.
    fn joint(&self, rows: Rows<'_>, joint: &mut [f64], whitened: &mut [f64]) {
        let dimensions = self.mean.len();
        for (row, joint) in rows.iter().zip(joint) {
            let mut squares = 0.0;
            for (i, factors) in self.factor.chunks_exact(dimensions).enumerate() {
                let known = dot(factors, &whitened[..i]);
                let value = (row[i] - self.mean[i] - known) / factors[i];
                whitened[i] = value;
                squares += value * value;
            }
            *joint = self.peak - 0.5 * squares;
        }
    }
}

/// A fitted mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// The Gaussians.
    pub components: Vec<Component>,
    /// Log-likelihood of the rows it was fitted to, in all.
    pub log_likelihood: f64,
}

crate::kept!(Mixture { components, log_likelihood });

impl Mixture {
    /// Fits `components` Gaussians to `rows`, starting from a k-means clustering that `random`
    /// seeds.
    #[must_use]
    pub fn fit(rows: Rows<'_>, components: usize, random: &mut Pcg64) -> Self {
        let labels = kmeans::labels(rows, components, random);
        let mut shares = vec![0.0; rows.len() * components];
        for (row, label) in labels.into_iter().enumerate() {
            shares[label * rows.len() + row] = 1.0;
        }
        let mut mixture = Self::from_shares(rows, &shares);
        let mut before = f64::NEG_INFINITY;
        for _ in 0..ITERATIONS {
            let bound = mixture.shares(rows, &mut shares) / rows.len() as f64;
            mixture = Self::from_shares(rows, &shares);
            if (bound - before).abs() < TOLERANCE {
                break;
            }
            before = bound;
        }
        mixture.log_likelihood = mixture.shares(rows, &mut shares);
        mixture
    }

    /// The fit with the lowest criterion among `sizes`, sizes above the number of rows left out;
    /// of equals the smallest. `None` when no size is left.
    #[must_use]
    pub fn best(
        rows: Rows<'_>,
        sizes: RangeInclusive<usize>,
        criterion: Criterion,
        random: &mut Pcg64,
    ) -> Option<Self> {
        let sizes = sizes.filter(|size| (1..=rows.len()).contains(size));
        let fits = sizes.map(|size| Self::fit(rows, size, random));
        fits.min_by(|a, b| {
            let value = |fit: &Self| fit.criterion(criterion, rows.len());
            value(a).total_cmp(&value(b))
        })
    }

    /// Free parameters: weights, means and symmetric covariances.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let dimensions = self.components.first().map_or(0, |first| first.mean.len());
        let each = 1 + dimensions + dimensions * (dimensions + 1) / 2;
        self.components.len() * each - 1
    }

    /// The criterion's value on the `rows` rows that it was fitted to.
    #[must_use]
    pub fn criterion(&self, criterion: Criterion, rows: usize) -> f64 {
        let price = match criterion {
            Criterion::Aic => 2.0,
            Criterion::Bic => (rows as f64).ln(),
        };
        price * self.parameters() as f64 - 2.0 * self.log_likelihood
    }

    /// Writes each component's share of every row, components × rows; returns the log-likelihood of
    /// all rows.
    fn shares(&self, rows: Rows<'_>, shares: &mut [f64]) -> f64 {
        let mut whitened = vec![0.0; rows.dimensions];
        let mut largest = vec![f64::NEG_INFINITY; rows.len()];
        for (shares, component) in shares.chunks_exact_mut(rows.len()).zip(&self.components) {
            component.joint(rows, shares, &mut whitened);
            for (largest, share) in largest.iter_mut().zip(shares) {
                *largest = largest.max(*share);
            }
        }
        let mut sums = vec![0.0; rows.len()];
        for shares in shares.chunks_exact_mut(rows.len()) {
            for ((share, largest), sum) in shares.iter_mut().zip(&largest).zip(&mut sums) {
                *share = (*share - largest).exp();
                *sum += *share;
            }
        }
        for shares in shares.chunks_exact_mut(rows.len()) {
            for (share, sum) in shares.iter_mut().zip(&sums) {
                *share /= sum;
            }
        }
        largest.iter().zip(&sums).map(|(largest, sum)| largest + sum.ln()).sum()
    }

    /// The mixture that is most likely when the components share the rows as `shares` says.
    fn from_shares(rows: Rows<'_>, shares: &[f64]) -> Self {
        let components = shares.chunks_exact(rows.len()).map(|shares| weighted(rows, shares));
        Self { components: components.collect(), log_likelihood: f64::NAN }
    }
}

/// The Gaussian of `rows` that count by their share.
fn weighted(rows: Rows<'_>, shares: &[f64]) -> Component {
    let dimensions = rows.dimensions;
    // As in scikit-learn: a component that no row belongs to keeps a weight above zero.
    let mass = shares.iter().sum::<f64>() + 10.0 * f64::EPSILON;
    let mut mean = vec![0.0; dimensions];
    for (row, share) in rows.iter().zip(shares) {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += share * value;
        }
    }
    for mean in &mut mean {
        *mean /= mass;
    }
    let mut covariance = vec![0.0; dimensions * dimensions];
    let mut moved = vec![0.0; dimensions];
    for (row, share) in rows.iter().zip(shares) {
        for ((moved, value), mean) in moved.iter_mut().zip(row).zip(&mean) {
            *moved = value - mean;
        }
        for (i, sums) in covariance.chunks_exact_mut(dimensions).enumerate() {
            let scaled = share * moved[i];
            for (sum, other) in sums.iter_mut().zip(&moved[..=i]) {
                *sum += scaled * other;
            }
        }
    }
    for i in 0..dimensions {
        for j in 0..=i {
            covariance[i * dimensions + j] /= mass;
            covariance[j * dimensions + i] = covariance[i * dimensions + j];
        }
        covariance[i * dimensions + i] += REGULARISATION;
    }
    Component::new(mass / rows.len() as f64, mean, covariance)
}

/// An index drawn in proportion to `weights`, which are at least 0; any with the same chance when
/// all are 0.
pub fn proportional(weights: &[f64], random: &mut Pcg64) -> usize {
    let sum: f64 = weights.iter().sum();
    let draw = unit_f64(random);
    let even = 1.0 / weights.len() as f64;
    let mut reached = 0.0;
    for (index, weight) in weights.iter().enumerate() {
        reached += if sum > 0.0 { weight / sum } else { even };
        if draw < reached {
            return index;
        }
    }
    // Rounding may leave the last sum below 1.
    weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(weights.len() - 1)
}

#[cfg(test)]
mod tests;
