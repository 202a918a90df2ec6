use super::*;
use crate::network::values;
use crate::trial;
use ledger::streams::normal_f64;
use rand_pcg::Pcg64;
use tch::Device;

const D: usize = 3;

fn doubles(values: &[f64]) -> Tensor {
    Tensor::from_slice(values)
}

fn niw(log_scale: [f64; D], surplus: f64) -> Niw {
    Niw {
        mean: doubles(&[0.5, -1.0, 2.0]),
        log_scale: doubles(&log_scale),
        log_surplus: doubles(&[surplus.ln()]),
    }
}

fn fit() -> Fit {
    Fit { mean: doubles(&[-0.3, 0.7, 1.1]), curvature: doubles(&[4.0, 0.2, 11.0]) }
}

fn list(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).view([-1])).unwrap()
}

/// E_{θ ~ N(m, V)}[½(θ − m̄)ᵀĀ(θ − m̄)] + the divergence: what the closed form is to minimise.
fn bound(niw: &Niw, mean: &Tensor, log_variance: &Tensor) -> Tensor {
    let Fit { mean: centre, curvature } = fit();
    let local = Local { mean: mean.shallow_clone(), variance: log_variance.exp() };
    let away = (mean - centre).square() + &local.variance;
    (curvature * away).sum(Kind::Double) * 0.5 + niw.divergence(&local).unwrap()
}

/// Check (a) of the card.
#[test]
fn the_closed_form_is_where_a_numerical_minimiser_ends() {
    let niw = niw([0.3, -0.4, 1.2], 2.5);
    let of = |values: &[f64]| doubles(values).set_requires_grad(true);
    let (mut mean, mut log_variance) = (of(&[0.0; D]), of(&[0.0; D]));
    for _ in 0..4_000 {
        let loss = bound(&niw, &mean, &log_variance);
        let inputs = [&mean, &log_variance];
        let gradients = Tensor::run_backward(&[loss], &inputs, false, false);
        mean = (mean - &gradients[0] * 0.02).detach().set_requires_grad(true);
        log_variance = (log_variance - &gradients[1] * 0.2).detach().set_requires_grad(true);
    }
    let Local { mean: expected, variance } = niw.local(&fit()).unwrap();
    for (found, expected) in [(mean, expected), (log_variance.exp(), variance)] {
        let error = (found - expected).abs().max().double_value(&[]);
        assert!(error < 1e-8, "{error}");
    }
}

/// Σ⁻¹ ~ Wishart(V₀⁻¹, n₀) by Bartlett's decomposition: Σ⁻¹ = L A Aᵀ Lᵀ with L = V₀^−½, A lower triangular of
/// normals and roots of χ² with n₀ − i degrees of freedom. Returns its diagonal and its determinant's logarithm.
fn wishart(random: &mut Pcg64, scale: [f64; D], freedom: usize) -> ([f64; D], f64) {
    let mut a = [[0.0; D]; D];
    for (i, row) in a.iter_mut().enumerate() {
        let squares = (0..freedom - i).map(|_| normal_f64(random).powi(2));
        row[i] = squares.sum::<f64>().sqrt();
        for entry in row.iter_mut().take(i) {
            *entry = normal_f64(random);
        }
    }
    let diagonal = std::array::from_fn(|i| a[i].iter().map(|x| x * x).sum::<f64>() / scale[i]);
    let log = (0..D).map(|i| 2.0 * a[i][i].ln() - scale[i].ln()).sum();
    (diagonal, log)
}

/// Check (b) of the card: within 0.2 % and 0.003.
#[test]
fn the_expectations_of_the_inverse_wishart_are_those_of_draws() {
    let log_scale = [0.3_f64, -0.4, 1.2];
    // n₀ = d + 1 + 4 = 8.
    let niw = niw(log_scale, 4.0);
    let mut random = trial::streams().generator("wishart");
    let draws = 1_000_000;
    let (mut sums, mut logs) = ([0.0; D], 0.0);
    for _ in 0..draws {
        let (diagonal, log) = wishart(&mut random, log_scale.map(f64::exp), 8);
        sums.iter_mut().zip(diagonal).for_each(|(sum, x)| *sum += x);
        logs -= log;
    }
    for (sum, expected) in sums.iter().zip(list(&niw.precision().unwrap())) {
        let error = sum / f64::from(draws) / expected - 1.0;
        assert!(error.abs() < 0.002, "{error}");
    }
    let expected = niw.log_determinant().unwrap().double_value(&[]);
    let error = logs / f64::from(draws) - expected;
    assert!(error.abs() < 0.003, "{error}");
}

/// Check (c) of the card.
#[test]
fn without_width_there_is_no_adaptation_and_with_all_width_nothing_else() {
    let (tight, wide) = (niw([-30.0; D], 1.0), niw([30.0; D], 1.0));
    let close =
        |found: &Tensor, expected: &Tensor| (found - expected).abs().max().double_value(&[]) < 1e-9;
    assert!(close(&tight.local(&fit()).unwrap().mean, &tight.mean));
    assert!(close(&wide.local(&fit()).unwrap().mean, &fit().mean));
    assert!(!close(&niw([0.0; D], 1.0).local(&fit()).unwrap().mean, &fit().mean));
    assert!(close(&wide.local(&fit()).unwrap().variance, &fit().curvature.reciprocal()));
}

#[test]
fn a_spread_is_mean_and_variance_of_what_was_seen() {
    let mut spread = Spread::default();
    assert!(Spread::default().fit(1.0).unwrap().is_none());
    // Around a thousand, where a difference of mean squares would have lost all of it.
    for row in [[1000.0_f32, 1.0], [1000.5, 1.0], [1001.0, 1.0]] {
        spread.see(&Tensor::from_slice(&row)).unwrap();
    }
    let Fit { mean, curvature } = spread.fit(100.0).unwrap().unwrap();
    assert_eq!(values(&mean).unwrap(), [1000.5, 1.0]);
    let found = values(&curvature).unwrap();
    assert!((found[0] - 6.0).abs() < 1e-4 && found[1] == 100.0, "{found:?}");
}

#[test]
fn a_draw_has_mean_and_variance_of_the_posterior() {
    let local = niw([0.0; D], 1.0).local(&fit()).unwrap();
    assert_eq!(list(&local.draw(&doubles(&[0.0; D])).unwrap()), list(&local.mean));
    let away = local.draw(&Tensor::ones([3], (Kind::Double, Device::Cpu))).unwrap() - &local.mean;
    let error = (away.square() - &local.variance).abs().max().double_value(&[]);
    assert!(error < 1e-12);
}
