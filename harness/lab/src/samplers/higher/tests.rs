use super::*;
use crate::diffusion::{Denoise, Preconditioning};
use crate::models::unet_s::unet_s;
use crate::network::values;
use crate::trial;
use tch::{Device, Kind};

fn network() -> Network {
    let network = unet_s(8, &trial::streams(), Device::Cpu).unwrap();
    // The last layer of a fresh network is small: larger weights make outputs that differ.
    for parameter in &network.parameters {
        let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(2.0));
    }
    network
}

fn higher(way: Way) -> Higher {
    let levels = times(50, 15).into_iter().map(|time| 0.5 * level(time)).collect();
    let refinement =
        Refinement { levels, guided: 5, sharpening: 1.0, blur: 1.0, filters: Filters::Db4 };
    let setup =
        Setup { preconditioning: Preconditioning::Diffusion, sigma_data: 0.5, evaluations: 20 };
    Higher { setup, way, native: 8, sides: vec![16], refinement }
}

fn noise(side: i64) -> Tensor {
    let like = Tensor::zeros([3, 1, side, side], (Kind::Float, Device::Cpu));
    noise_like(&like, &mut trial::streams().generator("noise")).unwrap()
}

fn drawn(higher: &Higher, noise: &Tensor, evaluations: u32) -> Tensor {
    let mut random = trial::streams().generator("evaluation");
    tch::no_grad(|| higher.sample(&network(), noise, evaluations, &mut random)).unwrap()
}

