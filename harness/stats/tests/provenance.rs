//! The provenance statistics beside values computed by SciPy and mpmath; the script that computed
//! them stands beside them with its versions: `tests/reference/provenance.{py,json}`.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read must fail the test")]

use serde_json::Value;
use stats::provenance::calibration::{calibrate, kolmogorov_tail};
use stats::provenance::combine;
use stats::provenance::kruskal::kruskal;
use stats::provenance::tail::{
    LogTails, ln_chi_squared_tail, ln_normal_tail, normal_deviate, student,
};
use stats::provenance::{Metric, Query, Refusal, Tail};

/// One row of the table: what the script calls it, as a number.
fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/provenance.json")).unwrap()
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The columns of a recipe, as `columns` of the script makes them.
fn columns(recipe: &Value) -> (Vec<u64>, Vec<f64>) {
    let n = recipe["n"].as_u64().unwrap() as usize;
    let mut draws = SplitMix(recipe["seed"].as_u64().unwrap());
    let keys: Vec<u64> = (0..n).map(|_| draws.next()).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    let permutation: Vec<u64> =
        keys.iter().map(|key| sorted.binary_search(key).unwrap() as u64).collect();
    let (slope, offset) = (number(recipe, "slope"), number(recipe, "offset"));
    let levels = number(recipe, "levels");
    let scores = permutation.iter().map(|&place| {
        let noise = (draws.next() >> 11) as f64 * 2_f64.powi(-53);
        let score = offset + (slope * (place as f64 / n as f64) + noise);
        if levels > 0.0 { (score * levels).floor() } else { score }
    });
    let scores = scores.collect();
    let batch = recipe["batch"].as_u64().unwrap();
    (permutation.iter().map(|place| place / batch).collect(), scores)
}

/// p within 1e-9 relative above 1e-300; log10 p within 1e-6 or 1e-9 relative.
fn check_p(what: &str, expected: &Value, p: f64, log10_p: f64) {
    let (expected_p, expected_log) = (number(expected, "p"), number(expected, "log10_p"));
    if expected_p > 1e-300 {
        assert!((p / expected_p - 1.0).abs() < 1e-9, "{what}: p {p:e}, expected {expected_p:e}");
        // p and log10 p are one number.
        assert!((p.log10() - log10_p).abs() < 1e-9, "{what}: {p:e} {log10_p}");
    }
    let close = (1e-9 * expected_log.abs()).max(1e-9);
    assert!((log10_p - expected_log).abs() < close, "{what}: {log10_p}, expected {expected_log}");
}

#[test]
fn queries_agree_with_the_reference_at_every_size_tie_and_offset() {
    let reference = reference();
    let cases = reference["query"].as_array().unwrap();
    assert!(cases.len() > 80, "{}", cases.len());
    let (mut closed, mut better) = (0, 0);
    for case in cases {
        let (positions, scores) = columns(&case["recipe"]);
        for (metric, expected) in case["metrics"].as_object().unwrap() {
            let metric: Metric = metric.parse().unwrap();
            for tail in Tail::ALL {
                let query = Query { metric, tail: *tail, ..Query::new(&positions, &scores) };
                let what = format!("{metric} {tail} {}", case["recipe"]);
                let found = match query.run() {
                    // Ten scores with gaps between them.
                    Err(Refusal::TooCoarse)
                        if metric == Metric::Pearson && positions.len() < 13 =>
                    {
                        continue;
                    }
                    found => found.unwrap(),
                };
                let statistic = number(expected, "statistic");
                assert!((found.statistic - statistic).abs() < 1e-12, "{what}: {found:?}");
                assert_eq!(found.ties, case["ties"].as_u64().unwrap(), "{what}");
                let exact = expected["exact"].as_bool().unwrap();
                assert!(found.exact || !exact, "{what}");
                let expected = &expected["tails"][tail.name()];
                // SciPy has the closed form there, which is off.
                let bound = found.warnings.iter().any(|warning| warning.contains("upper bound"));
                if found.saddlepoint || found.exact != exact || bound {
                    better += 1;
                    continue;
                }
                closed += 1;
                if metric == Metric::Pearson && statistic.abs() > 0.999_999 {
                    // Scores on a line up to their own rounding: the exact residual of the stored
                    // numbers is beyond f64, and p is known to the 6 digits of log10 p only.
                    let log10_p = number(expected, "log10_p");
                    let close = (1e-9 * log10_p.abs()).max(1e-6);
                    assert!(
                        (found.log10_p - log10_p).abs() < close,
                        "{what}: {found:?} {expected}"
                    );
                } else {
                    check_p(&what, expected, found.p, found.log10_p);
                }
            }
        }
    }
    assert!(closed > 400 && better > 200, "{closed} {better}");
}

