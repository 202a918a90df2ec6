//! # quad-blocks
//!
//! A quadratic over blocks of coordinates, `f(x) = ½ Σ_i x_iᵀH_i x_i` with λ_max(H_i) = L_i
//! (`smoothness`; 1, 4 and 2) and `dimension` coordinates each, from x ~ N(0, 1), in the coordinates in
//! which H is diagonal: descent with one rate per block cannot tell them from others. A block is a
//! layer. There are no data: an example is the row √(Nλ)·e of one coordinate, all N of them together
//! make f as the mean of ½(row·x)², so that a step on the whole split has the exact gradient.
//!
//! Eigenvalues of a block lie evenly, by ratio, from L_i down to `least` times the smallest L
//! (`spectrum: common`), or times the block's own (`alike`: all blocks are equally well conditioned).
//!
//! **Cost is counted exactly**, by the network and not by the method: every forward pass of training costs
//! `overhead`, and 1 for each block that takes a gradient, times the share of the rows; second gradients that
//! a rule takes elsewhere (`sam`) are not counted. Counting ends where ‖∇f‖ ≤ `tolerance`. `cost` is what that
//! took; where it was not reached, what it would take if log ‖∇f‖ went on falling as it did on average.
//! `gradient` is ‖∇f‖ and `loss` f, both exact; all are the same on validation and test.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::sequences::{Part, Parts};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::sample::sample_id;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::{self, Streams};
use ledger::{choice, settings};
use tch::{Device, Kind, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::models::Builder;
use lab::network::{Body, Forward, Network, values};
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

choice! {
    /// Where the eigenvalues of a block end.
    pub enum Spectrum {
        /// At the same value in all blocks.
        Common = "common",
        /// At the same share of the block's largest.
        Alike = "alike",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// L_i: largest eigenvalue of each block, from the first on.
        smoothness: Vec<f64> = vec![1.0, 4.0, 2.0], range Range::above_up_to(0.0, 1e6), from "assumed";
        /// Coordinates of a block.
        dimension: u32 = 20, range Range::of(1.0..=1_000.0), from "assumed";
        /// Smallest eigenvalue, over the smallest L or the block's own.
        least: f64 = 0.05, range Range::above_up_to(0.0, 1.0), from "assumed";
        /// Which of them.
        spectrum: Spectrum = Spectrum::Common, from "assumed";
        /// c₀: what a step costs beside its blocks.
        overhead: f64 = 0.0, range Range::of(0.0..=1e6), from "assumed";
        /// ‖∇f‖ where counting ends.
        tolerance: f64 = 1e-3, range Range::of(0.0..=1e6), from "assumed";
    }
}

/// Largest number of blocks.
const BLOCKS: usize = 64;
/// Rows of the default settings; nothing is measured on the held-out ones.
const SIZES: [u32; 3] = [60, 1, 1];
/// Buffer of the eigenvalues, of what was spent, and of ‖∇f‖ at the start.
const EIGENVALUES: usize = 0;
const SPENT: usize = 1;
const START: usize = 2;

const METRICS: &[MetricInfo] =
    &[MetricInfo::error("gradient"), MetricInfo::error("loss"), MetricInfo::error("cost")];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "quadratic over blocks of coordinates, its cost counted",
    data: DataName::Generated,
    offers: &[offers::LOSS],
    metrics: METRICS,
    metric: "gradient",
    target: 1e-3,
    target_origin: "assumed",
    budget_epochs: 2_000.0,
    evaluate_every_epochs: 20.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| network(&Settings::read(values)?, streams, device),
    ..Workload::BLANK
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { smoothness, .. } = Settings::read(&resolved)?;
    if !(1..=BLOCKS).contains(&smoothness.len()) {
        let (key, value) = ("smoothness".to_owned(), format!("a list of {}", smoothness.len()));
        let expected = format!("a list of 1 to {BLOCKS} numbers");
        return Err(SettingError::Invalid { key, value, expected });
    }
    Ok(resolved)
}

/// Diagonals of the H_i, largest first.
fn eigenvalues(settings: &Settings) -> Vec<Vec<f64>> {
    let Settings { smoothness, dimension, least, spectrum, .. } = settings;
    let smallest = smoothness.iter().copied().fold(f64::INFINITY, f64::min);
    let block = |largest: &f64| {
        let ratio = match spectrum {
            Spectrum::Common => least * smallest / largest,
            Spectrum::Alike => *least,
        };
        let steps = f64::from(dimension.saturating_sub(1).max(1));
        (0..*dimension).map(|k| largest * ratio.powf(f64::from(k) / steps)).collect()
    };
    smoothness.iter().map(block).collect()
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let all = eigenvalues(settings).concat();
    let n = all.len();
    let row = |place: usize, value: f64| {
        let mut row = vec![0.0_f32; n];
        row[place] = value as f32;
        row
    };
    let each = all.iter().enumerate().map(|(k, lambda)| row(k, (n as f64 * lambda).sqrt()));
    let part = |mark: u8, examples: Vec<Vec<f32>>| {
        let bytes = |row: &[f32]| row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let ids: Vec<Digest> = examples.iter().map(|row| sample_id(&bytes(row), &[mark])).collect();
        Part { examples, ids }
    };
    let parts = Parts {
        train: part(0, each.collect()),
        probe: part(1, Vec::new()),
        validation: part(2, vec![row(0, 0.0)]),
        test: part(3, vec![row(0, 0.0)]),
    };
    let (splits, identity) = generated::placed(&parts, |rows| {
        let stored = Tensor::f_from_slice(&rows.concat())?.f_view([-1, n as i64])?;
        let labels = Tensor::f_zeros([rows.len() as i64], (Kind::Float, device))?;
        Ok(Split { stored: stored.f_to_device(device)?, labels, groups: Vec::new() })
    })?;
    let side = SideInfo { loss: Some(DefaultLoss::Squares), ..SideInfo::default() };
    let judge = Box::new(Exact { tolerance: settings.tolerance });
    Ok(Ready { splits, identity, side, judge })
}

