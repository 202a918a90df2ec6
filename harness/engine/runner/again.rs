//! A recorded run, built again from what its record says.

use ::data::Sources;
use analysis::imported::refusal;
use analysis::plan::{Cell, Plan};
use analysis::suite::{ExecutorUse, Sections};
use anyhow::Context as _;
use lab::network::Network;
use ledger::given::GivenOrder;
use ledger::plain;
use ledger::record::{RunRecord, Store};
use ledger::streams::Streams;
use ledger::transcript::replay::read_ids;
use training::workload::Ready;

use super::{NamedSeed, Session, known};

impl NamedSeed {
    /// The seed of a recorded run.
    pub fn recorded(record: &RunRecord) -> anyhow::Result<Self> {
        let order = record.order.as_ref().with_context(|| without_order(record))?;
        let seed = order.seed().map_err(anyhow::Error::msg)?;
        Ok(Self { name: record.seed.clone(), seed })
    }
}

/// Why a run has no order.
pub fn without_order(record: &RunRecord) -> String {
    let what = "it has no order, and nothing here can train it";
    let failed = || format!("run {} failed before it had an order", record.cell);
    refusal(record, what).unwrap_or_else(failed)
}

impl Session {
    /// A session whose plan is the cell of `record` and nothing else; runs go to `store`.
    pub fn again(
        record: &RunRecord,
        store: Store,
        sources: Sources,
        device: &str,
    ) -> anyhow::Result<Self> {
        let (workload, arm) = record.planned();
        let plan = Plan {
            suite: record.suite.clone(),
            question: String::new(),
            suite_digest: record.suite_digest,
            suite_text: String::new(),
            baseline: None,
            workloads: vec![workload],
            arms: vec![arm],
            seeds: vec![0],
            cells: vec![Cell { workload: 0, arm: 0, seed: 0 }],
            sections: Sections::default(),
            unjudged: Vec::new(),
            stopping: None,
            tuning: None,
            executor: ExecutorUse::default(),
            keep_models: false,
            checkpoint_every: None,
        };
        let session = Self::new(plan, store, sources, device, true)?;
        if session.devices.are_several() {
            anyhow::bail!(
                "--device is {device}, but this takes one device: several are for `run` and `tune`"
            );
        }
        Ok(Self { recorded: Some(record.cell.clone()), ..session })
    }

    /// The order that a cell is given, with its ids; those of a recorded run lie in its folder.
    pub(super) fn given_order(&self, cell: Cell) -> anyhow::Result<Option<GivenOrder>> {
        let Some(order) = &self.plan.arms[cell.arm].order else { return Ok(None) };
        let (true, Some(recorded)) = (order.ids.is_empty(), &self.recorded) else {
            return Ok(Some(order.clone()));
        };
        let path = self.parents_in.folder(recorded).join("order.bin");
        let file = path.display().to_string();
        let bytes = plain::read(&path).with_context(|| format!("cannot read {file}"))?;
        let ids = read_ids(&bytes).with_context(|| format!("cannot read {file}"))?;
        Ok(Some(order.with_ids(file, ids)?))
    }

    /// Calls `body` with the model that a recorded run left and the data of its workload.
    pub fn with_model<T>(
        &mut self,
        record: &RunRecord,
        body: impl FnOnce(&Network, &Ready) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let weights = self.weights(&record.cell)?;
        let workload = known(&record.workload)?;
        let seed = NamedSeed::recorded(record)?.seed;
        let device = self.device;
        let ready = self.ready_of(&record.planned().0)?;
        let streams = Streams::new(seed.effective(&ready.identity.train_root));
        let mut network =
            (workload.workload.network)(&record.workload_settings, &ready.side, &streams, device)?;
        weights.put_into(&mut network)?;
        body(&network, ready)
    }
}
