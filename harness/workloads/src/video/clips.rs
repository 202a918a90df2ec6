//! # clips
//!
//! Grey clips of 16 frames of 32 × 32 pixels to keep in one network, one after the other: soft blobs on circles and
//! gratings that drift, by turns, the same for every seed (no download). The network of NeRV's form takes time and
//! clip, each as sines and cosines at 40 frequencies (base 1.25), and gives the frame: 160–64–24·4·4, then three
//! blocks of 3 × 3 convolution and pixel shuffle to 32 × 32, and a head of 1 × 1 for each clip; 71,152 weights.
//!
//! An example is a frame, number `session·16 + frame`, its input clip and time. **What is judged are the frames that
//! were trained on**, on validation and test alike: how well they are kept is the question, as in compression.
//! `psnr` is the mean over frames of −10·log₁₀ of the mean squared error, values being within 0 and 1; of a network
//! that stands for one clip, over its frames. `reused` is the share of the weights behind the last clip (or the one it
//! stands for) that are bit for bit those behind an earlier one, at the same place. Pictures: a row a clip, frames 0, 5,
//! 10 and 15 as they are and then as the network gives them at the end.

use std::collections::BTreeMap;

use data::clips::{self, SIDE};
use data::sequences::{Part, Parts};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::record::pictures::Pictures;
use ledger::sample::sample_id;
use ledger::settings;
use ledger::settings::Range;
use tch::{Device, Kind, Tensor};

use crate::shared::generated;
use crate::shared::generative::share;
use lab::LabError;
use lab::models::clips::{Clips, Decoder, place};
use lab::network::{Network, values};
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::splits::Splits;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Clips, each a session; an epoch of a budget is 64 frames, as many as four clips have.
        sessions: u32 = 4, range Range::of(2.0..=8.0), from "assumed";
    }
}

/// Frames of a clip.
const FRAMES: u32 = 16;
/// Frames of the default settings; nothing is held out.
const SIZE: u32 = 4 * FRAMES;
/// Mean squared error below which frames count as the same: 100 dB.
const SAME: f64 = 1e-10;

const METRICS: &[MetricInfo] = &[
    MetricInfo { name: "psnr", higher_is_better: true, best: None, chance: None },
    share("reused"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "four procedural clips of 32×32, kept in a network in turn",
    data: DataName::Generated,
    offers: &[offers::CLIPS],
    metrics: METRICS,
    metric: "psnr",
    target: 25.0,
    target_origin: "assumed",
    budget_epochs: 80.0,
    evaluate_every_epochs: 20.0,
    split_sizes: [SIZE; 3],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(Settings::read(values)?.clips(), device),
    network: |values, _, streams, device| {
        Ok(Settings::read(values)?.clips().network(streams, device)?)
    },
    pictures: Some(pictures),
    ..Workload::BLANK
};

impl Settings {
    fn clips(&self) -> Clips {
        Clips { sessions: self.sessions, frames: FRAMES }
    }
}

/// A frame with what goes in for it.
struct Example {
    place: [f32; 2],
    frame: clips::Frame,
}

fn load(clips: Clips, device: Device) -> Result<Ready, LabError> {
    let part = |mark: u8| {
        let each = (0..clips.sessions).flat_map(|session| {
            let frames = (0..).zip(clips::clip(session, clips.frames));
            frames.map(move |(at, frame)| Example { place: place(clips, session, at), frame })
        });
        let examples: Vec<Example> = each.collect();
        let id = |example: &Example| {
            let input: Vec<u8> = example.place.iter().flat_map(|x| x.to_le_bytes()).collect();
            sample_id(&input, &[&example.frame[..], &[mark]].concat())
        };
        let ids: Vec<Digest> = examples.iter().map(id).collect();
        Part { examples, ids }
    };
    let none = Part { examples: Vec::new(), ids: Vec::new() };
    let parts = Parts { train: part(0), probe: none, validation: part(2), test: part(3) };
    let side = SIDE as i64;
    let (splits, identity) = generated::placed(&parts, |examples: &[Example]| {
        let places: Vec<f32> = examples.iter().flat_map(|example| example.place).collect();
        let frames: Vec<u8> = examples.iter().flat_map(|example| example.frame.clone()).collect();
        let frames = Tensor::f_from_slice(&frames)?.f_view([-1, 1, side, side])?;
        let labels = frames.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?.f_to_device(device)?;
        let stored = Tensor::f_from_slice(&places)?.f_view([-1, 2])?.f_to_device(device)?;
        Ok(Split { stored, labels, groups: Vec::new() })
    })?;
    let side = SideInfo { clips: Some(clips), ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(Kept) })
}

