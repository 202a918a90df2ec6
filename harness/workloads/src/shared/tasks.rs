//! What workloads of tasks have in common: training examples are a lattice of points.

use std::sync::Arc;

use data::Origin;
use ledger::catalogue::DataName;
use ledger::digest::Digest;
use tch::{Device, Kind, TchError, Tensor};

use lab::LabError;
use lab::offers;
use lab::recipe::Step;
use lab::seat::TaskInfo;
use lab::side_info::SideInfo;
use lab::split::Split;
use lab::teaching::Lattice;
use training::judge::Judge;
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

/// What workloads of tasks declare alike.
pub const WORKLOAD: Workload = Workload {
    data: DataName::Generated,
    offers: &[offers::TASKS],
    metric: "mastered",
    target_origin: "assumed",
    ..Workload::BLANK
};

/// A workload of tasks.
pub struct Tasks {
    /// Its id, which tells its tasks from another's.
    pub id: &'static str,
    /// What is trained on.
    pub lattice: Lattice,
    /// What a coordinate of 1 of the lattice stands for in the tasks.
    pub extent: Vec<f64>,
    /// Coordinates of the tasks that targets are set on, in the tasks' units.
    pub validation: Vec<f64>,
    /// Coordinates of the tasks that are only reported.
    pub test: Vec<f64>,
    /// How the student learns.
    pub student: fn(&TaskInfo<'_>) -> Result<Step, LabError>,
}

impl Tasks {
    /// The tasks on the device, judged by `judge`.
    pub fn ready(self, judge: impl Judge + 'static, device: Device) -> Result<Ready, LabError> {
        let points = self.lattice.points();
        let extent = self.extent.iter().cycle();
        let train: Vec<f64> =
            points.coordinates.iter().zip(extent).map(|(point, extent)| point * extent).collect();
        let split = |coordinates: &[f64]| split(coordinates, points.dimensions, device);
        let splits = Splits {
            train: split(&train)?,
            probe: None,
            validation: split(&self.validation)?,
            test: split(&self.test)?,
        };
        let ids = |coordinates: &[f64]| ids(self.id, coordinates, points.dimensions);
        let identity = DataIdentity::new(
            ids(&train),
            &ids(&self.validation),
            &ids(&self.test),
            Origin::Generated,
        );
        let side =
            SideInfo { points: Some(points), student: Some(self.student), ..SideInfo::default() };
        Ok(Ready { splits, identity: Arc::new(identity), side, judge: Box::new(judge) })
    }
}

/// Tasks as inputs, N × coordinates; there is nothing to compare an output with.
fn split(coordinates: &[f64], dimensions: usize, device: Device) -> Result<Split, TchError> {
    let width = i64::try_from(dimensions).unwrap_or(1);
    let stored = Tensor::f_from_slice(coordinates)?
        .f_view([-1, width])?
        .f_to_kind(Kind::Float)?
        .f_to_device(device)?;
    let labels = Tensor::f_zeros([stored.size()[0]], (Kind::Int64, device))?;
    Ok(Split { stored, labels, groups: Vec::new() })
}

/// SHA-256 of "palimpsest/task/v1", the workload's id and the coordinates as f64 LE, per task.
fn ids(workload: &str, coordinates: &[f64], dimensions: usize) -> Vec<Digest> {
    let id = |task: &[f64]| {
        let bytes: Vec<u8> = task.iter().flat_map(|value| value.to_le_bytes()).collect();
        Digest::of_parts(&[b"palimpsest/task/v1", workload.as_bytes(), &bytes])
    };
    coordinates.chunks_exact(dimensions).map(id).collect()
}
