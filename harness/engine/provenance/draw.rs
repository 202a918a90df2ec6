//! `palimpsest provenance draw`: the orders of recorded runs, drawn again from seed and method without
//! training.

use std::collections::BTreeMap;

use analysis::plan::own_file;
use analysis::verify::Drawn;
use anyhow::bail;
use lab::seat::OrderSource;
use ledger::order::{OrderLaw, order_hash};
use ledger::plain;
use ledger::record::{RunRecord, Store};
use palimpsest::cli::drawing::Answer;
use palimpsest::cli::provenance::draw::Args;
use palimpsest::exit::Exit;
use palimpsest::library::cell_code;
use palimpsest::voice::print_json;
use training::cell::Built;

use crate::catalogue::catalogue;
use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let answers = args.runs.iter().filter_map(|run| {
        let answer = match store.record(run) {
            // These are recomputed, or cannot be, without a method.
            Ok(record) if !is_drawn(&record) => return None,
            Ok(record) => draw(args, &store, &record),
            Err(error) => Err(error.into()),
        };
        let answer =
            answer.map_or_else(|error| Answer::Cannot(format!("{error:#}")), Answer::Drawn);
        Some((run.clone(), answer))
    });
    print_json(&answers.collect::<BTreeMap<_, _>>())?;
    Ok(Exit::Fine)
}

/// Whether the law is one that the method draws from the seed, in a way of its own.
fn is_drawn(record: &RunRecord) -> bool {
    let law = record.order.as_ref().map(|order| order.law);
    matches!(law, Some(OrderLaw::UniformSubset | OrderLaw::Replacement | OrderLaw::Blockwise))
}

/// Samples of the budget for each that was consumed, beyond which nothing is drawn: a record's word alone
/// must not ask for memory.
const MOST_BUDGET: u64 = 1_000;

/// Refuses what a stranger's record could have this machine read or allocate: files of its own, settings
/// that no suite can have, and a budget far beyond what was consumed.
fn require_modest(store: &Store, record: &RunRecord) -> anyhow::Result<()> {
    let catalogue = catalogue();
    let (method, workload) = (&record.method, &record.workload);
    let known = (catalogue.method(method), catalogue.workload(workload));
    let (Some(method), Some(workload)) = known else {
        bail!("this palimpsest has no method {method} or no workload {workload}");
    };
    (method.resolve)(&record.settings)?;
    (workload.resolve)(&record.workload_settings)?;
    if own_file::named(&record.workload_settings).is_some() {
        bail!("its data are a file of a user's, which only `palimpsest reproduce` reads");
    }
    let consumed =
        plain::open(&store.folder(&record.cell).join("order.bin"))?.metadata()?.len() / 4;
    if record.goal.budget.samples > consumed.saturating_mul(MOST_BUDGET) {
        bail!("{consumed} samples of a budget of {} were consumed", record.goal.budget.samples);
    }
    Ok(())
}

fn draw(args: &Args, store: &Store, record: &RunRecord) -> anyhow::Result<Drawn> {
    require_modest(store, record)?;
    let seed = NamedSeed::recorded(record)?;
    let mut session = Session::again(record, store.clone(), args.places.sources(), "cpu")?;
    let lengths: Vec<u64> =
        record.order.iter().flat_map(|order| &order.epochs).map(|epoch| epoch.n).collect();
    let cell = session.plan.cells[0];
    session.with_setup(cell, &seed, |_, setup| {
        let Built { streams, effective_seed, mut recipe, .. } = setup.build()?;
        let law = recipe.order.law();
        let code = cell_code(&record.method, &record.workload).to_owned();
        // What adapts would ask for a training.
        if law == OrderLaw::Adaptive {
            return Ok(Drawn { law, order_hashes: Vec::new(), code });
        }
        let examples = setup.examples();
        let source = OrderSource {
            effective_seed: &effective_seed,
            streams: &streams,
            examples,
            eligible: None,
        };
        let rounds = recipe.order.rounds(examples, setup.goal.budget.samples);
        let epochs = (0_u32..).zip(&rounds).zip(&lengths).map(|((epoch, round), &length)| {
            let mut ids = recipe.order.epoch(epoch, &source).ids;
            ids.truncate(usize::try_from(length.min(u64::from(*round)))?);
            Ok(order_hash(&ids))
        });
        let order_hashes = epochs.collect::<anyhow::Result<_>>()?;
        Ok(Drawn { law, order_hashes, code })
    })
}
