//! Performance profiles: of what share of the problems is an arm within a factor of the best?
//!
//! A problem is a workload under one seed. An arm's ratio r there is its time to the target over that
//! of the best arm under the same seed, infinite where it never got there. The profile is rho(tau) =
//! share of problems with r <= tau, a step function, every workload having the same weight, however
//! many seeds it has. The score is 1 / (T - 1) * integral of rho from 1 to T with T = 4, integrated
//! exactly: a problem contributes max(0, T - r) / (T - 1).
//!
//! Sources: Dolan and More (2002), Mathematical Programming 91, 201-213; score and T = 4: AlgoPerf,
//! Dahl et al. (2023), arXiv 2306.07179, which takes the median over seeds first and so has one problem
//! a workload; runs as problems, and seeds resampled within workloads: Agarwal et al. (2021), arXiv
//! 2108.13264.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::bootstrap::Resampling;
use super::interval::Interval;
use super::stratified::{Stratum, check, percentile, replicates};
use super::survival::{Outcome, check_times};

const NAME: &str = "the performance profile";
/// The largest ratio that still scores.
const TAU_MAX: f64 = 4.0;

/// The outcomes of one seed, by arm: the arms of a row share their seed and are resampled together.
pub type Row = BTreeMap<String, Outcome>;

/// A point at which a profile rises: from `tau` on, the share is `share`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProfileStep {
    /// Ratio to the best arm.
    pub tau: f64,
    /// Share of problems within that ratio, each workload with the same weight.
    pub share: f64,
}

/// An arm's ratios to the best arm on one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// Name of the workload.
    pub workload: String,
    /// By seed: time over the best arm's; `None` where the arm did not reach the target.
    pub seeds: Vec<Option<f64>>,
}

/// The profile of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmProfile {
    /// Label of the arm.
    pub arm: String,
    /// Ratios, in the order of the workloads.
    pub ratios: Vec<Ratios>,
    /// The steps of rho up to the largest finite ratio; 0 before the first.
    pub steps: Vec<ProfileStep>,
    /// The normalised area under rho from 1 to 4, in 0..=1.
    pub score: f64,
    /// Percentile interval of the score over resampled seeds.
    pub interval: Interval,
}

/// The profiles of all arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Arms in order of label.
    pub arms: Vec<ArmProfile>,
    /// Upper end of the integral.
    pub tau_max: f64,
    /// Level, resamples and seed.
    pub resampling: Resampling,
}

/// Performance profiles of the arms over the workloads.
///
/// # Errors
/// When there is no workload, one appears twice or has fewer than 2 seeds, rows differ in their
/// arms or have none, a time is not finite or not positive, or `resampling` is out of range.
pub fn profile(strata: &[Stratum<Row>], resampling: Resampling) -> Result<Profile, StatsError> {
    resampling.check()?;
    check(NAME, strata)?;
    let arms = check_rows(strata)?;
    let observed: Vec<Vec<&Row>> =
        strata.iter().map(|stratum| stratum.seeds.iter().collect()).collect();
    let ratios = all_ratios(&arms, &observed);
    let resampled = replicates(NAME, strata, resampling, |rows| {
        all_ratios(&arms, rows).iter().map(|ratios| score(ratios)).collect::<Vec<f64>>()
    });
    let named = |ratios: &[Vec<Option<f64>>]| {
        let named = strata.iter().zip(ratios);
        named
            .map(|(stratum, seeds)| Ratios {
                workload: stratum.workload.clone(),
                seeds: seeds.clone(),
            })
            .collect()
    };
    let arms = arms
        .iter()
        .zip(&ratios)
        .enumerate()
        .map(|(index, (arm, ratios))| ArmProfile {
            arm: arm.clone(),
            ratios: named(ratios),
            steps: steps(ratios),
            score: score(ratios),
            interval: percentile(
                resampled.iter().map(|scores| scores[index]).collect(),
                resampling.level,
            ),
        })
        .collect();
    Ok(Profile { arms, tau_max: TAU_MAX, resampling })
}

/// The arms, the same in every row.
fn check_rows(strata: &[Stratum<Row>]) -> Result<Vec<String>, StatsError> {
    let names = |row: &Row| row.keys().cloned().collect::<Vec<_>>();
    let expected = strata.iter().flat_map(|s| s.seeds.first()).next().map_or(vec![], names);
    super::error::require(NAME, 1, expected.len())?;
    for Stratum { workload, seeds } in strata {
        for (row, outcomes) in seeds.iter().enumerate() {
            if !outcomes.keys().eq(&expected) {
                let (workload, found) = (workload.clone(), names(outcomes));
                return Err(StatsError::ArmsDiffer { workload, row, expected, found });
            }
            let outcomes: Vec<Outcome> = outcomes.values().copied().collect();
            check_times(NAME, &outcomes)?;
            if let Some(index) = outcomes.iter().position(|outcome| outcome.time() <= 0.0) {
                let value = outcomes[index].time();
                return Err(StatsError::NotPositive { statistic: NAME, index, value });
            }
        }
    }
    Ok(expected)
}

