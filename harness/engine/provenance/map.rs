//! `palimpsest provenance map`: trains a run again and scores every training example on the way.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use inspect::probe::{self, Reading};
use inspect::replay::{Replay, Watch};
use lab::LabError;
use ledger::record::RunRecord;
use ledger::streams::Streams;
use palimpsest::cli::provenance::map::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_text};
use stats::provenance::imprint::{Checkpoint, ImprintMap, imprint_map};
use training::judge::{EvaluationRequest, Judge, Judged};
use training::workload::Ready;

use super::recorded;
use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let record = store.record(&store.find(&args.run)?)?;
    let order = recorded::order(&store, &record)?;
    let (rows, checkpoints, steps) = train(args, &record)?;
    let consumed = order.epochs().concat();
    let map = imprint_map(&record.cell, &consumed, &rows, &checkpoints, args.segments, steps);
    let map = map.map_err(anyhow::Error::msg)?;
    let folder = format!("map-{}", record.cell);
    let out = args.out.clone().unwrap_or_else(|| store.root().join("reports").join(folder));
    let paths = reports::provenance::heatmap::render(&map, &out)?;
    if args.json {
        print_json(&map)?;
    } else {
        print_map(&map)?;
        for path in &paths {
            print_text(&format!("{}\n", path.display()))?;
        }
    }
    Ok(Exit::Fine)
}

/// Losses of every example at every checkpoint, where the checkpoints are, and the run's steps.
type Looks = (Vec<Vec<f64>>, Vec<Checkpoint>, u64);

fn train(args: &Args, record: &RunRecord) -> anyhow::Result<Looks> {
    let device = &record.environment.device;
    let (store, sources) = (args.places.store(), args.places.sources());
    let mut session = Session::again(record, store, sources, device)?;
    let seed = NamedSeed::recorded(record)?;
    let cell = session.plan.cells[0];
    session.with_setup(cell, &seed, |_, setup| {
        let scorer = Scorer { ready: setup.ready, rows: RefCell::default() };
        let mut replay = Replay::new(setup)?;
        let steps = replay.steps();
        let samples = record.order.iter().flat_map(|order| &order.epochs);
        let samples: u64 = samples.map(|epoch| epoch.n).sum();
        let every = samples.div_ceil(u64::from(args.checkpoints)).max(1);
        let looks = replay.train(0..u64::MAX, Some(Watch { judge: &scorer, every }))?;
        recorded::check(record, &replay)?;
        let mut rows = scorer.rows.into_inner();
        let order = record.order.as_ref().context("the run has no order")?;
        let mut checkpoints: Vec<_> = looks
            .into_iter()
            .map(|steps| Checkpoint { steps, consumed: recorded::consumed(order, steps) })
            .collect();
        if rows.len() != checkpoints.len() {
            bail!("the run diverged; there is nothing to draw");
        }
        // Before the first step nothing was learnt.
        rows.remove(0);
        checkpoints.remove(0);
        Ok((rows, checkpoints, steps))
    })
}

/// Scores the training split wherever the loop asks for metrics, and gives none.
#[derive(Debug)]
struct Scorer<'a> {
    ready: &'a Ready,
    rows: RefCell<Vec<Vec<f64>>>,
}

impl Judge for Scorer<'_> {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        if request.judged == Judged::Validation {
            let reading = Reading { samples: 0, ..Reading::default() };
            let Ready { side, splits, .. } = self.ready;
            let none = Streams::new([0; 32]);
            let network = request.model.network;
            let scores = probe::scores(network, side, &splits.train, reading, &none)?;
            self.rows.borrow_mut().push(scores.losses);
        }
        Ok(BTreeMap::new())
    }
}

fn print_map(map: &ImprintMap) -> anyhow::Result<()> {
    let mut text = format!(
        "run {}: loss beyond what checkpoint and segment account for, in millinats ({} each)\n",
        map.run,
        format_args!("standard error {:.1}", map.standard_error * 1e3)
    );
    text += &format!("{:>8}", "step");
    for number in 1..=map.segments.len() {
        text += &format!("{:>8}", format!("seg {number}"));
    }
    text.push('\n');
    for (step, row) in map.steps.iter().zip(&map.excess) {
        text += &format!("{step:>8}");
        for value in row {
            text += &format!("{:>8.1}", value * 1e3);
        }
        text.push('\n');
    }
    text += &format!("mean over segments just trained: {:.1} millinats\n", map.just_trained * 1e3);
    print_text(&text)
}
