//! # ring-shift
//!
//! A denoiser of points that is to follow its data to another place: every method starts from a perceptron of three hidden
//! layers of 128 SiLU units with 32 Fourier features of the noise level that was trained by EDM's loss on `ring8`, eight
//! equal normals on a circle of radius 0.7 (`pretraining` steps of 256 by Adam, whose rate falls from 0.001 to 0 in a
//! straight line; made once for a seed and kept), and trains on few points (64; 4,096 validation, 4,096 test; no
//! download) of the same circle moved by `shift` along both axes. `untrained` is that start. A method that uses the network's
//! output in another way than EDM's is refused.
//!
//! Every look draws 4,096 samples from noise that is the same for every method. `sw2` is the sliced Wasserstein-2 distance
//! to the moved points, `on_manifold` the share of samples within three deviations of a moved centre, `mode_entropy` the
//! entropy of the centres they belong to, over that of a uniform choice. `old_loss` is EDM's weighted denoising loss on
//! 4,096 fixed triples of a point of `ring8`, a level and its noise, none of which was trained on: what is left of what the
//! start knew, and no likelihood.

use std::collections::BTreeMap;

use data::planar::Density;
use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::Range;
use ledger::streams::{self, Streams, normal_f64};
use ledger::{order, settings};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::shared::asked::Ground;
use crate::shared::generated;
use crate::shared::generative::{SIGMA_DATA, share};
use crate::shared::settings::scaled;
use lab::LabError;
use lab::diffusion::{Denoise, Preconditioning, column, noised, squared_distance};
use lab::models::mlp2d::mlp2d;
use lab::network::Network;
use lab::objectives::denoising::Denoising;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::seat::{Facts, Gradients, Objective as _, Optimizer as _, StepInfo};
use lab::side_info::{Generation, SideInfo};
use lab::split::Split;
use training::artefacts::Artefacts;
use training::judge::{EvaluationRequest, Judge};
use training::metrics::modes::on_manifold_and_entropy;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden width 128.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// How far the points are moved along both axes.
        shift: f64 = 0.4, range Range::of(-10.0..=10.0), from "assumed";
        /// Points to train on.
        examples: u32 = 64, range Range::of(1.0..=1_048_576.0), from "assumed: a small set";
        /// Steps that the start was trained for.
        pretraining: u32 = 4_000, range Range::of(0.0..=1_000_000.0), from "assumed";
    }
}

const EXAMPLES: u32 = 64;
const HELD_OUT: u32 = 4_096;
const DEVIATION: f64 = 0.05;
/// Of the start's training: points of a step, peak rate, mean and deviation of ln σ.
const BATCH: usize = 256;
const RATE: f64 = 1e-3;
const LEVELS: [f64; 2] = [-1.2, 1.2];
/// Part of the key of kept starts: to be raised when the recipe changes.
const RECIPE: &[u8] = b"palimpsest/ring-shift start/v1";

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("sw2"),
    share("on_manifold"),
    share("mode_entropy"),
    MetricInfo::error("old_loss"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "a trained denoiser of points, to follow its data to another place, MLP 3×128",
    data: DataName::Generated,
    offers: &[offers::DENOISING],
    metrics: METRICS,
    metric: "sw2",
    target: 0.1,
    target_origin: "assumed",
    budget_epochs: 500.0,
    evaluate_every_epochs: 125.0,
    split_sizes: [EXAMPLES, HELD_OUT, HELD_OUT],
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { width, .. } = Settings::read(values)?;
        Ok(mlp2d(2, scaled(128, width), streams, device)?)
    },
    start: Some(|network, _, values, streams, artefacts| {
        let Settings { pretraining, .. } = Settings::read(values)?;
        start(network, pretraining, streams, artefacts)
    }),
    ..Workload::BLANK
};

fn draw(random: &mut Pcg64, shift: f64) -> [f32; 2] {
    let modes = Density::Ring8.modes();
    let mode = modes[order::bounded(random, modes.len() as u64) as usize];
    mode.map(|middle| {
        let exact = middle + shift + DEVIATION * normal_f64(random);
        // Ids must not hang on the last digit of a platform's sine.
        ((exact * 16_384.0).round() / 16_384.0) as f32
    })
}

fn id(point: &[f32; 2]) -> Digest {
    let [x, y] = point.map(f32::to_le_bytes);
    Digest::of_parts(&[b"palimpsest/ring-shift/v1", &x, &y])
}

fn points(points: &[[f32; 2]], device: Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(&points.concat())?.f_view([-1, 2])?.f_to_device(device)
}

