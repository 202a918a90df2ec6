use proptest::prelude::*;

use super::*;
use crate::provenance::order_list::{Resolution, positions_of};
use ledger::order::{OrderLaw, uniform_order};
use ledger::seed::{Randomness, Seed};
use ledger::streams::{Streams, normal_f64};

fn order(k: u64, n: u32) -> Vec<u64> {
    uniform_order(&Seed::from_integer(k).bytes, 0, n).into_iter().map(u64::from).collect()
}

fn noise(k: u64, n: usize) -> Vec<f64> {
    let mut rng = Streams::new(Seed::from_integer(k).bytes).generator("noise");
    (0..n).map(|_| normal_f64(&mut rng)).collect()
}

/// A derivative's losses: they fall with the position, in dataset order.
fn derivative(k: u64, n: u32) -> (Vec<u64>, Vec<f64>) {
    let list = order(k, n);
    let places = positions_of(&list, n.into(), OrderLaw::Uniform, Resolution::Sample, &[]).unwrap();
    let positions: Vec<u64> = places.into_iter().flatten().collect();
    let losses =
        positions.iter().zip(noise(k, n as usize)).map(|(p, z)| z - *p as f64 / 1000.0).collect();
    (positions, losses)
}

#[test]
fn positions_find_a_derivative_where_the_order_list_in_their_place_does_not() {
    let (positions, losses) = derivative(1, 2000);
    let right = Query::new(&positions, &losses).run().unwrap();
    assert!(right.log10_p < -60.0, "{right:?}");
    // The inverse permutation is as long, as uniform, and blind.
    let list = order(1, 2000);
    assert!(Query::new(&list, &losses).run().unwrap().p > 0.001);
}

#[test]
fn a_finding_says_in_words_what_its_sign_means() {
    let (positions, losses) = derivative(1, 500);
    let query = Query::new(&positions, &losses);
    assert_eq!(query.run().unwrap().direction, "negative: later examples have lower loss");
    let likelihoods: Vec<f64> = losses.iter().map(|loss| -loss).collect();
    let query = Query { kind: Kind::LogProb, ..Query::new(&positions, &likelihoods) };
    let found = query.run().unwrap();
    assert_eq!(found.direction, "positive: later examples have higher log-probability");
    assert!(found.statistic > 0.0);
}

#[test]
fn the_document_has_the_keys_of_the_contract() {
    let found = Query::new(&[0, 1, 2, 3, 4], &[5.0, 4.0, 3.0, 2.0, 1.0]).run().unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&found).unwrap(), @r#"
    {
      "metric": "spearman",
      "statistic": -1.0,
      "n": 5,
      "ties": 0,
      "tail": "two-sided",
      "adjust": "none",
      "p": 0.01666666666666667,
      "log10_p": -1.7781512503836434,
      "exact": true,
      "direction": "negative: later examples have lower loss",
      "randomness": "undeclared",
      "simulation": false,
      "floor_log10_p": null,
      "monte_carlo": null,
      "warnings": []
    }
    "#);
}

#[test]
fn a_perfect_correlation_has_the_p_of_its_one_order() {
    let positions: Vec<u64> = (0..20).collect();
    let scores: Vec<f64> = (0..20).map(|k| f64::from(-k)).collect();
    let factorial: f64 = (1..=20).map(f64::from).product();
    for metric in Metric::ALL {
        let query = Query { metric: *metric, ..Query::new(&positions, &scores) };
        let two = query.run().unwrap();
        assert_eq!((two.statistic, two.exact), (-1.0, true), "{metric}");
        assert!((two.p * factorial / 2.0 - 1.0).abs() < 1e-9, "{metric} {two:?}");
        let less = Query { tail: Tail::Less, ..query.clone() }.run().unwrap();
        assert!((less.p * factorial - 1.0).abs() < 1e-9, "{metric} {less:?}");
        assert_eq!(Query { tail: Tail::Greater, ..query }.run().unwrap().p, 1.0);
    }
}

