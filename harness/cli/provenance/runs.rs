//! Membership questions about runs of the store.

use std::ffi::OsString;

use analysis::evidence::certificate::{InputRun, Origin, Role, Tested, score_file};
use analysis::imported::refusal;
use analysis::suite::membership::{Access, Documents};
use analysis::summary::membership::{
    Evidence, Recorded, ScoreKind, TEMPLATE_BINS, independent, order_of, own_orders,
};
use analysis::verify::{Verified, Verifier};
use anyhow::{Context as _, bail};
use ledger::order::Unit;
use ledger::record::{RunRecord, Store};
use stats::provenance::audit::{Audit, Order, Places};
use stats::provenance::order_list::Resolution;
use stats::provenance::template::{Shadow, Template};
use stats::provenance::{Adjust, Kind};

use super::question::{Choices, Question, Reading, Scores};
use crate::cli::Ask;
use crate::cli::suite_options::Places as StorePlaces;
use crate::evidence::StoreEvidence;

/// The runs of a question, by id or unique prefix, and what is asked of their models.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    /// The run whose order is tested.
    pub run: &'a str,
    /// The suspects.
    pub models: &'a [String],
    /// References.
    pub references: &'a [String],
    /// Shadow runs that the template is learnt from.
    pub template: &'a [String],
    /// What is known of the models.
    pub access: Access,
    /// How packed examples are scored.
    pub documents: Documents,
}

/// Scores a model (the first run) on the examples of the second run.
pub type Score<'a> = &'a dyn Fn(&str, &str) -> anyhow::Result<()>;

/// Has the engine score a model.
///
/// # Errors
/// When it cannot.
pub fn score(ask: Ask<'_>, places: &StorePlaces, model: &str, on: &str) -> anyhow::Result<()> {
    let mut arguments: Vec<OsString> =
        ["provenance", "scores", "--model", model, "--on", on, "--store"]
            .map(OsString::from)
            .to_vec();
    arguments.push(places.store.clone().into());
    if let Some(folder) = &places.data_dir {
        arguments.extend(["--data-dir".into(), folder.clone().into()]);
    }
    ask(&arguments).map(drop).with_context(|| format!("run {model} cannot be scored"))
}

/// Reads everything that the options name; models that were not scored yet are, by `score`.
///
/// # Errors
/// When a run is not there or left no model, or a reference depends on the order.
pub fn question(
    runs: &Runs<'_>,
    choices: &Choices,
    store: &Store,
    verifier: &Verifier<'_>,
    score: Score<'_>,
) -> anyhow::Result<Question> {
    if runs.models.is_empty() {
        bail!("no suspect: name the run whose model is suspected with --model RUN");
    }
    let on = store.record(&store.find(runs.run)?)?;
    if let Some(refusal) = refusal(&on, "it has no order, which is what a model is tested against")
    {
        bail!(refusal);
    }
    if on.external.is_some() {
        bail!(
            "a program of one's own trained run {}: that it consumed its order is its word, which no test is built on; ask about its order by files, with --order",
            on.cell
        );
    }
    // Nothing is said of a run that does not hold: neither of its order nor of its model.
    let held = held(verifier, &on.cell)?;
    let desk = Desk { store, score, runs, choices, on, verifier, follows: held.order_follows() };
    let ids = StoreEvidence { store }.order(&desk.on.cell).map_err(anyhow::Error::msg)?;
    let mut order = order_of(&desk.on, &ids).map_err(anyhow::Error::msg)?;
    choose_epoch(&mut order, choices.epoch)?;
    let mut tested = Tested::default();
    tested.runs.push(desk.input(Role::Order, &desk.on.cell, None)?);
    let mut suspects = Vec::new();
    for model in runs.models {
        let (record, scores) = desk.scores(model, &desk.on)?;
        tested.runs.push(desk.input(Role::Scores, &record.cell, Some(&desk.on))?);
        suspects.push(scores);
    }
    let mut references = Vec::new();
    for model in runs.references {
        let (record, scores) = desk.scores(model, &desk.on)?;
        independent(&desk.on, Recorded { record: &record, name: &scores.name })?;
        tested.runs.push(desk.input(Role::Reference, &record.cell, Some(&desk.on))?);
        references.push(scores);
    }
    let adjust = choices.adjust(&references);
    let template = desk.template(adjust, &mut tested)?;
    let packs = packs(&order, suspects.first().map_or(0, |scores| scores.values.len()));
    let apart = runs.documents != Documents::Whole;
    if apart {
        order.unit = Unit::Pack;
    }
    Ok(Question {
        order_name: format!("run {}", desk.on.cell),
        order,
        suspects,
        references,
        rows: apart.then(|| packs.clone()),
        units: (runs.documents == Documents::Averaged).then_some(packs),
        blocks: None,
        resolution: Resolution::Step,
        template,
        metric: choices.metric,
        tail: choices.tail,
        adjust,
        kind: match runs.access {
            Access::LogProbs => Kind::Loss,
            Access::TopOne | Access::Sampled => Kind::Agreement,
        },
        monte_carlo: choices.monte_carlo,
        gamma: choices.gamma,
        epoch: choices.epoch,
        batch_size: None,
        reading: Reading::default(),
        plan: None,
        asked_of: Some((runs.access, runs.documents)),
        origin: Some(desk.origin()?),
        tested,
    })
}

/// Row by row, the pack that a document is in.
fn packs(order: &Order, rows: usize) -> Vec<u64> {
    let each = (rows as u64 / order.examples.max(1)).max(1);
    (0..order.examples).flat_map(|pack| (0..each).map(move |_| pack)).collect()
}

