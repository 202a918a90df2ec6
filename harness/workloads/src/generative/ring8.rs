//! # ring8
//!
//! Points of the plane from a mixture of eight normals on a circle of radius 0.7, standard deviation
//! 0.05 (16,384 train, 4,096 validation, 4,096 test; no download), and a perceptron of three hidden
//! layers of 128 SiLU units with 32 Fourier features of the noise level, 37,890 parameters.
//! `density: checker` takes the dark squares of a board instead.
//!
//! Every look draws 4,096 samples from noise that is the same for every method, another for
//! validation than for test. `sw2` is the sliced Wasserstein-2 distance over 256 fixed projections;
//! two draws of real data are about 0.03 apart,
//! because chance makes modes unequal. The last look adds MMD², precision and recall by
//! neighbours in the plane, and `sw2@n`: the same model sampled with n evaluations of the network.

use data::Samples;
use data::planar::{self, Density};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings::Range;
use ledger::{choice, settings};

use crate::shared::classification::{Layout, Normalisation};
use crate::shared::generative::{self, Kind, Source, share, smaller, split_of};
use crate::shared::settings::scaled;
use lab::models::mlp2d::mlp2d;
use training::workload::Workload;

choice! {
    /// Where points come from.
    pub enum Points {
        /// Eight normals on a circle.
        Ring8 = "ring8",
        /// Dark squares of a board.
        Checker = "checker",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden width 128.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Where points come from.
        density: Points = Points::Ring8, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("sw2"),
    share("on_manifold"),
    share("mode_entropy"),
    smaller("mmd2"),
    share("precision"),
    share("recall"),
    MetricInfo::error("sw2@1"),
    MetricInfo::error("sw2@2"),
    MetricInfo::error("sw2@4"),
    MetricInfo::error("sw2@8"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "eight normals in the plane, MLP 3×128",
    data: DataName::Set("ring8"),
    metrics: METRICS,
    budget_epochs: 62.5,
    evaluate_every_epochs: 12.5,
    split_sizes: [planar::TRAIN, planar::HELD_OUT, planar::HELD_OUT],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| {
        let density = match Settings::read(values)?.density {
            Points::Ring8 => Density::Ring8,
            Points::Checker => Density::Checker,
        };
        let normalisation = Normalisation { mean: &[0.0; 2], deviation: &[1.0; 2] };
        let layout = Layout { data: density.name(), normalisation, flat: true };
        let loaded = planar::load(density);
        let positions: Vec<u32> = (0..planar::HELD_OUT).collect();
        let spare = split_of(&Samples::Floats(density.spare()), &positions, &layout, device)?;
        let judged = [i64::from(planar::HELD_OUT); 2];
        let kind = Kind::Points(density);
        let source = Source { layout: &layout, loaded: &loaded, spare, kind, judged };
        source.ready(&loaded.split.train, device)
    },
    network: |values, _, streams, device| {
        let Settings { width, .. } = Settings::read(values)?;
        Ok(mlp2d(2, scaled(128, width), streams, device)?)
    },
    ..generative::WORKLOAD
};
