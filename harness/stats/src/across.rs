//! One number over several workloads: geometric-mean speed-up, probability of improvement and
//! interquartile mean.
//!
//! Of the first two every workload has the same weight, however many seeds it has: the average of its
//! seeds enters, not its seeds. The interquartile mean is of all runs together. Intervals resample seeds
//! within workloads ([`super::stratified`]).

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::bootstrap::Resampling;
use super::error::{all_finite, in_range};
use super::improvement;
use super::interval::{Estimate, Interval};
use super::iqm;
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

/// The interquartile mean of all runs of all workloads together; the value of a workload is that of its
/// own runs.
///
/// Scores must mean the same on every workload: normalise them first. The lowest and the highest quarter
/// of the runs do not enter: neither a run that went astray moves it, nor a workload, one of four or
/// more, that is much harder or easier than the others.
///
/// Source: Agarwal et al. (2021), arXiv 2108.13264.
///
/// # Errors
/// When there is no workload, one appears twice or has fewer than 2 seeds, a score is not finite, or
/// `resampling` is out of range.
pub fn interquartile_mean(
    strata: &[Stratum<f64>],
    resampling: Resampling,
) -> Result<Across, StatsError> {
    const NAME: &str = "the interquartile mean over workloads";
    resampling.check()?;
    check(NAME, strata)?;
    for stratum in strata {
        all_finite(NAME, &stratum.seeds)?;
    }
    let pooled =
        |rows: &[Vec<&f64>]| -> Vec<f64> { rows.iter().flatten().copied().copied().collect() };
    let resampled =
        replicates(NAME, strata, resampling, |rows| iqm::interquartile_mean(&pooled(rows)));
    let resampled = resampled.into_iter().collect::<Result<Vec<f64>, _>>()?;
    let rows: Vec<Vec<&f64>> =
        strata.iter().map(|stratum| stratum.seeds.iter().collect()).collect();
    let contribution = |stratum: &Stratum<f64>| {
        Ok(Contribution {
            workload: stratum.workload.clone(),
            value: iqm::interquartile_mean(&stratum.seeds)?,
            seeds: stratum.seeds.len(),
        })
    };
    Ok(Across {
        estimate: Estimate {
            value: iqm::interquartile_mean(&pooled(&rows))?,
            interval: percentile(resampled, resampling.level),
            n: strata.len(),
        },
        workloads: strata.iter().map(contribution).collect::<Result<_, StatsError>>()?,
        resampling,
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Outcome::{Censored, Reached};
    use super::*;

    fn settings() -> Resampling {
        Resampling { resamples: 2000, ..Resampling::seeded(5) }
    }

    fn stratum(workload: &str, times: &[(f64, f64)]) -> Stratum<Pair<f64>> {
        let pair = |&(baseline, treatment): &(f64, f64)| Pair { baseline, treatment };
        Stratum { workload: workload.to_owned(), seeds: times.iter().map(pair).collect() }
    }

    #[test]
    fn each_workload_weighs_the_same_however_many_seeds_it_has() {
        let strata = [
            stratum("a", &[(8.0, 1.0), (2.0, 1.0)]),
            stratum("b", &[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]),
        ];
        let found = geometric_mean_speed_up(&strata, settings()).unwrap();
        // a: sqrt(8 * 2) = 4; b: 1; together sqrt(4 * 1) = 2.
        assert!((found.estimate.value - 2.0).abs() < 1e-12, "{found:?}");
        assert!((found.workloads[0].value - 4.0).abs() < 1e-12);
        assert_eq!((found.workloads[1].seeds, found.estimate.n), (3, 2));
        // Of four equally likely resamples of a one is (8, 8) and one (2, 2): b has no spread.
        assert!((found.estimate.interval.low - 2f64.sqrt()).abs() < 1e-9);
        assert!((found.estimate.interval.high - 8f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn improvement_counts_censored_runs_as_losses_and_ties_as_halves() {
        let pair = |baseline, treatment| Pair { baseline, treatment };
        let strata = [
            Stratum {
                workload: "a".to_owned(),
                seeds: vec![pair(Reached(2.0), Reached(1.0)), pair(Reached(2.0), Censored(1.0))],
            },
            Stratum {
                workload: "b".to_owned(),
                seeds: vec![pair(Censored(9.0), Reached(8.0)), pair(Censored(9.0), Censored(9.0))],
            },
        ];
        let found = probability_of_improvement(&strata, settings()).unwrap();
        assert_eq!(found.estimate.value, (0.5 + 0.75) / 2.0);
        let Interval { low, high, .. } = found.estimate.interval;
        assert_eq!((low, high), (0.25, 1.0));
    }

    #[test]
    fn the_interquartile_mean_is_of_all_runs_together() {
        let strata = [
            Stratum { workload: "a".to_owned(), seeds: vec![0.0, 1.0, 2.0, 9.0] },
            Stratum { workload: "b".to_owned(), seeds: vec![3.0, 4.0, 5.0, 6.0] },
        ];
        let found = interquartile_mean(&strata, settings()).unwrap();
        // Of 0 1 2 3 4 5 6 9 the middle four; of each workload the middle two.
        assert_eq!(found.estimate.value, 3.5);
        assert_eq!(found.workloads.iter().map(|w| w.value).collect::<Vec<_>>(), [1.5, 4.5]);
        let Interval { low, high, .. } = found.estimate.interval;
        assert!((0.5..3.5).contains(&low) && (3.5..7.0).contains(&high), "{low} {high}");
        // Seeds stay within their workload: with one value each, no resample differs.
        let fixed = ["a", "b"].map(|workload| Stratum {
            workload: workload.to_owned(),
            seeds: vec![if workload == "a" { 0.0 } else { 1.0 }; 4],
        });
        let found = interquartile_mean(&fixed, settings()).unwrap().estimate;
        assert_eq!((found.interval.low, found.value, found.interval.high), (0.5, 0.5, 0.5));
        let odd = [Stratum { workload: "a".to_owned(), seeds: vec![0.0, f64::NAN] }];
        assert!(matches!(interquartile_mean(&odd, settings()), Err(StatsError::NotFinite { .. })));
    }

    #[test]
    fn the_seed_decides_the_interval() {
        let times: Vec<(f64, f64)> = (1..9).map(|i| (f64::from(i), f64::from(i * 3 % 8))).collect();
        let strata = [stratum("a", &times[..7])];
        let interval = |seed| {
            let resampling = Resampling { seed, ..settings() };
            geometric_mean_speed_up(&strata, resampling).unwrap().estimate.interval
        };
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    #[test]
    fn ambiguous_or_empty_shapes_are_refused() {
        let refusal = |strata: &[Stratum<Pair<f64>>]| {
            geometric_mean_speed_up(strata, settings()).unwrap_err()
        };
        let good = stratum("a", &[(1.0, 2.0), (1.0, 2.0)]);
        assert!(matches!(refusal(&[]), StatsError::TooFew { .. }));
        let expected = StatsError::DuplicateWorkload { workload: "a".to_owned() };
        assert_eq!(refusal(&[good.clone(), good]), expected);
        let single = stratum("a", &[(1.0, 2.0)]);
        assert!(matches!(refusal(&[single]), StatsError::TooFew { needed: 2, found: 1, .. }));
        let zero = stratum("a", &[(1.0, 2.0), (0.0, 2.0)]);
        assert!(matches!(refusal(&[zero]), StatsError::NotPositive { index: 1, .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn swapping_the_arms_inverts_the_speed_up(
            times in prop::collection::vec((0.1..100.0f64, 0.1..100.0f64), 2..8),
        ) {
            let swapped: Vec<(f64, f64)> = times.iter().map(|&(a, b)| (b, a)).collect();
            let found = |times: &[(f64, f64)]| {
                geometric_mean_speed_up(&[stratum("a", times)], settings()).unwrap().estimate
            };
            let (there, back) = (found(&times), found(&swapped));
            prop_assert!((there.value * back.value - 1.0).abs() < 1e-9);
            prop_assert!((there.interval.low * back.interval.high - 1.0).abs() < 1e-9);
        }
    }
}
