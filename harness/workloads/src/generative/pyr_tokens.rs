//! # pyr-tokens
//!
//! Shapes to generate scale by scale: the images of one disc, square, cross or ring that `shapes16` has, averaged to 8 × 8 and quantised
//! to 16 levels at 1 × 1, 2 × 2, 4 × 4 and 8 × 8, each scale what the coarser ones have left: 85 tokens (8,192 images to train on, 300 to
//! validate and 300 to test on, no download, no two of the same tokens). A transformer of 8 layers of width 32 with 2 heads
//! predicts all tokens of a scale at once from all coarser scales; what stands at a token's place is the token that covers
//! its cell at the scale before. Every method starts from a network that was trained for `pretraining` steps of 8 images at
//! full depth by AdamW, whose rate falls from 0.003 to 0 in a straight line (made once for a seed and kept).
//!
//! `bits` is the exact negative log-likelihood in bits per token, `bits_1` to `bits_8` that of each scale, per token of it. The last look at
//! the test split asks besides what half the layers cost in the scales where they are used, in bits of an image per token there:
//! `half@early` of 1 × 1 and 2 × 2, `half@late` of 8 × 8; of the network itself alone, never of a part.

use std::collections::BTreeMap;

use data::pyramids::{LEVELS, SIDES, TOKENS, generate, parents};
use data::sequences::{Sequence, Sizes};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::{Range, SettingError};
use ledger::streams::Streams;
use ledger::{order, settings};
use tch::{Device, Kind, TchError, Tensor};

use crate::shared::generated;
use crate::shared::generative::smaller;
use lab::LabError;
use lab::models::pyramid::{Pyramid, pyramid};
use lab::network::{Network, values};
use lab::objectives::{DefaultLoss, token_losses};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::seat::{Facts, Gradients, Objective as _, Optimizer as _, StepInfo};
use lab::side_info::SideInfo;
use lab::split::Split;
use training::artefacts::Artefacts;
use training::judge::{EvaluationRequest, Judge, Judged};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Width of the network, a multiple of its 2 heads.
        width: u32 = 32, range Range::of(2.0..=2_048.0), from "assumed";
        /// Layers of the network.
        layers: u32 = 8, range Range::of(2.0..=64.0), from "assumed";
        /// Steps that the start was trained for.
        pretraining: u32 = 1_500, range Range::of(0.0..=1_000_000.0), from "assumed";
    }
}

const HEADS: u32 = 2;
const TRAIN: u32 = 8_192;
const HELD_OUT: u32 = 300;
/// Of the start's training: images of a step and peak rate.
const BATCH: usize = 8;
const RATE: f64 = 3e-3;
/// Part of the key of kept starts: to be raised when the recipe changes.
const RECIPE: &[u8] = b"palimpsest/pyr-tokens start/v1";
/// Scales whose layers are halved together.
const EARLY: [bool; 4] = [true, true, false, false];
const LATE: [bool; 4] = [false, false, false, true];
/// Images that are judged at once.
const AT_ONCE: i64 = 100;

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("bits"),
    MetricInfo::error("bits_1"),
    MetricInfo::error("bits_2"),
    MetricInfo::error("bits_4"),
    MetricInfo::error("bits_8"),
    smaller("half@early"),
    smaller("half@late"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "shapes as pyramids of 85 tokens to predict scale by scale, transformer of 8 layers",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::SCALES],
    metrics: METRICS,
    metric: "bits",
    target: 1.0,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.5,
    split_sizes: [TRAIN, HELD_OUT, HELD_OUT],
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { width, .. } = Settings::read(&resolved)?;
        if width % HEADS != 0 {
            let expected = format!("a multiple of its {HEADS} attention heads");
            let (key, value) = ("width".to_owned(), width.to_string());
            return Err(SettingError::Invalid { key, value, expected });
        }
        Ok(resolved)
    },
    load: |_, _, device| load(device),
    network: |values, _, streams, device| {
        let Settings { width, layers, .. } = Settings::read(values)?;
        let sizes = [width, layers, HEADS].map(|size| size as usize);
        pyramid(&SIDES.map(|side| side as u32), LEVELS as usize, sizes, streams, device)
    },
    start: Some(|network, ready, values, streams, artefacts| {
        let Settings { pretraining, .. } = Settings::read(values)?;
        start(network, &ready.splits.train, pretraining, streams, artefacts)
    }),
    ..Workload::BLANK
};

fn load(device: Device) -> Result<Ready, LabError> {
    let sizes = Sizes { train: TRAIN, probe: 0, validation: HELD_OUT, test: HELD_OUT };
    let parts = generate(sizes)?;
    let (splits, identity) = generated::placed(&parts, |examples| split(examples, device))?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        scales: SIDES.map(|side| side as u32).to_vec(),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge: Box::new(Bits) })
}

