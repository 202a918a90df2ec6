//! # blobvid
//!
//! Two frames of 8 × 8 pixels of four grey levels: one or two sprites of 3 × 3 textured pixels on black, each moved by a velocity
//! within ±2 along both axes (2,048 training, 128 validation, 256 test examples; no download). A transformer over pairs of a
//! pointer and a code (two blocks, width 48, three heads; 58,853 weights) is asked for any pixel given any others: an example is 128
//! codes, its order is the method's.
//!
//! `bits` is −log₂ of the second frame's probability given the first, both in random orders that are the same for every method;
//! `excess` is what it has above the exact value, from all ways to explain the first frame by sprites. `bits_raster` has both
//! frames row by row. `subset_bits` is the part of `bits` of the last 16 pixels: a random subset given all the rest, which a model of one
//! order was never asked for. At the end flow is traced from one pixel of each of 100 first frames whose image is seen in the
//! second (white bumps of one pixel, five masks of 16 pixels): `epe` is the end-point error where KL is largest, `difference_epe` where levels differ most, drawn by
//! the same numbers from both laws, and `still_epe` that of no motion. A network that learned codes of flow is not shown any.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::sync::Arc;

use data::blobvid::{Clip, Frame, LEVELS, PIXELS, Rules, SIDE};
use data::sequences::{Parts, Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::{bounded, generator, shuffle};
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use rand_pcg::Pcg64;
use tch::{Device, Tensor};

use crate::shared::generated;
use crate::shared::generative::smaller;
use lab::LabError;
use lab::models::pointers::{Pairs, Pointers, Shape, pointers};
use lab::network::{Network, values};
use lab::offers;
use lab::side_info::{Patches, SideInfo};
use lab::split::Split;
use lab::structures::{Tracing, end_point_error, peak, predict};
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Training examples.
        examples: u32 = 2_048, range Range::of(1.0..=1e6), from "assumed";
        /// Sprites at most.
        sprites: u32 = 2, range Range::of(1.0..=2.0), from "assumed: one or two";
        /// Largest velocity along an axis.
        speed: u32 = 2, range Range::of(0.0..=4.0), from "assumed";
        /// Width of the residual stream, a multiple of the heads.
        width: u32 = 48, range Range::of(2.0..=2_048.0), from "assumed";
        /// Blocks.
        depth: u32 = 2, range Range::of(1.0..=64.0), from "assumed";
        /// Attention heads.
        heads: u32 = 3, range Range::of(1.0..=64.0), from "assumed";
    }
}

/// Training examples of the default settings, and those to validate and to test on.
const SIZES: [u32; 3] = [2_048, 128, 256];
/// Pixels at the end of a second frame that are a subset given the rest.
const SUBSET: usize = 16;
/// Test examples whose flow is traced.
const TRACED: usize = 100;

const METRICS: &[MetricInfo] = &[
    smaller("bits"),
    MetricInfo::error("excess"),
    smaller("bits_raster"),
    smaller("subset_bits"),
    MetricInfo::error("epe"),
    MetricInfo::error("difference_epe"),
    MetricInfo::error("still_epe"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "two frames of moving sprites in tokens, transformer with pointers",
    data: DataName::Generated,
    offers: &[offers::PATCHES],
    metrics: METRICS,
    metric: "bits",
    target: 20.0,
    target_origin: "assumed",
    budget_epochs: 4.0,
    evaluate_every_epochs: 2.0,
    split_sizes: SIZES,
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { width, depth, heads, .. } = Settings::read(values)?;
        let [width, depth, heads] = [width, depth, heads].map(|size| size as usize);
        let shape = Shape { side: SIDE, levels: LEVELS, codes: 0, width, depth, heads };
        pointers(shape, streams, device)
    },
    ..Workload::BLANK
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { width, heads, .. } = Settings::read(&resolved)?;
    if !width.is_multiple_of(heads) {
        let expected = format!("a multiple of \"heads\", which is {heads}");
        let (key, value) = ("width".to_owned(), width.to_string());
        return Err(SettingError::Invalid { key, value, expected });
    }
    Ok(resolved)
}

