//! Flows whose maps are known in closed form.

use std::sync::Arc;

use tch::{Device, Kind};

use super::*;
use crate::diffusion::Denoise;
use crate::models::mlp2d::mlp2d;
use crate::network::{Body, Denoiser, values};
use crate::trial;

/// F(x, ln(t/(1 − t))/4) = k(t)·x; behind t = 80/81 that is what is told, and k(80/81) what comes of it.
#[derive(Debug)]
struct Linear(fn(f64) -> f64);

impl Denoiser for Linear {
    fn run(&self, _: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        let times = values(noise)?.into_iter().map(|level| {
            let sigma = (4.0 * f64::from(level)).exp();
            (self.0)(sigma / (1.0 + sigma))
        });
        Ok(inputs.f_mul(&column(&times.collect::<Vec<_>>(), inputs)?)?)
    }
}

fn linear(factor: fn(f64) -> f64) -> Network {
    Network::new(vec![], vec![], Body::Denoiser(Arc::new(Linear(factor))))
}

/// Of data N(0, ¼): the velocity of independent pairs over x_t.
fn independent(t: f64) -> f64 {
    (t - (1.0 - t) / 4.0) / ((1.0 - t).powi(2) / 4.0 + t * t)
}

/// Of the pairs (z/2, z) that its flow makes.
fn reflowed(t: f64) -> f64 {
    0.5 / ((1.0 - t) * 0.5 + t)
}

fn points(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).view([-1, 2])
}

#[test]
fn the_density_of_times_is_that_of_the_published_code() {
    for (t, expected) in
        [(0.0, 2.0746), (0.1, 1.4213), (0.25, 0.8509), (0.5, 0.5514), (1.0, 2.0746)]
    {
        assert!((density(t, 4.0) - expected).abs() < 5e-5, "{t}: {}", density(t, 4.0));
        // ½C(e^{at} + e^{a(1−t)}), not e^{au} + e^{−au} on [0, 1], which only grows.
        let (a, c) = (4.0_f64, 4.0 / (4.0_f64.exp() - 1.0));
        let coded = 0.5 * c * ((a * t).exp() + (a * (1.0 - t)).exp());
        assert!((coded - density(t, a)).abs() < 1e-12, "{t}");
    }
    for (share, expected) in [(0.01, 0.004_865), (0.1, 0.053_294), (0.5, 0.5)] {
        assert!((quantile(share, 4.0) - expected).abs() < 1e-6, "{share}");
    }
}

#[test]
fn times_near_both_ends_are_drawn_as_often_as_their_density_says() {
    let mut random = trial::streams().generator("times");
    let n = 40_000;
    let drawn: Vec<f64> = (0..n).map(|_| Times::UShaped.draw(4.0, &mut random)).collect();
    let outer = drawn.iter().filter(|t| **t < 0.1 || **t > 0.9).count() as f64 / f64::from(n);
    let variance = drawn.iter().map(|t| (t - 0.5).powi(2)).sum::<f64>() / f64::from(n);
    // Four standard errors.
    assert!((outer - 0.3450).abs() < 0.0095, "{outer}");
    assert!((variance - 0.115_67).abs() < 0.0016, "{variance}");
    let uniform: f64 = (0..n).map(|_| Times::Uniform.draw(4.0, &mut random)).sum();
    assert!((uniform / f64::from(n) - 0.5).abs() < 0.006, "{uniform}");
    assert!(drawn.iter().all(|t| (NEAR..=1.0 - NEAR).contains(t)));
}

