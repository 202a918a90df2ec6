//! # ring-classes
//!
//! Points of the plane in eight classes: normals on a circle of radius 0.7 whose `deviation`, 0.2 per axis, makes
//! neighbours overlap, so that a class is worth asking for (16,384 train, 2,048 validation, 2,048 test; no download).
//! The network is a perceptron of three hidden layers of 128 SiLU units with 32 Fourier features of the noise level,
//! which takes a class in eight columns behind the coordinates, or none.
//!
//! Every look draws as many samples as the split has points, from noise that is the same for every method; row i is
//! asked to be of class i mod 8 by methods that ask. `confidence` is the mean probability, by the true densities, of
//! the class that was asked for (real points of their own class have 0.74, samples that nobody asked 1/8);
//! `spread` the deviation per axis within what was asked, over that of the data, so that it is 1 for real points of a
//! class and smaller where samples are alike; `sw2` the sliced Wasserstein-2 distance to real points. `confidence` and
//! `spread` mean nothing with `class` other than 0, by which methods ask all rows for one class.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::{Range, Values};
use ledger::streams::normal_f64;
use ledger::{order, settings};
use tch::{Device, TchError, Tensor};

use crate::shared::asked::Ground;
use crate::shared::generated;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::given::{Shape, given};
use lab::network::values;
use lab::offers;
use lab::score::guide::turns;
use lab::side_info::{Conditions, Generation, SideInfo};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden width 128.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Standard deviation of a class per axis.
        deviation: f64 = 0.2, range Range::of(0.01..=1.0), from "assumed";
    }
}

const CLASSES: u32 = 8;
const RADIUS: f64 = 0.7;
const SIZES: [u32; 3] = [16_384, 2_048, 2_048];

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("sw2"),
    MetricInfo::share("confidence", 0.125),
    MetricInfo { name: "spread", higher_is_better: true, best: None, chance: None },
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "eight overlapping classes in the plane to ask for, MLP 3×128",
    data: DataName::Generated,
    offers: &[offers::DENOISING, offers::CLASSES_TO_ASK],
    metrics: METRICS,
    metric: "sw2",
    target: 0.1,
    target_origin: "assumed",
    budget_epochs: 31.25,
    evaluate_every_epochs: 7.8125,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, _, streams, device| {
        let Settings { width, .. } = Settings::read(values)?;
        let (columns, width) = (CLASSES as usize, scaled(128, width));
        Ok(given(Shape { axes: 2, columns, width, outputs: 2, rank: None }, streams, device)?)
    },
    ..Workload::BLANK
};

/// A point and its class.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: [f32; 2],
    class: u32,
}

impl Point {
    fn id(&self) -> Digest {
        let [x, y] = self.at.map(f32::to_le_bytes);
        Digest::of_parts(&[b"palimpsest/ring-classes/v1", &x, &y, &self.class.to_le_bytes()])
    }
}

fn centre(class: u32) -> [f64; 2] {
    let angle = TAU * f64::from(class) / f64::from(CLASSES);
    [RADIUS * angle.cos(), RADIUS * angle.sin()]
}

/// Points of a part; the class of a point follows from its place.
fn points(part: &str, deviation: f64) -> impl FnMut(Place) -> Point {
    let seed = [b"palimpsest/ring-classes/v1".as_slice(), part.as_bytes()];
    let mut random = order::generator(&Digest::of_parts(&seed));
    move |place: Place| {
        let class = (place.index % CLASSES as usize) as u32;
        let at = centre(class).map(|middle| {
            let exact = middle + deviation * normal_f64(&mut random);
            // Ids must not hang on the last digit of a platform's sine.
            ((exact * 16_384.0).round() / 16_384.0) as f32
        });
        Point { at, class }
    }
}

fn split(points: &[Point], device: Device) -> Result<Split, TchError> {
    let stored: Vec<f32> = points.iter().flat_map(|point| point.at).collect();
    let labels: Vec<i64> = points.iter().map(|point| i64::from(point.class)).collect();
    Ok(Split {
        stored: Tensor::f_from_slice(&stored)?.f_view([-1, 2])?.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: Vec::new(),
    })
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { deviation, .. } = Settings::read(values)?;
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let parts = distinct(sizes, points("all", deviation), Point::id)?;
    let (splits, identity) = generated::placed(&parts, |points| split(points, device))?;
    let mut spare = points("spare", deviation);
    let fresh: Vec<Point> =
        (0..test as usize).map(|index| spare(Place { index, judged: true })).collect();
    let sigma_data = (RADIUS * RADIUS / 2.0 + deviation * deviation).sqrt();
    let conditions = Some(Conditions::Classes(CLASSES));
    let fresh = split(&fresh, device)?.stored;
    let generation = Some(Generation {
        shape: vec![2],
        sigma_data,
        fresh,
        conditions,
        reward: None,
        start: None,
    });
    let ground = |name: &str, split: &Split| Ground::new("ring-classes", name, &split.stored);
    let grounds = [ground("validation", &splits.validation)?, ground("test", &splits.test)?];
    let judge = Box::new(Asked { deviation, grounds });
    let side = SideInfo { generation, ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge })
}

