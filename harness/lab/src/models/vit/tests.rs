use super::*;
use crate::network::values;
use crate::trial::{self, VIT};
use ledger::streams;

fn network() -> Network {
    let mut network = vit(VIT, &trial::streams(), Device::Cpu).unwrap();
    // LayerScale of 1, so that the blocks are not a small part of what comes out.
    let own = network
        .parameters
        .iter_mut()
        .filter(|p| p.name.contains("scale1") || p.name.contains("scale2"));
    own.for_each(|parameter| drop(tch::no_grad(|| parameter.tensor.fill_(1.0))));
    network
}

fn vectors(network: &Network, sizes: &[[usize; 2]]) -> Tensor {
    let rows = native::sample(sizes, VIT.side).unwrap();
    tch::no_grad(|| Vit::of(network).unwrap().images(network, &rows)).unwrap()
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

#[test]
fn an_image_comes_out_of_any_pack_as_it_does_alone() {
    let network = network();
    let every: Vec<[usize; 2]> =
        (0..32).map(|i| [12 + 4 * (i / 4 % 4), 12 + 4 * (i % 4)]).collect();
    let rows = native::sample(&every, VIT.side).unwrap();
    let together = vectors(&network, &every);
    let vit = Vit::of(&network).unwrap();
    for (image, _) in (0..).zip(&every) {
        let alone = vit.images(&network, &rows.narrow(0, image, 1)).unwrap();
        let gap = largest(&(alone - together.narrow(0, image, 1)));
        assert!(gap <= 1e-5, "image {image}: {gap}");
    }
    // In another company and place.
    let backwards = vit.images(&network, &rows.flip([0])).unwrap().flip([0]);
    assert!(largest(&(backwards - &together)) <= 1e-5);
    // Images do differ.
    assert!(largest(&(together.get(0) - together.get(16))) > 1e-2);
}

#[test]
fn packs_hold_whole_images_largest_first_and_a_mask_keeps_them_apart() {
    let packs =
        Packs::of(&[[12, 12], [24, 24], [24, 24], [24, 24], [24, 24], [20, 16]], 4).unwrap();
    assert_eq!((packs.count(), packs.length), (2, PACK));
    assert_eq!(packs.counts, [9.0, 36.0, 36.0, 36.0, 36.0, 20.0]);
    let images: Vec<i64> = packs.places.iter().map(|place| place.image).collect();
    let of = |image: i64| images.iter().filter(|other| **other == image).count();
    assert_eq!([0, 1, 5, -1].map(of), [9, 36, 20, 144 - 29]);
    assert_eq!(images[144..164], [5; 20]);
    let mask = packs.mask(Device::Cpu).unwrap();
    let at = |pack: i64, a: i64, b: i64| mask.double_value(&[pack, 0, a, b]);
    assert_eq!([at(0, 0, 35), at(1, 19, 0), at(1, 20, 28)], [0.0; 3]);
    assert!([at(0, 35, 36), at(1, 19, 20), at(1, 28, 29)].iter().all(|m| *m == f64::NEG_INFINITY));
    assert_eq!(Packs::of(&[[0, 0]], 4).unwrap().counts, [1.0], "a row of zeros");
    let refused = Packs::of(&[[12, 14]], 4).unwrap_err().to_string();
    assert!(refused.contains("12 × 14") && refused.contains("4 × 4"), "{refused}");
}

/// Attention logits of fixed queries and keys at `places`, with `norms` behind the turn.
fn logits(places: &[[i64; 2]], norms: [&Tensor; 2]) -> Tensor {
    let count = places.len() as i64;
    let width = VIT.width as i64;
    let mut random = trial::streams().generator("trial");
    let numbers = streams::normal(&mut random, 2 * (count * width) as usize);
    let both = Tensor::from_slice(&numbers).view([2, 1, count, width]);
    let head = VIT.width / VIT.heads;
    let turns = angles(places.iter().copied(), head).unwrap().view([1, 1, count, head as i64]);
    let (vit, turns) = (Vit { shape: VIT }, [turns.cos(), turns.sin()]);
    vit.logits([&both.get(0), &both.get(1)], norms, &turns).unwrap()
}

#[test]
fn attention_sees_differences_of_places_alone_while_the_norms_behind_the_turn_are_one() {
    let places: Vec<[i64; 2]> = (0..6).map(|k| [k * k % 5, (3 * k + 1) % 6]).collect();
    let moved: Vec<_> = places.iter().map(|[row, column]| [row + 3, column + 7]).collect();
    let other: Vec<_> = places.iter().map(|[row, column]| [2 * row, *column]).collect();
    let ones = Tensor::ones([VIT.width as i64], (Kind::Float, Device::Cpu));
    let plain = |places: &[[i64; 2]]| logits(places, [&ones, &ones]);
    assert!(largest(&(plain(&moved) - plain(&places))) <= 1e-5);
    assert!(largest(&(plain(&other) - plain(&places))) > 1e-2, "it does see them");
    // One query and one key, the same difference apart in two places.
    let pair = |at: [i64; 2]| plain(&[at, [at[0] + 1, at[1] + 2]]).select(2, 0).select(2, 1);
    assert!(largest(&(pair([0, 0]) - pair([4, 9]))) <= 1e-5);
    // The code normalises after the turn: a scale per dimension is then no longer turned with the rest.
    let scale = Tensor::linspace(0.5, 1.5, VIT.width as i64, (Kind::Float, Device::Cpu));
    let scaled = |places: &[[i64; 2]]| logits(places, [&scale, &ones]);
    assert!(largest(&(scaled(&moved) - scaled(&places))) > 1e-2);
}

#[test]
fn places_turn_half_of_a_head_by_row_and_half_by_column() {
    let found = values(&angles([[3, 5]].into_iter(), 16).unwrap()).unwrap();
    let by = |position: f32| [1.0, 0.1, 0.01, 0.001].map(|frequency| position * frequency);
    let half = [by(3.0), by(5.0)].concat();
    let expected = [half.clone(), half].concat();
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
}

#[test]
fn parameters_are_those_of_the_shape_and_every_one_takes_a_gradient_of_similarities_or_features() {
    let network = network();
    let count: usize = network.parameters.iter().map(|p| p.tensor.numel()).sum();
    let Shape { patch, width: d, depth, hidden, classes, paraphrases, features, .. } = VIT;
    let inner = hidden * 2 / 3;
    let block = 3 * d * d + d * d + d + 3 * inner * d + 2 * inner + d + inner + 6 * d;
    let heads = d * d + d + d * features + features + (classes + paraphrases) * d + 2;
    assert_eq!(count, patch * patch * d + d + depth * block + heads);
    let rows = native::sample(&[[12, 12], [16, 20]], VIT.side).unwrap();
    let vit = Vit::of(&network).unwrap();
    let images = vit.images(&network, &rows).unwrap();
    let said = vit.similarities(&network, &images).unwrap();
    assert_eq!(said.size(), [2, (classes * paraphrases) as i64]);
    assert!(said.equal(&network.forward(&rows, true).unwrap()));
    let loss =
        said.square().sum(None) + vit.features(&network, &images).unwrap().square().sum(None);
    let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
    for (parameter, gradient) in network.parameters.iter().zip(&gradients) {
        assert!(largest(gradient) > 0.0, "{}", parameter.name);
    }
}

#[test]
fn two_thirds_of_the_inner_width_are_taken_as_in_the_code() {
    assert_eq!(4224 * 2 / 3, 2816);
    assert_eq!(VIT.hidden * 2 / 3, 21);
}