#[test]
fn logit_normal_times_have_their_median_at_one_half_and_a_shift_moves_it() {
    let mut random = trial::streams().generator("logit-normal times");
    let median = |shift: f64, random: &mut Pcg64| {
        let mut drawn: Vec<f64> =
            (0..20_001).map(|_| Times::LogitNormal.draw(shift, random)).collect();
        drawn.sort_by(f64::total_cmp);
        // Of a normal u of deviation 1, 15.87 % lie below −1.
        (drawn[10_000], drawn[3_174])
    };
    let (middle, low) = median(1.0, &mut random);
    assert!((middle - 0.5).abs() < 0.01 && (low - 0.268_94).abs() < 0.01, "{middle} {low}");
    let (middle, _) = median(3.0, &mut random);
    assert!((middle - 0.75).abs() < 0.01, "{middle}");
    for (t, shift, expected) in [(0.25, 1.0, 0.25), (0.5, 3.0, 0.75), (0.2, 5.0, 0.555_555_6)] {
        assert!((shifted(t, shift) - expected).abs() < 1e-7, "{t} {shift}");
    }
}

#[test]
fn an_exact_denoiser_is_the_exact_velocity_of_a_normal() {
    // F = 0 is the exact denoiser of N(0, ¼).
    let network = linear(|_| 0.0);
    let flow = Flow { network: &network, form: Form::Denoiser, sigma_data: 0.5 };
    let x = points(&[1.0, -0.3]);
    for (t, expected) in [(0.25, 0.3077), (0.5, 1.2), (0.75, 1.1892)] {
        assert!((independent(t) - expected).abs() < 5e-5, "{t}");
        let found = values(&flow.at(&x, t).unwrap()).unwrap();
        for (found, x) in found.into_iter().zip([1.0, -0.3]) {
            assert!((f64::from(found) - independent(t) * x).abs() < 1e-6, "{t}: {found}");
        }
    }
}

#[test]
fn a_velocity_converted_from_a_denoiser_is_its_own_at_every_time() {
    let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
    let flow = Flow { network: &network, form: Form::Denoiser, sigma_data: 0.5 };
    let denoise =
        Denoise { network: &network, preconditioning: Preconditioning::Diffusion, sigma_data: 0.5 };
    let x = points(&[0.3, -1.2, 0.01, 0.7]);
    for t in [0.02, 0.3, 0.5, 0.9, 0.98] {
        let clean = denoise.at(&(&x / (1.0 - t)), t / (1.0 - t)).unwrap();
        let expected = (&x - clean) / t;
        let off = (flow.at(&x, t).unwrap() - expected).abs().max().double_value(&[]);
        assert!(off < 2e-5 / t, "{t}: {off}");
    }
    // At the ends nothing overflows or cancels.
    for t in [NEAR, 1.0 - NEAR] {
        assert!(flow.at(&x, t).unwrap().abs().max().double_value(&[]) < 10.0, "{t}");
    }
}

#[test]
fn levels_behind_the_largest_of_edm_are_told_as_that_one_and_the_rest_is_exact() {
    for form in [Form::Velocity, Form::Denoiser] {
        let told = |t| form.coefficients(t, 0.5)[3];
        assert_eq!(told(1.0 - NEAR), SIGMA_MAX.ln() / 4.0);
        assert_eq!(told(0.999), told(1.0 - NEAR));
        assert!((told(0.98) - 49.0_f64.ln() / 4.0).abs() < 1e-9 && told(0.5).abs() < 1e-12);
    }
    // Those of σ = 999.
    let [a, b, c, _] = Form::Denoiser.coefficients(0.999, 0.5);
    let skip = 0.25 / (999.0_f64.powi(2) + 0.25);
    assert!((a - (1.0 - skip * 1_000.0) / 0.999).abs() < 1e-9, "{a}");
    assert!(b < 0.0 && (c - 1_000.0 / (999.0_f64.powi(2) + 0.25).sqrt()).abs() < 1e-6, "{b} {c}");
}