#[test]
fn no_p_is_rarer_than_the_orders_that_are_as_extreme() {
    // Two neighbours out of place among 30: 29 orders of 30! are so, and 1 is closer to perfect.
    let positions: Vec<u64> = (0..30).collect();
    let mut scores: Vec<f64> = (0..30).map(f64::from).collect();
    scores.swap(3, 4);
    let found = Query::new(&positions, &scores).run().unwrap();
    let few = (60.0_f64.ln() - tail::ln_factorial(30)) / LN_10;
    assert!(found.saddlepoint && !found.exact && found.warnings.is_empty(), "{found:?}");
    // The t form says -43. Next to a perfect correlation the saddlepoint is too large, never too small.
    assert!(found.log10_p > few - 0.01 && found.log10_p < 0.85 * few, "{found:?} {few}");
}

#[test]
fn constant_and_missing_scores_are_refused_with_value_and_row() {
    let positions: Vec<u64> = (0..6).collect();
    let refusal = Query::new(&positions, &[2.5; 6]).run().unwrap_err();
    assert!(matches!(refusal, Refusal::Constant { value: 2.5, .. }), "{refusal}");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refusal = Query::new(&positions, &[0.0, 1.0, 2.0, bad, 4.0, 5.0]).run().unwrap_err();
        assert!(matches!(refusal, Refusal::NotFinite { index: 3, .. }), "{refusal}");
        assert!(refusal.to_string().starts_with("scores[3] is "), "{refusal}");
    }
    let refusal = Query::new(&[7; 6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).run().unwrap_err();
    assert_eq!(refusal, Refusal::ConstantPositions { position: 7 });
    let refusal = Query::new(&positions[..4], &[0.0, 1.0, 2.0, 3.0]).run().unwrap_err();
    assert_eq!(refusal, Refusal::TooFew { needed: 5, found: 4 });
    let refusal = Query::new(&positions, &[0.0; 5]).run().unwrap_err();
    assert!(matches!(refusal, Refusal::Length { expected: 6, found: 5, .. }));
}

#[test]
fn references_and_adjustment_must_fit_together() {
    let (positions, scores) = derivative(2, 50);
    let reference = noise(9, 50);
    let ask = |adjust, references: Vec<&[f64]>| {
        Query { adjust, references, ..Query::new(&positions, &scores) }.run()
    };
    assert!(matches!(ask(Adjust::Difference, vec![]), Err(Refusal::NoReference { .. })));
    assert!(matches!(ask(Adjust::None, vec![&reference]), Err(Refusal::UnusedReference { .. })));
    let short = ask(Adjust::Residual, vec![&reference, &reference[1..]]).unwrap_err();
    assert!(matches!(&short, Refusal::Length { what, .. } if what == "reference 1"), "{short}");
    let flat = vec![1.0; 50];
    assert!(matches!(ask(Adjust::Residual, vec![&flat]), Err(Refusal::Constant { .. })));
    // The suspect's own scores as reference leave nothing, by either adjustment.
    for adjust in [Adjust::Difference, Adjust::Residual] {
        assert!(matches!(ask(adjust, vec![&scores]), Err(Refusal::Constant { .. })));
    }
    let scaled: Vec<f64> = scores.iter().map(|score| 3.0 * score + 7.0).collect();
    assert!(matches!(ask(Adjust::Residual, vec![&scaled]), Err(Refusal::Constant { .. })));
}

#[test]
fn a_residual_finds_what_a_difference_of_other_scale_hides() {
    let positions = order(3, 400);
    let difficulty = noise(4, 400);
    let scores: Vec<f64> = positions
        .iter()
        .zip(&difficulty)
        .zip(noise(5, 400))
        .map(|((p, d), z)| 5.0 * d + 0.1 * z - *p as f64 / 800.0)
        .collect();
    let ask = |adjust| {
        let query =
            Query { references: vec![&difficulty], adjust, ..Query::new(&positions, &scores) };
        query.run().unwrap()
    };
    let (difference, residual) = (ask(Adjust::Difference), ask(Adjust::Residual));
    assert!(
        residual.statistic < -0.7 && residual.log10_p < 4.0 * difference.log10_p,
        "{residual:?}"
    );
    assert_eq!(
        residual.direction,
        "negative: later examples have lower loss, beside the reference"
    );
}