fn choose_epoch(order: &mut Order, epoch: Option<u32>) -> anyhow::Result<()> {
    let (Some(wanted), Places::Epochs(epochs)) = (epoch, &mut order.places) else { return Ok(()) };
    let count = epochs.len();
    epochs.retain(|epoch| epoch.epoch == wanted);
    if epochs.is_empty() {
        bail!("--epoch is {wanted}, but the run has {count} epochs, from 0");
    }
    Ok(())
}

/// What reads the runs that a question names.
struct Desk<'a> {
    store: &'a Store,
    score: Score<'a>,
    runs: &'a Runs<'a>,
    choices: &'a Choices,
    on: RunRecord,
    verifier: &'a Verifier<'a>,
    /// Whether the order was found to follow from its seed.
    follows: bool,
}

/// What the checks of a run came to.
///
/// # Errors
/// When one of them does not agree.
fn held(verifier: &Verifier<'_>, cell: &str) -> anyhow::Result<Verified> {
    let verified = verifier.verify(cell);
    match verified.checks.iter().find(|check| !check.passed) {
        None => Ok(verified),
        Some(check) => bail!(
            "run {cell} does not hold: {}: {}; `palimpsest verify {cell}` says more",
            check.name,
            check.detail
        ),
    }
}

impl Desk<'_> {
    /// The record of a model's run and its scores on the examples of the run in question.
    fn scores(&self, model: &str, on: &RunRecord) -> anyhow::Result<(RunRecord, Scores)> {
        let cell = self.store.find(model)?;
        let record = self.store.record(&cell)?;
        held(self.verifier, &cell)?;
        let evidence = StoreEvidence { store: self.store };
        let what = self.what();
        if let Err(_not_there) = evidence.scores(&cell, on, what) {
            (self.score)(&cell, &on.cell)?;
        }
        let values = evidence.scores(&cell, on, what).map_err(anyhow::Error::msg)?;
        Ok((record, Scores { name: format!("run {cell}"), values }))
    }

    /// Which scores are asked for.
    fn what(&self) -> ScoreKind {
        let documents = self.runs.documents != Documents::Whole;
        ScoreKind { access: self.runs.access, documents }
    }

    /// A run as the certificate names it, with its scores on the examples of `on`.
    fn input(&self, role: Role, cell: &str, on: Option<&RunRecord>) -> anyhow::Result<InputRun> {
        let (_, run_digest) = self.store.manifest(cell)?;
        let scores = on.map(|on| score_file(self.store, cell, on, self.what()));
        let scores = scores.transpose().map_err(anyhow::Error::msg)?;
        Ok(InputRun { role, run: cell.to_owned(), run_digest, scores })
    }

    /// The profile that the shadow runs show.
    fn template(&self, adjust: Adjust, tested: &mut Tested) -> anyhow::Result<Option<Template>> {
        if self.runs.template.is_empty() {
            return Ok(None);
        }
        let mut imprints = Vec::new();
        for run in self.runs.template {
            // A shadow's imprint is that on its own examples.
            let own = self.store.record(&self.store.find(run)?)?;
            let (record, scores) = self.scores(run, &own)?;
            tested.runs.push(self.input(Role::Template, &record.cell, Some(&own))?);
            let references = self.runs.references.iter();
            let references = references.map(|model| {
                let (reference, scores) = self.scores(model, &own)?;
                tested.runs.push(self.input(Role::Reference, &reference.cell, Some(&own))?);
                Ok(scores)
            });
            let references = references.collect::<anyhow::Result<Vec<_>>>()?;
            independent(&self.on, Recorded { record: &record, name: &scores.name })?;
            let evidence = StoreEvidence { store: self.store };
            let ids = evidence.order(&record.cell).map_err(anyhow::Error::msg)?;
            let order = order_of(&record, &ids).map_err(anyhow::Error::msg)?;
            let audit = Audit {
                order: &order,
                scores: &scores.values,
                references: references.iter().map(|scores| scores.values.as_slice()).collect(),
                rows: None,
                units: None,
                blocks: None,
                resolution: Resolution::Step,
                template: None,
                metric: self.choices.metric,
                tail: self.choices.tail,
                adjust,
                kind: Kind::Loss,
                monte_carlo: None,
                gamma: self.choices.gamma,
            };
            let (positions, adjusted) = audit.imprint()?;
            let last = record.order.and_then(|order| Some(order.epochs.last()?.order_hash));
            let order_hash = last.with_context(|| format!("run {} has no order", record.cell))?;
            imprints.push((order_hash, positions, adjusted));
        }
        let shadows: Vec<Shadow<'_>> = imprints
            .iter()
            .map(|(order_hash, positions, adjusted)| Shadow {
                order_hash: *order_hash,
                positions,
                adjusted,
            })
            .collect();
        Ok(Some(Template::learn(&shadows, &own_orders(&self.on), TEMPLATE_BINS)?))
    }

    /// The commitment behind the order, with the state of the index that holds it.
    fn origin(&self) -> anyhow::Result<Origin> {
        let order = self.on.order.as_ref().context("the run has no order")?;
        let (_, run_digest) = self.store.manifest(&self.on.cell)?;
        let index = self.verifier.index_of(order).map_err(anyhow::Error::msg)?;
        Ok(Origin {
            run: self.on.cell.clone(),
            run_digest,
            law: order.law,
            unit: order.unit,
            randomness: order.unpredictable_by(),
            examples: order.examples,
            dataset_root: order.dataset_root,
            seed_commit: order.seed_commit,
            commitment: order.commitment,
            order_hashes: own_orders(&self.on),
            index: order.index,
            promises: index.promises,
            abandoned: index.abandoned.len() as u64,
            head: index.head,
            order_version: Some(order.version),
            follows_from_seed: Some(self.follows),
            beacon_source: order.beacon_source.clone(),
        })
    }
}