/// Judges samples by what was asked of them.
#[derive(Debug)]
struct Asked {
    deviation: f64,
    grounds: [Ground; 2],
}

impl Asked {
    /// Probability of `class` at a point, of classes that are equally likely.
    fn probability(&self, point: [f64; 2], class: u32) -> f64 {
        let exponent = |class: u32| {
            let [x, y] = centre(class);
            -((point[0] - x).powi(2) + (point[1] - y).powi(2)) / (2.0 * self.deviation.powi(2))
        };
        let own = exponent(class);
        1.0 / (0..CLASSES).map(|other| (exponent(other) - own).exp()).sum::<f64>()
    }

    /// Confidence and spread of samples whose row i was asked to be of class i mod 8.
    fn asked(&self, samples: &Tensor) -> Result<[f64; 2], TchError> {
        let flat = values(samples)?;
        let pairs: Vec<[f64; 2]> =
            flat.as_chunks::<2>().0.iter().map(|pair| pair.map(f64::from)).collect();
        let n = pairs.len().max(1) as f64;
        let rows = turns(pairs.len() as i64, CLASSES);
        let (mut confidence, mut squares) = (0.0, 0.0);
        for class in 0..CLASSES {
            let own = pairs.iter().zip(&rows).filter(|(_, row)| **row == i64::from(class));
            let own: Vec<[f64; 2]> = own.map(|(pair, _)| *pair).collect();
            let count = own.len().max(1) as f64;
            let mean = [0, 1].map(|axis: usize| own.iter().map(|p| p[axis]).sum::<f64>() / count);
            for point in own {
                confidence += self.probability(point, class);
                squares += (point[0] - mean[0]).powi(2) + (point[1] - mean[1]).powi(2);
            }
        }
        Ok([confidence / n, (squares / (2.0 * n)).sqrt() / self.deviation])
    }
}

impl Judge for Asked {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let [validation, test] = &self.grounds;
        let ground = request.judged.pick(validation, test);
        let samples = ground.draw(request)?;
        let [confidence, spread] = self.asked(&samples)?;
        let found =
            [("sw2", ground.sw2(&samples)?), ("confidence", confidence), ("spread", spread)];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::Network;
    use lab::seat::Sampler;
    use rand_pcg::Pcg64;
    use training::judge::{Judged, Model};

    /// Real points, so many rows away from those that were asked for.
    #[derive(Debug)]
    struct Real(Tensor, i64);

    impl Sampler for Real {
        fn sample(
            &self,
            _: &Network,
            _: &Tensor,
            _: u32,
            _: &mut Pcg64,
        ) -> Result<Tensor, LabError> {
            Ok(self.0.f_roll([self.1], [0])?)
        }

        fn evaluations(&self) -> u32 {
            0
        }
    }

    fn judged(shift: i64) -> BTreeMap<String, f64> {
        let stage = crate::fixture("ring-classes", &Values::new()).unwrap();
        let Ready { splits, side, judge, .. } = stage.ready();
        let network = stage.network(1).unwrap();
        let real = Real(side.generation.as_ref().unwrap().fresh.shallow_clone(), shift);
        let model = Model { sampler: Some(&real), ..Model::plain(&network) };
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        judge.metrics(&request).unwrap()
    }

    #[test]
    fn real_points_of_their_class_are_confident_and_as_wide_as_the_data_and_others_are_not() {
        let (own, other) = (judged(0), judged(4));
        assert!((own["spread"] - 1.0).abs() < 0.03, "{own:?}");
        // 0.7396 of 40,000 points drawn elsewhere.
        assert!((own["confidence"] - 0.74).abs() < 0.02, "{own:?}");
        assert!(own["sw2"] < 0.04 && other["confidence"] < 1e-3, "{own:?} {other:?}");
        let same = (other["sw2"] - own["sw2"]).abs() < 1e-6;
        assert!((other["spread"] - 1.0).abs() < 0.03 && same, "{other:?}");
        let names: Vec<&str> = own.keys().map(String::as_str).collect();
        assert_eq!(names, ["confidence", "spread", "sw2"]);
    }

    #[test]
    fn inputs_have_the_deviation_that_methods_are_told() {
        let stage = crate::fixture("ring-classes", &Values::new()).unwrap();
        let Ready { splits, side, .. } = stage.ready();
        let told = side.generation.as_ref().unwrap().sigma_data;
        let squares = splits.train.stored.square().mean(tch::Kind::Double).double_value(&[]);
        assert!((squares.sqrt() / told - 1.0).abs() < 0.01, "{squares} {told}");
    }
}