fn network(settings: &Settings, streams: &Streams, device: Device) -> Result<Network, LabError> {
    let blocks = eigenvalues(settings);
    let mut builder = Builder::new(streams, device);
    for (i, block) in (1..).zip(&blocks) {
        builder.zeros(&format!("block{i}"), block.len(), 1)?;
    }
    let Settings { overhead, tolerance, .. } = *settings;
    let counted = Blocks { overhead, tolerance };
    let mut network = builder.finish_with(Body::Own(Arc::new(counted)));
    let all: Vec<f32> = blocks.concat().into_iter().map(|lambda| lambda as f32).collect();
    let mut random = streams.generator("init");
    for parameter in &mut network.parameters {
        let size = parameter.tensor.size();
        let start = Tensor::f_from_slice(&streams::normal(&mut random, parameter.tensor.numel()))?;
        tch::no_grad(|| parameter.tensor.f_copy_(&start.f_view(size.as_slice())?))?;
    }
    let of = |values: &[f32]| Ok::<_, LabError>(Tensor::f_from_slice(values)?.f_to_device(device)?);
    network.buffers.extend([of(&all)?, of(&[0.0])?]);
    let start = tch::no_grad(|| gradient(&network))?;
    network.buffers.push(start);
    Ok(network)
}

/// ‖∇f‖ at the network's x, shape 1.
fn gradient(network: &Network) -> Result<Tensor, tch::TchError> {
    let blocks: Vec<Tensor> = network.parameters.iter().map(|p| p.tensor.detach()).collect();
    let x = Tensor::f_cat(&blocks, 1)?.f_view([-1])?;
    x.f_mul(&network.buffers[EIGENVALUES])?.f_norm()?.f_view([1])
}

/// The products of rows and x; counts what training costs.
#[derive(Debug)]
struct Blocks {
    overhead: f64,
    tolerance: f64,
}

impl Forward for Blocks {
    fn forward(&self, network: &Network, rows: &Tensor, train: bool) -> Result<Tensor, LabError> {
        let blocks = network.parameters.iter().map(|parameter| &parameter.tensor);
        if train {
            let moved = blocks.clone().filter(|block| block.requires_grad()).count();
            let (seen, all) = rows.size2()?;
            let cost = (self.overhead + moved as f64) * seen as f64 / all as f64;
            let goes_on = gradient(network)?.f_gt(self.tolerance)?.f_to_kind(Kind::Float)?;
            let spent = &network.buffers[SPENT];
            let _ = tch::no_grad(|| spent.shallow_clone().f_add_(&goes_on.f_mul_scalar(cost)?))?;
        }
        let all: Vec<&Tensor> = blocks.collect();
        Ok(rows.f_linear::<Tensor>(&Tensor::f_cat(&all, 1)?, None)?)
    }
}

/// What is known exactly.
#[derive(Debug)]
struct Exact {
    tolerance: f64,
}

