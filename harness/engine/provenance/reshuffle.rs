//! `palimpsest provenance text reshuffle`: trains the end of a run again in fresh orders and scores
//! the text with each model (Kuditipudi et al. 2025, arXiv:2510.19796, the reshuffle statistic).

use ::data::columns::{ColumnSource, numbers};
use anyhow::bail;
use inspect::probe::{Reading, scores};
use inspect::replay::{Replay, StepState};
use inspect::sample::Form;
use lab::network::Network;
use lab::objectives::IGNORED;
use lab::orders::replayed::Replayed;
use lab::split::Split as Examples;
use ledger::order::OrderLaw;
use ledger::record::RunRecord;
use ledger::seed::Randomness;
use ledger::streams::Streams;
use palimpsest::cli::provenance::text::reshuffle::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_text, warn};
use serde::Serialize;
use stats::provenance::reshuffle::{Reshuffle, reshuffle};
use tch::Tensor;
use training::cell::CellSetup;

use super::parts::Split;
use super::recorded;
use crate::runner::{NamedSeed, Session};

/// The `--json` document.
#[derive(Debug, Serialize)]
struct Answer {
    test: &'static str,
    run: String,
    #[serde(flatten)]
    found: Reshuffle,
    randomness: Randomness,
    simulation: bool,
    seed: u64,
    /// Steps of the run, and the first of those that were trained again.
    steps: u64,
    first_step: u64,
    documents: u64,
    tokens_per_document: u64,
    /// Whether replays went on from a checkpoint instead of starting afresh.
    from_checkpoint: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let split = Split { pieces: args.replays, jobs: args.jobs, part: args.part };
    split.check()?;
    let store = args.places.store();
    let record = store.record(&store.find(&args.run)?)?;
    let order = recorded::order(&store, &record)?;
    check_law(&record)?;
    let device = &record.environment.device;
    let mut session = Session::again(&record, store, args.places.sources(), device)?;
    let seed = NamedSeed::recorded(&record)?;
    let cell = session.plan.cells[0];
    let answer = session.with_setup(cell, &seed, |_, setup| {
        let text = Text::read(args, setup)?;
        let start = Start::new(&record, &order, setup, args.share)?;
        let fresh = |replay| {
            let batch = start.batch;
            let order = order.reshuffled(start.first, batch, args.seed, replay);
            Ok(vec![text.score(&start.train(setup, order)?.finish()?)?])
        };
        let replays = if split.delegates() { split.gather()? } else { split.work(fresh)? };
        if split.part.is_some() {
            return Ok(None);
        }
        let found = reshuffle(text.score(&start.network)?, &replays.concat())?;
        let randomness = seed.seed.randomness;
        Ok(Some(Answer {
            test: "reshuffle",
            run: record.cell.clone(),
            found,
            randomness,
            simulation: randomness == Randomness::Fixed,
            seed: args.seed,
            steps: start.steps,
            first_step: start.first,
            documents: text.documents,
            tokens_per_document: text.length,
            from_checkpoint: start.state.is_some(),
        }))
    })?;
    if let Some(answer) = answer {
        print(&answer, args.json)?;
    }
    Ok(Exit::Fine)
}

/// Refuses orders whose end cannot be drawn anew by itself.
fn check_law(record: &RunRecord) -> anyhow::Result<()> {
    let Some(order) = &record.order else { return Ok(()) };
    let why = match order.law {
        _ if order.layout.is_some() => "moves whole units of examples with roles",
        OrderLaw::Uniform | OrderLaw::UniformSubset => return Ok(()),
        OrderLaw::UniformSameEachEpoch if order.epochs.len() < 2 => return Ok(()),
        OrderLaw::UniformSameEachEpoch => {
            "repeats one order in every epoch, so that its end follows from its beginning"
        }
        OrderLaw::Replacement => "draws with replacement, step by step",
        OrderLaw::Blockwise => "is uniform within blocks only",
        OrderLaw::Sorted => "is sorted, not random",
        OrderLaw::Adaptive => "was chosen while training, from what the training showed",
    };
    bail!(
        "the order of run {} {why}: a fresh shuffle of its end is no order that might have been; \
         use `palimpsest provenance query`, which knows the null of every law that has one",
        record.cell
    )
}

/// The suspect's text, ready to be scored.
struct Text<'a> {
    setup: &'a CellSetup<'a>,
    examples: Examples,
    documents: u64,
    length: u64,
}

