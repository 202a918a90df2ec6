//! # scene-cuts
//!
//! Films of 64 frames of 16 × 16 pixels: a coloured sprite on black, still but for its brightness, and one to six cuts to
//! another sprite, place and colour (2,048 training, 256 validation, 512 test examples; no download). Which of six sprites it is
//! cannot be told from frames of 4 × 4 pixels, where and of what colour it is can. A small transformer reads the patches of all
//! frames, as many of each as a method gives it (4 of every frame where none says so), and is asked of every frame which sprite it shows
//! (one block, width 32, two heads; 22,118 weights).
//!
//! `cut_accuracy` is the share of right answers at the first frame behind each cut, `accuracy` that over all frames, `tokens` the mean
//! number of patches that a film was read in. Guessing is right one time in six.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::scenes::{self, IDS, SIDE};
use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::generator;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use tch::{Device, Tensor};

use crate::shared::generated;
use crate::shared::generative::smaller;
use lab::LabError;
use lab::models::watcher::{Encoding, Film, Policy, Shape, Watcher, watcher};
use lab::network::values;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::slow_fast::{Search, TokenBudget};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Frames of a film.
        frames: u32 = 64, range Range::of(8.0..=256.0), from "assumed";
        /// Training examples.
        examples: u32 = 2_048, range Range::of(1.0..=1e6), from "assumed";
        /// Width of the residual stream, a multiple of 2.
        width: u32 = 32, range Range::of(2.0..=2_048.0), from "assumed";
        /// Blocks.
        depth: u32 = 1, range Range::of(1.0..=64.0), from "assumed";
    }
}

/// Training examples of the default settings, and those to validate and to test on.
const SIZES: [u32; 3] = [2_048, 256, 512];
/// Attention heads.
const HEADS: u32 = 2;
/// Height and width of the patches that frames are compared in.
const COMPARED: usize = 4;
/// Tokens of every frame where no method says how many.
const PLAIN: u64 = 4;
/// Films that are judged at once.
const AT_ONCE: i64 = 32;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("cut_accuracy", 1.0 / IDS as f64),
    MetricInfo::share("accuracy", 1.0 / IDS as f64),
    smaller("tokens"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "films of still scenes with cuts, small transformer over their patches",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::FILMS],
    metrics: METRICS,
    metric: "cut_accuracy",
    target: 0.8,
    target_origin: "assumed",
    budget_epochs: 4.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { frames, width, depth, .. } = Settings::read(values)?;
        let [frames, width, depth, heads] = [frames, width, depth, HEADS].map(|size| size as usize);
        let tokens = PLAIN * frames as u64;
        let encoding = Encoding {
            policy: Policy::UniformMany,
            theta: 0.0,
            budget: TokenBudget { tokens, ratio: 1.0, least: 1, most: PLAIN },
            search: Search::Fixed,
            detail: PLAIN,
        };
        let shape = Shape { frames, classes: IDS, width, depth, heads };
        watcher(shape, Arc::new(film()?), encoding, streams, device)
    },
    ..Workload::BLANK
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { width, .. } = Settings::read(&resolved)?;
    if !width.is_multiple_of(HEADS) {
        let expected = format!("a multiple of its {HEADS} attention heads");
        let (key, value) = ("width".to_owned(), width.to_string());
        return Err(SettingError::Invalid { key, value, expected });
    }
    Ok(resolved)
}

/// All frames there are.
fn film() -> Result<Film, LabError> {
    let frames: Vec<Vec<u8>> = (0..scenes::FRAMES as u16).map(scenes::pixels).collect();
    Ok(Film::new(&frames, SIDE, COMPARED)?)
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let Settings { frames, examples, .. } = *settings;
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let parts: [&[u8]; 2] = [b"palimpsest/scene-cuts/v1", &frames.to_le_bytes()];
    let mut random = generator(&Digest::of_parts(&parts));
    let draw = |_: Place| scenes::Film::draw(frames as usize, &mut random);
    let parts = distinct(sizes, draw, scenes::Film::id)?;
    let (splits, identity) = generated::placed(&parts, |films: &[scenes::Film]| {
        let table = |values: Vec<i64>| {
            Tensor::f_from_slice(&values)?.f_view([-1, i64::from(frames)])?.f_to_device(device)
        };
        let numbers = films.iter().flat_map(|film| &film.frames).map(|frame| i64::from(*frame));
        let labels = films.iter().flat_map(|film| &film.ids).map(|id| *id as i64);
        let (stored, labels) = (table(numbers.collect())?, table(labels.collect())?);
        Ok(Split { stored, labels, groups: Vec::new() })
    })?;
    let side = SideInfo { loss: Some(DefaultLoss::Tokens), films: frames, ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(Answers) })
}