fn split(drawn: &[[f32; 2]], device: Device) -> Result<Split, TchError> {
    let labels = Tensor::f_zeros([drawn.len() as i64], (Kind::Int64, device))?;
    Ok(Split { stored: points(drawn, device)?, labels, groups: Vec::new() })
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let Settings { shift, examples, .. } = *settings;
    let generator = |part: &[u8]| {
        order::generator(&Digest::of_parts(&[b"palimpsest/ring-shift points/v1", part]))
    };
    let sizes = Sizes { train: examples, probe: 0, validation: HELD_OUT, test: HELD_OUT };
    let mut random = generator(b"all");
    let parts = distinct(sizes, |_: Place| draw(&mut random, shift), id)?;
    let (splits, identity) = generated::placed(&parts, |points| split(points, device))?;
    let mut random = generator(b"spare");
    let fresh: Vec<[f32; 2]> = (0..HELD_OUT).map(|_| draw(&mut random, shift)).collect();
    let generation = Generation {
        shape: vec![2],
        sigma_data: SIGMA_DATA,
        fresh: points(&fresh, device)?,
        conditions: None,
        reward: None,
        start: Some(Preconditioning::Diffusion),
    };
    let ground = |name: &str, split: &Split| Ground::new("ring-shift", name, &split.stored);
    let grounds = [ground("validation", &splits.validation)?, ground("test", &splits.test)?];
    let side = SideInfo { generation: Some(generation), ..SideInfo::default() };
    let judge = Box::new(Shifted { shift, grounds, old: Old::new(device)? });
    Ok(Ready { splits, identity, side, judge })
}

/// Points of the circle where it was before.
fn old_points(validation: bool, device: Device) -> Result<Tensor, TchError> {
    let (floats, split) = Density::Ring8.generate();
    let chosen = if validation { &split.validation } else { &split.train };
    let all = floats.values.as_chunks::<2>().0;
    let own: Vec<[f32; 2]> =
        chosen.iter().filter_map(|position| all.get(*position as usize)).copied().collect();
    points(&own, device)
}

/// Fixed triples of a point, a level and its noise.
#[derive(Debug)]
struct Old {
    clean: Tensor,
    noisy: Tensor,
    sigmas: Vec<f64>,
    /// λ(σ) over the number of coordinates, N × 1.
    weights: Tensor,
}

impl Old {
    fn new(device: Device) -> Result<Self, TchError> {
        let clean = old_points(true, device)?;
        let mut random = order::generator(&Digest::of(b"palimpsest/ring-shift triples/v1"));
        let [mean, deviation] = LEVELS;
        let rows = usize::try_from(clean.size().first().copied().unwrap_or(0)).unwrap_or(0);
        let sigmas: Vec<f64> =
            (0..rows).map(|_| (mean + deviation * normal_f64(&mut random)).exp()).collect();
        let noise = Tensor::f_from_slice(&streams::normal(&mut random, 2 * rows))?;
        let noisy = noised(&clean, &noise.f_view([-1, 2])?.f_to_device(device)?, &sigmas)?;
        let weight = |sigma: &f64| {
            (sigma * sigma + SIGMA_DATA * SIGMA_DATA) / (sigma * SIGMA_DATA).powi(2) / 2.0
        };
        let weights: Vec<f64> = sigmas.iter().map(weight).collect();
        let weights = column(&weights, &clean)?.f_view([-1])?;
        Ok(Self { clean, noisy, sigmas, weights })
    }

    fn loss(&self, network: &Network) -> Result<f64, LabError> {
        let preconditioning = Preconditioning::Diffusion;
        let map = Denoise { network, preconditioning, sigma_data: SIGMA_DATA };
        let errors = squared_distance(&map.rows(&self.noisy, &self.sigmas)?, &self.clean)?;
        Ok(errors.f_mul(&self.weights)?.f_mean(Kind::Double)?.f_double_value(&[])?)
    }
}

/// Brings a network to where every method starts: by EDM's loss on the circle where it was.
fn start(
    network: &mut Network,
    steps: u32,
    streams: &Streams,
    artefacts: &dyn Artefacts,
) -> Result<Facts, LabError> {
    let mut seeded = streams.generator("start");
    let seed: Vec<u8> =
        (0..4).flat_map(|_| order::bounded(&mut seeded, u64::MAX).to_le_bytes()).collect();
    let initial = network.digest()?;
    let parts = [RECIPE, &steps.to_le_bytes(), &seed, initial.as_bytes()];
    let key = Digest::of_parts(&parts);
    match artefacts.load(&key)? {
        Some(weights) => network.restore(&weights)?,
        None => {
            pretrain(network, steps, &Streams::new(key.0))?;
            artefacts.save(&key, &network.snapshot())?;
        }
    }
    Ok(Facts::from([
        ("start_sha256".to_owned(), network.digest()?.to_string().into()),
        ("start_steps".to_owned(), steps.into()),
        ("start_samples".to_owned(), (u64::from(steps) * BATCH as u64).into()),
    ]))
}

