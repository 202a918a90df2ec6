//! Percentile bootstrap over seeds within each workload.
//!
//! Seeds are resampled, workloads are not: the interval says how far other seeds would have moved
//! the number, not other workloads. With few seeds it is too narrow (at n = 3 a nominal 95 % covers
//! about 75 % for one workload), so that a report states the seeds beside it.
//!
//! Source: Agarwal et al. (2021), arXiv 2108.13264.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::bootstrap::{Resampling, quantile_unsorted};
use super::draws::Draws;
use super::error::require;
use super::interval::Interval;

/// The seeds of one workload: the shape that cannot be read with its axes swapped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stratum<T> {
    /// Name of the workload.
    pub workload: String,
    /// What each seed gave.
    pub seeds: Vec<T>,
}

/// Refuses no workload, a workload given twice, and one with fewer than 2 seeds.
pub(crate) fn check<T>(statistic: &'static str, strata: &[Stratum<T>]) -> Result<(), StatsError> {
    require(statistic, 1, strata.len())?;
    let mut seen = BTreeSet::new();
    for Stratum { workload, seeds } in strata {
        if !seen.insert(workload) {
            return Err(StatsError::DuplicateWorkload { workload: workload.clone() });
        }
        require(statistic, 2, seeds.len())?;
    }
    Ok(())
}

/// `statistic` of every resample, in the order drawn; each row is one workload's resampled seeds.
pub(crate) fn replicates<'a, T, S>(
    purpose: &str,
    strata: &'a [Stratum<T>],
    resampling: Resampling,
    statistic: impl Fn(&[Vec<&'a T>]) -> S,
) -> Vec<S> {
    let mut draws = Draws::new(resampling.seed, purpose);
    let mut resample = |seeds: &'a [T]| -> Vec<&'a T> {
        (0..seeds.len()).map(|_| &seeds[draws.index(seeds.len())]).collect()
    };
    (0..resampling.resamples)
        .map(|_| {
            let rows: Vec<_> = strata.iter().map(|stratum| resample(&stratum.seeds)).collect();
            statistic(&rows)
        })
        .collect()
}

/// The percentile interval of finite `replicates`.
pub(crate) fn percentile(mut replicates: Vec<f64>, level: f64) -> Interval {
    let tail = (1.0 - level) / 2.0;
    let mut at = |share| quantile_unsorted(&mut replicates, share);
    Interval { low: at(tail), high: at(1.0 - tail), level }
}