/// Judges answers frame by frame.
#[derive(Debug)]
struct Answers;

impl Judge for Answers {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (network, split) = (request.model.network, request.split);
        let watcher = Watcher::of(network)?;
        let (mut right, mut cuts, mut right_cuts, mut frames, mut tokens) = (0, 0, 0, 0, 0);
        let mut start = 0;
        while start < split.len() {
            let (films, labels) = split.rows(start, AT_ONCE.min(split.len() - start))?;
            start += AT_ONCE;
            let found = network.forward(&films, false)?.f_argmax(-1, false)?;
            let same = values(&found.f_eq_tensor(&labels)?.f_to_kind(tch::Kind::Float)?)?;
            let ids = values(&labels.f_to_kind(tch::Kind::Float)?)?;
            tokens += watcher.read(&films)?.iter().sum::<u64>();
            for (same, ids) in same.chunks(watcher.frames()).zip(ids.chunks(watcher.frames())) {
                for (at, same) in same.iter().enumerate() {
                    // Ids are another behind every cut.
                    let cut = u32::from(at > 0 && ids[at] != ids[at - 1]);
                    let same = u32::from(*same > 0.0);
                    right += same;
                    frames += 1;
                    cuts += cut;
                    right_cuts += cut * same;
                }
            }
        }
        let found = [
            ("cut_accuracy", f64::from(right_cuts) / f64::from(cuts)),
            ("accuracy", f64::from(right) / f64::from(frames)),
            ("tokens", tokens as f64 / split.len() as f64),
        ];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::Network;
    use lab::slow_fast::{Compared, slow_frames};
    use lab::trial::with;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    #[test]
    fn every_cut_is_a_slow_frame_and_flicker_is_none() {
        let mut random = generator(&Digest::of(b"films of a test"));
        let compare = |frame: &u16| Compared::of(&scenes::pixels(*frame), SIDE, COMPARED);
        for _ in 0..50 {
            let film = scenes::Film::draw(64, &mut random);
            let compared: Vec<Compared> = film.frames.iter().map(compare).collect();
            let slow = slow_frames(&compared.iter().collect::<Vec<_>>(), 0.9);
            let found: Vec<usize> = (0..64).filter(|at| slow[*at]).collect();
            assert_eq!(found, film.cuts);
        }
    }

    #[test]
    fn a_network_of_zeros_answers_one_in_six_and_reads_four_tokens_of_every_frame() {
        let stage = crate::fixture("scene-cuts", &with([("examples", 16.into())])).unwrap();
        let network: Network = stage.network(1).unwrap();
        assert_eq!(network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>(), 22_118);
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let ready = stage.ready();
        let model = Model::plain(&network);
        let split = &ready.splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        let found = tch::no_grad(|| ready.judge.metrics(&request)).unwrap();
        assert_eq!(found["tokens"], 256.0);
        assert!((found["accuracy"] - 1.0 / 6.0).abs() < 0.02, "{found:?}");
        assert!((found["cut_accuracy"] - 1.0 / 6.0).abs() < 0.04, "{found:?}");
    }

    #[test]
    fn widths_that_heads_do_not_divide_are_refused() {
        let error = crate::fixture("scene-cuts", &with([("width", 33.into())])).unwrap_err();
        assert!(error.to_string().contains("a multiple of its 2 attention heads"), "{error}");
        assert!(crate::fixture("scene-cuts", &Values::new()).is_ok());
    }
}
