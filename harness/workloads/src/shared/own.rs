//! What workloads of a user's own data have in common: inputs on the device, standardised by what is trained on, and
//! a network.

mod arrays;
mod images;
pub mod network;
mod table;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use data::Origin;
use data::own::{OwnData, OwnLabels, Shares};
use lab::LabError;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::seat::Facts;
use lab::side_info::SideInfo;
use lab::split::Split;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::choice;
use ledger::digest::Digest;
use ledger::settings::SettingError;
use serde_json::{Value, json};
use tch::{Device, TchError, Tensor};
use training::judge::{EvaluationRequest, Judge};
use training::metrics::regression::{Scale, evaluate};
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

use super::classification::Classifier;

pub use arrays::ArraysSettings;
pub use images::ImagesSettings;
pub use table::TableSettings;
pub use tokens::TokensSettings;

use network::NetworkSize;

/// Most means and deviations that a record lists.
const MOST_LISTED: usize = 1_024;

choice! {
    /// Where the channels of images stand.
    pub enum Channels {
        /// N × C × H × W, as PyTorch has them.
        First = "first",
        /// N × H × W × C.
        Last = "last",
    }
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
    let side = side(data, channels)?;
    let ids = |positions: &[u32]| -> Vec<Digest> {
        positions.iter().map(|&at| Digest(data.ids[at as usize])).collect()
    };
    let [train, validation, test] =
        [&data.split.train, &data.split.validation, &data.split.test].map(|part| ids(part));
    let mut identity = DataIdentity::new(train, &validation, &test, Origin::Own);
    identity.own = Some(data.file.clone());
    let identity = Arc::new(identity);
    let mut facts = Facts::from([("standardised".to_owned(), told(&standard, image.is_some()))]);
    Ok(match &data.labels {
        OwnLabels::Classes { names, .. } => {
            facts.insert("classes".to_owned(), json!(names));
            let judge = Told { judge: Classifier, facts };
            Ready { splits, identity, side, judge: Box::new(judge) }
        }
        OwnLabels::Numbers(_) => {
            let label = json!({ "mean": scale.mean, "deviation": scale.deviation });
            facts.insert("label".to_owned(), label);
            let judge = Told { judge: Regressor { scale }, facts };
            Ready { splits, identity, side, judge: Box::new(judge) }
        }
    })
}

/// What methods and networks may know of the data.
///
/// # Errors
/// When the shape is not one that networks take.
pub fn side(data: &OwnData, channels: Channels) -> Result<SideInfo, LabError> {
    let shape = match image(&data.shape, channels)? {
        Some(Image { channels, height, width }) => vec![channels, height, width],
        None => data.shape.clone(),
    };
    let (loss, classes) = match &data.labels {
        OwnLabels::Classes { names, .. } => (DefaultLoss::Classes, u32::try_from(names.len()).ok()),
        OwnLabels::Numbers(_) => (DefaultLoss::Squares, None),
    };
    Ok(SideInfo { loss: Some(loss), classes, shape, ..SideInfo::default() })
}

/// How inputs were standardised, as a record says it: mean and deviation of every column, or channel.
fn told(standard: &[(f64, f64)], of_images: bool) -> Value {
    let by = if of_images { "channel" } else { "column" };
    if standard.len() > MOST_LISTED {
        return json!({ "by": by, "of": standard.len() });
    }
    let (mean, deviation): (Vec<f64>, Vec<f64>) = standard.iter().copied().unzip();
    json!({ "by": by, "mean": mean, "deviation": deviation })
}

/// A judge whose record says what the data were made into.
#[derive(Debug)]
struct Told<J> {
    judge: J,
    facts: Facts,
}

impl<J: Judge> Judge for Told<J> {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        self.judge.metrics(request)
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }
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
        let what = if setting.ends_with("folder") { "folder" } else { "file" };
        return Err(SettingError::Joint(format!("setting \"{setting}\" has to name a {what}")));
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

/// The number of training examples of data that were read, once the network is known to be one for them.
///
/// # Errors
/// With what is wrong with the file or the network.
pub fn count(data: &OwnData, channels: Channels, size: &NetworkSize) -> Result<u32, String> {
    network::fits(size, &side(data, channels).map_err(|error| error.to_string())?)
        .map_err(|error| error.to_string())?;
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
