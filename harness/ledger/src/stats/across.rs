//! One number over several workloads: geometric-mean speed-up and probability of improvement.
//!
//! Every workload has the same weight, however many seeds it has: the average of its seeds enters,
//! not its seeds. Intervals resample seeds within workloads ([`super::stratified`]).

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::bootstrap::Resampling;
use super::error::in_range;
use super::improvement;
use super::interval::{Estimate, Interval};
use super::paired::{Pair, log_ratios};
use super::stratified::{Stratum, check, percentile, replicates};
use super::survival::{Outcome, check_times};

/// What one workload contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Name of the workload.
    pub workload: String,
    /// Its own value of the statistic.
    pub value: f64,
    /// Number of its seeds.
    pub seeds: usize,
}

/// A statistic over workloads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Across {
    /// The value with its interval; `n` is the number of workloads.
    pub estimate: Estimate,
    /// The workloads in the order given.
    pub workloads: Vec<Contribution>,
    /// Level, resamples and seed.
    pub resampling: Resampling,
}

/// The geometric mean over workloads of the geometric-mean speed-up over seeds.
///
/// Above 1 where the treatment is faster. Pairs are train seconds of runs that reached the target.
///
/// # Errors
/// When there is no workload, one appears twice or has fewer than 2 seeds, a time is not finite or
/// not positive, or `resampling` is out of range.
pub fn geometric_mean_speed_up(
    strata: &[Stratum<Pair<f64>>],
    resampling: Resampling,
) -> Result<Across, StatsError> {
    const NAME: &str = "the geometric-mean speed-up";
    let scores = |stratum: &Stratum<Pair<f64>>| log_ratios(&stratum.seeds);
    mean_of_means(NAME, strata, scores, f64::exp, resampling)
}

/// The mean over workloads of the probability that the treatment beats the baseline under a seed.
///
/// The rule for censored runs is that of [`super::improvement`].
///
/// # Errors
/// When there is no workload, one appears twice or has fewer than 2 seeds, a time is negative or not
/// finite, or `resampling` is out of range.
pub fn probability_of_improvement(
    strata: &[Stratum<Pair<Outcome>>],
    resampling: Resampling,
) -> Result<Across, StatsError> {
    const NAME: &str = "the probability of improvement";
    let scores = |stratum: &Stratum<Pair<Outcome>>| {
        let times = |pair: &Pair<Outcome>| check_times(NAME, &[pair.baseline, pair.treatment]);
        stratum.seeds.iter().map(|pair| times(pair).map(|()| improvement::score(pair))).collect()
    };
    mean_of_means(NAME, strata, scores, |mean| mean, resampling)
}

/// `back` of the mean over workloads of the mean over seeds of the scores.
fn mean_of_means<T>(
    name: &'static str,
    strata: &[Stratum<T>],
    scores: impl Fn(&Stratum<T>) -> Result<Vec<f64>, StatsError>,
    back: impl Fn(f64) -> f64,
    resampling: Resampling,
) -> Result<Across, StatsError> {
    resampling.check()?;
    check(name, strata)?;
    let scored: Vec<Stratum<f64>> = strata
        .iter()
        .map(|stratum| Ok(Stratum { workload: stratum.workload.clone(), seeds: scores(stratum)? }))
        .collect::<Result<_, StatsError>>()?;
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let resampled = replicates(name, &scored, resampling, |rows| {
        let means: Vec<f64> =
            rows.iter().map(|row| row.iter().copied().sum::<f64>() / row.len() as f64).collect();
        average(&means)
    });
    let means: Vec<f64> = scored.iter().map(|stratum| average(&stratum.seeds)).collect();
    let Interval { low, high, level } = percentile(resampled, resampling.level);
    let (low, high) = (back(low), in_range(name, back(high))?);
    let value = in_range(name, back(average(&means)))?;
    let contribution = |(stratum, mean): (&Stratum<f64>, &f64)| Contribution {
        workload: stratum.workload.clone(),
        value: back(*mean),
        seeds: stratum.seeds.len(),
    };
    Ok(Across {
        estimate: Estimate { value, interval: Interval { low, high, level }, n: scored.len() },
        workloads: scored.iter().zip(&means).map(contribution).collect(),
        resampling,
    })
}
