//! # blobs-elastic
//!
//! The images of `blobs-cnn` and a CNN that smaller ones can be cut from, for methods that train all of them at once:
//! two units of two blocks of 8 and 16 channels, each an expansion to twice as many by a 5 × 5 convolution and a
//! projection by a 1 × 1 one, batch-normalised; 29,826 parameters. Parts have one block or two in each unit,
//! kernels of 3 or 5, all channels of the expansion or half of them.
//!
//! Other methods train the whole of it.

use ledger::catalogue::DataName;
use ledger::settings;
use ledger::settings::Range;

use crate::shared::classification::{self, Layout, Normalisation};
use crate::shared::settings::scaled;
use lab::models::elastic::Elastic;
use lab::offers;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 8–16.
        width: f64 = 1.0, range Range::above_up_to(0.0, 16.0), from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "blobs",
    normalisation: Normalisation { mean: &[0.0], deviation: &[1.0] },
    flat: false,
};

impl Settings {
    fn elastic(&self) -> Elastic {
        let widths = [8, 16].map(|channels| scaled(channels, self.width));
        Elastic { channels: 1, side: 16, widths, classes: 10 }
    }
}

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "procedural 16×16 blobs, an elastic CNN",
    data: DataName::Set(LAYOUT.data),
    offers: &[offers::LOSS, offers::CLASSES, offers::PARTS],
    target: 0.90,
    target_origin: "assumed: that of blobs-cnn",
    budget_epochs: 12.0,
    evaluate_every_epochs: 0.5,
    split_sizes: [8_192, 1_024, 2_048],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, sources, device| {
        let mut ready = LAYOUT.load(sources, device)?;
        ready.side.elastic = Some(Settings::read(values)?.elastic());
        Ok(ready)
    },
    network: |values, _, streams, device| {
        Ok(Settings::read(values)?.elastic().network(streams, device)?)
    },
    ..classification::WORKLOAD
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::side_info::SideInfo;
    use lab::trial::streams;
    use ledger::settings::Values;
    use tch::Device;

    #[test]
    fn the_whole_network_has_as_many_parameters_as_the_card_says() {
        let settings = (WORKLOAD.resolve)(&Values::new()).unwrap();
        let network =
            (WORKLOAD.network)(&settings, &SideInfo::default(), &streams(), Device::Cpu).unwrap();
        let count: usize = network.parameters.iter().map(|p| p.tensor.numel()).sum();
        assert_eq!(count, 29_826);
    }
}
