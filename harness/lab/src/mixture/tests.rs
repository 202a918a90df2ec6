use ledger::seed::Seed;
use ledger::streams::Streams;
use proptest::prelude::*;

use super::*;

fn random(seed: u64) -> Pcg64 {
    Streams::new(Seed::from_integer(seed).bytes).generator("mixture")
}

/// 250 rows in three clusters of tasks (deviation 0.05), each with a progress of its own
/// (deviation 0.02).
fn clusters(seed: u64) -> Vec<f64> {
    let mut random = random(seed + 100);
    let mut normal = |mean: f64, deviation: f64| mean + deviation * normal_f64(&mut random);
    let centres = [(0.2, 0.2, 0.05), (0.8, 0.3, 0.5), (0.5, 0.8, 0.2)];
    let row = |index: usize| {
        let (x, y, progress) = centres[index % 3];
        [normal(x, 0.05), normal(y, 0.05), normal(progress, 0.02)]
    };
    (0..250).flat_map(row).collect()
}

fn sizes_chosen(criterion: Criterion) -> Vec<usize> {
    let chosen = (0..20).map(|seed| {
        let values = clusters(seed);
        let rows = Rows { values: &values, dimensions: 3 };
        let best = Mixture::best(rows, 2..=10, criterion, &mut random(seed)).unwrap();
        best.components.len()
    });
    chosen.collect()
}

#[test]
fn a_full_mixture_in_three_dimensions_has_ten_k_less_one_parameters() {
    let values = clusters(0);
    let rows = Rows { values: &values, dimensions: 3 };
    for (components, parameters) in [(2, 19), (3, 29), (10, 99)] {
        let fit = Mixture::fit(rows, components, &mut random(0));
        assert_eq!(fit.parameters(), parameters);
    }
}

#[test]
fn bic_finds_three_clusters_and_aic_sometimes_more() {
    let three = |chosen: &[usize]| chosen.iter().filter(|size| **size == 3).count();
    let bic = sizes_chosen(Criterion::Bic);
    assert!(three(&bic) >= 19, "{bic:?}");
    let aic = sizes_chosen(Criterion::Aic);
    assert!(three(&aic) >= 12, "{aic:?}");
    assert!(aic.iter().zip(&bic).all(|(aic, bic)| aic >= bic), "{aic:?} {bic:?}");
}

#[test]
fn at_three_components_the_progress_of_each_cluster_is_found() {
    for seed in 0..20 {
        let values = clusters(seed);
        let fit = Mixture::fit(Rows { values: &values, dimensions: 3 }, 3, &mut random(seed));
        let mut means: Vec<f64> = fit.components.iter().map(|part| part.mean[2]).collect();
        means.sort_by(f64::total_cmp);
        for (mean, truth) in means.iter().zip([0.05, 0.2, 0.5]) {
            // Standard error 0.02/√83 = 0.0022.
            assert!((mean - truth).abs() < 0.0075, "seed {seed}: {means:?}");
        }
    }
}

#[test]
fn components_are_drawn_by_their_share_of_progress() {
    let mut random = random(1);
    let mut counts = [0.0_f64; 3];
    for _ in 0..30_000 {
        counts[proportional(&[0.05, 0.5, 0.2], &mut random)] += 1.0;
    }
    for (count, chance) in counts.into_iter().zip([0.0667, 0.6667, 0.2667]) {
        // Four standard errors of a share near 2/3 at n = 30,000.
        assert!((count / 30_000.0 - chance).abs() < 0.011, "{counts:?}");
    }
}

#[test]
fn without_any_progress_every_component_is_as_likely() {
    let mut random = random(2);
    let mut counts = [0.0_f64; 4];
    for _ in 0..20_000 {
        counts[proportional(&[0.0; 4], &mut random)] += 1.0;
    }
    assert!(counts.iter().all(|count| (count / 20_000.0 - 0.25).abs() < 0.0125), "{counts:?}");
}

#[test]
fn a_single_component_is_the_sample_mean_and_the_biased_covariance() {
    let values = [0.0, 0.0, 2.0, 0.0, 0.0, 4.0, 2.0, 4.0];
    let fit = Mixture::fit(Rows { values: &values, dimensions: 2 }, 1, &mut random(0));
    let [only] = fit.components.as_slice() else { panic!("{fit:?}") };
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close(&only.mean, &[1.0, 2.0]));
    assert!(close(&only.covariance, &[1.0 + 1e-6, 0.0, 0.0, 4.0 + 1e-6]));
    // −n·(d·ln 2π + ln|Σ| + mean squared distance)/2 with |Σ| = 4 and mean squared distance 2.
    let expected = -2.0 * (2.0 * TAU.ln() + 4.0_f64.ln() + 2.0);
    assert!((fit.log_likelihood - expected).abs() < 1e-4, "{}", fit.log_likelihood);
}

#[test]
fn draws_have_the_mean_and_covariance_of_their_component() {
    let part = Component::new(1.0, vec![1.0, -2.0], vec![4.0, 1.2, 1.2, 1.0]);
    let mut random = random(3);
    let draws: Vec<_> = (0..40_000).map(|_| part.sample(&mut random)).collect();
    let mean = |f: &dyn Fn(&[f64]) -> f64| draws.iter().map(|d| f(d)).sum::<f64>() / 40_000.0;
    assert!((mean(&|d| d[0]) - 1.0).abs() < 0.04);
    assert!((mean(&|d| d[1]) + 2.0).abs() < 0.02);
    assert!((mean(&|d| (d[0] - 1.0) * (d[1] + 2.0)) - 1.2).abs() < 0.05);
    assert!((mean(&|d| (d[0] - 1.0).powi(2)) - 4.0).abs() < 0.12);
}

#[test]
fn rows_that_are_all_alike_give_a_finite_fit() {
    let values = [0.3; 60];
    let rows = Rows { values: &values, dimensions: 3 };
    let best = Mixture::best(rows, 2..=10, Criterion::Aic, &mut random(0)).unwrap();
    assert!(best.log_likelihood.is_finite());
    assert!(best.components.iter().all(|part| part.mean.iter().all(|value| value.is_finite())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn weights_sum_to_one_and_more_iterations_never_lower_the_likelihood(
        values in prop::collection::vec(0.0_f64..1.0, 60..240), components in 1_usize..6, seed: u64,
    ) {
        let values = &values[..values.len() / 3 * 3];
        let rows = Rows { values, dimensions: 3 };
        let fit = Mixture::fit(rows, components, &mut random(seed));
        let sum: f64 = fit.components.iter().map(|part| part.weight).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9);
        let mut shares = vec![0.0; rows.len() * components];
        let before = fit.shares(rows, &mut shares);
        let after = Mixture::from_shares(rows, &shares).shares(rows, &mut shares);
        // Up to what the regularisation takes.
        prop_assert!(after >= before - 1e-2, "{} then {}", before, after);
    }
}
