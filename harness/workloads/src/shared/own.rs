//! What workloads of a user's own data have in common: inputs on the device, standardised by what is trained on, and
//! a network by its name.

mod arrays;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use data::Origin;
use data::own::{OwnData, OwnLabels, Shares};
use lab::LabError;
use lab::models::cnn::{Shape, cnn};
use lab::models::mlp::mlp;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::choice;
use ledger::digest::Digest;
use ledger::settings::SettingError;
use ledger::streams::Streams;
use tch::{Device, TchError, Tensor};
use training::judge::{EvaluationRequest, Judge};
use training::metrics::regression::{Scale, evaluate};
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

use super::classification::Classifier;

pub use arrays::ArraysSettings;
pub use table::TableSettings;

/// Channels of the convolutions of a [`cnn`], times the setting `width` over 64.
const CNN_WIDTHS: [usize; 3] = [8, 16, 32];

choice! {
    /// Where the channels of images stand.
    pub enum Channels {
        /// N × C × H × W, as PyTorch has them.
        First = "first",
        /// N × H × W × C.
        Last = "last",
    }
}

choice! {
    /// A network by its name.
    pub enum NetworkName {
        /// Hidden layers of one width with ReLU; without any, a linear map.
        Mlp = "mlp",
        /// Three convolutions and a linear head.
        Cnn = "cnn",
    }
}

/// A network by its name and size.
#[derive(Debug, Clone, Copy)]
pub struct NetworkSize {
    /// Its name.
    pub name: NetworkName,
    /// Width of hidden layers; of a `cnn` 64 stands for 8, 16 and 32 channels.
    pub width: u32,
    /// Hidden layers of an `mlp`.
    pub depth: u32,
}

/// What every workload of a user's own classes declares alike.
pub const CLASSES: Workload = Workload {
    data: DataName::Own,
    offers: &[offers::LOSS, offers::CLASSES],
    metrics: &[
        MetricInfo { chance: None, ..MetricInfo::share("accuracy", 0.0) },
        MetricInfo::error("nll"),
        MetricInfo::error("ece"),
        MetricInfo::error("aurc"),
    ],
    metric: "accuracy",
    target: 0.9,
    target_origin: "assumed",
    budget_epochs: 20.0,
    evaluate_every_epochs: 0.5,
    ..Workload::BLANK
};

/// What every workload of a user's own numbers declares alike.
pub const NUMBERS: Workload = Workload {
    data: DataName::Own,
    offers: &[offers::LOSS],
    metrics: &[
        MetricInfo { name: "r2", higher_is_better: true, best: Some(1.0), chance: Some(0.0) },
        MetricInfo::error("rmse"),
        MetricInfo::error("mae"),
    ],
    metric: "r2",
    target: 0.5,
    target_origin: "assumed",
    budget_epochs: 20.0,
    evaluate_every_epochs: 0.5,
    ..Workload::BLANK
};

/// Puts data on `device`, standardised by the mean and deviation of what is trained on: of every column, or of every
/// channel of images. Labels that are numbers are standardised, too; metrics are in their own units.
///
/// # Errors
/// When the shape is not one that networks take, or the device has no room.
pub fn ready(data: &OwnData, channels: Channels, device: Device) -> Result<Ready, LabError> {
    let image = image(&data.shape, channels)?;
    let standard = standard(data, image.map_or(1, |image| image.area()), channels);
    let scale = match &data.labels {
        OwnLabels::Classes { .. } => Scale { mean: 0.0, deviation: 1.0 },
        OwnLabels::Numbers(values) => {
            let of = data.split.train.iter().map(|&at| f64::from(values[at as usize]));
            let (mean, deviation) = moments(of);
            Scale { mean, deviation }
        }
    };
    let place =
        |positions: &[u32]| place(data, positions, image, &standard, scale, channels, device);
    let splits = Splits {
        train: place(&data.split.train)?,
        probe: None,
        validation: place(&data.split.validation)?,
        test: place(&data.split.test)?,
    };
    let shape = match image {
        Some(Image { channels, height, width }) => vec![channels, height, width],
        None => data.shape.clone(),
    };
    let ids = |positions: &[u32]| -> Vec<Digest> {
        positions.iter().map(|&at| Digest(data.ids[at as usize])).collect()
    };
    let [train, validation, test] =
        [&data.split.train, &data.split.validation, &data.split.test].map(|part| ids(part));
    let mut identity = DataIdentity::new(train, &validation, &test, Origin::Own);
    identity.own = Some(data.file.clone());
    let identity = Arc::new(identity);
    Ok(match &data.labels {
        OwnLabels::Classes { names, .. } => {
            let classes = u32::try_from(names.len()).ok();
            let side = SideInfo {
                loss: Some(DefaultLoss::Classes),
                classes,
                shape,
                ..SideInfo::default()
            };
            Ready { splits, identity, side, judge: Box::new(Classifier) }
        }
        OwnLabels::Numbers(_) => {
            let side = SideInfo { loss: Some(DefaultLoss::Squares), shape, ..SideInfo::default() };
            Ready { splits, identity, side, judge: Box::new(Regressor { scale }) }
        }
    })
}