/// Inputs are a start and the tokens that cover each other place at the scale before, labels the tokens.
fn split(examples: &[Sequence], device: Device) -> Result<Split, TchError> {
    let parents = parents();
    let mut inputs = Vec::with_capacity(examples.len() * TOKENS);
    let mut labels = Vec::with_capacity(examples.len() * TOKENS);
    for Sequence { tokens, .. } in examples {
        inputs.push(LEVELS);
        inputs.extend(parents.iter().map(|parent| i64::from(tokens[*parent])));
        labels.extend(tokens.iter().map(|token| i64::from(*token)));
    }
    let place = |values: &[i64]| {
        Tensor::f_from_slice(values)?.f_view([-1, TOKENS as i64])?.f_to_device(device)
    };
    let groups = examples.iter().map(|example| example.group).collect();
    Ok(Split { stored: place(&inputs)?, labels: place(&labels)?, groups })
}

/// Brings a network to where every method starts.
fn start(
    network: &mut Network,
    train: &Split,
    steps: u32,
    streams: &Streams,
    artefacts: &dyn Artefacts,
) -> Result<Facts, LabError> {
    let mut seeded = streams.generator("start");
    let seed: Vec<u8> =
        (0..4).flat_map(|_| order::bounded(&mut seeded, u64::MAX).to_le_bytes()).collect();
    let initial = network.digest()?;
    let key = Digest::of_parts(&[RECIPE, &steps.to_le_bytes(), &seed, initial.as_bytes()]);
    match artefacts.load(&key)? {
        Some(weights) => network.restore(&weights)?,
        None => {
            pretrain(network, train, steps, &Streams::new(key.0))?;
            artefacts.save(&key, &network.snapshot())?;
        }
    }
    Ok(Facts::from([
        ("start_sha256".to_owned(), network.digest()?.to_string().into()),
        ("start_steps".to_owned(), steps.into()),
        ("start_samples".to_owned(), (u64::from(steps) * BATCH as u64).into()),
    ]))
}

fn pretrain(
    network: &Network,
    train: &Split,
    steps: u32,
    streams: &Streams,
) -> Result<(), LabError> {
    let settings = AdamwSettings { lr: RATE, weight_decay: 0.0, ..AdamwSettings::default() };
    let mut rule = Adamw::new(settings, network, |_, _| true)?;
    let mut random = streams.generator("order");
    let mut queue: Vec<u32> = Vec::new();
    let total_steps = u64::from(steps);
    for step in 0..total_steps {
        if queue.len() < BATCH {
            queue = (0..TRAIN).collect();
            order::shuffle(&mut random, &mut queue);
        }
        let batch = train.batch(&queue.split_off(queue.len().saturating_sub(BATCH)))?;
        let lr_factor = 1.0 - step as f64 / total_steps as f64;
        let now = StepInfo { step, total_steps, epoch: 0, total_epochs: 1, lr_factor, pass: 0 };
        let loss = DefaultLoss::Tokens.loss(network, &batch, &now)?;
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let tensors = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
        let gradients = Gradients { active: (0..leaves.len()).collect(), tensors };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &now))?;
    }
    Ok(())
}

/// Judges by the likelihood.
#[derive(Debug)]
struct Bits;

/// Bits of an image by place, the mean over a split.
fn bits(network: &Network, split: &Split) -> Result<Vec<f64>, LabError> {
    let mut sums = vec![0.0; TOKENS];
    let mut from = 0;
    while from < split.len() {
        let count = AT_ONCE.min(split.len() - from);
        let (inputs, labels) = split.rows(from, count)?;
        let losses = token_losses(&network.forward(&inputs, false)?, &labels)?;
        let own = values(&losses.f_sum_dim_intlist(0, false, Kind::Double)?)?;
        sums.iter_mut().zip(own).for_each(|(sum, loss)| *sum += f64::from(loss));
        from += count;
    }
    let scale = split.len() as f64 * std::f64::consts::LN_2;
    Ok(sums.into_iter().map(|sum| sum / scale).collect())
}

/// What half the layers cost in some scales, in bits of an image per token of these.
fn cost(network: &Network, split: &Split, whole: f64, halved: [bool; 4]) -> Result<f64, LabError> {
    let own = Pyramid::of(network)?;
    let depth = |halved: bool| if halved { own.layers() / 2 } else { own.layers() };
    let part = Pyramid::with_depths(network, own, halved.map(depth).to_vec());
    let tokens = own.tokens().zip(halved).filter(|(_, halved)| *halved).map(|(tokens, _)| tokens);
    Ok((bits(&part, split)?.iter().sum::<f64>() - whole) / tokens.sum::<usize>() as f64)
}