#[test]
fn scores_beside_themselves_plus_a_constant_leave_rounding_and_are_refused() {
    let (positions, scores) = derivative(2, 60);
    let ask = |adjust, scores: &[f64], reference: Vec<f64>| {
        let references = vec![reference.as_slice()];
        Query { references, adjust, ..Query::new(&positions, scores) }.run()
    };
    let single: Vec<f64> = scores.iter().map(|score| f64::from(*score as f32)).collect();
    for constant in [0.1, 1e6, -3.7] {
        let shifted: Vec<f64> = scores.iter().map(|score| score + constant).collect();
        let refusal = ask(Adjust::Difference, &scores, shifted).unwrap_err();
        assert!(refusal.to_string().contains("reference's own"), "{constant}: {refusal}");
        let shifted = single.iter().map(|score| f64::from(*score as f32 + constant as f32));
        let refusal = ask(Adjust::Difference, &single, shifted.collect());
        assert!(matches!(refusal, Err(Refusal::Constant { .. })), "single, {constant}");
        let line = single.iter().map(|score| f64::from(2.5 * *score as f32 + constant as f32));
        let refusal = ask(Adjust::Residual, &single, line.collect());
        assert!(matches!(refusal, Err(Refusal::Constant { .. })), "single line, {constant}");
    }
    // What differs by more than rounding is tested.
    let near: Vec<f64> =
        scores.iter().zip(noise(7, 60)).map(|(score, z)| score + 1.0 + 1e-3 * z).collect();
    assert!(ask(Adjust::Difference, &scores, near.clone()).is_ok());
    assert!(ask(Adjust::Residual, &scores, near).is_ok());
}

#[test]
fn several_references_are_averaged() {
    let (positions, scores) = derivative(2, 60);
    let (one, two) = (noise(7, 60), noise(8, 60));
    let mean: Vec<f64> = one.iter().zip(&two).map(|(a, b)| (a + b) / 2.0).collect();
    let ask = |references| {
        let adjust = Adjust::Difference;
        Query { references, adjust, ..Query::new(&positions, &scores) }.run().unwrap()
    };
    assert_eq!(ask(vec![&one, &two]), ask(vec![&mean]));
}

#[test]
fn a_p_beyond_the_bits_of_the_seed_is_shown_with_its_floor() {
    let (positions, losses) = derivative(1, 2000);
    let found = Query::new(&positions, &losses).run().unwrap();
    let attested = found.clone().with_randomness(Some(Randomness::Os), Some(64));
    assert!((attested.floor_log10_p.unwrap() + 19.265919722494797).abs() < 1e-12);
    assert!(attested.warnings[0].contains("2^-64") && !attested.simulation, "{attested:?}");
    let fixed = found.with_randomness(Some(Randomness::Fixed), None);
    assert!(fixed.simulation && fixed.warnings[0].starts_with("simulation"), "{fixed:?}");
    assert_eq!((fixed.randomness.as_str(), attested.randomness.as_str()), ("fixed", "os"));
}

#[test]
fn option_names_are_read_as_they_are_written() {
    for metric in Metric::ALL {
        assert_eq!(metric.name().parse(), Ok(*metric));
        assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
    }
    for tail in Tail::ALL {
        assert_eq!(tail.name().parse(), Ok(*tail));
        assert_eq!(serde_json::to_value(tail).unwrap(), tail.name());
    }
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    let error = "spearmen".parse::<Metric>().unwrap_err().to_string();
    assert_eq!(error, "unknown metric \"spearmen\"; use one of spearman, pearson, kendall");
}

