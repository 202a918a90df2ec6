use super::*;
use crate::network::values;
use crate::trial;
use ledger::streams::{normal, uniform};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tch::Device;

const ALL: [Format; 14] = [
    Format::Single,
    Format::Bf16,
    Format::E4m3,
    Format::E5m2,
    Format::Int8,
    Format::Int8Row,
    Format::Fixed,
    Format::Bfp8,
    Format::MxInt8,
    Format::MxE4m3,
    Format::MxE5m2,
    Format::MxE3m2,
    Format::MxE2m3,
    Format::MxE2m1,
];

fn quantiser(format: Format) -> Quantiser {
    Quantiser { format, word_bits: 8, fraction_bits: 5, block: 256 }
}

fn gaussian(n: usize) -> Tensor {
    Tensor::from_slice(&normal(&mut trial::streams().generator("noise"), n))
}

fn drawn(n: usize) -> Tensor {
    Tensor::from_slice(&uniform(&mut trial::streams().generator("method"), n, 0.0, 1.0))
}

#[test]
fn gaussian_values_have_the_relative_errors_of_the_card() {
    let gaussian = gaussian(65_536).view([256, 256]);
    for (format, expected) in [
        (Format::Bf16, 0.00166),
        (Format::E4m3, 0.0264),
        (Format::E5m2, 0.0524),
        (Format::Int8, 0.0104),
        (Format::MxInt8, 0.0082),
        (Format::MxE4m3, 0.0294),
        (Format::MxE3m2, 0.0542),
        (Format::MxE2m1, 0.1151),
        (Format::Bfp8, 0.0093),
    ] {
        let rounded = quantiser(format).round(&gaussian, None, None).unwrap();
        let error = (&rounded - &gaussian).norm().double_value(&[]);
        let relative = error / gaussian.norm().double_value(&[]);
        // The card's figures are of another draw, rounded to three digits; the scale of int8 is the
        // largest of 65,536 values, which varies by a few percent.
        let room = if format == Format::Int8 { 0.08 } else { 0.02 };
        assert!((relative / expected - 1.0).abs() < room, "{format:?}: {relative} {expected}");
    }
}

#[test]
fn nearest_values_of_bf16_and_fp8_are_those_of_libtorch() {
    let wide = gaussian(4_096) * (drawn(4_096) * 20.0 - 14.0).exp2();
    let float = |x: &Tensor, kind| x.to_kind(kind).to_kind(Kind::Float);
    for (element, kind) in [
        (Element::BF16, Kind::BFloat16),
        (Element::E4M3, Kind::Float8e4m3fn),
        (Element::E5M2, Kind::Float8e5m2),
    ] {
        let held = wide.clamp(-element.largest, element.largest);
        let ours = element.round(&held, None).unwrap();
        assert!(ours.equal(&float(&held, kind)), "{kind:?}");
    }
    // Its own cast makes no number of what is beyond the largest by more than half a step.
    let beyond = Tensor::from_slice(&[464.0_f32, 465.0, 500.0]);
    let cast = values(&float(&beyond, Kind::Float8e4m3fn)).unwrap();
    assert!(cast[0] == 448.0 && cast[1].is_nan() && cast[2].is_nan());
    assert_eq!(values(&Element::E4M3.round(&beyond, None).unwrap()).unwrap(), [448.0; 3]);
}

#[test]
fn rounding_twice_is_rounding_once_and_zero_stays_zero() {
    let x = gaussian(2_048).view([8, 256]);
    for format in ALL {
        let quantiser = quantiser(format);
        let once = quantiser.round(&x, None, None).unwrap();
        let twice = quantiser.round(&once, None, None).unwrap();
        // A scale that is no power of two is taken anew from rounded values: equal but for last bits.
        let gap = (&once - &twice).abs().max().double_value(&[]);
        assert!(gap <= 1e-6, "{format:?}: {gap}");
        let zeros = quantiser.round(&x.zeros_like(), None, None).unwrap();
        assert_eq!(zeros.abs().max().double_value(&[]), 0.0, "{format:?}");
    }
}