/// Judges by what is explained of the labels' variance, and by errors in their own units.
#[derive(Debug, Clone, Copy)]
struct Regressor {
    /// How labels were standardised.
    scale: Scale,
}

impl Judge for Regressor {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        evaluate(request.model.network, request.split, self.scale)
    }
}

/// The network of that name for examples of this shape.
///
/// # Errors
/// When the examples are no images that a `cnn` takes, or libtorch cannot allocate.
pub fn network(
    size: NetworkSize,
    side: &SideInfo,
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    let outputs = side.classes.unwrap_or(1) as usize;
    let NetworkSize { name, width, depth } = size;
    match name {
        NetworkName::Mlp => {
            let mut widths = vec![side.shape.iter().product()];
            widths.extend((0..depth).map(|_| width as usize));
            widths.push(outputs);
            Ok(mlp(&widths, streams, device)?)
        }
        NetworkName::Cnn => {
            let [channels, height, wide] = side.shape[..] else {
                return Err(unfit(&side.shape, "has no height and width"));
            };
            if height != wide || height % 4 != 0 {
                return Err(unfit(&side.shape, "is no square with a side that is a multiple of 4"));
            }
            let widths = CNN_WIDTHS.map(|base| (base * width as usize).div_ceil(64));
            let shape = Shape { channels, side: height, widths, classes: outputs, norm: true };
            Ok(cnn(shape, streams, device)?)
        }
    }
}

fn unfit(shape: &[usize], why: &str) -> LabError {
    let shape = data::columns::shape_text(shape);
    let message = format!(
        "network \"cnn\" takes images, and an example of shape {shape} {why}; take \"mlp\""
    );
    SettingError::Joint(message).into()
}

/// Examples that are images.
#[derive(Debug, Clone, Copy)]
struct Image {
    channels: usize,
    height: usize,
    width: usize,
}

impl Image {
    fn area(self) -> usize {
        self.height * self.width
    }
}

/// The image that an example of two or three dimensions is; none of one dimension.
fn image(shape: &[usize], channels: Channels) -> Result<Option<Image>, LabError> {
    let image = match (shape, channels) {
        ([_], _) => return Ok(None),
        (&[height, width], _) => Image { channels: 1, height, width },
        (&[channels, height, width], Channels::First)
        | (&[height, width, channels], Channels::Last) => Image { channels, height, width },
        _ => {
            let shape = data::columns::shape_text(shape);
            let message =
                format!("an example has shape {shape}, but must have one to three dimensions");
            return Err(SettingError::Joint(message).into());
        }
    };
    Ok(Some(image))
}

/// Mean and deviation; a deviation of 0 stands as 1, so that what is constant becomes 0.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    (mean, if deviation > 0.0 { deviation } else { 1.0 })
}

/// Mean and deviation of every feature: of every column, or of every channel, over `area` pixels.
fn standard(data: &OwnData, area: usize, channels: Channels) -> Vec<(f64, f64)> {
    let width = data.shape.iter().product::<usize>();
    let features = width / area;
    let of = |feature: usize| {
        let values = data.split.train.iter().flat_map(move |&at| {
            let example = data.example(at);
            (0..area).map(move |pixel| match channels {
                Channels::First => f64::from(example[feature * area + pixel]),
                Channels::Last => f64::from(example[pixel * features + feature]),
            })
        });
        moments(values)
    };
    (0..features).map(of).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "inputs are 32-bit")]
fn place(
    data: &OwnData,
    positions: &[u32],
    image: Option<Image>,
    standard: &[(f64, f64)],
    scale: Scale,
    channels: Channels,
    device: Device,
) -> Result<Split, TchError> {
    let area = image.map_or(1, Image::area);
    let features = standard.len();
    let mut values = Vec::with_capacity(positions.len() * area * features);
    for &position in positions {
        let example = data.example(position);
        // Images are stored with their channels last.
        for pixel in 0..area {
            for (feature, (mean, deviation)) in standard.iter().enumerate() {
                let raw = match channels {
                    Channels::First => example[feature * area + pixel],
                    Channels::Last => example[pixel * features + feature],
                };
                values.push(((f64::from(raw) - mean) / deviation) as f32);
            }
        }
    }
    let rows = positions.len() as i64;
    let shape = match image {
        Some(Image { channels, height, width }) => {
            vec![rows, height as i64, width as i64, channels as i64]
        }
        None => vec![rows, features as i64],
    };
    let labels = match &data.labels {
        OwnLabels::Classes { of, .. } => {
            let classes: Vec<i64> =
                positions.iter().map(|&at| i64::from(of[at as usize])).collect();
            Tensor::f_from_slice(&classes)?
        }
        OwnLabels::Numbers(numbers) => {
            let Scale { mean, deviation } = scale;
            let scaled = |&at: &u32| ((f64::from(numbers[at as usize]) - mean) / deviation) as f32;
            Tensor::f_from_slice(&positions.iter().map(scaled).collect::<Vec<f32>>())?
        }
    };
    let stored = Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?;
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: labels.f_to_device(device)?,
        groups: Vec::new(),
    })
}

