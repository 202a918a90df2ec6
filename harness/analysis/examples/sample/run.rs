//! A run made without training: a store whose records, transcripts and commitments are whole, for
//! benches and tests of what reads them.

use std::collections::BTreeMap;
use std::error::Error;

use ledger::commitment::{CommitmentEntry, Drawn, Terms};
use ledger::digest::Digest;
use ledger::goal::{Budget, Direction, Goal, Target};
use ledger::layout::Layout;
use ledger::lineage::Parents;
use ledger::merkle;
use ledger::order::{OrderLaw, Unit, uniform_order, uniform_units};
use ledger::record::decided::Decided;
use ledger::record::format::{
    ClockSeconds, Committed, DataSection, Environment, Evaluation, Event, IndexPlace, OrderSection,
    RECORD_VERSION,
};
use ledger::record::identity::{CellKey, Config};
use ledger::record::{RunRecord, Status, Store};
use ledger::sample::sample_id;
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::transcript::Transcript;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Examples of the training split.
    pub examples: u32,
    /// Epochs.
    pub epochs: u32,
    /// Examples of a step.
    pub batch: usize,
    /// The integer seed.
    pub seed: u64,
}

/// Writes a run into `store` as the engine would and returns its cell id.
///
/// # Errors
/// When the store refuses.
pub fn write(store: &Store, shape: Shape) -> Result<String, Box<dyn Error>> {
    write_order(store, shape, None)
}

/// The same, in an order that moves units of examples with these roles.
///
/// # Errors
/// When the store refuses.
pub fn write_order(
    store: &Store,
    shape: Shape,
    layout: Option<&Layout>,
) -> Result<String, Box<dyn Error>> {
    write_arm(store, shape, layout, Values::new())
}

/// The same, of a method with these settings.
///
/// # Errors
/// When the store refuses.
pub fn write_arm(
    store: &Store,
    shape: Shape,
    layout: Option<&Layout>,
    settings: Values,
) -> Result<String, Box<dyn Error>> {
    let Shape { examples, epochs, batch, seed: integer } = shape;
    store.prepare()?;
    let seed = Seed::from_integer(integer);
    let sample_ids: Vec<Digest> =
        (0..examples).map(|i| sample_id(&i.to_le_bytes(), b"label")).collect();
    let dataset_root = merkle::root(&sample_ids);
    let mut record = record(integer, dataset_root);
    record.settings = settings;
    let samples = u64::from(examples) * u64::from(epochs);
    record.goal.budget = Budget { samples, evaluate_every: samples };
    let (workload, arm) = record.planned();
    let environment = &record.environment;
    let code = environment.code_digest.as_str();
    let key = CellKey {
        workload: &workload,
        arm: &arm,
        parents: &Parents::default(),
        seed: &record.seed,
        data: dataset_root.into(),
        code,
    };
    record.cell = key.id()?;
    let (libtorch, device) = (environment.libtorch.as_str(), environment.device.as_str());
    let config = Config {
        workload: &workload,
        arm: &arm,
        parents: &Parents::default(),
        libtorch,
        code,
        device,
    };
    let config_hash = config.hash()?;
    let (law, unit) = (OrderLaw::Uniform, Unit::of(layout));
    let drawn = Drawn { law, unit, layout: layout.cloned(), beacon_source: None };
    let terms = Terms {
        dataset_root,
        config_hash,
        examples: u64::from(examples),
        epochs,
        seed_commit: seed.commit(),
        drawn: Some(drawn),
    };
    let entry = CommitmentEntry::new(record.cell.clone(), terms);
    let commitment = entry.commitment;
    let line = store.commit(entry)?;

    let lock = store.lock(&record.cell)?;
    let mut writer = store.start(&record.cell, &lock)?;
    writer.event(&Event::Committed { commitment })?;
    let mut transcript = Transcript::start(commitment);
    let mut evaluations = Vec::new();
    let mut evaluate = |transcript: &mut Transcript, samples| {
        let chain = transcript.chain();
        let evaluation = Evaluation {
            samples,
            steps: chain.step,
            clocks: record.clocks,
            train_loss: (chain.step > 0).then_some(0.5),
            metrics: BTreeMap::from([("validation/loss".to_owned(), 0.5)]),
            costs: BTreeMap::new(),
            chain,
        };
        writer.event(&Event::Evaluated(evaluation.clone()))?;
        evaluations.push(evaluation);
        Ok::<_, Box<dyn Error>>(chain)
    };
    let start = evaluate(&mut transcript, 0)?;
    let effective = seed.effective(&dataset_root);
    for epoch in 0..epochs {
        transcript.begin_epoch(epoch);
        let order = match layout {
            Some(layout) => uniform_units(&effective, epoch, examples, layout),
            None => uniform_order(&effective, epoch, examples),
        };
        for step in order.chunks(batch) {
            transcript.push_step(step)?;
        }
    }
    let chain = evaluate(&mut transcript, samples)?;
    let finished = transcript.finish(&sample_ids)?;
    writer.order(&finished, &sample_ids)?;
    record.steps = chain.step;
    let decided = Decided::of(&evaluations, &record.goal.target);
    record.samples = decided.samples;
    record.time_to_target = decided.time_to_target;
    record.last = decided.last;
    let committed = Committed {
        law: OrderLaw::Uniform,
        layout,
        seed: &seed,
        examples: u64::from(examples),
        dataset_root,
        config_hash,
        epochs,
        commitment,
        index: Some(IndexPlace { sequence: line.sequence, digest: line.digest }),
    };
    record.order = Some(OrderSection::of(&committed, vec![start, chain], finished.epochs));
    writer.event(&Event::Ended { status: record.status })?;
    writer.finish(&record, "suite: sample\n")?;
    Ok(record.cell)
}