fn far(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn times_and_levels_are_those_of_sdxl() {
    assert_eq!(times(50, 15)[..6], [281, 261, 241, 221, 201, 181]);
    assert_eq!(times(50, 15).last(), Some(&1));
    assert_eq!(times(50, 50)[0], 981);
    // The largest level, which its scheduler starts from in training.
    assert!((level(999) - 14.614_6).abs() < 1e-4, "{}", level(999));
    assert!((level(281) - 0.778_92).abs() < 1e-4, "{}", level(281));
}

/// What SDEdit does, written down apart: noise on the enlarged sample, then Euler steps down to 0.
fn sdedit(small: &Tensor, levels: &[f64], random: &mut Pcg64) -> Tensor {
    let network = network();
    let map =
        Denoise { network: &network, preconditioning: Preconditioning::Diffusion, sigma_data: 0.5 };
    let start = small.upsample_bicubic2d([16, 16], false, None, None);
    let mut x = &start + noise_like(&start, random).unwrap() * levels[0];
    for place in 0..levels.len() {
        let next = levels.get(place + 1).copied().unwrap_or(0.0);
        let slope = (&x - map.at(&x, levels[place]).unwrap()) / levels[place];
        x = &x + slope * (next - levels[place]);
    }
    x
}

#[test]
fn without_guided_steps_and_sharpening_it_is_sdedit_bit_for_bit() {
    let mut plain = higher(Way::Refined);
    plain.refinement.guided = 0;
    plain.refinement.sharpening = 0.0;
    let small = drawn(&plain, &plain.native_noise(&noise(16)).unwrap(), 20);
    let mut random = trial::streams().generator("evaluation");
    let expected = tch::no_grad(|| sdedit(&small, &plain.refinement.levels, &mut random));
    let found = drawn(&plain, &noise(16), 20);
    assert_eq!(values(&found).unwrap(), values(&expected).unwrap());
    for changed in [
        Refinement { guided: 1, ..plain.refinement.clone() },
        Refinement { sharpening: 0.1, ..plain.refinement.clone() },
    ] {
        let other = Higher { refinement: changed, ..plain.clone() };
        assert!(far(&drawn(&other, &noise(16), 20), &found) > 1e-4);
    }
}

#[test]
fn a_guided_step_leaves_the_low_band_of_the_enlarged_sample_and_the_details_of_its_own() {
    let mut all = higher(Way::Refined);
    all.refinement = Refinement {
        guided: usize::MAX,
        sharpening: 0.0,
        filters: Filters::Haar,
        levels: vec![0.4],
        ..all.refinement
    };
    let evaluations = 6;
    let small = drawn(&all, &all.native_noise(&noise(16)).unwrap(), evaluations);
    let found = drawn(&all, &noise(16), evaluations);
    let wavelet = Wavelet::new(Filters::Haar, 16, Device::Cpu).unwrap();
    let [guide, own] = [enlarged(&small, 16).unwrap(), found].map(|x| wavelet.split(&x).unwrap());
    // One step to 0 ends at the edited prediction.
    assert!(far(&own.low, &guide.low) < 1e-4, "{}", far(&own.low, &guide.low));
    assert!(far(&own.details[2], &guide.details[2]) > 1e-3);
}

#[test]
fn larger_samples_are_made_of_the_one_that_native_noise_asks_for() {
    let upsampled = higher(Way::Upsampled);
    let small = drawn(&upsampled, &upsampled.native_noise(&noise(16)).unwrap(), 20);
    assert_eq!(small.size(), [3, 1, 8, 8]);
    let large = drawn(&upsampled, &noise(16), 20);
    assert_eq!(values(&large).unwrap(), values(&enlarged(&small, 16).unwrap()).unwrap());
    // Sums over squares are standard normal again.
    let many = noise_like(
        &Tensor::zeros([200, 1, 16, 16], (Kind::Float, Device::Cpu)),
        &mut trial::streams().generator("many"),
    );
    let native = upsampled.native_noise(&many.unwrap()).unwrap();
    assert!((native.var(true).double_value(&[]) - 1.0).abs() < 0.03);
    // Two sizes, one after the other.
    let twice = Higher { sides: vec![12, 16], ..higher(Way::Refined) };
    assert_eq!(twice.first(40), 10);
    assert_eq!(drawn(&twice, &noise(16), 40).size(), [3, 1, 16, 16]);
    let direct = higher(Way::Direct);
    let ode = Ode { setup: direct.setup, heun: true };
    let mut random = trial::streams().generator("evaluation");
    let plain = tch::no_grad(|| ode.sample(&network(), &noise(16), 20, &mut random)).unwrap();
    assert_eq!(values(&drawn(&direct, &noise(16), 20)).unwrap(), values(&plain).unwrap());
}

#[test]
fn evaluations_that_do_not_reach_for_both_leave_the_enlarged_sample_as_it_is() {
    let (refined, upsampled) = (higher(Way::Refined), higher(Way::Upsampled));
    let few = drawn(&refined, &noise(16), 15);
    assert_eq!(values(&few).unwrap(), values(&drawn(&upsampled, &noise(16), 15)).unwrap());
    assert!(far(&drawn(&refined, &noise(16), 16), &few) > 1e-3);
}

#[test]
fn sharpening_is_one_and_alpha_times_the_image_less_alpha_times_its_blur() {
    let constant = Tensor::full([1, 1, 6, 6], 0.3, (Kind::Float, Device::Cpu));
    assert!(far(&sharpened(&constant, 1.0, 1.0).unwrap(), &constant) < 1e-6);
    let point = Tensor::zeros([1, 1, 5, 5], (Kind::Float, Device::Cpu));
    let _ = point.get(0).get(0).get(2).get(2).fill_(1.0);
    let found = sharpened(&point, 1.0, 0.8).unwrap();
    let side = (-0.5_f64 / 0.64).exp();
    let weight = |a: f64, b: f64| a * b / (1.0 + 2.0 * side).powi(2);
    assert!((found.double_value(&[0, 0, 2, 2]) - (2.0 - weight(1.0, 1.0))).abs() < 1e-6);
    assert!((found.double_value(&[0, 0, 2, 3]) + weight(1.0, side)).abs() < 1e-6);
    assert!((found.double_value(&[0, 0, 1, 1]) + weight(side, side)).abs() < 1e-6);
    assert_eq!(sharpened(&point, 0.0, 0.8).unwrap(), point);
}