/// A file that a setting has to name.
///
/// # Errors
/// When it is empty.
pub fn named<'a>(setting: &str, file: &'a str) -> Result<&'a Path, SettingError> {
    if file.is_empty() {
        return Err(SettingError::Joint(format!("setting \"{setting}\" has to name a file")));
    }
    Ok(Path::new(file))
}

/// Shares of validation and test examples that leave something to train on.
///
/// # Errors
/// When they do not.
pub fn shares(validation: f64, test: f64) -> Result<Shares, SettingError> {
    if validation + test > 0.9 {
        let message =
            format!("validation {validation} and test {test} leave less than a tenth to train on");
        return Err(SettingError::Joint(message));
    }
    Ok(Shares { validation, test })
}

/// The number of training examples of data that were read.
///
/// # Errors
/// With what is wrong with the file.
pub fn count(read: Result<OwnData, LabError>) -> Result<u32, String> {
    let data = read.map_err(|error| error.to_string())?;
    u32::try_from(data.split.train.len()).map_err(|_| "more rows than 32 bits count".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use data::Sources;
    use ledger::settings::Values;
    use serde_json::json;
    use tch::Kind;
    use training::trial::Fixture;

    use super::*;

    /// 60 rows: a number that grows, a constant, and a label.
    fn fixture(id: &str, label: &str) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.csv");
        let rows = (0..60)
            .map(|i| format!("{},7,{},{}\n", 1000 + i, ["x", "y"][i % 2], 50.0 + 2.0 * i as f64));
        fs::write(&file, format!("grows,still,kind,size\n{}", rows.collect::<String>())).unwrap();
        let other = if label == "kind" { "size" } else { "kind" };
        let settings: Values = serde_json::from_value(
            json!({"file": file, "label": label, "ignore": other, "width": 8}),
        )
        .unwrap();
        let sources = Sources { data_dir: folder.path().into(), cache_dir: folder.path().into() };
        let entry = crate::find(id).unwrap();
        assert_eq!((entry.workload.count.unwrap())(&settings), Ok(42));
        Fixture::new(entry, &settings, &sources).unwrap()
    }

    #[test]
    fn columns_are_standardised_by_what_trains_and_constant_ones_are_0() {
        for (id, label) in [("table", "kind"), ("table-regression", "size")] {
            let fixture = fixture(id, label);
            let Ready { splits, identity, .. } = fixture.ready();
            let sizes = [&splits.train, &splits.validation, &splits.test].map(Split::len);
            assert_eq!((sizes, identity.sample_ids.len()), ([42, 9, 9], 42));
            let column = |at: i64| splits.train.stored.select(1, at).to_kind(Kind::Double);
            let (mean, deviation) = (column(0).mean(None), column(0).std(false));
            assert!(
                mean.double_value(&[]).abs() < 1e-6
                    && (deviation.double_value(&[]) - 1.0).abs() < 1e-6
            );
            assert_eq!(column(1).abs().max().double_value(&[]), 0.0);
            assert_eq!(fixture.network(0).unwrap().parameters[0].tensor.size(), [8, 2]);
            let offered: Vec<_> = crate::find(id).unwrap().workload.offers.to_vec();
            assert_eq!(fixture.ready().offers(), offered);
        }
    }

    #[test]
    fn the_channels_of_images_are_standardised_each_and_stored_last() {
        // Two channels of 1 × 2 pixels, channels first: 0, 1 and 10, 30 in every example.
        let split = data::Split { train: vec![0, 1], validation: vec![2], test: vec![3] };
        let data = OwnData {
            shape: vec![2, 1, 2],
            values: [0.0, 1.0, 10.0, 30.0].repeat(4),
            labels: OwnLabels::Classes {
                names: vec!["a".into(), "b".into()],
                of: vec![0, 1, 0, 1],
            },
            split,
            ids: (0..4).map(|i| [i; 32]).collect(),
            file: data::OwnFile { name: "file:x".into(), sha256: Digest::of(b"x") },
        };
        let first = ready(&data, Channels::First, Device::Cpu).unwrap();
        assert_eq!(first.splits.train.stored.size(), [2, 1, 2, 2]);
        let stored = lab::network::values(&first.splits.test.stored).unwrap();
        assert_eq!(stored, [-1.0, -1.0, 1.0, 1.0]);
        let last =
            OwnData { shape: vec![1, 2, 2], values: [0.0, 10.0, 1.0, 30.0].repeat(4), ..data };
        let last = ready(&last, Channels::Last, Device::Cpu).unwrap();
        assert!(last.splits.test.stored.equal(&first.splits.test.stored));
        assert_eq!((first.side.shape, last.side.shape), (vec![2, 1, 2], vec![2, 1, 2]));
    }
}
