//! What workloads of one class per example have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::{Loaded, Samples, Sources};
use ledger::catalogue::MetricInfo;
use tch::{Device, TchError, Tensor};

use lab::LabError;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::metrics::classification::evaluate;
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

/// Metrics of a classifier of ten balanced classes.
const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 0.1),
    MetricInfo::error("nll"),
    MetricInfo::error("ece"),
    MetricInfo::error("aurc"),
];

/// What every classifier of ten classes declares alike.
pub const WORKLOAD: Workload = Workload {
    offers: &[offers::LOSS, offers::CLASSES],
    metrics: METRICS,
    metric: "accuracy",
    target_origin: "assumed",
    ..Workload::BLANK
};

/// How stored images become inputs.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Name of the data.
    pub data: &'static str,
    /// How stored numbers become inputs.
    pub normalisation: Normalisation,
    /// True when the network takes an example as one row of numbers: it is then stored so, which
    /// saves two views a step.
    pub flat: bool,
}

/// x ↦ (x − mean)/deviation per channel; bytes are first scaled to 0..=1.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation {
    /// Mean per channel.
    pub mean: &'static [f32],
    /// Standard deviation per channel.
    pub deviation: &'static [f32],
}

impl Layout {
    /// Loads the data and puts them on `device`.
    ///
    /// # Errors
    /// When files are missing or damaged, or the device has no room.
    pub fn load(&self, sources: &Sources, device: Device) -> Result<Ready, LabError> {
        self.ready(&data::load(self.data, sources)?, device)
    }

    /// Puts loaded data on `device`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn ready(&self, loaded: &Loaded, device: Device) -> Result<Ready, LabError> {
        let place = |positions: &[u32]| place(&loaded.samples, positions, self, device);
        let splits = Splits {
            train: place(&loaded.split.train)?,
            probe: None,
            validation: place(&loaded.split.validation)?,
            test: place(&loaded.split.test)?,
        };
        let classes = Some(u32::from(loaded.samples.classes()));
        let [channels, height, width] = loaded.samples.shape();
        let picture = (height > 1 && width > 1).then_some([height, width, channels]);
        let loss = Some(DefaultLoss::Classes);
        let side = SideInfo { loss, classes, picture, ..SideInfo::default() };
        let identity = Arc::new(DataIdentity::of(loaded));
        Ok(Ready { splits, identity, side, judge: Box::new(Classifier) })
    }
}

/// Judges a classifier by accuracy, NLL, calibration and risk–coverage.
#[derive(Debug, Clone, Copy)]
pub struct Classifier;

impl Judge for Classifier {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        evaluate(request.model.network, request.split)
    }
}

/// Standardises the examples at `positions` and lays them out as `layout` says.
pub fn place(
    samples: &Samples,
    positions: &[u32],
    layout: &Layout,
    device: Device,
) -> Result<Split, TchError> {
    let [channels, height, width] = samples.shape();
    let area = height * width;
    let mut values = vec![0.0_f32; positions.len() * channels * area];
    let examples = values.chunks_exact_mut((channels * area).max(1));
    for (example, &position) in examples.zip(positions) {
        let offset = position as usize * channels * area;
        for channel in 0..channels {
            let how = layout.normalisation;
            let (mean, deviation) = (how.mean[channel], how.deviation[channel]);
            for pixel in 0..area {
                let source = offset + channel * area + pixel;
                let raw = match samples {
                    Samples::Bytes(images) => {
                        f32::from(images.pixels[source]) / f32::from(images.full_scale)
                    }
                    Samples::Floats(floats) => floats.values[source],
                };
                let place =
                    if layout.flat { channel * area + pixel } else { pixel * channels + channel };
                example[place] = (raw - mean) / deviation;
            }
        }
    }
    let size = |number: usize| i64::try_from(number).unwrap_or(0);
    let rows = size(positions.len());
    let shape = if layout.flat {
        vec![rows, size(channels * area)]
    } else {
        vec![rows, size(height), size(width), size(channels)]
    };
    let stored = Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?;
    let labels = samples.labels();
    let labels: Vec<i64> =
        positions.iter().map(|&position| i64::from(labels[position as usize])).collect();
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: Vec::new(),
    })
}