impl<'a> Text<'a> {
    fn read(args: &Args, setup: &'a CellSetup<'a>) -> anyhow::Result<Self> {
        let form = Form::of(setup.ready)?;
        let file = args.text.display();
        let source = ColumnSource { path: args.text.clone(), column: None };
        let column = numbers(&source)?;
        let Some(length) = column.columns else {
            bail!("{file} is one list; save it as a table of documents × tokens");
        };
        let most = setup.ready.side.context();
        if length <= form.given || length > most {
            bail!(
                "{file} has documents of {length} tokens; this workload's models read {} to {most}",
                form.given + 1
            );
        }
        let tokens: Vec<u32> = column.as_ids()?;
        let vocabulary = setup.ready.side.vocabulary();
        let unknown = |(_, token): &(usize, &u32)| **token as usize >= vocabulary;
        if let Some((place, token)) = tokens.iter().enumerate().find(unknown) {
            bail!(
                "{file}: token {token} of document {} is none of the workload's {vocabulary}; give \
                 ids of the workload's own alphabet",
                place / length
            );
        }
        if column.rows == 0 {
            bail!("{file} holds no document");
        }
        let rows = tokens.chunks(length);
        let inputs = rows.clone().flat_map(|row| &row[..length - 1]);
        let inputs: Vec<i64> = inputs.copied().map(i64::from).collect();
        let labels: Vec<i64> = rows
            .flat_map(|row| row.iter().enumerate().skip(1))
            .map(|(place, token)| if place < form.given { IGNORED } else { i64::from(*token) })
            .collect();
        let shape = [column.rows as i64, length as i64 - 1];
        let device = setup.device;
        let place =
            |values: &[i64]| Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device);
        let examples =
            Examples { stored: place(&inputs)?, labels: place(&labels)?, groups: Vec::new() };
        Ok(Self { setup, examples, documents: column.rows as u64, length: length as u64 })
    }

    /// Mean log-likelihood of a predicted token, in nats.
    fn score(&self, network: &Network) -> anyhow::Result<f64> {
        let reading = Reading { samples: 0, ..Reading::default() };
        let side = &self.setup.ready.side;
        let found = scores(network, side, &self.examples, reading, &Streams::new([0; 32]))?;
        Ok(-found.losses.iter().sum::<f64>() / found.losses.len() as f64)
    }
}

/// Where replays begin, once the true order has been seen to end where the record says.
struct Start {
    steps: u64,
    first: u64,
    batch: u32,
    /// The model at the first step that is trained again; none where all steps must be.
    state: Option<StepState>,
    /// The model of the true order.
    network: Network,
}

impl Start {
    fn new(
        record: &RunRecord,
        order: &Replayed,
        setup: &CellSetup<'_>,
        share: f64,
    ) -> anyhow::Result<Self> {
        let mut replay = Replay::new(setup)?.in_order(order.clone());
        let (steps, batch) = (replay.steps(), replay.batch_size());
        let first = steps - tail(share, steps);
        replay.train(0..first, None)?;
        let start = |state, network| Self { steps, first, batch, state, network };
        if let Some(state) = replay.step_state() {
            let mut resumed = Replay::new(setup)?.in_order(order.clone());
            resumed.resume(&state)?;
            resumed.train(first..steps, None)?;
            if recorded::agrees(record, &resumed)? {
                return Ok(start(Some(state), resumed.finish()?));
            }
        }
        // The method keeps state that a checkpoint does not see, or nothing agrees at all.
        let mut whole = Replay::new(setup)?.in_order(order.clone());
        whole.train(0..steps, None)?;
        recorded::check(record, &whole)?;
        Ok(start(None, whole.finish()?))
    }

    /// A replay in another order, trained to its end.
    fn train<'a>(&self, setup: &'a CellSetup<'a>, order: Replayed) -> anyhow::Result<Replay<'a>> {
        let mut replay = Replay::new(setup)?.in_order(order);
        match &self.state {
            Some(state) => {
                replay.resume(state)?;
                replay.train(self.first..self.steps, None)?;
            }
            None => {
                replay.train(0..self.steps, None)?;
            }
        }
        Ok(replay)
    }
}

/// Steps at the end that are a share of all, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share is in 0..=1 and runs have fewer than 2^53 steps"
)]
fn tail(share: f64, steps: u64) -> u64 {
    ((share * steps as f64).round() as u64).clamp(1, steps.max(1)).min(steps)
}

fn print(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(answer);
    }
    let Answer { found, run, steps, first_step, .. } = answer;
    let from = if answer.from_checkpoint {
        format!("from a checkpoint before step {first_step}")
    } else {
        "each from the beginning, because the method keeps state that no checkpoint holds"
            .to_owned()
    };
    print_text(&format!(
        "run {run}: its last {} of {steps} steps, trained {} times in fresh orders, {from}\n\
         the true order, trained again, gives the parameters of the record bit for bit\n\
         text       {} documents of {} tokens\n\
         true order {:.6} nats a token\n\
         replays    {:.6} ± {:.6}\n\
         z          {:.2} (no normal deviate)\n\
         rank p     {}\n\
         t p        {:.3e} (if scores of replays are normal)\n",
        steps - first_step,
        found.replays,
        answer.documents,
        answer.tokens_per_document,
        found.true_score,
        found.mean,
        found.sd,
        found.z,
        found.rank_p,
        found.t_predictive_p,
    ))?;
    if answer.simulation {
        print_text("simulation: the run's seed is fixed, so that no p-value here is evidence\n")?;
    }
    found.warnings.iter().for_each(|warning| warn(warning));
    Ok(())
}