impl Judge for Exact {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let network = request.model.network;
        let of = |tensor: &Tensor| -> Result<Vec<f64>, LabError> {
            Ok(values(tensor)?.into_iter().map(f64::from).collect())
        };
        let lambda = of(&network.buffers[EIGENVALUES])?;
        let blocks = network.parameters.iter().map(|block| of(&block.tensor));
        let x = blocks.collect::<Result<Vec<_>, _>>()?.concat();
        let sum =
            |term: fn(f64, f64) -> f64| lambda.iter().zip(&x).map(|(l, x)| term(*l, *x)).sum();
        let (squares, loss): (f64, f64) =
            (sum(|l, x| (l * x).powi(2)), sum(|l, x| 0.5 * l * x * x));
        let (gradient, start) = (squares.sqrt(), of(&network.buffers[START])?[0]);
        let mut cost = of(&network.buffers[SPENT])?[0];
        if gradient > self.tolerance && self.tolerance > 0.0 {
            // What has not fallen at all never gets there; a finite number says so.
            let fallen = (start / gradient).ln().max(1e-9);
            cost *= (start / self.tolerance).ln() / fallen;
        }
        let all = [("gradient", gradient), ("loss", loss), ("cost", cost)];
        Ok(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::seat::{Batch, Objective as _};
    use lab::trial::{step_info, with};
    use training::judge::{Judged, Model};
    use training::trial::Fixture;

    fn fixture<const N: usize>(pairs: [(&str, serde_json::Value); N]) -> Fixture {
        crate::fixture("quad-blocks", &with(pairs)).unwrap()
    }

    fn metrics(fixture: &Fixture, network: &Network) -> BTreeMap<String, f64> {
        let model = Model::plain(network);
        let split = &fixture.ready().splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        fixture.ready().judge.metrics(&request).unwrap()
    }

    /// A training pass over the first `rows` rows.
    fn pass(fixture: &Fixture, network: &Network, rows: i64) -> Tensor {
        let (inputs, labels) = fixture.ready().splits.train.rows(0, rows).unwrap();
        let batch = Batch { ids: vec![], sample_ids: labels.shallow_clone(), inputs, labels };
        fixture.ready().side.loss.unwrap().loss(network, &batch, &step_info(0, 1)).unwrap()
    }

    #[test]
    fn blocks_have_their_largest_eigenvalues_and_smallest_ones_in_common_or_alike() {
        for (spectrum, least) in [("common", [0.05, 0.05, 0.05]), ("alike", [0.05, 0.2, 0.1])] {
            let read = with([("spectrum", spectrum.into())]);
            let blocks = eigenvalues(&Settings::read(&read).unwrap());
            for ((block, largest), least) in blocks.iter().zip([1.0, 4.0, 2.0]).zip(least) {
                assert!(
                    block.len() == 20 && block[0] == largest && block.is_sorted_by(|a, b| a > b)
                );
                assert!((block[19] / least - 1.0).abs() < 1e-12, "{spectrum}: {block:?}");
            }
        }
        let read = with([("dimension", 1.into())]);
        assert_eq!(eigenvalues(&Settings::read(&read).unwrap()), [[1.0], [4.0], [2.0]]);
    }

    #[test]
    fn the_loss_of_all_rows_is_f_and_its_gradient_that_of_the_judge() {
        let fixture = fixture([]);
        let network = fixture.network(3).unwrap();
        let loss = pass(&fixture, &network, 60);
        let all: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[&loss], &all, false, false);
        let norm = Tensor::cat(&gradients, 1).norm().double_value(&[]);
        let exact = metrics(&fixture, &network);
        assert!((loss.double_value(&[]) / exact["loss"] - 1.0).abs() < 1e-5, "{exact:?}");
        assert!((norm / exact["gradient"] - 1.0).abs() < 1e-5, "{exact:?}");
    }

    #[test]
    fn a_pass_costs_its_overhead_and_a_unit_for_each_block_that_takes_a_gradient_until_the_tolerance()
     {
        let fixture = fixture([("overhead", 0.5.into()), ("tolerance", 0.01.into())]);
        let network = fixture.network(3).unwrap();
        let spent = || values(&network.buffers[SPENT]).unwrap()[0];
        drop(pass(&fixture, &network, 60));
        assert_eq!(spent(), 3.5);
        let _ = network.parameters[0].tensor.set_requires_grad(false);
        drop(pass(&fixture, &network, 60));
        assert_eq!(spent(), 6.0);
        drop(pass(&fixture, &network, 30));
        assert_eq!(spent(), 7.25);
        let (inputs, _) = fixture.ready().splits.train.rows(0, 60).unwrap();
        drop(network.forward(&inputs, false).unwrap());
        assert_eq!(spent(), 7.25, "judging is free");
        // Not a step was taken: the cost to the tolerance is beyond all bounds.
        assert!(metrics(&fixture, &network)["cost"] > 1e9);
        // Half of the way, by ratio, at this cost: twice as much for all of it.
        let start = metrics(&fixture, &network)["gradient"];
        let scale = |factor: f64| {
            for parameter in &network.parameters {
                let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(factor));
            }
        };
        scale((0.01 / start).sqrt());
        let half = metrics(&fixture, &network)["cost"];
        assert!((half - 14.5).abs() < 1e-4, "{half}");
        scale((0.01 / start).sqrt() * 0.99);
        drop(pass(&fixture, &network, 60));
        assert_eq!(metrics(&fixture, &network)["cost"], 7.25);
    }

    #[test]
    fn every_seed_starts_elsewhere_and_settings_that_make_no_blocks_are_refused() {
        let fixture = fixture([]);
        let [one, other] = [1, 2].map(|seed| fixture.network(seed).unwrap().digest().unwrap());
        assert_ne!(one, other);
        for list in [vec![], vec![1.0; 65]] {
            let text = format!(
                "setting \"smoothness\" is a list of {}, but must be a list of 1 to 64 numbers",
                list.len()
            );
            let settings = with([("smoothness", list.into())]);
            assert_eq!((WORKLOAD.resolve)(&settings).unwrap_err().to_string(), text);
        }
    }
}