/// Frames of a clip that are shown.
const SHOWN: [i64; 4] = [0, 5, 10, 15];

/// Frames as they are, and as they are decoded: a row a clip.
fn pictures(network: &Network, splits: &Splits) -> Result<Pictures, LabError> {
    let split = &splits.train;
    let (inputs, labels) = split.rows(0, split.len())?;
    let clip = |frames: &Tensor| -> Result<Tensor, LabError> {
        let frames = frames.f_view([-1, i64::from(FRAMES), SIDE as i64, SIDE as i64])?;
        Ok(frames
            .f_index_select(1, &Tensor::f_from_slice(&SHOWN)?.f_to_device(frames.device())?)?)
    };
    let both = [clip(&labels)?, clip(&network.forward(&inputs, false)?)?];
    let grey = Tensor::f_cat(&both, 1)?.f_clamp(0.0, 1.0)?.f_mul_scalar(255.0)?.f_round()?;
    let pixels = Vec::<u8>::try_from(&grey.f_flatten(0, -1)?.f_to_kind(Kind::Uint8)?)?;
    Ok(Pictures { columns: 2 * SHOWN.len(), height: SIDE, width: SIDE, pixels })
}

/// How well frames are kept.
#[derive(Debug)]
struct Kept;

impl Judge for Kept {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (network, split) = (request.model.network, request.split);
        let decoder = Decoder::of(network)?;
        let frames = i64::from(decoder.clips.frames);
        let (from, count) = match decoder.only {
            Some(session) => (i64::from(session) * frames, frames),
            None => (0, split.len()),
        };
        // The dummy split of a warm-up is shorter.
        let (inputs, labels) = split.rows(from.min(split.len() - 1), count.min(split.len()))?;
        let error = network.forward(&inputs, false)?.f_sub(&labels)?.f_square()?;
        let errors = values(&error.f_mean_dim([1, 2, 3].as_slice(), false, Kind::Float)?)?;
        let decibels = errors.iter().map(|error| -10.0 * f64::from(*error).max(SAME).log10());
        let psnr = decibels.sum::<f64>() / errors.len() as f64;
        let all = [("psnr", psnr), ("reused", reused(network, decoder)?)];
        Ok(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Share of the weights that a clip is decoded with, those that are not 0, that an earlier clip is decoded with too.
fn reused(network: &Network, decoder: &Decoder) -> Result<f64, LabError> {
    let shared = decoder.shared();
    let session = decoder.only.unwrap_or(decoder.clips.sessions - 1) as usize;
    if session == 0 {
        return Ok(0.0);
    }
    if !decoder.apart {
        return Ok(1.0);
    }
    let set = |session: usize| -> Result<Vec<f32>, LabError> {
        let own = network.parameters[session * shared..][..shared].iter();
        let each = own.map(|parameter| values(&parameter.tensor));
        Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
    };
    let own = set(session)?;
    let mut found = vec![false; own.len()];
    for before in 0..session {
        for ((found, own), other) in found.iter_mut().zip(&own).zip(set(before)?) {
            *found |= own.to_bits() == other.to_bits();
        }
    }
    let used = own.iter().zip(found).filter(|(own, _)| **own != 0.0);
    let (all, again) =
        used.fold((0_u32, 0_u32), |(all, again), (_, found)| (all + 1, again + u32::from(found)));
    Ok(f64::from(again) / f64::from(all.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{Judged, Model};
    use training::trial::Fixture;

    fn metrics(fixture: &Fixture, network: &Network) -> BTreeMap<String, f64> {
        let split = &fixture.ready().splits.test;
        let model = Model::plain(network);
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        tch::no_grad(|| fixture.ready().judge.metrics(&request)).unwrap()
    }

    fn standing_for(network: Network, only: Option<u32>) -> Network {
        let decoder = *Decoder::of(&network).unwrap();
        Network { body: Decoder { only, ..decoder }.body(), ..network }
    }

    #[test]
    fn the_network_has_as_many_weights_as_the_card_says() {
        let fixture = crate::fixture("clips", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let count: usize = network.parameters.iter().map(|p| p.tensor.numel()).sum();
        assert_eq!(count, 71_152);
    }

    #[test]
    fn psnr_is_the_mean_over_frames_and_of_one_clip_over_its_own() {
        let fixture = crate::fixture("clips", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let (inputs, labels) = fixture.ready().splits.test.rows(0, 64).unwrap();
        let out = tch::no_grad(|| network.forward(&inputs, false)).unwrap();
        let psnr = |frame: i64| {
            let error: Tensor = out.get(frame) - labels.get(frame);
            -10.0 * error.square().mean(Kind::Double).double_value(&[]).log10()
        };
        let mean = |from: i64, to: i64| (from..to).map(psnr).sum::<f64>() / (to - from) as f64;
        let all = metrics(&fixture, &network);
        assert!((all["psnr"] - mean(0, 64)).abs() < 1e-3, "{all:?}");
        let one = metrics(&fixture, &standing_for(network, Some(2)));
        assert!((one["psnr"] - mean(32, 48)).abs() < 1e-3, "{one:?}");
    }

    #[test]
    fn pictures_are_four_frames_of_each_clip_and_what_the_network_gives_for_them() {
        let fixture = crate::fixture("clips", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let splits = &fixture.ready().splits;
        let drawn = tch::no_grad(|| pictures(&network, splits)).unwrap();
        assert_eq!((drawn.columns, drawn.height, drawn.width), (8, SIDE, SIDE));
        let each: Vec<&[u8]> = drawn.pixels.chunks(SIDE * SIDE).collect();
        assert_eq!(each.len(), 4 * 8);
        let (inputs, labels) = splits.train.rows(0, 64).unwrap();
        let given = tch::no_grad(|| network.forward(&inputs, false)).unwrap();
        for (row, column, frames, frame) in
            [(1, 2, &labels, 26), (3, 0, &labels, 48), (2, 7, &given, 47)]
        {
            let values = values(&(frames.get(frame) * 255.0).clamp(0.0, 255.0)).unwrap();
            let picture = each[row * 8 + column];
            assert!(picture.iter().zip(&values).all(|(p, v)| (f32::from(*p) - v).abs() <= 0.5001));
        }
    }

    #[test]
    fn reused_are_the_weights_of_earlier_clips_bit_for_bit() {
        let fixture = crate::fixture("clips", &with([("sessions", 2.into())])).unwrap();
        let network = fixture.network(1).unwrap();
        assert_eq!(metrics(&fixture, &network)["reused"], 1.0);
        let decoder = *Decoder::of(&network).unwrap();
        let mut parameters = network.duplicate().parameters.into_iter().take(5).collect::<Vec<_>>();
        parameters.extend(network.duplicate().parameters);
        let body = Decoder { apart: true, ..decoder }.body();
        let apart = Network::new(parameters, Vec::new(), body);
        assert_eq!(metrics(&fixture, &apart)["reused"], 1.0);
        // The second set's stem is 0 in its first half, and its second layer is another.
        tch::no_grad(|| {
            let mut half = apart.parameters[5].tensor.narrow(0, 0, 32);
            let _ = half.zero_();
            let _ = apart.parameters[6].tensor.shallow_clone().g_add_scalar_(1e-3);
        });
        let left = 160.0 * 32.0 + 20_736.0 + 10_368.0 + 5_184.0;
        let found = metrics(&fixture, &apart)["reused"];
        assert!((found - left / (left + 64.0 * 384.0)).abs() < 1e-12, "{found}");
        assert_eq!(metrics(&fixture, &standing_for(apart, Some(0)))["reused"], 0.0);
    }

    #[test]
    fn one_session_is_refused_with_the_range() {
        let refused = (WORKLOAD.resolve)(&with([("sessions", 1.into())])).unwrap_err().to_string();
        let range =
            "setting \"sessions\" is 1, but must be a whole number at least 2 and at most 8";
        assert_eq!(refused, range);
    }
}