#[test]
fn the_saddlepoint_agrees_with_one_that_was_written_apart() {
    let cases: Value = serde_json::from_str(include_str!("reference/saddlepoint.json")).unwrap();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let (positions, scores) = columns(&case["recipe"]);
        for (metric, expected) in case["metrics"].as_object().unwrap() {
            let statistic = number(expected, "statistic");
            let tail = if statistic < 0.0 { Tail::Less } else { Tail::Greater };
            let metric: Metric = metric.parse().unwrap();
            let query = Query { metric, tail, ..Query::new(&positions, &scores) };
            let found = query.run().unwrap();
            if found.saddlepoint {
                compared += 1;
                let close = (found.log10_p - number(expected, "log10_p")).abs() < 1e-7;
                assert!(close, "{metric} {case}: {found:?}");
            }
        }
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn t_tails_agree_with_the_reference_to_any_depth() {
    for case in reference()["student"].as_array().unwrap() {
        let n = case["n"].as_u64().unwrap();
        let found = student(number(case, "r"), number(case, "complement"), n);
        for tail in Tail::ALL {
            let ln_p = tail.of(&found);
            let what = format!("{tail} of r {} n {n}", case["r"]);
            let log10_p = ln_p / std::f64::consts::LN_10;
            check_p(&what, &case["tails"][tail.name()], ln_p.exp(), log10_p);
        }
    }
}

#[test]
fn a_correlation_of_minus_095_in_100_000_examples_has_all_its_digits() {
    // mpmath at 40 digits, for -0.95 itself and for a sample coefficient that rounds to it.
    for (r, expected) in [(-0.95_f64, -50551.33400044459), (-0.951_741_7, -51_301.832_567_516_5)] {
        let LogTails { two_sided, .. } = student(r, (1.0 - r) * (1.0 + r), 100_000);
        let log10_p = two_sided / std::f64::consts::LN_10;
        assert!((log10_p - expected).abs() < 1e-5, "{r}: {log10_p}");
    }
    let tiny = student(3e-4, 1.0 - 9e-8, 100_000).two_sided.exp();
    assert!((tiny - 0.924420352423167).abs() < 1e-9, "{tiny}");
}

#[test]
fn normal_tails_and_deviates_agree_with_the_reference() {
    for case in reference()["normal"].as_array().unwrap() {
        let z = number(case, "z");
        for (z, expected) in [(z, number(case, "ln_tail")), (-z, number(case, "ln_other"))] {
            let found = ln_normal_tail(z);
            let close = (found - expected).abs() <= 1e-12 * expected.abs();
            assert!(close, "{z}: {found:e} {expected:e}");
        }
        // The deviate of a tail is where it came from.
        let deviate = normal_deviate(number(case, "ln_tail"));
        assert!((deviate - z).abs() <= 1e-12 * z.max(1.0), "{z}: {deviate}");
    }
}

#[test]
fn chi_squared_tails_agree_with_the_reference() {
    for case in reference()["chi_squared"].as_array().unwrap() {
        let found = ln_chi_squared_tail(number(case, "x"), number(case, "freedom"));
        let expected = number(case, "ln_tail");
        let close = 1e-10 * expected.abs().max(1e-3);
        assert!((found - expected).abs() < close, "{case}: {found:e}");
    }
}

#[test]
fn kolmogorov_smirnov_agrees_with_scipy() {
    for case in reference()["kolmogorov"].as_array().unwrap() {
        let n = case["n"].as_u64().unwrap();
        let expected = number(case, "p");
        let found = kolmogorov_tail(n, number(case, "d"));
        let values = case["values"].as_array();
        // SciPy's own kstest takes an expansion good to 6 digits from n = 141 on, ours from 10^4.
        let close = if n > 10_000 || (n > 140 && values.is_some()) { 1e-6 } else { 1e-9 };
        assert!((found - expected).abs() < close, "n {n} d {}: {found} {expected}", case["d"]);
        if let Some(values) = values {
            let values: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap()).collect();
            let whole = calibrate(&values).unwrap();
            assert!((whole.ks_statistic - number(case, "d")).abs() < 1e-14);
            assert!((whole.ks_p - expected).abs() < close, "{whole:?} {expected}");
        }
    }
}

#[test]
fn kruskal_wallis_over_position_bins_agrees_with_scipy() {
    for case in reference()["kruskal"].as_array().unwrap() {
        let (positions, scores) = columns(&case["recipe"]);
        let found = kruskal(&positions, &scores, case["bins"].as_u64().unwrap()).unwrap();
        assert!((found.h / number(case, "h") - 1.0).abs() < 1e-11, "{found:?} {case}");
        assert!((found.p / number(case, "p") - 1.0).abs() < 1e-9, "{found:?} {case}");
    }
}

#[test]
fn combinations_agree_with_scipy() {
    for case in reference()["combine"].as_array().unwrap() {
        let column = |key: &str| -> Vec<f64> {
            case[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let (ps, weights) = (column("p"), column("weights"));
        assert_eq!(ps.len(), weights.len(), "{case}");
        let tests: Vec<(LogTails, f64)> = ps
            .iter()
            .zip(weights)
            .map(|(p, weight)| {
                let (less, greater) = (p.ln(), (-p).ln_1p());
                (LogTails { less, greater, two_sided: 0.0 }, weight)
            })
            .collect();
        let found = combine::stouffer(&tests).unwrap().less.exp();
        assert!((found / number(case, "stouffer") - 1.0).abs() < 1e-9, "{case}: {found:e}");
        let logs: Vec<f64> = ps.iter().map(|p| p.log10()).collect();
        let found = 10_f64.powf(combine::fisher(&logs).unwrap());
        assert!((found / number(case, "fisher") - 1.0).abs() < 1e-9, "{case}: {found:e}");
    }
}
