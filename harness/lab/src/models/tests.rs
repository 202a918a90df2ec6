//! Networks held to PyTorch: outputs of the same weights, printed by `tests/torchscript/make.py numbers`, and the
//! numbers of parameters that papers state.

use ledger::streams::Streams;
use tch::{Device, Kind, Tensor};

use super::gru::{Units, of_rows, of_tokens};
use super::plain_vit::{self, PlainVit, plain_vit};
use super::resnet::{self, resnet};
use super::{gpt, init};
use crate::network::{Network, Role, values};
use crate::trial;

/// middle + 0.3·sin(0.7·i + place), or another height.
fn wave(shape: &[i64], place: usize, middle: f64, height: f64) -> Tensor {
    let count = shape.iter().product::<i64>();
    let each: Vec<f32> = (0..count)
        .map(|i| (middle + height * (0.7 * i as f64 + place as f64).sin()) as f32)
        .collect();
    Tensor::from_slice(&each).reshape(shape)
}

/// The values of `make.py`: scales around 1, all else around 0.
fn filled(mut network: Network) -> Network {
    tch::no_grad(|| {
        for (place, parameter) in network.parameters.iter_mut().enumerate() {
            let scale = parameter.name.ends_with("scale");
            let values = wave(&parameter.tensor.size(), place, f64::from(u8::from(scale)), 0.3);
            parameter.tensor.copy_(&values);
        }
    });
    network
}

fn images(shape: [i64; 4]) -> Tensor {
    wave(&shape, 0, 0.0, 1.0)
}

fn tokens() -> Tensor {
    Tensor::from_slice(&[0_i64, 3, 6, 1, 5]).view([1, 5])
}

fn matches(outputs: &Tensor, shape: &[i64], expected: &[f64]) {
    assert_eq!(outputs.size(), shape);
    let found = values(outputs).unwrap();
    let close = found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-5);
    assert!(close && found.len() == expected.len(), "{found:?} instead of {expected:?}");
}

fn count(network: &Network) -> usize {
    network.parameters.iter().map(|parameter| parameter.tensor.numel()).sum()
}

fn streams() -> Streams {
    trial::streams()
}

#[test]
fn a_resnet_gives_what_pytorch_gives_while_it_trains_and_afterwards() {
    let shape = resnet::Shape { channels: 2, widths: vec![3, 5], blocks: 2, outputs: 3 };
    let network = filled(resnet(&shape, &streams(), Device::Cpu).unwrap());
    let inputs = images([3, 2, 5, 6]);
    let trained = network.forward(&inputs, true).unwrap();
    let expected = [
        0.851_017, -0.465_317, -0.401_026, 0.512_04, 0.019_506, -0.970_081, 0.711_985, -0.116_58,
        -0.915_149,
    ];
    matches(&trained, &[3, 3], &expected);
    // By the running statistics of one batch.
    let expected = [
        0.827_648, -0.241_829, -0.796_232, -0.101_146, 1.549_307, -3.222_08, 0.505_632, 0.675_959,
        -2.193_153,
    ];
    matches(&network.forward(&inputs, false).unwrap(), &[3, 3], &expected);
}

#[test]
fn resnets_have_the_parameters_of_the_paper() {
    let of = |blocks| {
        let shape = resnet::Shape { channels: 3, widths: vec![16, 32, 64], blocks, outputs: 10 };
        resnet(&shape, &streams(), Device::Cpu).unwrap()
    };
    // Table 6: 0.27 M for 20 layers, 1.7 M for 110.
    let small = of(3);
    assert_eq!((count(&small), small.depth()), (269_722, 20));
    assert_eq!(count(&of(18)), 1_727_962);
    // Filters are N(0, 2/fan-in).
    let filters = small.parameters.iter().rfind(|p| p.tensor.dim() == 4).unwrap();
    let deviation = filters.tensor.std(true).double_value(&[]);
    assert!((deviation / (2.0_f64 / 576.0).sqrt() - 1.0).abs() < 0.02, "{deviation}");
}

#[test]
fn a_vision_transformer_gives_what_pytorch_gives() {
    let shape =
        plain_vit::Shape { image: [2, 4, 6], patch: 2, width: 8, depth: 2, heads: 2, outputs: 3 };
    let network = filled(plain_vit(shape, &streams(), Device::Cpu).unwrap());
    let expected = [0.103_353, 0.819_152, 1.165_457, 0.115_401, 0.801_992, 1.126_79];
    matches(&network.forward(&images([2, 2, 4, 6]), true).unwrap(), &[2, 3], &expected);
    assert_eq!(network.depth(), 4);
    assert_eq!(PlainVit::of(&network).unwrap().shape, shape);
    let sizes: Vec<Vec<usize>> = network
        .parameters
        .iter()
        .map(|p| p.tensor.size().iter().map(|&size| size as usize).collect())
        .collect();
    assert_eq!(sizes, shape.sizes());
}