#[test]
fn euler_steps_of_the_exact_flow_halve_the_noise_and_reflowed_paths_are_straight() {
    let noise = points(&[1.0, -0.4, 0.2, 2.0]);
    let network = linear(independent);
    let one = Flow { network: &network, form: Form::Velocity, sigma_data: 0.5 };
    let factor = |steps| {
        let moved = carry(&one, &noise, steps, Rule::Euler).unwrap();
        moved.double_value(&[0, 0])
    };
    assert!((factor(1_000) - 0.5).abs() < 2e-3, "{}", factor(1_000));
    // One step takes x to x − v(x, 1) = 0, the mean of the data, but that the velocity is that of the level told.
    let told = 1.0 - independent(80.0 / 81.0) * (1.0 - NEAR);
    assert!((factor(1) - told).abs() < 1e-4 && told.abs() < 0.01, "{} {told}", factor(1));
    // A denoiser that needs no level is exact.
    let exact = linear(|_| 0.0);
    let exact = Flow { network: &exact, form: Form::Denoiser, sigma_data: 0.5 };
    let moved = carry(&exact, &noise, 1, Rule::Euler).unwrap().double_value(&[0, 0]);
    assert!(moved.abs() < 1e-4, "{moved}");
    assert!(straightness(&one, &noise, 100).unwrap() > 0.05);

    for (t, expected) in [(0.25, 0.8), (0.5, 0.6667), (0.75, 0.5714)] {
        assert!((reflowed(t) - expected).abs() < 5e-5, "{t}");
    }
    let network = linear(reflowed);
    let two = Flow { network: &network, form: Form::Velocity, sigma_data: 0.5 };
    for steps in [1_u32, 3, 100] {
        for rule in [Rule::Euler, Rule::New] {
            let moved = carry(&two, &noise, steps, rule).unwrap();
            let off = (moved - &noise * 0.5).abs().max().double_value(&[]);
            // The first step is made by k(80/81), 0.0031 from k(1), and noise is 2 at most.
            let allowed = 0.0065 / f64::from(steps) + 4e-5;
            assert!(off < allowed, "{steps} {rule:?}: {off}");
        }
    }
    let straight = straightness(&two, &noise, 100).unwrap();
    assert!(straight < 1e-6, "{straight}");
}

#[test]
fn the_new_rule_comes_back_to_the_noise_that_the_path_began_with() {
    let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
    let flow = Flow { network: &network, form: Form::Velocity, sigma_data: 0.5 };
    let noise = points(&[0.3, -1.2, 0.01, 0.7]);
    // By hand in two steps: t = 1 − 10⁻⁵, ½, 0.
    let first = &noise - flow.at(&noise, 1.0 - NEAR).unwrap() * (1.0 - NEAR);
    let half = first * 0.5 + &noise * 0.5;
    let expected = &half - flow.at(&half, 0.5).unwrap() * 0.5;
    let sampler =
        |rule| FlowSampler { form: Form::Velocity, sigma_data: 0.5, rule, evaluations: 1 };
    let mut random = trial::streams().generator("evaluation");
    let mut sample = |rule, n| sampler(rule).sample(&network, &noise, n, &mut random).unwrap();
    let off = (sample(Rule::New, 2) - expected).abs().max().double_value(&[]);
    assert!(off < 1e-6, "{off}");
    // In one step there is nothing to come back to.
    let same = (sample(Rule::New, 1) - sample(Rule::Euler, 1)).abs().max().double_value(&[]);
    assert!(same < 2e-5, "{same}");
    assert_ne!(values(&sample(Rule::New, 3)).unwrap(), values(&sample(Rule::Euler, 3)).unwrap());
    assert_eq!(times(4), [1.0 - NEAR, 0.75, 0.5, 0.25, 0.0]);
}

#[test]
fn pieces_are_moved_as_the_whole() {
    let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
    let flow = Flow { network: &network, form: Form::Denoiser, sigma_data: 0.5 };
    let like = Tensor::zeros([CHUNK + 3, 2], (Kind::Float, Device::Cpu));
    let x = crate::diffusion::noise_like(&like, &mut trial::streams().generator("noise")).unwrap();
    let off = flow.at(&x, 0.4).unwrap() - flow.rows(&x, &[0.4]).unwrap();
    assert!(off.abs().max().double_value(&[]) < 1e-6);
}
