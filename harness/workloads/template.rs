//! # @NAME@
//!
//! Points of the plane in two classes, inside and outside a circle, one in twenty under the wrong
//! label (2,000 train, 500 validation, 500 test, from a fixed seed), and an MLP 2–32–2 with ReLU, 162
//! parameters. Say here what the data are, what the network is, what each metric means, and where
//! the target comes from: this text is the card that `palimpsest explain` prints.

use data::sequences::{Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::sample::sample_id;
use ledger::settings;
use ledger::settings::{Range, Values};
use ledger::streams::unit_f64;
use tch::{Device, TchError, Tensor};

use crate::shared::classification::Classifier;
use crate::shared::generated;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::mlp::mlp;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden width (32).
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// The points: another number draws others.
        sample: u32 = 0, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 0.5),
    MetricInfo::error("nll"),
    MetricInfo::error("ece"),
    MetricInfo::error("aurc"),
];

/// Points to train, to validate and to test on.
const SIZES: [u32; 3] = [2_000, 500, 500];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "@NAME@: points inside and outside a circle, MLP 2–32–2",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::CLASSES],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.9,
    target_origin: "assumed",
    budget_epochs: 10.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, _, streams, device| {
        let Settings { width, .. } = Settings::read(values)?;
        Ok(mlp(&[2, scaled(32, width), 2], streams, device)?)
    },
    ..Workload::BLANK
};

/// A point and its class.
struct Point {
    place: [f32; 2],
    class: u8,
}

impl Point {
    /// The example's id: what is committed to, and what no two splits share.
    fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.place.iter().flat_map(|number| number.to_le_bytes()).collect();
        sample_id(&bytes, &[self.class])
    }

    /// A point of the square from −1 to 1, from numbers of 0..1; the circle of radius 0.8 holds half
    /// of it.
    fn draw(mut uniform: impl FnMut() -> f64) -> Self {
        let [x, y, luck] = [(); 3].map(|()| uniform());
        let [x, y] = [2.0 * x - 1.0, 2.0 * y - 1.0];
        let inside = x.hypot(y) < 0.8;
        Self { place: [x as f32, y as f32], class: u8::from(inside != (luck < 0.05)) }
    }
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { sample, .. } = Settings::read(values)?;
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let parts: [&[u8]; 2] = [b"palimpsest/@NAME@/v1", &sample.to_le_bytes()];
    let mut random = ledger::order::generator(&Digest::of_parts(&parts));
    let parts = distinct(sizes, |_| Point::draw(|| unit_f64(&mut random)), Point::id)?;
    let (splits, identity) = generated::placed(&parts, |points| split(points, device))?;
    let side =
        SideInfo { loss: Some(DefaultLoss::Classes), classes: Some(2), ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(Classifier) })
}

/// Inputs N × 2, labels N.
fn split(points: &[Point], device: Device) -> Result<Split, TchError> {
    let inputs: Vec<f32> = points.iter().flat_map(|point| point.place).collect();
    let labels: Vec<i64> = points.iter().map(|point| i64::from(point.class)).collect();
    Ok(Split {
        stored: Tensor::f_from_slice(&inputs)?.f_view([-1, 2])?.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::{streams, with};
    use tch::Kind;

    #[test]
    fn both_classes_are_common_and_another_sample_is_other_data() {
        let [one, other] =
            [0_u32, 1].map(|sample| load(&with([("sample", sample.into())]), Device::Cpu).unwrap());
        let share = one.splits.train.labels.mean(Kind::Double).double_value(&[]);
        assert!((share - 0.5).abs() < 0.05, "{share}");
        assert_ne!(one.identity.train_root, other.identity.train_root);
    }

    #[test]
    fn the_network_has_as_many_parameters_as_the_card_says() {
        let (settings, side) = (with([]), SideInfo::default());
        let network = (WORKLOAD.network)(&settings, &side, &streams(), Device::Cpu).unwrap();
        let count: usize = network.parameters.iter().map(|p| p.tensor.numel()).sum();
        assert_eq!(count, 162);
    }
}