#[test]
fn a_tiny_vision_transformer_has_5_717_416_parameters_and_starts_as_deits_does() {
    let tiny = plain_vit::Shape {
        image: [3, 224, 224],
        patch: 16,
        width: 192,
        depth: 12,
        heads: 3,
        outputs: 1000,
    };
    let count: usize = tiny.sizes().iter().map(|size| size.iter().product::<usize>()).sum();
    // 5.7 M in table 1 of arXiv:2012.12877.
    assert_eq!(count, 5_717_416);
    let small = plain_vit::Shape { image: [3, 32, 32], patch: 4, depth: 1, outputs: 10, ..tiny };
    let network = plain_vit(small, &streams(), Device::Cpu).unwrap();
    for parameter in &network.parameters {
        let (least, most) =
            (parameter.tensor.min().double_value(&[]), parameter.tensor.max().double_value(&[]));
        if parameter.name.starts_with("patch.") {
            // As PyTorch leaves a convolution of 48 numbers to each output: evenly up to ±1/√48.
            let bound = 1.0 / 48.0_f64.sqrt();
            let near = 0.9 * bound..=bound;
            assert!(near.contains(&most) && near.contains(&-least), "{}", parameter.name);
            let deviation = parameter.tensor.std(true).double_value(&[]) / (bound / 3.0_f64.sqrt());
            assert!((deviation - 1.0).abs() < 0.2, "{}", parameter.name);
            continue;
        }
        match parameter.role {
            Role::Bias => assert_eq!((least, most), (0.0, 0.0), "{}", parameter.name),
            Role::Norm => assert_eq!(least, most, "{}", parameter.name),
            Role::Weight | Role::Embedding => {
                let deviation = parameter.tensor.std(true).double_value(&[]);
                let bound = 4.0 / (2.0 * parameter.tensor.numel() as f64).sqrt();
                assert!((deviation / 0.02 - 1.0).abs() < bound, "{}", parameter.name);
            }
        }
    }
}

#[test]
fn patches_or_heads_that_do_not_fit_are_refused_with_their_numbers() {
    let shape =
        plain_vit::Shape { image: [1, 9, 8], patch: 4, width: 6, depth: 1, heads: 4, outputs: 2 };
    let told = |shape| plain_vit(shape, &streams(), Device::Cpu).unwrap_err().to_string();
    assert!(told(shape).contains("9 × 8 have no whole patches of 4 × 4"), "{}", told(shape));
    let whole = plain_vit::Shape { image: [1, 8, 8], ..shape };
    assert!(told(whole).contains("width 6 is no multiple of 4 heads"), "{}", told(whole));
    assert!(told(plain_vit::Shape { patch: 0, ..whole }).contains("patches"));
}

#[test]
fn a_gpt_gives_what_pytorch_gives() {
    let shape = gpt::Shape { vocabulary: 7, context: 5, width: 8, depth: 2, heads: 2, hidden: 32 };
    let network = filled(gpt::gpt(shape, &streams(), Device::Cpu).unwrap());
    let expected = [
        -0.818_653, -0.981_348, -0.697_18, -0.094_602, 0.552_44, 0.949_098, 0.914_049, -0.734_634,
        -1.033_835, -0.862_613, -0.298_724, 0.401_253, 0.918_709, 1.018_098, -0.820_862,
        -0.998_233, -0.721_162, -0.114_916, 0.544_912, 0.957_735, 0.934_974, -0.764_881,
        -1.021_897, -0.813_849, -0.235_021, 0.451_299, 0.932_635, 0.989_653, 0.099_095, 0.558_945,
        0.774_27, 0.647_518, 0.232_115, -0.289_888, -0.687_456,
    ];
    matches(&network.forward(&tokens(), true).unwrap(), &[1, 5, 7], &expected);
}

#[test]
fn the_small_gpt_2_has_its_124_million_parameters_but_for_the_head_that_is_not_tied_here() {
    let (vocabulary, width) = (50_257, 768);
    let small = gpt::Shape { vocabulary, context: 1024, width, depth: 12, heads: 12, hidden: 3072 };
    let gpt = gpt::Gpt { shape: small, causal: true };
    let count: i64 = gpt.sizes().map(|size| size.iter().product::<i64>()).sum();
    let head = (vocabulary * width + vocabulary) as i64;
    assert_eq!(count - head, 124_439_808);
}

#[test]
fn gated_units_of_two_layers_give_what_pytorch_gives_on_tokens_and_on_rows_of_images() {
    let units = Units { width: 4, depth: 2 };
    let words = filled(of_tokens(7, units, &streams(), Device::Cpu).unwrap());
    let expected = [
        -0.262_249, -0.238_179, -0.268_738, -0.197_011, 0.179_447, 0.095_973, 0.462_963,
        -0.308_278, -0.210_709, -0.274_476, -0.213_668, 0.216_576, 0.042_665, 0.526_292,
        -0.326_342, -0.200_23, -0.276_158, -0.220_978, 0.232_032, 0.020_848, 0.551_948, -0.335_261,
        -0.193_923, -0.279_125, -0.221_694, 0.236_349, 0.013_43, 0.561_611, -0.341_895, -0.187_487,
        -0.284_619, -0.217_777, 0.234_461, 0.013_07, 0.564_177,
    ];
    matches(&words.forward(&tokens(), true).unwrap(), &[1, 5, 7], &expected);
    let rows = filled(of_rows(6, units, 3, &streams(), Device::Cpu).unwrap());
    let expected = [0.023_901, -0.043_63, -0.220_031, 0.021_624, -0.041_422, -0.221_915];
    matches(&rows.forward(&images([2, 2, 4, 3]), true).unwrap(), &[2, 3], &expected);
    // 3h(d + h + 2) of each layer, and the head.
    assert_eq!(count(&rows), 12 * (6 + 4 + 2) + 12 * (4 + 4 + 2) + 15);
}

#[test]
fn filters_before_a_relu_keep_the_square_of_what_goes_through_them() {
    let weights = init::he_normal(&mut streams().generator("init"), &[256, 256]).unwrap();
    let x = Tensor::from_slice(&ledger::streams::normal(&mut streams().generator("x"), 256 * 64));
    let after = x.view([64, 256]).relu().linear::<Tensor>(&weights, None);
    let ratio = after.square().mean(Kind::Double).double_value(&[])
        / x.square().mean(Kind::Double).double_value(&[]);
    assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
}
