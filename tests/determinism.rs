//! The same suite gives the same bits: in another store, in another process, on more workers,
//! without the warm-up; and NumPy agrees about the order.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use analysis::plan::{Overrides, Plan, plan};
use lab::seat::{OrderSource, TaskInfo};
use ledger::catalogue::Catalogue;
use ledger::digest::Digest;
use ledger::goal::Goal;
use ledger::lineage::Parents;
use ledger::order::OrderLaw;
use ledger::record::RunRecord;
use ledger::seed::Seed;
use ledger::streams::Streams;
use ledger::transcript::Transcript;
use serde_json::Value;
use tch::Device;
use training::cell::{CellSetup, Nobody};
use training::clock::{Clock, Monotonic};
use training::run::{Run, WHOLE};
use training::workload::{Entry, Ready};

use crate::support::{Bench, output, python, root, sources};

/// Every kind of seat that can hold state, and three order laws; a second epoch for most.
const SUITE: &str = "\
suite: bits
question: Are these bits the same?
workloads: [{ workload: digits-mlp, epochs: 1.3, evaluate_every: 0.5, target: { value: 0.5, origin: test } }]
seeds: 2
settings: { batch_size: 64 }
arms:
  - { method: sgd, as: sgd, with: { lr: 0.05 } }
  - adamw
  - drop-muon
  - ps-kd
  - random-pruning
  - granet
  - rs2
  - static-subset
";

/// A record without what belongs to the machine and the moment.
fn essence(record: &RunRecord, with_index: bool) -> Value {
    let mut value = serde_json::to_value(record).unwrap();
    let fields = value.as_object_mut().unwrap();
    for field in ["environment", "clocks", "time_to_target", "warnings"] {
        fields.remove(field).unwrap();
    }
    if !with_index {
        fields["order"]["index"] = Value::Null;
    }
    value
}

fn essences(bench: &Bench, with_index: bool) -> Vec<Value> {
    bench.records().iter().map(|record| essence(record, with_index)).collect()
}

/// One bench with a run for the tests that only read it.
fn shared() -> &'static Bench {
    static SHARED: OnceLock<Bench> = OnceLock::new();
    SHARED.get_or_init(|| Bench::with_run(SUITE))
}

#[test]
fn two_stores_hold_the_same_bits() {
    let (first, second) = (shared(), Bench::with_run(SUITE));
    assert_eq!(first.cells().len(), 16);
    assert_eq!(essences(first, true), essences(&second, true));
}

#[test]
fn two_workers_give_the_bits_of_one() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        // The program itself refuses more workers than CPUs.
        return;
    }
    let one = shared();
    let two = Bench::new();
    two.write("suite.yaml", SUITE);
    two.run(&["run", "suite.yaml", "--device", "cpu", "--jobs", "2"]).ends(0);
    assert_eq!(essences(one, false), essences(&two, false));
    two.run(&["verify"]).ends(0);
}

#[test]
fn arms_of_one_seed_start_with_the_same_epoch() {
    let bench = shared();
    let mut first_orders = Vec::new();
    for seed in ["0", "1"] {
        let records = bench.records().into_iter().filter(|record| record.seed == seed);
        let orders = records.filter_map(|record| record.order);
        let uniform = orders.filter(|order| order.law == OrderLaw::Uniform);
        let hashes: Vec<_> = uniform.map(|order| order.epochs[0].order_hash).collect();
        assert!(hashes.len() >= 5, "{} arms with a uniform order", hashes.len());
        let distinct: BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), 1, "seed {seed}");
        first_orders.push(hashes[0]);
    }
    assert_ne!(first_orders[0], first_orders[1]);
}

/// The one cell of `arm` of [`SUITE`], in this process.
struct Cell {
    plan: Plan,
    arm: usize,
    workload: &'static Entry,
    ready: Ready,
    goal: Goal,
}

impl Cell {
    fn new(arm: &str) -> Self {
        lab::device::prepare_process(1);
        let catalogue = Catalogue {
            methods: methods::REGISTRY.iter().map(lab::method::Entry::info).collect(),
            workloads: workloads::REGISTRY.iter().map(training::workload::Entry::info).collect(),
        };
        let plan = plan("suite.yaml", SUITE, &catalogue, &Overrides::default()).unwrap();
        let workload = workloads::find("digits-mlp").unwrap();
        let ready =
            (workload.workload.load)(&plan.workloads[0].settings, sources(), Device::Cpu).unwrap();
        let goal = plan.workloads[0].goal.clone();
        let arm = plan.arms.iter().position(|planned| planned.label == arm).unwrap();
        Self { plan, arm, workload, ready, goal }
    }
}

