//! A table of one's own: its settings, which `table` and `table-regression` share, and what they come to.

use data::columns::{LabelKind, Wanted};
use data::own::OwnData;
use lab::LabError;
use lab::network::Network;
use lab::side_info::SideInfo;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use tch::Device;

use super::network::{self, NetworkChoice, NetworkSize};
use super::{Channels, count, named, shares};

settings! {
    /// Settings of a table of one's own.
    pub struct TableSettings {
        /// The table; a path from the suite's folder on.
        file: String = String::new(), from "to be given";
        /// Name of the column that is learnt.
        label: String = "label".to_owned(), from "assumed";
        /// Names of columns that are left out, parted by commas.
        ignore: String = String::new(), from "assumed";
        /// Share of the rows that targets are set on.
        validation: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Share of the rows that is only reported.
        test: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// The network: `mlp`, or a module scripted in PyTorch.
        network: NetworkChoice = NetworkChoice::Mlp, from "assumed";
        /// Width of hidden layers.
        width: u32 = 64, range Range::of(1.0..=16_384.0), from "assumed";
        /// Number of hidden layers.
        depth: u32 = 2, range Range::of(0.0..=64.0), from "assumed";
    }
}

impl TableSettings {
    /// All values; there is a file, and something is left to train on.
    ///
    /// # Errors
    /// When a setting is unknown or not valid.
    pub fn checked(values: &Values) -> Result<Values, SettingError> {
        let resolved = network::resolved(values, Self::resolve)?;
        let Self { file, validation, test, .. } = Self::read(&resolved)?;
        named("file", &file)?;
        shares(validation, test)?;
        Ok(resolved)
    }

    /// The table, with labels of a kind.
    ///
    /// # Errors
    /// As [`OwnData::of_table`].
    pub fn data(values: &Values, kind: LabelKind) -> Result<OwnData, LabError> {
        let Self { file, label, ignore, validation, test, .. } = Self::read(values)?;
        let names = ignore.split(',').map(|name| name.trim().to_owned());
        let ignored: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        let wanted = Wanted { label: &label, ignored: &ignored, kind };
        Ok(OwnData::of_table(named("file", &file)?, &wanted, shares(validation, test)?)?)
    }

    /// The number of rows that train, where the network is one for them.
    ///
    /// # Errors
    /// With what is wrong with a file or the network.
    pub fn count(values: &Values, kind: LabelKind) -> Result<u32, String> {
        let told = |error: LabError| error.to_string();
        let settings = Self::read(values).map_err(|error| error.to_string())?;
        count(&Self::data(values, kind).map_err(told)?, Channels::First, &settings.size())
    }

    fn size(self) -> NetworkSize {
        NetworkSize { choice: self.network, width: self.width, depth: self.depth }
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
