//! Processes whose scores are known in closed form.

use tch::{Device, Kind};

use super::*;
use crate::models::given::{Shape, given};
use crate::network::values;
use crate::trial::streams;

fn noise(rows: i64, axes: i64) -> Tensor {
    let like = Tensor::zeros([rows, axes], (Kind::Float, Device::Cpu));
    noise_like(&like, &mut streams().generator("noise")).unwrap()
}

/// Mean and variance of the first coordinate.
fn moments(x: &Tensor) -> [f64; 2] {
    let first = x.narrow(1, 0, 1);
    [first.mean(Kind::Double).double_value(&[]), first.var(true).double_value(&[])]
}

#[test]
fn noised_data_keep_the_variance_of_the_process() {
    for t in [1e-3, 0.5, 8.0] {
        assert!((left(t).powi(2) + variance(t) - 1.0).abs() < 1e-12, "{t}");
    }
    let x = noise(20_000, 2) * 0.5 + 3.0;
    let fresh = noise_like(&x, &mut streams().generator("fresh")).unwrap();
    let [mean, spread] = moments(&noised(&x, &fresh, &[0.7]).unwrap());
    let expected = [3.0 * left(0.7), 0.25 * left(0.7).powi(2) + variance(0.7)];
    assert!((mean - expected[0]).abs() < 0.025 && (spread - expected[1]).abs() < 0.025);
}

#[test]
fn the_backward_process_of_an_exact_score_gives_back_the_data() {
    let span = Span { early: 1e-3, horizon: 8.0 };
    // N(1, ¼).
    let score = |x: &Tensor, t: f64| {
        let spread = 0.25 * left(t).powi(2) + variance(t);
        Ok((x - left(t)) / -spread)
    };
    let mut random = streams().generator("evaluation");
    let found = backward(&noise(20_000, 1), &span.steps(200), &mut random, score).unwrap();
    let [mean, spread] = moments(&found);
    assert!((mean - 1.0).abs() < 0.02 && (spread - 0.25).abs() < 0.02, "{mean} {spread}");
}

#[test]
fn samples_at_a_target_have_the_mean_of_the_conditional() {
    // x ~ N(0, I), y = θᵀx + N(0, 0.1²): given y = a, θᵀx is N(a/1.01, 1 − 1/1.01).
    let span = Span { early: 1e-3, horizon: 8.0 };
    let target = 2.0;
    let score = |x: &Tensor, t: f64| {
        let spread = (1.0 - 1.0 / 1.01) * left(t).powi(2) + variance(t);
        Ok((x - target / 1.01 * left(t)) / -spread)
    };
    let mut random = streams().generator("evaluation");
    let found = backward(&noise(20_000, 1), &span.steps(400), &mut random, score).unwrap();
    let [mean, spread] = moments(&found);
    assert!((mean / target - 0.990_099).abs() < 0.005, "{mean}");
    // Beside the conditional's own 0.0099 what the early stop leaves, 0.001, and what steps of one factor err.
    assert!((0.0099..0.0125).contains(&spread), "{spread}");
}

#[test]
fn steps_go_from_the_horizon_to_the_early_end_by_one_factor() {
    let steps = Span { early: 0.5, horizon: 8.0 }.steps(4);
    for (found, expected) in steps.iter().zip([8.0, 4.0, 2.0, 1.0, 0.5]) {
        assert!((found - expected).abs() < 1e-12, "{steps:?}");
    }
    let mut random = streams().generator("times");
    for times in [Times::Uniform, Times::Logarithmic] {
        let span = Span { early: 0.5, horizon: 8.0 };
        let drawn: Vec<f64> = (0..4_000).map(|_| span.draw(times, &mut random)).collect();
        assert!(drawn.iter().all(|t| (0.5..8.0).contains(t)));
        let below = drawn.iter().filter(|t| **t < 2.0).count() as f64 / 4_000.0;
        let expected = if times == Times::Uniform { 0.2 } else { 0.5 };
        assert!((below - expected).abs() < 0.032, "{times:?}: {below}");
    }
}

#[test]
fn both_outputs_are_one_score_of_one_network() {
    let shape = Shape { axes: 2, columns: 0, width: 8, outputs: 2, rank: None };
    let network = given(shape, &streams(), Device::Cpu).unwrap();
    let x = noise(5, 2);
    let [by_noise, by_mean] = [Output::Noise, Output::Mean]
        .map(|output| Score { network: &network, output }.at(&x, 0.3, None).unwrap());
    let raw = outputs(&network, &x, &[0.3], None).unwrap();
    let expected = [&raw / -variance(0.3).sqrt(), (&raw - &x) / variance(0.3)];
    for (found, expected) in [by_noise, by_mean].iter().zip(expected) {
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    }
    let many = noise(CHUNK + 3, 2);
    let score = Score { network: &network, output: Output::Noise };
    let off = score.at(&many, 0.3, None).unwrap() - score.rows(&many, &[0.3], None).unwrap();
    assert!(off.abs().max().double_value(&[]) < 1e-6);
    assert!(values(&many).unwrap().iter().all(|x| x.is_finite()));
}
