//! # arrays
//!
//! Two NumPy arrays of your own, from the suite's folder on: `inputs_file`, whose first axis counts examples (N × F, or
//! images N × H × W, N × C × H × W, or with `channels: last` N × H × W × C), and `labels_file`, a class an example
//! (whole numbers or text).
//!
//! ```yaml
//! workloads: [{ workload: arrays, as: glyphs, with: { inputs_file: X.npy, labels_file: y.npy, network: cnn } }]
//! ```
//!
//! The examples are split as those of `table` are. Numbers are standardised by what trains: by column, or by channel of
//! images.
//!
//! | `network` | is | sizes |
//! | --- | --- | --- |
//! | `mlp` | hidden layers with ReLU over all numbers | `width: 64`, `depth: 2`, beside `network` or within |
//! | `cnn` | three convolutions with batch normalisation, two poolings, a linear head; squares whose side 4 divides | `width: 64` for 8, 16 and 32 channels |
//! | `resnet` | residual blocks, batch-normalised (He et al. 2016, ResNet-20 by default); images of any size | `{ resnet: { widths: [16, 32, 64], depth: 3 } }` |
//! | `vit` | a transformer over patches, class token, learned positions (DeiT-Ti by default); images that `patch` divides | `{ vit: { patch: 4, width: 192, depth: 12, heads: 3 } }` |
//! | `gru` | gated units over the rows of images, from the top (N × H × W: H steps of W numbers), a head on the last state | `{ gru: { width: 128, depth: 1 } }` |
//! | `{ torchscript: net.pt }` | a module that `torch.jit.script(model).save("net.pt")` wrote | its own, and its own initial weights |
//!
//! A module is given N × F or N × C × H × W and has to make N × classes of it (N × 1 of numbers as labels). It is a program:
//! load what you would run (docs/your_own.md).

use data::columns::LabelKind;

use crate::shared::own::{self, ArraysSettings};
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "arrays of your own in classes, a network by name or a module of yours",
    count: Some(|values| ArraysSettings::count(values, LabelKind::Names)),
    settings: ArraysSettings::table,
    resolve: ArraysSettings::checked,
    load: |values, _, device| ArraysSettings::ready(values, LabelKind::Names, device),
    network: ArraysSettings::network,
    ..own::CLASSES
};