impl Judge for Bits {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (network, split) = (request.model.network, request.split);
        let each = bits(network, split)?;
        let whole: f64 = each.iter().sum();
        let mut all = BTreeMap::from([("bits".to_owned(), whole / TOKENS as f64)]);
        let mut start = 0;
        for side in SIDES {
            let own = &each[start..start + side * side];
            all.insert(format!("bits_{side}"), own.iter().sum::<f64>() / own.len() as f64);
            start += own.len();
        }
        if request.last && request.judged == Judged::Test && Pyramid::of(network)?.is_whole() {
            for (name, halved) in [("half@early", EARLY), ("half@late", LATE)] {
                all.insert(name.to_owned(), cost(network, split, whole, halved)?);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::Model;
    use training::trial::Fixture;

    fn fixture(pretraining: u32) -> Fixture {
        let settings = [("pretraining", pretraining), ("width", 16), ("layers", 4)];
        crate::fixture("pyr-tokens", &with(settings.map(|(key, value)| (key, value.into()))))
            .unwrap()
    }

    fn judged(fixture: &Fixture, network: &Network, last: bool) -> BTreeMap<String, f64> {
        let ready = fixture.ready();
        let (split, judged) = (&ready.splits.test, Judged::Test);
        let request = EvaluationRequest { model: Model::plain(network), split, judged, last };
        tch::no_grad(|| ready.judge.metrics(&request)).unwrap()
    }

    #[test]
    fn a_network_of_zeros_needs_four_bits_a_token_and_half_of_it_costs_nothing() {
        let fixture = fixture(0);
        let network = fixture.network(1).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let found = judged(&fixture, &network, true);
        for side in [1, 2, 4, 8] {
            assert!((found[&format!("bits_{side}")] - 4.0).abs() < 1e-6, "{found:?}");
        }
        assert_eq!((found["half@early"], found["half@late"]), (0.0, 0.0));
    }

    #[test]
    fn bits_are_the_mean_over_tokens_and_a_part_is_not_asked_for_its_halves() {
        let fixture = fixture(20);
        let network = fixture.network(1).unwrap();
        let found = judged(&fixture, &network, true);
        let sum: f64 =
            SIDES.iter().map(|side| (side * side) as f64 * found[&format!("bits_{side}")]).sum();
        assert!((sum / 85.0 - found["bits"]).abs() < 1e-9);
        let (inputs, labels) = fixture.ready().splits.test.rows(0, i64::from(HELD_OUT)).unwrap();
        let logits = tch::no_grad(|| network.forward(&inputs, false)).unwrap();
        let loss = DefaultLoss::Tokens.of_outputs(&logits, &labels).unwrap();
        let bits = loss.mean(Kind::Double).double_value(&[]) / 2_f64.ln();
        assert!((bits - found["bits"]).abs() < 1e-4, "{bits}");
        assert!(!judged(&fixture, &network, false).contains_key("half@late"));
        let part = Pyramid::part(&network, 2, 2).unwrap();
        assert!(!judged(&fixture, &part, true).contains_key("half@late"));
    }

    #[test]
    fn the_bits_of_a_token_do_not_hang_on_its_own_scale_or_finer_ones() {
        let fixture = fixture(0);
        let network = fixture.network(1).unwrap();
        let (inputs, labels) = fixture.ready().splits.test.rows(0, 2).unwrap();
        // What is read at 4 × 4 are the tokens of 2 × 2: labels 1 to 4.
        let read: Vec<i64> = Vec::try_from(inputs.get(0).narrow(0, 5, 16)).unwrap();
        let parents: Vec<i64> = Vec::try_from(labels.get(0).narrow(0, 1, 4)).unwrap();
        assert!(read.iter().all(|token| parents.contains(token)));
        assert_eq!(inputs.int64_value(&[0, 0]), LEVELS);
        let whole = network.forward(&inputs, false).unwrap();
        let _ = inputs.narrow(1, 21, 64).fill_(3);
        let moved = (network.forward(&inputs, false).unwrap() - whole).abs();
        assert!(moved.narrow(1, 0, 21).max().double_value(&[]) < 1e-6);
        assert!(moved.narrow(1, 21, 64).max().double_value(&[]) > 1e-3);
    }

    #[test]
    fn a_start_has_learnt_and_is_that_of_its_seed_and_length() {
        let [raw, short, long] = [0, 40, 160].map(fixture);
        let bits = |fixture: &Fixture| judged(fixture, &fixture.network(1).unwrap(), false)["bits"];
        let (raw, short, long) = (bits(&raw), bits(&short), bits(&long));
        assert!(raw > short + 0.5 && short > long, "{raw} {short} {long}");
        let digest = |seed: u64| fixture(3).network(seed).unwrap().digest().unwrap();
        assert!(digest(1) == digest(1) && digest(1) != digest(2));
    }
}