/// Rows with ties in both columns, at sizes on both sides of the exact branch.
fn rows() -> impl Strategy<Value = Vec<(u64, f64, f64)>> {
    let score = prop_oneof![(-3_i32..3).prop_map(f64::from), -1e3..1e3];
    prop::collection::vec((0_u64..25, score, -1.0..1.0), 6..40).prop_filter("constant", |rows| {
        rows.iter().any(|row| row.0 != rows[0].0) && rows.iter().any(|row| row.1 != rows[0].1)
    })
}

fn ask(
    metric: Metric,
    adjust: Adjust,
    tail: Tail,
    rows: &[(u64, f64, f64)],
) -> Result<Finding, Refusal> {
    let positions: Vec<u64> = rows.iter().map(|row| row.0).collect();
    let scores: Vec<f64> = rows.iter().map(|row| row.1).collect();
    let reference: Vec<f64> = rows.iter().map(|row| row.2).collect();
    let references = if adjust == Adjust::None { vec![] } else { vec![reference.as_slice()] };
    Query { metric, adjust, tail, references, ..Query::new(&positions, &scores) }.run()
}

proptest! {
    // Many of these rows have some hundred thousand tables of ties to look at.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_in_any_order_give_the_same_answer_bit_for_bit(
        rows in rows(), turn in 0_usize..40, metric in 0_usize..3, adjust in 0_usize..3,
    ) {
        let (metric, adjust) = (Metric::ALL[metric], Adjust::ALL[adjust]);
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        turned.reverse();
        let one = ask(metric, adjust, Tail::TwoSided, &rows);
        let two = ask(metric, adjust, Tail::TwoSided, &turned);
        let [one, two] = [one, two].map(|found| {
            found.map(|found| serde_json::to_string(&found).unwrap())
        });
        prop_assert_eq!(one, two);
    }

    #[test]
    fn rank_metrics_do_not_see_an_increasing_map_of_the_scores(rows in rows(), kendall: bool) {
        let metric = if kendall { Metric::Kendall } else { Metric::Spearman };
        let mapped: Vec<_> = rows.iter().map(|&(p, s, r)| (p, s.powi(3) * 2.0 + 1.0, r)).collect();
        let distinct = |rows: &[(u64, f64, f64)]| crate::provenance::ranks::group_sizes(
            &rows.iter().map(|row| row.1).collect::<Vec<_>>()).len();
        // Only where rounding has not merged two values.
        prop_assume!(distinct(&rows) == distinct(&mapped));
        let one = ask(metric, Adjust::None, Tail::TwoSided, &rows);
        prop_assert_eq!(one, ask(metric, Adjust::None, Tail::TwoSided, &mapped));
    }

    #[test]
    fn reversing_the_scores_swaps_the_sides(rows in rows(), metric in 0_usize..3) {
        let metric = Metric::ALL[metric];
        let negated: Vec<_> = rows.iter().map(|&(p, s, r)| (p, -s, r)).collect();
        let less = ask(metric, Adjust::None, Tail::Less, &rows);
        let greater = ask(metric, Adjust::None, Tail::Greater, &negated);
        match (less, greater) {
            (Ok(less), Ok(greater)) => {
                prop_assert_eq!(less.statistic, -greater.statistic);
                prop_assert!((less.p - greater.p).abs() < 1e-9, "{} {}", less.p, greater.p);
            }
            (less, greater) => prop_assert_eq!(less.map(drop), greater.map(drop)),
        }
    }

    #[test]
    fn every_answer_is_a_probability_with_a_finite_logarithm(
        rows in rows(), metric in 0_usize..3, tail in 0_usize..3,
    ) {
        let found = match ask(Metric::ALL[metric], Adjust::None, Tail::ALL[tail], &rows) {
            Err(Refusal::TooCoarse) => return Ok(()),
            found => found.unwrap(),
        };
        prop_assert!(found.log10_p.is_finite() && found.log10_p <= 0.0, "{found:?}");
        prop_assert!((0.0..=1.0).contains(&found.p) && (-1.0..=1.0).contains(&found.statistic));
    }
}