/// A record of a run that nobody trained: the one literal that tests and benches begin with.
pub fn record(seed: u64, train_root: Digest) -> RunRecord {
    RunRecord {
        version: RECORD_VERSION,
        cell: String::new(),
        suite: "sample".to_owned(),
        suite_digest: Digest::of(b"suite: sample\n"),
        workload: "sample".to_owned(),
        workload_settings: BTreeMap::new(),
        method: "sgd".to_owned(),
        settings: BTreeMap::new(),
        seed: seed.to_string(),
        status: Status::Censored,
        error: None,
        data: Some(DataSection {
            name: "sample".to_owned(),
            origin: "generated".to_owned(),
            sha256: None,
            classes: None,
            train_root,
            validation_root: Digest::of(b"validation"),
            test_root: Digest::of(b"test"),
        }),
        goal: Goal {
            target: Target {
                metric: "loss".to_owned(),
                direction: Direction::LowerIsBetter,
                value: 0.1,
                origin: "assumed".to_owned(),
            },
            budget: Budget { samples: 1, evaluate_every: 1 },
        },
        clocks: ClockSeconds { total: 1.0, ..ClockSeconds::default() },
        time_to_target: None,
        last: BTreeMap::new(),
        at_target: BTreeMap::new(),
        steps: 1,
        samples: 1,
        parameter_count: 1,
        parameters_sha256: Some(Digest::of(b"parameters")),
        tensors: Vec::new(),
        streams: vec!["order".to_owned()],
        order: None,
        lineage: None,
        given_order: None,
        external: None,
        facts: BTreeMap::new(),
        warnings: Vec::new(),
        interruptions: Vec::new(),
        environment: Environment {
            palimpsest: "0.1.0".to_owned(),
            code_digest: "sample".to_owned(),
            libtorch: "none".to_owned(),
            device: "cpu".to_owned(),
            started_unix: 1_700_000_000 + 10 * seed,
            ..Environment::default()
        },
    }
}
