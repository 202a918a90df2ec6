//! Runs the cells of a plan, in this process or in pinned worker processes.

mod again;
pub mod cell;
pub mod company;
mod kept;
pub mod pool;
mod program;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::data::Sources;
use analysis::plan::Plan;
use ledger::digest::Digest;
use ledger::record::Store;
use ledger::record::format::RecordError;
use ledger::record::planned::PlannedWorkload;
use ledger::seed::{Randomness, Seed};
use palimpsest::machine;
use serde::{Deserialize, Serialize};
use tch::Device;
use training::splits::DataIdentity;
use training::workload::{Entry, Ready};
use workloads::find;

use crate::devices::Devices;
use crate::inventory::Inventory;

pub use again::without_order;

/// What all cells of a run share.
pub struct Session {
    /// What will run.
    pub plan: Plan,
    /// Where records go.
    pub store: Store,
    /// Where parents' runs are: the same store, but for a repetition in one of its own.
    pub parents_in: Store,
    /// Where data come from.
    pub sources: Sources,
    /// Where tensors live.
    pub device: Device,
    /// Name of the device that cells train on, as records have it.
    pub device_name: String,
    /// What workers train on.
    pub devices: Devices,
    /// Torch threads.
    pub threads: u32,
    /// The command.
    pub argv: Vec<String>,
    /// Run cells again that are there already.
    pub force: bool,
    /// Records come from other machines: what is there stays, whatever its device, and nothing trains here.
    pub collected: bool,
    /// What other builds left in the store, where their records are kept.
    others: Option<Inventory>,
    /// The recorded run that the plan repeats, whose folder holds an order that it was given.
    recorded: Option<String>,
    ready: BTreeMap<String, Ready>,
}

/// A seed with the text that identifies it.
#[derive(Debug, Clone)]
pub struct NamedSeed {
    /// The integer, or 64 hexadecimal characters; then `+` and the beacon, when there is one.
    pub name: String,
    /// The seed.
    pub seed: Seed,
}

impl NamedSeed {
    /// The integer `k`.
    pub fn integer(k: u64, beacon: Option<Vec<u8>>) -> Self {
        let seed = Seed { beacon, ..Seed::from_integer(k) };
        Self { name: seed.named(&k.to_string()), seed }
    }

    /// Drawn from the operating system.
    pub fn attested(beacon: Option<Vec<u8>>) -> std::io::Result<Self> {
        Ok(Self::of(Seed { beacon, ..Seed::attested(&mut machine::os_random)? }))
    }

    /// A seed from the operating system, drawn now or earlier.
    pub fn of(seed: Seed) -> Self {
        Self { name: seed.named(&Digest(seed.bytes).to_string()), seed }
    }
}

/// A seed as one process tells it to another.
#[derive(Debug, Serialize, Deserialize)]
pub struct ToldSeed {
    name: String,
    bytes: Digest,
    nonce: Digest,
    randomness: Randomness,
    beacon: Option<Vec<u8>>,
    beacon_source: Option<String>,
}

impl From<&NamedSeed> for ToldSeed {
    fn from(NamedSeed { name, seed }: &NamedSeed) -> Self {
        Self {
            name: name.clone(),
            bytes: Digest(seed.bytes),
            nonce: Digest(seed.nonce),
            randomness: seed.randomness,
            beacon: seed.beacon.clone(),
            beacon_source: seed.beacon_source.clone(),
        }
    }
}

impl From<ToldSeed> for NamedSeed {
    fn from(told: ToldSeed) -> Self {
        let ToldSeed { name, bytes, nonce, randomness, beacon, beacon_source } = told;
        let (bytes, nonce) = (bytes.0, nonce.0);
        Self { name, seed: Seed { bytes, nonce, randomness, beacon, beacon_source } }
    }
}

impl Session {
    /// A session on `device`, or for workers on several; loads nothing yet.
    pub fn new(
        plan: Plan,
        store: Store,
        sources: Sources,
        device: &str,
        force: bool,
    ) -> anyhow::Result<Self> {
        let threads = 1;
        lab::device::prepare_process(threads);
        let devices = Devices::of(device, lab::device::cuda_devices)?;
        let (own, named) = devices.own();
        let device = lab::device::select(own)?;
        let device_name = if own == named { lab::device::name(device) } else { named.to_owned() };
        Ok(Self {
            plan,
            parents_in: store.clone(),
            store,
            sources,
            device,
            device_name,
            devices,
            threads,
            argv: std::env::args_os()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            force,
            collected: false,
            others: None,
            recorded: None,
            ready: BTreeMap::new(),
        })
    }

    /// Keeps records that other builds have left of the same cells.
    pub fn accept_other_builds(&mut self) -> Result<(), RecordError> {
        self.others = Some(Inventory::of(&self.store)?);
        Ok(())
    }

    /// The workload at `index` of the plan.
    pub fn workload(&self, index: usize) -> anyhow::Result<&'static Entry> {
        known(&self.plan.workloads[index].id)
    }

    /// The data of a workload, loaded once per workload and its settings.
    pub fn ready(&mut self, index: usize) -> anyhow::Result<&Ready> {
        let planned = self.plan.workloads[index].clone();
        self.ready_of(&planned)
    }

    /// The same of a workload that need not be in the plan.
    pub fn ready_of(&mut self, planned: &PlannedWorkload) -> anyhow::Result<&Ready> {
        let workload = known(&planned.id)?;
        let key = Self::data_key(planned)?;
        if !self.ready.contains_key(&key) {
            let loaded = (workload.workload.load)(&planned.settings, &self.sources, self.device)?;
            self.ready.insert(key.clone(), loaded);
        }
        self.ready.get(&key).ok_or_else(|| anyhow::anyhow!("{key} was not loaded"))
    }

    /// What a workload's data depend on: its id and settings.
    fn data_key(planned: &PlannedWorkload) -> anyhow::Result<String> {
        Ok(format!("{} {}", planned.id, serde_json::to_string(&planned.settings)?))
    }

    /// The identity of a workload's data.
    pub fn identity(&mut self, index: usize) -> anyhow::Result<Arc<DataIdentity>> {
        Ok(Arc::clone(&self.ready(index)?.identity))
    }
}

fn known(id: &str) -> anyhow::Result<&'static Entry> {
    find(id).ok_or_else(|| anyhow::anyhow!("unknown workload {id}"))
}