/// For each arm, on each workload, the ratio under each seed.
fn all_ratios(arms: &[String], rows: &[Vec<&Row>]) -> Vec<Vec<Vec<Option<f64>>>> {
    let mut ratios = vec![Vec::with_capacity(rows.len()); arms.len()];
    for seeds in rows {
        for (place, ratios) in ratios.iter_mut().enumerate() {
            // Rows are checked to have the same arms, in their order.
            let ratio = |row: &&Row| {
                let mine = row.values().nth(place)?.reached()?;
                let reached = row.values().filter_map(|outcome| outcome.reached());
                Some(mine / reached.fold(f64::INFINITY, f64::min))
            };
            ratios.push(seeds.iter().map(ratio).collect());
        }
    }
    ratios
}

/// The normalised exact integral of the step function from 1 to `TAU_MAX`.
fn score(ratios: &[Vec<Option<f64>>]) -> f64 {
    let within = |ratio: &f64| (TAU_MAX - ratio).max(0.0) / (TAU_MAX - 1.0);
    let of_workload = |seeds: &Vec<Option<f64>>| {
        seeds.iter().flatten().map(within).sum::<f64>() / seeds.len() as f64
    };
    ratios.iter().map(of_workload).sum::<f64>() / ratios.len() as f64
}

/// Where the profile rises, by increasing ratio.
fn steps(ratios: &[Vec<Option<f64>>]) -> Vec<ProfileStep> {
    let weighted = ratios.iter().flat_map(|seeds| {
        let weight = 1.0 / (seeds.len() * ratios.len()) as f64;
        seeds.iter().flatten().map(move |ratio| (*ratio, weight))
    });
    let mut finite: Vec<(f64, f64)> = weighted.collect();
    finite.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut share = 0.0;
    finite
        .chunk_by(|a, b| a.0 == b.0)
        .map(|tied| {
            share += tied.iter().map(|(_, weight)| weight).sum::<f64>();
            // Sums of thirds and fifths end a rounding error away from 1.
            ProfileStep { tau: tied[0].0, share: share.min(1.0) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Outcome::{Censored, Reached};
    use super::*;

    fn settings() -> Resampling {
        Resampling { resamples: 200, ..Resampling::seeded(5) }
    }

    fn row(outcomes: &[(&str, Outcome)]) -> Row {
        outcomes.iter().map(|(arm, outcome)| ((*arm).to_owned(), *outcome)).collect()
    }

    fn stratum(workload: &str, seeds: Vec<Row>) -> Stratum<Row> {
        Stratum { workload: workload.to_owned(), seeds }
    }

    /// Two seeds alike, so that resampling changes nothing.
    fn twice(workload: &str, outcomes: &[(&str, Outcome)]) -> Stratum<Row> {
        stratum(workload, vec![row(outcomes), row(outcomes)])
    }

    #[test]
    fn score_is_the_exact_integral_of_the_step_function() {
        let strata = [
            twice("a", &[("fast", Reached(1.0)), ("slow", Reached(2.5))]),
            twice("b", &[("fast", Reached(3.0)), ("slow", Reached(2.0))]),
            twice("c", &[("fast", Reached(1.0)), ("slow", Reached(5.0))]),
            twice("d", &[("fast", Reached(1.0)), ("slow", Censored(1.0))]),
        ];
        let found = profile(&strata, settings()).unwrap();
        let [fast, slow] = &found.arms[..] else { unreachable!() };
        // Ratios 1, 1.5, 1, 1: (1 + 2.5/3 + 1 + 1) / 4.
        assert!((fast.score - (3.0 + 2.5 / 3.0) / 4.0).abs() < 1e-12, "{fast:?}");
        // Ratios 2.5, 1, 5, none: (1.5/3 + 1 + 0 + 0) / 4.
        assert!((slow.score - 1.5 / 4.0).abs() < 1e-12, "{slow:?}");
        let expected =
            [(1.0, 0.25), (2.5, 0.5), (5.0, 0.75)].map(|(tau, share)| ProfileStep { tau, share });
        assert_eq!(slow.steps, expected);
        assert_eq!(slow.ratios[2].seeds, [Some(5.0), Some(5.0)]);
        assert_eq!(slow.ratios[3].seeds, [None, None]);
        assert!((fast.interval.low - fast.score).abs() < 1e-12);
        assert!((fast.interval.high - fast.score).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_is_to_the_best_arm_under_the_same_seed_and_workloads_weigh_the_same() {
        let uneven = stratum(
            "a",
            vec![
                row(&[("x", Reached(1.0)), ("y", Reached(2.0))]),
                row(&[("x", Reached(3.0)), ("y", Reached(1.0))]),
                row(&[("x", Reached(1.0)), ("y", Reached(1.0))]),
                row(&[("x", Censored(9.0)), ("y", Reached(1.0))]),
            ],
        );
        let found =
            profile(&[uneven, twice("b", &[("x", Reached(1.0)), ("y", Reached(2.0))])], settings())
                .unwrap();
        let [x, y] = &found.arms[..] else { unreachable!() };
        assert_eq!(x.ratios[0].seeds, [Some(1.0), Some(3.0), Some(1.0), None]);
        assert_eq!(y.ratios[0].seeds, [Some(2.0), Some(1.0), Some(1.0), Some(1.0)]);
        // A seed of a counts an eighth, one of b a quarter.
        let steps = |steps: &[(f64, f64)]| -> Vec<ProfileStep> {
            steps.iter().map(|&(tau, share)| ProfileStep { tau, share }).collect()
        };
        assert_eq!(x.steps, steps(&[(1.0, 0.75), (3.0, 0.875)]));
        assert_eq!(y.steps, steps(&[(1.0, 0.375), (2.0, 1.0)]));
        // x: ((1 + 1/3 + 1 + 0) / 4 + 1) / 2; y: ((2/3 + 1 + 1 + 1) / 4 + 2/3) / 2.
        assert!((x.score - 19.0 / 24.0).abs() < 1e-12, "{x:?}");
        assert!((y.score - 19.0 / 24.0).abs() < 1e-12, "{y:?}");
    }

    #[test]
    fn a_workload_that_no_arm_reaches_gives_nobody_a_point() {
        let strata = [twice("a", &[("x", Censored(1.0)), ("y", Censored(2.0))])];
        let found = profile(&strata, settings()).unwrap();
        assert!(found.arms.iter().all(|arm| arm.score == 0.0 && arm.steps.is_empty()));
    }

    #[test]
    fn other_seeds_would_have_moved_the_score() {
        let seeds = vec![
            row(&[("x", Reached(1.0)), ("y", Reached(2.0))]),
            row(&[("x", Reached(2.0)), ("y", Reached(1.0))]),
            row(&[("x", Reached(1.5)), ("y", Reached(1.4))]),
        ];
        let found = profile(&[stratum("a", seeds)], settings()).unwrap();
        assert!(found.arms.iter().all(|arm| arm.interval.low < arm.interval.high), "{found:?}");
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), found);
    }

    #[test]
    fn rows_that_do_not_match_are_refused_by_place() {
        let odd = stratum(
            "b",
            vec![row(&[("x", Reached(1.0))]), row(&[("x", Reached(1.0)), ("y", Reached(1.0))])],
        );
        let expected = StatsError::ArmsDiffer {
            workload: "b".to_owned(),
            row: 1,
            expected: vec!["x".to_owned()],
            found: vec!["x".to_owned(), "y".to_owned()],
        };
        assert_eq!(profile(&[twice("a", &[("x", Reached(1.0))]), odd], settings()), Err(expected));
        let zero = twice("a", &[("x", Reached(0.0))]);
        assert!(matches!(profile(&[zero], settings()), Err(StatsError::NotPositive { .. })));
        let bare = twice("a", &[]);
        assert!(matches!(profile(&[bare], settings()), Err(StatsError::TooFew { .. })));
    }

    proptest! {
        #[test]
        fn score_equals_a_fine_riemann_sum_of_the_steps(
            times in prop::collection::vec((0.5..10.0f64, 0.5..10.0f64), 1..8),
        ) {
            let strata: Vec<Stratum<Row>> = times
                .iter()
                .zip(0..)
                .map(|(&(x, y), index)| {
                    twice(&format!("w{index}"), &[("x", Reached(x)), ("y", Reached(y))])
                })
                .collect();
            for arm in profile(&strata, Resampling { resamples: 100, ..settings() }).unwrap().arms {
                let share = |tau: f64| {
                    arm.steps.iter().rev().find(|step| step.tau <= tau).map_or(0.0, |s| s.share)
                };
                let cells = 30_000;
                let sum: f64 =
                    (0..cells).map(|i| share(1.0 + (f64::from(i) + 0.5) * 1e-4)).sum();
                prop_assert!((arm.score - sum / f64::from(cells)).abs() < 1e-3);
            }
        }
    }
}
