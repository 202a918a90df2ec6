//! Arrays of one's own: their settings, which `arrays` and `arrays-regression` share, and what they come to.

use data::columns::LabelKind;
use data::own::OwnData;
use lab::LabError;
use lab::network::Network;
use lab::side_info::SideInfo;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use tch::Device;
use training::workload::Ready;

use super::network::{self, NetworkChoice, NetworkSize};
use super::{Channels, count, named, ready, shares};

settings! {
    /// Settings of arrays of one's own.
    pub struct ArraysSettings {
        /// The inputs; a path from the suite's folder on.
        inputs_file: String = String::new(), from "to be given";
        /// The labels; a path from the suite's folder on.
        labels_file: String = String::new(), from "to be given";
        /// Where the channels of images stand.
        channels: Channels = Channels::First, from "assumed";
        /// Share of the examples that targets are set on.
        validation: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Share of the examples that is only reported.
        test: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// The network: a name, a name with sizes, or a module scripted in PyTorch.
        network: NetworkChoice = NetworkChoice::Mlp, from "assumed";
        /// Width of hidden layers; of a `cnn` 64 stands for 8, 16 and 32 channels.
        width: u32 = 64, range Range::of(1.0..=16_384.0), from "assumed";
        /// Number of hidden layers of an `mlp`.
        depth: u32 = 2, range Range::of(0.0..=64.0), from "assumed";
    }
}

impl ArraysSettings {
    /// All values; there are files, and something is left to train on.
    ///
    /// # Errors
    /// When a setting is unknown or not valid.
    pub fn checked(values: &Values) -> Result<Values, SettingError> {
        let resolved = network::resolved(values, Self::resolve)?;
        let Self { inputs_file, labels_file, validation, test, .. } = Self::read(&resolved)?;
        named("inputs_file", &inputs_file)?;
        named("labels_file", &labels_file)?;
        shares(validation, test)?;
        Ok(resolved)
    }

    /// The arrays, with labels of a kind.
    ///
    /// # Errors
    /// As [`OwnData::of_arrays`].
    pub fn data(values: &Values, kind: LabelKind) -> Result<OwnData, LabError> {
        let Self { inputs_file, labels_file, validation, test, .. } = Self::read(values)?;
        let inputs = named("inputs_file", &inputs_file)?;
        let labels = named("labels_file", &labels_file)?;
        Ok(OwnData::of_arrays(inputs, labels, kind, shares(validation, test)?)?)
    }

    /// The number of training examples, where the network is one for them.
    ///
    /// # Errors
    /// With what is wrong with a file or the network.
    pub fn count(values: &Values, kind: LabelKind) -> Result<u32, String> {
        let told = |error: LabError| error.to_string();
        let settings = Self::read(values).map_err(|error| error.to_string())?;
        let channels = settings.channels;
        count(&Self::data(values, kind).map_err(told)?, channels, &settings.size())
    }

    fn size(self) -> NetworkSize {
        NetworkSize { choice: self.network, width: self.width, depth: self.depth }
    }

    /// The arrays on a device.
    ///
    /// # Errors
    /// As [`ready`].
    pub fn ready(values: &Values, kind: LabelKind, device: Device) -> Result<Ready, LabError> {
        let Self { channels, .. } = Self::read(values)?;
        ready(&Self::data(values, kind)?, channels, device)
    }

    /// The network.
    ///
    /// # Errors
    /// As [`network::network`].
    pub fn network(
        values: &Values,
        side: &SideInfo,
        streams: &Streams,
        device: Device,
    ) -> Result<Network, LabError> {
        network::network(&Self::read(values)?.size(), side, streams, device)
    }
}
