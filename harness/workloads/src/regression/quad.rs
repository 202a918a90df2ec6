//! # quad
//!
//! Noisy least squares in 64 dimensions with the spectrum λ_i = 1/i: 3,000 equations from a fixed
//! seed, whose quality q is one of 32 levels from 0 to 1. Low quality adds noise and turns the target towards a wrong
//! direction. The model is one linear layer without bias, from weights 0; `excess` is its exact risk
//! beyond the best weights', ½(w − w*)ᵀΛ(w − w*), the same on validation and test.
//!
//! The expected excess risk of any order and any schedule under SGD is known exactly (the test of
//! the generator compares it with SGD). Whether averaging beats decay depends on the spectrum and
//! the noise, which is why both are settings of the record. The equations are the same for all
//! seeds: a seed draws the order, or the ties of a sorted one.

use std::collections::BTreeMap;

use data::quad::{DIMENSION, Equation};
pub use data::quad::{Quad, excess_risk};
use data::sequences::{Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::{Range, Values};
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::models::Builder;
use lab::network::values;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// How far the targets of quality 0 are turned, per coordinate.
        bias: f64 = 1.0, range Range::of(0.0..=10.0), from "assumed";
        /// Noise at quality 1.
        noise: f64 = 0.1, range Range::of(0.0..=10.0), from "assumed";
        /// Further noise at quality 0.
        noise_slope: f64 = 0.5, range Range::of(0.0..=10.0), from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[MetricInfo::error("excess")];

/// Nothing is measured on the held-out equations: the risk is exact.
const SIZES: [u32; 3] = [3_000, 1, 1];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "noisy least squares with a power-law spectrum",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::SCORES],
    metrics: METRICS,
    metric: "excess",
    target: 0.05,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.1,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |_, _, streams, device| {
        let mut builder = Builder::new(streams, device);
        let layer = builder.zeros("weights", DIMENSION, 1)?;
        Ok(builder.finish(vec![layer]))
    },
    ..Workload::BLANK
};

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { bias, noise, noise_slope } = Settings::read(values)?;
    let quad = Quad { bias, noise, noise_slope };
    let mut random = Quad::generator(7);
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let parts = distinct(sizes, |_| quad.draw(&mut random), Equation::id)?;
    let (splits, identity) = generated::placed(&parts, |equations| split(equations, device))?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Squares),
        scores: parts.train.examples.iter().map(|equation| equation.quality).collect(),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge: Box::new(Risk) })
}

fn split(equations: &[Equation], device: Device) -> Result<Split, TchError> {
    let inputs: Vec<f32> = equations.iter().flat_map(|equation| equation.inputs).collect();
    let outputs: Vec<f32> = equations.iter().map(|equation| equation.output).collect();
    let stored = Tensor::f_from_slice(&inputs)?.f_view([-1, DIMENSION as i64])?;
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: Tensor::f_from_slice(&outputs)?.f_to_device(device)?,
        groups: Vec::new(),
    })
}

/// The exact risk of the weights.
#[derive(Debug)]
struct Risk;

impl Judge for Risk {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let weights = values(request.model.network.at(0))?;
        let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
        Ok(BTreeMap::from([("excess".to_owned(), excess_risk(&weights))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use training::judge::{Judged, Model};

    #[test]
    fn the_start_has_half_the_trace_of_the_spectrum_and_the_optimum_nothing() {
        let stage = crate::fixture("quad", &Values::new()).unwrap();
        let network = stage.network(1).unwrap();
        let Ready { splits, judge, .. } = stage.ready();
        let excess = || {
            let model = Model::plain(&network);
            let request =
                EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
            judge.metrics(&request).unwrap()["excess"]
        };
        let harmonic: f64 = (1..=64).map(|i| 1.0 / f64::from(i)).sum();
        assert!((excess() - 0.5 * harmonic).abs() < 1e-6);
        let best: Vec<f32> = data::quad::optimum().iter().map(|w| *w as f32).collect();
        tch::no_grad(|| {
            network.at(0).shallow_clone().copy_(&Tensor::from_slice(&best).view([1, 64]))
        });
        assert_eq!(excess(), 0.0);
        assert_eq!(network.forward(&splits.train.stored, false).unwrap().size(), [3_000, 1]);
    }
}