/// The examples of all splits.
fn clips(settings: &Settings) -> Result<(Rules, Parts<Clip>), LabError> {
    let Settings { examples, sprites, speed, .. } = *settings;
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let rules = Rules { most: sprites, speed };
    let mut random = generator(&Digest::of(b"palimpsest/blobvid/v1"));
    Ok((rules, distinct(sizes, |_: Place| rules.draw(&mut random), Clip::id)?))
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let (rules, parts) = clips(settings)?;
    let (splits, identity) = generated::placed(&parts, |clips: &[Clip]| {
        let levels: Vec<i64> = clips
            .iter()
            .flat_map(|clip| clip.frames.as_flattened())
            .map(|x| i64::from(*x))
            .collect();
        let columns = 2 * PIXELS as i64;
        let stored = Tensor::f_from_slice(&levels)?.f_view([-1, columns])?.f_to_device(device)?;
        Ok(Split { labels: stored.shallow_clone(), stored, groups: Vec::new() })
    })?;
    let flow = parts.train.examples.iter().map(|clip| clip.flow.clone()).collect();
    let patches = Patches { side: SIDE, levels: LEVELS, flow };
    let side = SideInfo { patches: Some(Arc::new(patches)), ..SideInfo::default() };
    let truth = |clips: &[Clip]| {
        let exact = clips.iter().map(|clip| {
            let [first, second] = &clip.frames;
            rules.explain(first).map_or(f64::NAN, |law| law.bits(second))
        });
        let queries = (0_u64..).zip(clips).map(|(at, clip)| query(at, clip)).collect();
        Truth { exact: exact.sum::<f64>() / clips.len() as f64, queries }
    };
    let judge = Box::new(Told {
        validation: truth(&parts.validation.examples),
        test: truth(&parts.test.examples),
    });
    Ok(Ready { splits, identity, side, judge })
}

/// A pixel of a sprite whose image is seen in the second frame, and how it moves; none where there is none that a bump changes.
fn query(at: u64, clip: &Clip) -> Option<(usize, [i32; 2])> {
    let [first, second]: &[Frame; 2] = &clip.frames;
    let seen = |place: usize| -> Option<(usize, [i32; 2])> {
        let flow = clip.flow[place]?;
        let image = [place / SIDE, place % SIDE];
        let image = [0, 1].map(|axis| image[axis] as i32 + flow[axis]);
        let within = image.iter().all(|x| (0..SIDE as i32).contains(x));
        let same = within && second[image[0] as usize * SIDE + image[1] as usize] == first[place];
        (same && usize::from(first[place]) < LEVELS - 1).then_some((place, flow))
    };
    let all: Vec<_> = (0..PIXELS).filter_map(seen).collect();
    let mut random = random(b"query", at);
    (!all.is_empty()).then(|| all[bounded(&mut random, all.len() as u64) as usize])
}

/// What judging draws for an example, the same for every method.
fn random(what: &[u8], at: u64) -> Pcg64 {
    generator(&Digest::of_parts(&[b"palimpsest/blobvid judge/v1", what, &at.to_le_bytes()]))
}

/// What is known of a split.
#[derive(Debug)]
struct Truth {
    /// Mean of the exact bits.
    exact: f64,
    /// What is asked about each example, with the answer.
    queries: Vec<Option<(usize, [i32; 2])>>,
}

/// Judges what a network says of second frames.
#[derive(Debug)]
struct Told {
    validation: Truth,
    test: Truth,
}

/// Mean bits of the second frame given the first, and of its last pixels, told in random orders or row by row.
fn bits(network: &Network, frames: &Tensor, raster: bool) -> Result<[f64; 2], LabError> {
    let rows = frames.size2()?.0;
    let part = |random: &mut Pcg64, from: u32| {
        let mut places: Vec<u32> = (from..from + PIXELS as u32).collect();
        if !raster {
            shuffle(random, &mut places);
        }
        places
    };
    let orders = (0..rows as u64).flat_map(|at| {
        let mut random = random(b"order", at);
        [part(&mut random, 0), part(&mut random, PIXELS as u32)].concat()
    });
    let orders: Vec<i64> = orders.map(i64::from).collect();
    let pointers =
        Tensor::f_from_slice(&orders)?.f_view([rows, -1])?.f_to_device(frames.device())?;
    let model = *Pointers::of(network)?;
    let (mut all, mut last) = (0.0, 0.0);
    let mut start = 0;
    while start < rows {
        let length = ROWS.min(rows - start);
        let pointers = pointers.f_narrow(0, start, length)?;
        let codes = frames.f_narrow(0, start, length)?.f_gather(1, &pointers, false)?;
        let losses = values(&model.losses(network, &Pairs { pointers, codes })?)?;
        for row in losses.chunks(2 * PIXELS) {
            let sum = |from: usize| row[from..].iter().map(|x| f64::from(*x)).sum::<f64>();
            all += sum(PIXELS);
            last += sum(2 * PIXELS - SUBSET);
        }
        start += length;
    }
    Ok([all, last].map(|sum| sum / LN_2 / rows as f64))
}

/// Rows that are judged at once.
const ROWS: i64 = 64;

