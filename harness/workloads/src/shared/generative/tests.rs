//! The judge against models whose quality is known.

use std::collections::{BTreeMap, BTreeSet};

use rand_pcg::Pcg64;
use tch::Tensor;

use super::*;
use crate::generative::{ring8, shapes16};
use lab::network::{Body, Network, values};
use lab::seat::Sampler;
use training::judge::{EvaluationRequest, Judged, Model};
use training::workload::Workload;

type Found = BTreeMap<String, f64>;

/// Draws real data, or noise of the same deviation.
struct Known(Option<Tensor>);

impl Sampler for Known {
    fn sample(
        &self,
        _: &Network,
        noise: &Tensor,
        evaluations: u32,
        _: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        match &self.0 {
            Some(fresh) => Ok(fresh.f_narrow(0, 0, noise.size()[0])?),
            None => Ok(noise.f_mul_scalar(SIGMA_DATA / f64::from(evaluations))?),
        }
    }

    fn evaluations(&self) -> u32 {
        1
    }
}

fn ready(workload: &Workload) -> Ready {
    let sources = data::Sources { data_dir: "nowhere".into(), cache_dir: "nowhere".into() };
    let values = (workload.resolve)(&BTreeMap::new()).unwrap();
    (workload.load)(&values, &sources, Device::Cpu).unwrap()
}

fn looked(ready: &Ready, sampler: &dyn Sampler, judged: Judged, last: bool) -> Found {
    let network = Network::new(vec![], vec![], Body::Table);
    let model = Model { sampler: Some(sampler), ..Model::plain(&network) };
    let split = match judged {
        Judged::Validation => &ready.splits.validation,
        Judged::Test => &ready.splits.test,
    };
    tch::no_grad(|| ready.judge.metrics(&EvaluationRequest { model, split, judged, last })).unwrap()
}

fn names(found: &Found) -> BTreeSet<&str> {
    found.keys().map(String::as_str).collect()
}

fn listed(workload: &Workload) -> BTreeSet<&str> {
    workload.metrics.iter().map(|metric| metric.name).collect()
}

fn known(ready: &Ready) -> [Known; 2] {
    let fresh = ready.side.generation.as_ref().unwrap().fresh.shallow_clone();
    [Known(Some(fresh)), Known(None)]
}

#[test]
fn inputs_have_the_deviation_that_methods_are_told() {
    for workload in [&ring8::WORKLOAD, &shapes16::WORKLOAD] {
        let ready = ready(workload);
        let pixels = values(&ready.splits.train.stored).unwrap();
        let n = pixels.len() as f64;
        let mean = pixels.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = pixels.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        assert!((variance.sqrt() - SIGMA_DATA).abs() < 0.005, "{mean} {}", variance.sqrt());

        assert!(mean.abs() < 0.01, "{mean}");
    }
}

#[test]
fn real_points_score_well_and_noise_badly() {
    let ready = ready(&ring8::WORKLOAD);
    let [real, noise] = known(&ready).map(|sampler| looked(&ready, &sampler, Judged::Test, true));
    assert_eq!(names(&real), listed(&ring8::WORKLOAD));
    assert!(real["sw2"] < 0.045 && noise["sw2"] > 0.1, "{real:?} {noise:?}");
    assert!(real["on_manifold"] > 0.98 && noise["on_manifold"] < 0.5, "{noise:?}");
    assert!(real["mmd2"].abs() < 2e-3 && noise["mmd2"] > 2e-3, "{real:?} {noise:?}");
    assert!(real["precision"] > 0.95 && noise["precision"] < 0.3, "{real:?} {noise:?}");
    assert_eq!(noise["sw2@1"], noise["sw2"]);
    assert_ne!(noise["sw2@2"], noise["sw2"]);
}

#[test]
fn a_look_that_is_not_the_last_is_cheap_and_noise_differs_between_splits() {
    let ready = ready(&ring8::WORKLOAD);
    let [_, noise] = known(&ready);
    let early = looked(&ready, &noise, Judged::Validation, false);
    assert_eq!(early.len(), 3);
    assert_eq!(looked(&ready, &noise, Judged::Validation, true), early);
    assert_ne!(looked(&ready, &noise, Judged::Test, false)["sw2"], early["sw2"]);
}

#[test]
fn real_shapes_score_well_and_noise_badly() {
    let ready = ready(&shapes16::WORKLOAD);
    let [real, noise] = known(&ready).map(|sampler| looked(&ready, &sampler, Judged::Test, true));
    assert_eq!(names(&real), listed(&shapes16::WORKLOAD));
    assert!(real["recognised"] > 0.99 && noise["recognised"] < 0.01, "{noise:?}");
    for name in ["sw2", "fd_random", "fd_classifier", "position_gap"] {
        assert!(noise[name] > 5.0 * real[name], "{name}: {} {}", noise[name], real[name]);
    }
    assert!(real["precision"] > 0.9 && real["recall"] > 0.9, "{real:?}");
    // Noise of the data's deviation has most of its energy where images have little.
    assert!((real["high_band"] - 1.0).abs() < 0.05 && noise["high_band"] > 2.0, "{noise:?}");
    for found in [&real, &noise] {
        assert!((found["high_band"].ln().abs() - found["high_band_gap"]).abs() < 1e-12);
    }
    assert_eq!(ready.judge.facts()["judged_samples"], serde_json::json!([500, 2_000]));
}
