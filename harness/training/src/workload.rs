//! A workload: data, model, metrics, target and budget.
//!
//! A workload gives methods [`Splits`] and [`Material`]; what judges a model, its [`Judge`], stays
//! with the training loop, so that no method can see an evaluation.

use std::sync::Arc;

use crate::splits::{DataIdentity, Splits};
use data::Sources;
use lab::LabError;
use lab::material::Material;
use lab::network::Network;
use lab::seat::Facts;
use ledger::catalogue::WorkloadInfo;
use ledger::settings::Values;
use ledger::streams::Streams;
use tch::Device;

use crate::artefacts::Artefacts;
use crate::judge::Judge;

/// A workload: its row, and how its data and network are made.
#[derive(Debug)]
pub struct Workload {
    /// The row that planner, `list` and `explain` see.
    pub info: fn() -> WorkloadInfo,
    /// Loads or generates the data and puts them on the device.
    pub load: fn(&Values, &Sources, Device) -> Result<Ready, LabError>,
    /// Builds the network from the `init` stream.
    pub network: fn(&Values, &Material, &Streams, Device) -> Result<Network, LabError>,
    /// Brings the network to where every method starts from, when that is not its initialisation.
    pub start: Option<Start>,
}

/// Trains the common start of all methods of one seed; what it cost and its digest are facts.
pub type Start =
    fn(&mut Network, &Ready, &Values, &Streams, &dyn Artefacts) -> Result<Facts, LabError>;

/// A workload's data, ready to train on.
#[derive(Debug)]
pub struct Ready {
    /// Tensors on the device.
    pub splits: Splits,
    /// What they are.
    pub identity: Arc<DataIdentity>,
    /// What methods may know of them.
    pub material: Material,
    /// What judges a model.
    pub judge: Box<dyn Judge>,
}