#[test]
fn this_process_gives_the_bits_of_another() {
    let bench = shared();
    for arm in ["sgd", "granet", "rs2"] {
        let cell = Cell::new(arm);
        let record = bench.record(arm, 1);
        let recorded = record.order.unwrap();
        let setup = CellSetup {
            workload: cell.workload,
            workload_settings: &cell.plan.workloads[0].settings,
            ready: &cell.ready,
            method: methods::find(arm).unwrap(),
            settings: &cell.plan.arms[cell.arm].settings,
            seed: &Seed::from_integer(1),
            config_hash: recorded.config_hash,
            goal: &cell.goal,
            device: Device::Cpu,
            parents: Parents::default(),
            order: None,
            artefacts: &training::artefacts::Unkept,
            code: "",
        };
        let outcome = setup.run(&mut |_| Ok(()), &mut |_| Ok(()), &Nobody, None).unwrap();
        assert_eq!(outcome.commitment.digest(), recorded.commitment, "{arm}");
        assert_eq!(outcome.order.epochs, recorded.epochs, "{arm}");
        assert_eq!(Some(&outcome.order.chain), recorded.chain.last(), "{arm}");
        assert_eq!(Some(outcome.parameters), record.parameters_sha256, "{arm}");
        assert_eq!(outcome.facts, record.facts, "{arm}");
    }
}

/// Trains without the warm-up that every recorded run has.
fn without_warm_up(cell: &Cell, method: &str, seed: u64) -> Digest {
    let examples = u32::try_from(cell.ready.identity.sample_ids.len()).unwrap();
    let effective_seed = Seed::from_integer(seed).effective(&cell.ready.identity.train_root);
    let streams = Streams::new(effective_seed);
    let settings = &cell.plan.workloads[0].settings;
    let mut network =
        (cell.workload.workload.network)(settings, &cell.ready.side, &streams, Device::Cpu)
            .unwrap();
    let task = TaskInfo {
        method,
        workload: "digits-mlp",
        network: &network,
        examples,
        side: &cell.ready.side,
        teacher: None,
        budget_samples: cell.goal.budget.samples,
        streams: &streams,
    };
    let method = methods::find(method).unwrap().method;
    let mut recipe = (method.build)(&cell.plan.arms[cell.arm].settings, &task).unwrap();
    Run {
        network: &mut network,
        recipe: &mut recipe,
        splits: &cell.ready.splits,
        loss: cell.ready.side.loss,
        judge: Some(cell.ready.judge.as_ref()),
        source: OrderSource {
            effective_seed: &effective_seed,
            streams: &streams,
            examples,
            eligible: None,
        },
        budget: cell.goal.budget,
        target: &cell.goal.target,
        transcript: &mut Transcript::start(Digest::of(b"test")),
        clock: &mut Clock::start(Monotonic::start(), Device::Cpu),
        part: WHOLE,
        keeper: None,
    }
    .train(&mut |_| Ok(()))
    .unwrap();
    network.digest().unwrap()
}

#[test]
fn the_warm_up_moves_nothing() {
    let bench = shared();
    for method in ["sgd", "ps-kd", "random-pruning", "drop-muon"] {
        let recorded = bench.record(method, 0).parameters_sha256;
        assert_eq!(Some(without_warm_up(&Cell::new(method), method, 0)), recorded, "{method}");
    }
}

#[test]
fn every_run_of_every_law_verifies() {
    let bench = shared();
    let verified = bench.run(&["verify", "--json"]).ends(0).json();
    assert_eq!(verified["runs"].as_array().unwrap().len(), 16);
    let laws: BTreeSet<_> =
        bench.records().into_iter().filter_map(|record| Some(record.order?.law)).collect();
    assert!(laws.len() >= 2, "{laws:?}");
}

fn verify_order(python: &Path, arguments: &[&str]) -> crate::support::Output {
    let mut command = Command::new(python);
    command.arg(root().join("docs/verify_order.py")).args(arguments);
    output(command)
}

#[test]
fn numpy_finds_the_same_order_in_every_run() {
    let python = python("numpy");
    let bench = Bench::with_run(SUITE);
    for record in bench.records() {
        let folder = bench.store().folder(&record.cell);
        let checked = verify_order(&python, &[folder.to_str().unwrap()]).ends(0);
        assert!(checked.stdout.contains("ok        chain at step"), "{}", checked.stdout);
        let uniform = record.order.unwrap().law == OrderLaw::Uniform;
        let order = checked.stdout.contains("ok        epoch 0: uniform order");
        assert_eq!(order, uniform, "{}: {}", record.method, checked.stdout);
    }
    let order = bench.store().folder(&bench.cells()[0]).join("order.bin");
    let mut bytes = std::fs::read(&order).unwrap();
    bytes.swap(0, 4);
    bytes.swap(1, 5);
    std::fs::write(&order, bytes).unwrap();
    let folder = order.parent().unwrap().to_str().unwrap();
    let broken = verify_order(&python, &[folder]).ends(1);
    assert!(broken.stdout.contains("MISMATCH  epoch 0: order_hash"), "{}", broken.stdout);
}

#[test]
fn numpy_draws_the_order_of_a_seed_as_the_ledger_does() {
    let python = python("numpy");
    for (seed, n, epoch) in [(0, 10, 0), (7, 1197, 3), (123_456_789_012, 2, 1)] {
        let [k, count, number] = [seed.to_string(), n.to_string(), epoch.to_string()];
        let drawn =
            verify_order(&python, &["--seed", &k, "--n", &count, "--epoch", &number]).ends(0);
        let ids = ledger::order::uniform_order(&Seed::from_integer(seed).bytes, epoch, n);
        let text: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let hash = ledger::order::order_hash(&ids);
        assert_eq!(drawn.stdout, format!("{}\n{hash}\n", text.join(" ")));
    }
}
