//! # bit-permutations
//!
//! A permutation of k bits, of which only the k unit vectors are shown; all 2^k − 1 inputs but 0 are
//! judged. Inputs are bits over their norm, so that every one has norm 1; the target of an input has the
//! bits of the input in other places. What is judged is what ensembles say: a table with a row for each
//! input and the mean output of each bit, made by the method, for as many ensembles as it likes. An
//! output above 1e-4 is a 1: what was trained on is fitted to that.
//!
//! `ensembles` is the share of ensembles that carry out the permutation on every input, `inputs` the
//! share of inputs on which they do.

use std::collections::BTreeMap;

use data::sequences::{Part, Parts};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::shuffle;
use ledger::sample::sample_id;
use ledger::settings;
use ledger::settings::Range;
use tch::{Device, Kind, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::models::Builder;
use lab::network::{Body, Network, values};
use lab::offers;
use lab::permutations::inputs;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// k.
        bits: u32 = 8, range Range::of(2.0..=10.0), from "the paper's smallest but one";
        /// The permutation: another number draws another.
        source: u32 = 0, from "assumed";
    }
}

const METRICS: &[MetricInfo] =
    &[MetricInfo::share("ensembles", 0.0), MetricInfo::share("inputs", 0.0)];

/// Unit vectors, and all inputs, of 8 bits.
const SIZES: [u32; 3] = [8, 255, 255];
/// Above this an output is a 1.
const ABOVE: f32 = 1e-4;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "a permutation of 8 bits, shown on unit vectors alone",
    data: DataName::Generated,
    offers: &[offers::PERMUTATION],
    metrics: METRICS,
    metric: "ensembles",
    target: 0.9,
    target_origin: "the paper's figure 1 is drawn at 90 %",
    budget_epochs: 1.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { bits, .. } = Settings::read(values)?;
        // Nobody has said anything yet: all outputs are 0.
        let mut network = Builder::new(streams, device).finish_with(Body::Table);
        let shape = [1, inputs(bits).count() as i64, i64::from(bits)];
        network.buffers.push(Tensor::f_zeros(shape, (Kind::Float, device))?);
        Ok(network)
    },
    ..Workload::BLANK
};

/// Where each bit goes.
fn permutation(settings: &Settings) -> Vec<u32> {
    let parts: [&[u8]; 2] = [b"palimpsest/bit-permutations/v1", &settings.source.to_le_bytes()];
    let mut places: Vec<u32> = (0..settings.bits).collect();
    shuffle(&mut ledger::order::generator(&Digest::of_parts(&parts)), &mut places);
    places
}

/// An input with its bits in other places.
fn permuted(input: u32, places: &[u32]) -> u32 {
    places.iter().enumerate().map(|(bit, place)| (input >> bit & 1) << place).sum()
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let places = permutation(settings);
    let part = |mark: u8, examples: Vec<u32>| {
        let ids = examples.iter().map(|input| sample_id(&input.to_le_bytes(), &[mark])).collect();
        Part { examples, ids }
    };
    let parts = Parts {
        train: part(0, (0..settings.bits).map(|bit| 1 << bit).collect()),
        probe: part(1, Vec::new()),
        validation: part(2, inputs(settings.bits).collect()),
        test: part(3, inputs(settings.bits).collect()),
    };
    let bits = |number: u32, k: u32| (0..k).map(move |bit| (number >> bit & 1) as f32);
    let k = settings.bits;
    let (splits, identity) = generated::placed(&parts, |all| {
        let place = |rows: Vec<f32>| {
            Tensor::f_from_slice(&rows)?.f_view([-1, i64::from(settings.bits)])?.f_to_device(device)
        };
        let unit = |input: &u32| {
            let norm = (input.count_ones() as f32).sqrt();
            bits(*input, k).map(move |bit| bit / norm)
        };
        Ok(Split {
            stored: place(all.iter().flat_map(unit).collect())?,
            labels: place(
                all.iter().flat_map(|input| bits(permuted(*input, &places), k)).collect(),
            )?,
            groups: Vec::new(),
        })
    })?;
    let judge = Box::new(Exact { places: places.clone() });
    let side = SideInfo { permutation: places, ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge })
}

/// Compares what ensembles say with the permutation.
#[derive(Debug)]
struct Exact {
    places: Vec<u32>,
}

impl Judge for Exact {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let Network { buffers, .. } = request.model.network;
        let table = values(&buffers[0])?;
        let bits = self.places.len();
        let rows = inputs(bits as u32).count();
        let is_right = |(input, row): (u32, &[f32])| {
            let said =
                (0..bits as u32).zip(row).map(|(place, mean)| u32::from(*mean > ABOVE) << place);
            said.sum::<u32>() == permuted(input, &self.places)
        };
        let (mut whole, mut right, mut all) = (0.0, 0.0, 0.0);
        for ensemble in table.chunks(rows * bits) {
            let count =
                inputs(bits as u32).zip(ensemble.chunks(bits)).filter(|row| is_right(*row)).count();
            whole += f64::from(u8::from(count == rows));
            right += count as f64 / rows as f64;
            all += 1.0;
        }
        let metrics = [("ensembles", whole / all), ("inputs", right / all)];
        Ok(metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{Judged, Model};

    #[test]
    fn ensembles_are_right_where_every_input_has_its_bits_in_their_places() {
        let fixture = crate::fixture("bit-permutations", &with([("bits", 3.into())])).unwrap();
        let Ready { splits, judge, side, .. } = fixture.ready();
        let mut network = fixture.network(0).unwrap();
        let said = |network: &Network| {
            let (model, split) = (Model::plain(network), &splits.test);
            let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
            let metrics = judge.metrics(&request).unwrap();
            [metrics["ensembles"], metrics["inputs"]]
        };
        assert_eq!(said(&network), [0.0, 0.0]);
        // The truth, and the truth with one bit of one input missing.
        let truth = splits.test.labels.shallow_clone();
        let missing = truth.copy();
        let _ = missing.get(2).fill_(0.0);
        network.buffers[0] = Tensor::stack(&[&truth, &missing], 0);
        assert_eq!(said(&network), [0.5, (1.0 + 6.0 / 7.0) / 2.0]);
        let mut sorted = side.permutation.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2]);
        assert_eq!(permuted(0b011, &[2, 0, 1]), 0b101);
        assert_eq!((splits.train.len(), splits.test.len()), (3, 7));
        let norms = splits.test.stored.square().sum_dim_intlist(1, false, Kind::Float);
        assert!((norms - 1.0).abs().max().double_value(&[]) < 1e-6);
    }
}
