//! # images
//!
//! Images of your own in classes: `folder`, from the suite's folder on, holds a folder a class, or `train` and `test`
//! (and `validation`) with such folders. PNG and JPEG.
//!
//! ```yaml
//! workloads: [{ workload: images, as: leaves, with: { folder: leaves, size: 32, channels: rgb } }]
//! ```
//!
//! All are brought to squares of one `size`: the largest square in the middle, made smaller by the mean over the area that
//! a pixel covers, or larger by interpolation between four; turned as their EXIF data say; to `grey` or `rgb`, 8 bits a
//! value. Values are standardised by mean and deviation of each channel over the images that train; the record says both,
//! and the classes by their names.
//!
//! Without folders that say so, the images are split by a hash of each file's bytes and class: `validation` and `test` are
//! shares; images that show the same stay together. A share of what a folder holds is refused. Of transparent, animated,
//! 16-bit and CMYK images, and of whatever is damaged, the first is named and refused.
//!
//! `network` is as in `arrays`: `cnn` by default, for a `size` that 4 divides; `mlp`, `resnet`, `vit`, `gru`, or a module of yours,
//! which is given N × C × `size` × `size`.

use crate::shared::own::{self, ImagesSettings};
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "images of your own in classes, a network by name or a module of yours",
    count: Some(ImagesSettings::count),
    settings: ImagesSettings::table,
    resolve: ImagesSettings::checked,
    load: |values, _, device| ImagesSettings::ready(values, device),
    network: ImagesSettings::network,
    ..own::CLASSES
};
