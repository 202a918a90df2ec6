//! # native-blobs
//!
//! Images of sixteen sizes, heights and widths of 12, 16, 20 and 24 pixels, cut at random places out of the images of
//! `blobs-cnn` drawn on a canvas of 24 × 24 (two prototypes a class, `mix` 0.4, `noise` 0.5); every size as often as
//! any other. Each has a caption: its class in one of three words.
//!
//! The network is two towers. A vision transformer (d = 64, 3 blocks, 4 heads, patches of 4 × 4: 9 to 36 tokens) reads
//! images of any size side by side in packs; captions are learned vectors; 193,010 parameters. An example's size stands in its row, so
//! that a method may show it at another one. Outputs are similarities with all 30 captions.
//!
//! `accuracy` is zero-shot: the share of held-out images, at the size they have, whose nearest caption is one of their
//! class. Every method starts with a head for features of a teacher, which those without one leave alone.

use std::collections::BTreeMap;

use data::blobs::Blobs;
use data::crops::{self, CANVAS, Crop, PARAPHRASES};
use ledger::catalogue::{DataName, MetricInfo};
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::models::vit::{Shape, vit};
use lab::native;
use lab::network::values;
use lab::offers;
use lab::side_info::{Captions, SideInfo};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

const CLASSES: u32 = 10;
/// Features of a teacher: the last activations of a CNN of 32 channels on 16 × 16 pixels.
const FEATURES: usize = 512;
/// Largest number of images judged at once.
const CHUNK: i64 = 256;

const SHAPE: Shape = Shape {
    side: CANVAS,
    patch: 4,
    width: 64,
    depth: 3,
    heads: 4,
    hidden: 264,
    classes: CLASSES as usize,
    paraphrases: PARAPHRASES as usize,
    features: FEATURES,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "blobs of 12 to 24 pixels a side with captions, two towers",
    data: DataName::Generated,
    offers: &[offers::CAPTIONS],
    metrics: &[MetricInfo::share("accuracy", 0.1)],
    metric: "accuracy",
    target: 0.5,
    target_origin: "assumed: half of the images, where guessing finds a tenth",
    budget_epochs: 6.0,
    evaluate_every_epochs: 0.5,
    split_sizes: [8_192, 1_024, 2_048],
    load: |_, _, device| load(&Blobs::easy(), device),
    network: |_, _, streams, device| Ok(vit(SHAPE, streams, device)?),
    ..Workload::BLANK
};

fn load(blobs: &Blobs, device: Device) -> Result<Ready, LabError> {
    let parts = crops::generate(blobs)?;
    let (splits, identity) = generated::placed(&parts, |crops| place(crops, device))?;
    let names = (0..16).map(crops::size).map(|[height, width]| format!("{height}x{width}"));
    let captions =
        Captions { classes: CLASSES, paraphrases: PARAPHRASES, patch: SHAPE.patch as u32 };
    let side = SideInfo {
        captions: Some(captions),
        group_names: names.collect(),
        groups: splits.train.groups.clone(),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge: Box::new(Nearest) })
}

/// Rows of images, captions as labels and sizes as groups.
fn place(crops: &[Crop], device: Device) -> Result<Split, TchError> {
    let row = |crop: &Crop| native::row(&crop.pixels, crops::size(crop.group), CANVAS);
    let rows: Vec<f32> = crops.iter().flat_map(row).collect();
    let labels: Vec<i64> = crops.iter().map(|crop| i64::from(crop.caption())).collect();
    let length = native::SIZES + (CANVAS * CANVAS) as i64;
    Ok(Split {
        stored: Tensor::f_from_slice(&rows)?.f_view([-1, length])?.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: crops.iter().map(|crop| crop.group).collect(),
    })
}

/// Judges by the nearest caption.
#[derive(Debug)]
struct Nearest;

impl Judge for Nearest {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (count, words) = (request.split.len(), i64::from(PARAPHRASES));
        let mut hits = 0.0;
        let mut start = 0;
        while start < count {
            let length = CHUNK.min(count - start);
            let (images, captions) = request.split.rows(start, length)?;
            let said = request.model.network.forward(&images, false)?;
            // What is not finite is near to nothing: no accuracy, and the run is told apart.
            if values(&said)?.iter().any(|similarity| !similarity.is_finite()) {
                return Ok(BTreeMap::from([("accuracy".to_owned(), f64::NAN)]));
            }
            let class = |captions: &Tensor| captions.f_div_scalar_mode(words, "floor");
            let found = class(&said.f_argmax(-1, false)?)?.f_eq_tensor(&class(&captions)?)?;
            hits += values(&found)?.iter().map(|hit| f64::from(*hit)).sum::<f64>();
            start += length;
        }
        Ok(BTreeMap::from([("accuracy".to_owned(), hits / count as f64)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::{Body, Forward, Network};
    use ledger::settings::Values;
    use std::sync::Arc;
    use training::judge::{Judged, Model};

    /// Says one of these captions of every image, by its first pixels.
    #[derive(Debug)]
    struct Knowing(Vec<i64>);

    impl Forward for Knowing {
        fn forward(&self, _: &Network, rows: &Tensor, _: bool) -> Result<Tensor, LabError> {
            let images = values(&rows.f_select(1, 30)?)?;
            let said = images.iter().flat_map(|pixel| {
                let place = ((pixel * 256.0) as i64).rem_euclid(self.0.len() as i64);
                let label = self.0[place as usize];
                (0..30).map(move |caption| f32::from(u8::from(caption == label)))
            });
            Ok(Tensor::f_from_slice(&said.collect::<Vec<_>>())?.f_view([-1, 30])?)
        }
    }

    #[test]
    fn an_image_counts_where_its_nearest_caption_is_one_of_its_class() {
        let fixture = crate::fixture("native-blobs", &Values::new()).unwrap();
        let Ready { splits, judge, .. } = fixture.ready();
        let judged = |captions: &[i64]| {
            // Every image of a split of one caption is said to show that of `captions`.
            let stored = splits.test.stored.narrow(0, 0, 300);
            let labels = Tensor::full([300], 7, (tch::Kind::Int64, Device::Cpu));
            let split = Split { stored, labels, groups: Vec::new() };
            let body = Body::Own(Arc::new(Knowing(captions.to_vec())));
            let network = Network::new(vec![], vec![], body);
            let model = Model::plain(&network);
            let request =
                EvaluationRequest { model, split: &split, judged: Judged::Test, last: true };
            judge.metrics(&request).unwrap()["accuracy"]
        };
        assert_eq!([&[7][..], &[6], &[8], &[5], &[9]].map(judged), [1.0, 1.0, 1.0, 0.0, 0.0]);
        let some = judged(&[7, 9]);
        assert!((0.2..0.8).contains(&some), "{some}");
    }

    #[test]
    fn sizes_are_part_of_the_data_and_groups_count_them() {
        let fixture = crate::fixture("native-blobs", &Values::new()).unwrap();
        let Ready { splits, side, .. } = fixture.ready();
        assert_eq!(side.group_names[1], "12x16");
        let sizes = native::sizes(&splits.validation.stored).unwrap();
        for (group, [height, width]) in splits.validation.groups.iter().zip(sizes) {
            assert_eq!(side.group_names[*group as usize], format!("{height}x{width}"));
        }
        let network = fixture.network(1).unwrap();
        let count: usize = network.parameters.iter().map(|p| p.tensor.numel()).sum();
        assert_eq!(count, 193_010);
    }
}
