//! Statistics with seeded draws: the reference makes the same draws, so that whole intervals agree.

use serde_json::Value;
use stats::across::{geometric_mean_speed_up, interquartile_mean, probability_of_improvement};
use stats::bootstrap::{Resampling, bca};
use stats::interval::Estimate;
use stats::paired::{Pair, speed_up};
use stats::profile::{Row, profile};
use stats::sign_flip::{sign_flip, sign_flip_above};
use stats::stratified::Stratum;
use stats::survival::Outcome;

use super::samples::outcome;
use super::{cases, close, close_p, number, numbers, size};

#[track_caller]
fn close_estimate(found: Estimate, expected: &Value) {
    close(found.value, number(expected, "value"), expected);
    close(found.interval.low, number(expected, "low"), expected);
    close(found.interval.high, number(expected, "high"), expected);
}

/// Settings of a case; 95 % where it states no level.
fn resampling(case: &Value) -> Resampling {
    Resampling {
        level: case["level"].as_f64().unwrap_or(0.95),
        resamples: u32::try_from(size(case, "resamples")).unwrap(),
        seed: size(case, "seed") as u64,
    }
}

#[test]
fn bca_intervals_agree_with_the_formula_of_scipy_on_the_same_replicates() {
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    for case in cases("bca") {
        let sample = numbers(&case, "sample");
        let found = bca(&sample, average, resampling(&case)).unwrap();
        close(found.bias, number(&case, "bias"), &case);
        close(found.acceleration, number(&case, "acceleration"), &case);
        close(found.interval.low, number(&case, "low"), &case);
        close(found.interval.high, number(&case, "high"), &case);
    }
}

#[test]
fn speed_ups_of_few_pairs_have_the_log_t_interval_of_scipy() {
    for case in cases("speed_up") {
        let (baseline, treatment) = (numbers(&case, "baseline"), numbers(&case, "treatment"));
        assert_eq!(baseline.len(), treatment.len(), "{case}");
        let sides = baseline.into_iter().zip(treatment);
        let pairs: Vec<Pair<f64>> =
            sides.map(|(baseline, treatment)| Pair { baseline, treatment }).collect();
        close_estimate(speed_up(&pairs, 0.95).unwrap(), &case);
    }
}

#[test]
fn sign_flip_tests_agree_with_all_permutations_of_scipy_and_with_the_seeded_ones() {
    let mut seeded = 0;
    for case in cases("sign_flip") {
        let (differences, seed) = (numbers(&case, "differences"), case["seed"].as_u64());
        let both = sign_flip(&differences, seed.unwrap_or(0)).unwrap();
        assert_eq!(both.seed, seed, "{case}");
        close_p(both.p, number(&case["p"], "two-sided"), &case);
        let above = sign_flip_above(&differences, seed.unwrap_or(0)).unwrap();
        close_p(above.p, number(&case["p"], "greater"), &case);
        seeded += usize::from(seed.is_some());
    }
    assert_eq!(seeded, 1);
}

/// One stratum for each list of `key`, its seeds mapped by `seed`.
fn strata<T>(case: &Value, key: &str, seed: impl Fn(&Value) -> T) -> Vec<Stratum<T>> {
    let workloads = case[key].as_array().unwrap().iter().zip(0..);
    workloads
        .map(|(seeds, index)| Stratum {
            workload: format!("w{index}"),
            seeds: seeds.as_array().unwrap().iter().map(&seed).collect(),
        })
        .collect()
}

#[test]
fn speed_up_improvement_profile_and_iqm_over_workloads_agree_with_numpy_on_the_same_draws() {
    for case in cases("across") {
        let seconds = |side: &Value| side.as_f64().unwrap();
        let times = strata(&case, "times", |pair| Pair {
            baseline: seconds(&pair[0]),
            treatment: seconds(&pair[1]),
        });
        let found = geometric_mean_speed_up(&times, resampling(&case)).unwrap();
        close_estimate(found.estimate, &case["speed_up"]);

        let ends = strata(&case, "outcomes", |pair| Pair {
            baseline: outcome(&pair[0]),
            treatment: outcome(&pair[1]),
        });
        let found = probability_of_improvement(&ends, resampling(&case)).unwrap();
        close_estimate(found.estimate, &case["improvement"]);

        let rows = strata(&case, "outcomes", |pair| -> Row {
            let arm = |index: usize| -> Outcome { outcome(&pair[index]) };
            Row::from([("a".to_owned(), arm(0)), ("b".to_owned(), arm(1))])
        });
        let found = profile(&rows, resampling(&case)).unwrap();
        let expected = case["profile"].as_array().unwrap();
        assert_eq!(found.arms.len(), expected.len(), "{case}");
        for (arm, expected) in found.arms.iter().zip(expected) {
            let (value, interval) = (arm.score, arm.interval);
            close_estimate(Estimate { value, interval, n: rows.len() }, expected);
        }

        let scores = strata(&case, "times", |pair| seconds(&pair[0]));
        let found = interquartile_mean(&scores, resampling(&case)).unwrap();
        close_estimate(found.estimate, &case["iqm"]);
    }
}
