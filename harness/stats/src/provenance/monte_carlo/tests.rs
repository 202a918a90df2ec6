use super::*;
use crate::provenance::Kind;
use ledger::streams::normal_f64;

/// A permutation of 0..n and scores that fall along it.
fn falling(n: u32, slope: f64) -> (Vec<u64>, Vec<f64>) {
    let seed = Seed::from_integer(5).bytes;
    let positions: Vec<u64> =
        ledger::order::uniform_order(&seed, 0, n).into_iter().map(u64::from).collect();
    let mut rng = Streams::new(seed).generator("noise");
    let scores =
        positions.iter().map(|&p| normal_f64(&mut rng) - slope * p as f64 / f64::from(n)).collect();
    (positions, scores)
}

#[test]
fn the_answer_does_not_depend_on_the_number_of_threads() {
    let (positions, scores) = falling(60, 0.6);
    for metric in Metric::ALL {
        let query = Query { metric: *metric, ..Query::new(&positions, &scores) };
        let one = query.monte_carlo(500, 3, Null::Permutation).unwrap();
        for threads in [2, 3, 8] {
            let more = query.monte_carlo_on(threads, 500, 3, Null::Permutation).unwrap();
            assert_eq!(one, more, "{metric}, {threads} threads");
        }
        assert_eq!(one.monte_carlo, Some(Draws { draws: 500, seed: 3 }));
    }
}

#[test]
fn p_is_never_zero_and_says_where_it_stopped() {
    let (positions, scores) = falling(300, 5.0);
    let found = Query::new(&positions, &scores).monte_carlo(999, 0, Null::Permutation).unwrap();
    assert!((found.p - 1e-3).abs() < 1e-12, "{found:?}");
    assert!(found.warnings[0].contains("1/(draws + 1)"), "{found:?}");
}

#[test]
fn draws_agree_with_the_exact_p_of_few_examples_with_ties() {
    let positions = [0, 1, 2, 3, 4, 5, 6, 7];
    let scores = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
    for metric in Metric::ALL {
        for tail in Tail::ALL {
            let query = Query { metric: *metric, tail: *tail, ..Query::new(&positions, &scores) };
            let exact = query.run().unwrap();
            assert!(exact.exact);
            let drawn = query.monte_carlo(20_000, 1, Null::Permutation).unwrap();
            // Five standard errors of 20,000 draws.
            let error = 5.0 * (exact.p * (1.0 - exact.p) / 20_000.0).sqrt() + 1e-4;
            assert!((drawn.p - exact.p).abs() < error, "{metric} {tail}: {exact:?} {drawn:?}");
        }
    }
}

#[test]
fn the_t_form_agrees_with_draws_at_moderate_sizes() {
    let (positions, scores) = falling(200, 0.45);
    let query = Query { kind: Kind::Loss, ..Query::new(&positions, &scores) };
    let closed = query.run().unwrap();
    let drawn = query.monte_carlo(20_000, 2, Null::Permutation).unwrap();
    assert!(closed.p > 0.001 && (drawn.p / closed.p - 1.0).abs() < 0.3, "{closed:?} {drawn:?}");
}

#[test]
fn a_trend_between_blocks_is_no_evidence_where_only_blocks_were_shuffled() {
    // Blocks in a fixed order of rising difficulty: an innocent model follows it.
    let (within, noise) = falling(40, 0.0);
    let mut positions = Vec::new();
    let mut scores = Vec::new();
    let mut blocks = Vec::new();
    for block in 0..10_u64 {
        for (place, noise) in within.iter().zip(&noise) {
            positions.push(block * 40 + place);
            scores.push(block as f64 + noise);
            blocks.push(block);
        }
    }
    let query = Query::new(&positions, &scores);
    assert!(query.run().unwrap().log10_p < -50.0);
    let found = query.monte_carlo(999, 0, Null::WithinBlocks(&blocks)).unwrap();
    assert!(found.p > 0.05, "{found:?}");
    // A trend inside the blocks is evidence.
    let told: Vec<f64> =
        positions.iter().zip(&scores).map(|(p, s)| s - 0.2 * (p % 40) as f64).collect();
    let found =
        Query::new(&positions, &told).monte_carlo(999, 0, Null::WithinBlocks(&blocks)).unwrap();
    assert!((found.p - 2e-3).abs() < 1e-12, "{found:?}");
}

#[test]
fn the_sampler_with_replacement_is_run_again() {
    // The observed positions are one run of the sampler of 300 draws among 200 examples.
    let ids: Vec<u64> = (0..200).collect();
    let sampler = Resampler::Replacement { ids: &ids, examples: 200, draws: 300 };
    let mut rng = Streams::new([8; 32]).generator("observed");
    let mut positions = vec![0; 200];
    sampler.draw(&mut rng, &mut [], &mut positions);
    assert!(positions.iter().filter(|p| **p == 0).count() > 20, "never seen, tied at the bottom");
    let null = Null::Replacement { ids: &ids, examples: 200, draws: 300 };
    let noise: Vec<f64> = (0..200).map(|_| normal_f64(&mut rng)).collect();
    let innocent = Query::new(&positions, &noise).monte_carlo(499, 0, null).unwrap();
    assert!(innocent.p > 0.01, "{innocent:?}");
    let told: Vec<f64> = positions.iter().zip(&noise).map(|(p, z)| z - 0.01 * *p as f64).collect();
    let found = Query::new(&positions, &told).monte_carlo(499, 0, null).unwrap();
    assert!((found.p - 1.0 / 500.0).abs() < 1e-12, "{found:?}");
}

#[test]
fn a_null_that_does_not_fit_is_refused() {
    let (positions, scores) = falling(20, 0.0);
    let query = Query::new(&positions, &scores);
    let refused = |null| query.monte_carlo(9, 0, null).unwrap_err();
    assert!(matches!(refused(Null::WithinBlocks(&[0; 19])), Refusal::Length { .. }));
    let alone: Vec<u64> = (0..20).collect();
    assert!(matches!(refused(Null::WithinBlocks(&alone)), Refusal::TooFewOf { .. }));
    let outside = Null::Replacement { ids: &alone, examples: 19, draws: 5 };
    assert!(matches!(refused(outside), Refusal::NoSuchExample { index: 19, id: 19, .. }));
    let huge = Null::Replacement { ids: &alone, examples: u64::MAX, draws: 5 };
    assert!(matches!(refused(huge), Refusal::OutOfRange { what: "examples", .. }));
    let never = Null::Replacement { ids: &alone, examples: 20, draws: 0 };
    assert!(matches!(refused(never), Refusal::OutOfRange { what: "sampler draws", .. }));
    assert!(matches!(
        query.monte_carlo(0, 0, Null::Permutation),
        Err(Refusal::OutOfRange { what: "draws", .. })
    ));
}