/// How flow is traced where it is judged.
const TRACING: Tracing = Tracing {
    side: SIDE,
    levels: LEVELS,
    amplitude: 255.0,
    sigma: 0.5,
    masks: 5,
    revealed: 16,
    threshold: 0.0,
};

/// Mean end-point errors of flow by KL, by levels, and of no motion.
fn errors(network: &Network, frames: &Tensor, truth: &Truth) -> Result<[f64; 3], LabError> {
    let asked = truth.queries.iter().enumerate().filter_map(|(row, query)| Some((row, (*query)?)));
    let asked: Vec<_> = asked.take(TRACED).collect();
    let rows: Vec<i64> = asked.iter().map(|(row, _)| *row as i64).collect();
    let frames =
        frames.f_index_select(0, &Tensor::f_from_slice(&rows)?.f_to_device(frames.device())?)?;
    let queries: Vec<Vec<usize>> = asked.iter().map(|(_, (place, _))| vec![*place]).collect();
    let mut random = |row: usize| random(b"mask", row as u64);
    let traced = TRACING.trace(&frames, &queries, &mut random, &mut |ask| predict(network, ask))?;
    let mut sums = [0.0; 3];
    for ((_, (place, flow)), traced) in asked.iter().zip(traced.iter().flatten()) {
        let found = [&traced.kl, &traced.difference].map(|map| peak(map, *place, SIDE).0);
        for (sum, found) in sums.iter_mut().zip([found[0], found[1], [0, 0]]) {
            *sum += end_point_error(found, *flow);
        }
    }
    Ok(sums.map(|sum| sum / asked.len() as f64))
}

impl Judge for Told {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (network, frames) = (request.model.network, &request.split.stored);
        let truth = request.judged.pick(&self.validation, &self.test);
        let [all, subset] = bits(network, frames, false)?;
        let [raster, _] = bits(network, frames, true)?;
        let mut found = BTreeMap::from(
            [
                ("bits", all),
                ("excess", all - truth.exact),
                ("bits_raster", raster),
                ("subset_bits", subset),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if request.last {
            let names = ["epe", "difference_epe", "still_epe"].map(str::to_owned);
            found.extend(names.into_iter().zip(errors(network, frames, truth)?));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{Judged, Model};
    use training::trial::Fixture;

    fn fixture() -> Fixture {
        crate::fixture("blobvid", &with([("examples", 64.into())])).unwrap()
    }

    fn judged(fixture: &Fixture, network: &Network) -> BTreeMap<String, f64> {
        let ready = fixture.ready();
        let model = Model::plain(network);
        let split = &ready.splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        tch::no_grad(|| ready.judge.metrics(&request)).unwrap()
    }

    #[test]
    fn a_network_that_knows_nothing_spends_two_bits_a_pixel_and_traces_no_flow() {
        let fixture = fixture();
        let network = fixture.network(1).unwrap();
        assert_eq!(network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>(), 58_853);
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let found = judged(&fixture, &network);
        assert!(
            (found["bits"] - 128.0).abs() < 1e-3 && (found["bits_raster"] - 128.0).abs() < 1e-3
        );
        assert!((found["subset_bits"] - 32.0).abs() < 1e-3);
        // Velocities of two axes within ±2, and more where another sprite hides some of one.
        let exact = found["bits"] - found["excess"];
        assert!(exact > 4.6 && exact < 12.0, "{exact}");
        assert!(found["still_epe"] > 1.2 && found["still_epe"] < 2.5, "{found:?}");
        // Of maps that are 0 everywhere the first pixel is the largest.
        assert!(found["epe"] > found["still_epe"], "{found:?}");
    }

    #[test]
    fn examples_are_the_frames_and_their_flow_is_that_of_the_sprites() {
        let fixture = fixture();
        let ready = fixture.ready();
        let (_, parts) = clips(&Settings { examples: 64, ..Settings::default() }).unwrap();
        let patches = ready.side.patches.as_ref().unwrap();
        assert_eq!(patches.flow.len(), 64);
        let (rows, _) = ready.splits.train.rows(5, 1).unwrap();
        let levels = Vec::<i64>::try_from(rows.view([-1])).unwrap();
        let clip = &parts.train.examples[5];
        assert!(levels.iter().zip(clip.frames.as_flattened()).all(|(a, b)| *a == i64::from(*b)));
        assert_eq!(patches.flow[5], clip.flow);
    }

    #[test]
    fn widths_that_heads_do_not_divide_are_refused() {
        let error = crate::fixture("blobvid", &with([("width", 50.into())])).unwrap_err();
        assert!(error.to_string().contains("a multiple of \"heads\", which is 3"), "{error}");
    }
}