fn pretrain(network: &Network, steps: u32, streams: &Streams) -> Result<(), LabError> {
    let device = network.device();
    let stored = old_points(false, device)?;
    let examples = u32::try_from(stored.size().first().copied().unwrap_or(0)).unwrap_or(0);
    let labels = Tensor::f_zeros([i64::from(examples)], (Kind::Int64, device))?;
    let old = Split { stored, labels, groups: Vec::new() };
    let [mean, deviation] = LEVELS;
    let mut objective = Denoising::new(mean, deviation, SIGMA_DATA, streams);
    let settings = AdamwSettings { lr: RATE, weight_decay: 0.0, ..AdamwSettings::default() };
    let mut rule = Adamw::new(settings, network, |_, _| true)?;
    let mut random = streams.generator("order");
    let mut queue: Vec<u32> = Vec::new();
    let total_steps = u64::from(steps);
    for step in 0..total_steps {
        if queue.len() < BATCH {
            queue = (0..examples).collect();
            order::shuffle(&mut random, &mut queue);
        }
        let batch = old.batch(&queue.split_off(queue.len().saturating_sub(BATCH)))?;
        let lr_factor = 1.0 - step as f64 / total_steps as f64;
        let now = StepInfo { step, total_steps, epoch: 0, total_epochs: 1, lr_factor, pass: 0 };
        let loss = objective.loss(network, &batch, &now)?;
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let tensors = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
        let gradients = Gradients { active: (0..leaves.len()).collect(), tensors };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &now))?;
    }
    Ok(())
}

/// Judges samples by the moved points, and the network by the old ones.
#[derive(Debug)]
struct Shifted {
    shift: f64,
    grounds: [Ground; 2],
    old: Old,
}

impl Judge for Shifted {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let [validation, test] = &self.grounds;
        let ground = request.judged.pick(validation, test);
        let samples = ground.draw(request)?;
        let back = samples.f_sub_scalar(self.shift)?;
        let [on, entropy] = on_manifold_and_entropy(Density::Ring8, &back)?;
        let found = [
            ("sw2", ground.sw2(&samples)?),
            ("on_manifold", on),
            ("mode_entropy", entropy),
            ("old_loss", self.old.loss(request.model.network)?),
        ];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::samplers::SamplerKind;
    use lab::trial::with;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    fn judged(settings: &Values, seed: u64) -> BTreeMap<String, f64> {
        let stage = crate::fixture("ring-shift", settings).unwrap();
        let network = stage.network(seed).unwrap();
        let sampler = SamplerKind::Heun.build(Preconditioning::Diffusion, SIGMA_DATA, 35);
        let model = Model { sampler: Some(sampler.as_ref()), ..Model::plain(&network) };
        let ready = stage.ready();
        let request = EvaluationRequest {
            model,
            split: &ready.splits.test,
            judged: Judged::Test,
            last: true,
        };
        tch::no_grad(|| ready.judge.metrics(&request)).unwrap()
    }

    #[test]
    fn the_start_knows_the_circle_where_it_was_and_not_where_it_is() {
        let some = [("pretraining", 400.into()), ("width", 0.5.into())];
        let moved = judged(&with(some.clone()), 1);
        let mut settings = with(some);
        settings.insert("shift".to_owned(), 0.0.into());
        let still = judged(&settings, 1);
        assert_eq!(still["old_loss"], moved["old_loss"]);
        // Moved by 0.4 along both axes: 0.4·√2 as a whole, 0.4 along a direction on average.
        assert!(moved["sw2"] > 0.3 && still["sw2"] < 0.5 * moved["sw2"], "{moved:?} {still:?}");
        let raw = judged(&with([("pretraining", 0.into()), ("width", 0.5.into())]), 1);
        assert!(raw["old_loss"] > 1.05 * moved["old_loss"], "{raw:?}");
    }

    #[test]
    fn real_points_score_well_and_the_exact_loss_of_a_network_of_zeros_is_one() {
        let stage = crate::fixture("ring-shift", &Values::new()).unwrap();
        let ready = stage.ready();
        let fresh = &ready.side.generation.as_ref().unwrap().fresh;
        let [on, entropy] = on_manifold_and_entropy(Density::Ring8, &(fresh - 0.4)).unwrap();
        assert!(on > 0.98 && entropy > 0.99, "{on} {entropy}");
        let network = mlp2d(2, 4, &Streams::new([0; 32]), Device::Cpu).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        // λ·c_out²·F̂² with F̂ of unit variance.
        let loss = tch::no_grad(|| Old::new(Device::Cpu).unwrap().loss(&network)).unwrap();
        assert!((loss - 1.0).abs() < 0.05, "{loss}");
    }

    #[test]
    fn a_start_is_that_of_its_seed_and_length() {
        let start = |steps: u32, seed: u64| {
            let settings = with([("pretraining", steps.into()), ("width", 0.125.into())]);
            let stage = crate::fixture("ring-shift", &settings).unwrap();
            stage.network(seed).unwrap().digest().unwrap()
        };
        assert_eq!(start(3, 1), start(3, 1));
        assert!(start(3, 1) != start(3, 2) && start(3, 1) != start(4, 1));
    }
}