#[test]
fn one_and_a_thousand_thousandths_stay_one_to_nearest_and_are_two_on_average() {
    let bf16 = quantiser(Format::Bf16);
    let mut generator = trial::streams().generator("method");
    let mut nearest = Tensor::ones([1], (Kind::Float, Device::Cpu));
    let mut stochastic = Tensor::ones([4_096], (Kind::Float, Device::Cpu));
    for _ in 0..1_000 {
        nearest = bf16.round(&(nearest + 1e-3), None, None).unwrap();
        let noise = Tensor::from_slice(&uniform(&mut generator, 4_096, 0.0, 1.0));
        stochastic = bf16.round(&(stochastic + 1e-3), Some(&noise), None).unwrap();
    }
    assert_eq!(nearest.double_value(&[0]), 1.0);
    let (mean, deviation) =
        (stochastic.mean(None).double_value(&[]), stochastic.std(true).double_value(&[]));
    assert!((mean - 2.0).abs() < 4.0 * 0.086 / 64.0, "{mean}");
    // The deviation of a deviation over 4,096 copies is 1.1 %.
    assert!((deviation / 0.086 - 1.0).abs() < 0.06, "{deviation}");
}

#[test]
fn stochastic_rounding_is_unbiased_in_every_format_whose_scale_leaves_room() {
    // Below the largest value, which sets the scale and is held; 0.75 is the largest of fp4 in a block of ±0.7.
    let x = (drawn(64) * 1.4 - 0.7).view([1, 64]);
    let x = Tensor::cat(&[x, Tensor::from_slice(&[1.0_f32]).view([1, 1])], 1);
    for format in ALL.into_iter().filter(|format| *format != Format::Single) {
        let quantiser = Quantiser { block: 0, ..quantiser(format) };
        let mut generator = trial::streams().generator("noise");
        let n = 2_000;
        let mut sum = x.zeros_like();
        let mut square = x.zeros_like();
        for _ in 0..n {
            let noise = Tensor::from_slice(&uniform(&mut generator, 65, 0.0, 1.0)).view([1, 65]);
            let error = quantiser.round(&x, Some(&noise), None).unwrap() - &x;
            sum += &error;
            square += error.square();
        }
        let mean = &sum / f64::from(n);
        let deviation = (&square / f64::from(n) - mean.square()).clamp_min(0.0).sqrt();
        let bound = deviation * (4.5 / f64::from(n).sqrt()) + 1e-6;
        let worst = (mean.abs() - bound).narrow(1, 0, 64).max().double_value(&[]);
        assert!(worst <= 0.0, "{format:?}: {worst}");
    }
}

#[test]
fn fixed_point_has_at_most_two_to_the_word_values_and_ends_where_the_word_does() {
    let fixed = Quantiser { format: Format::Fixed, word_bits: 8, fraction_bits: 7, block: 0 };
    let x = gaussian(10_000);
    let rounded = fixed.round(&x, Some(&drawn(10_000)), None).unwrap();
    let rounded = values(&rounded).unwrap();
    let different: BTreeSet<u32> = rounded.iter().map(|x| (x + 0.0).to_bits()).collect();
    assert!(different.len() <= 256 && different.len() > 200);
    let ends = rounded.iter().fold((0.0_f32, 0.0_f32), |(a, b), x| (a.min(*x), b.max(*x)));
    assert_eq!(ends, (-1.0, 127.0 / 128.0));
}

#[test]
fn blocks_run_along_channels_and_a_short_last_block_is_one_of_its_own() {
    // 40 channels: 32 small values, then 8 large ones, which must not set the scale of the first.
    let small = Tensor::full([2, 32, 1, 1], 0.01_f64, (Kind::Float, Device::Cpu));
    let large = Tensor::full([2, 8, 1, 1], 100.0_f64, (Kind::Float, Device::Cpu));
    let x = Tensor::cat(&[small, large], 1);
    let rounded = quantiser(Format::MxInt8).round(&x, None, None).unwrap();
    assert_eq!(rounded.size(), x.size());
    let relative = ((rounded - &x) / &x).abs().max().double_value(&[]);
    assert!(relative < 0.01, "{relative}");
}

proptest! {
    #[test]
    fn no_value_moves_by_more_than_its_step(seed: u64, exponent in -20_i32..20) {
        let mut generator = ledger::streams::Streams::new(
            ledger::seed::Seed::from_integer(seed).bytes,
        ).generator("x");
        let x = Tensor::from_slice(&normal(&mut generator, 64)).view([2, 32])
            * 2f64.powi(exponent);
        for (format, step) in [
            (Format::Bf16, 2f64.powi(-8)),
            (Format::MxE4m3, 0.125),
            (Format::MxE2m1, 0.5),
        ] {
            let rounded = quantiser(format).round(&x, None, None).unwrap();
            let largest = x.abs().max().double_value(&[]);
            let moved = (rounded - &x).abs().max().double_value(&[]);
            prop_assert!(moved <= step * largest, "{format:?} {moved} {largest}");
        }
    }
}
