//! `palimpsest provenance scores`: one number per training example of a run, from a kept model.

use std::fs;
use std::path::PathBuf;

use ::data::columns::{ColumnSource, numbers, write_npy};
use analysis::plan::{Cell, Plan};
use anyhow::{Context as _, bail};
use inspect::probe::{self, Reading};
use lab::side_info::SideInfo;
use ledger::digest::Digest;
use ledger::lineage::CellName;
use ledger::record::RunRecord;
use ledger::record::writer::write_atomic;
use ledger::streams::Streams;
use palimpsest::cli::provenance::scores::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_text};

use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let (model, on) = (store.find(&args.model)?, store.find(&args.on)?);
    let record = store.record(&on)?;
    let mut session = Session::again(&record, store, args.places.sources(), &args.device)?;
    if args.check {
        return session.check_scores(&model, &on);
    }
    let files = session.scores(&model, &on, args.force)?;
    if args.json {
        print_json(&files)?;
    } else {
        for file in &files {
            print_text(&format!("{}\n", file.display()))?;
        }
    }
    Ok(Exit::Fine)
}

fn keep(files: &[(PathBuf, Vec<f64>)]) -> anyhow::Result<()> {
    for (path, values) in files {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut bytes = Vec::new();
        write_npy(&mut bytes, values)?;
        write_atomic(path, &bytes)?;
    }
    Ok(())
}

impl Session {
    /// Scores the model of a run on every training example of another (or its own), in dataset
    /// order and evaluation mode; returns the files, which are written unless they are there.
    pub fn scores(&mut self, model: &str, on: &str, force: bool) -> anyhow::Result<Vec<PathBuf>> {
        let [model, on] = [model, on].map(|cell| self.parents_in.record(cell));
        let (model, on) = (model?, on?);
        let root = root(&on)?;
        let file = |what: &str| self.parents_in.score_file(&root, &model.cell, what);
        let [loss, top1, sampled, documents] = ["loss", "top1", "sampled", "documents"].map(file);
        // The losses are written last: where they are, all are.
        if !force && loss.is_file() {
            let files = [loss, top1, sampled, documents];
            return Ok(files.into_iter().filter(|file| file.is_file()).collect());
        }
        let files = self.scored(&model, &on)?;
        keep(&files).with_context(|| {
            let store = self.parents_in.root().display();
            format!(
                "scores are kept in the store of their model; `palimpsest merge {store} --store OTHER` copies {store} to where you may write"
            )
        })?;
        Ok(files.into_iter().rev().map(|(path, _)| path).collect())
    }

    /// The files of a model's scores with what belongs into them; the losses come last.
    fn scored(
        &mut self,
        model: &RunRecord,
        on: &RunRecord,
    ) -> anyhow::Result<Vec<(PathBuf, Vec<f64>)>> {
        let root = root(on)?;
        let file = |what: &str| self.parents_in.score_file(&root, &model.cell, what);
        let [loss, top1, sampled, documents] = ["loss", "top1", "sampled", "documents"].map(file);
        let data = on.planned().0;
        let found = self.ready_of(&data)?.identity.train_root;
        if found != root {
            bail!(
                "run {} was trained on data with root {}, but {} has {} here: its files have changed",
                on.cell,
                root.short(16),
                on.workload,
                found.short(16)
            );
        }
        let scored = self.score(model, on)?;
        let mut files = vec![(sampled, scored.whole.sampled), (top1, scored.whole.top1)];
        files.extend(scored.documents.map(|losses| (documents, losses)));
        files.push((loss, scored.whole.losses));
        Ok(files)
    }

    /// Scores anew and compares with the files that are there: the same up to the last digits in which
    /// machines differ, or not.
    fn check_scores(&mut self, model: &str, on: &str) -> anyhow::Result<Exit> {
        let [model, on] = [model, on].map(|cell| self.parents_in.record(cell));
        let mut same = true;
        for (path, anew) in self.scored(&model?, &on?)? {
            let shown = path.display().to_string();
            if !path.is_file() {
                print_text(&format!("unchecked  {shown} is not there\n"))?;
                continue;
            }
            let there = numbers(&ColumnSource { path, column: None })?.as_f64()?;
            let close = |a: &f64, b: &f64| (a - b).abs() <= 1e-6 + 1e-4 * a.abs().max(b.abs());
            let differs = there.iter().zip(&anew).position(|(a, b)| !close(a, b));
            let differs = differs.or((there.len() != anew.len()).then_some(there.len()));
            let Some(row) = differs else {
                print_text(&format!("same       {shown}\n"))?;
                continue;
            };
            same = false;
            let number = |values: &[f64]| values.get(row).map_or("none".to_owned(), f64::to_string);
            let (there, anew) = (number(&there), number(&anew));
            print_text(&format!(
                "DIFFERENT  {shown}: row {row} is {there}, computed anew {anew}\n"
            ))?;
        }
        Ok(if same { Exit::Fine } else { Exit::CheckFailed })
    }

    fn score(&mut self, model: &RunRecord, on: &RunRecord) -> anyhow::Result<Scored> {
        let seed = NamedSeed::recorded(model)?.seed;
        let streams = Streams::new(seed.effective(&root(model)?));
        let data = on.planned().0;
        self.ready_of(&data)?;
        let network = self
            .with_model(model, |network, own| Ok((network.duplicate(), Answers::of(&own.side))));
        let (network, answers) = network?;
        let ready = self.ready_of(&data)?;
        if answers != Answers::of(&ready.side) {
            bail!(
                "the model of run {} ({}) does not answer what the examples of run {} ({}) ask: \
                 other tokens or classes",
                model.cell,
                model.workload,
                on.cell,
                on.workload
            );
        }
        let scores = |reading| {
            let scores =
                probe::scores(&network, &ready.side, &ready.splits.train, reading, &streams);
            anyhow::Ok(scores?)
        };
        let whole = scores(Reading::default())?;
        let documents = if ready.side.documents > 1 {
            Some(scores(Reading { documents: true, samples: 0, ..Reading::default() })?.losses)
        } else {
            None
        };
        Ok(Scored { whole, documents })
    }

    /// Scores every model that a membership test of the plan asks for, on the data it asks for;
    /// returns how many tests lack a run that left a model.
    pub fn score_for_tests(&mut self, cells: &[(Cell, String)]) -> anyhow::Result<usize> {
        let mut lacking = 0;
        for pairs in wanted(&self.plan, cells)? {
            let left = |cell: &String| {
                self.parents_in.folder(cell).join(training::checkpoint::FINAL).is_file()
            };
            if !pairs.iter().all(|[model, _]| left(model)) {
                lacking += 1;
                continue;
            }
            for [model, on] in pairs {
                self.scores(&model, &on, false)?;
            }
        }
        Ok(lacking)
    }
}

/// What a model says of the training examples.
struct Scored {
    whole: probe::Scores,
    /// Losses of the documents, all those of an example side by side, where examples are packs.
    documents: Option<Vec<f64>>,
}

/// What a model answers: models that differ in it cannot be compared.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    vocabulary: usize,
    classes: Option<u32>,
}

impl Answers {
    fn of(side: &SideInfo) -> Self {
        Self { vocabulary: side.vocabulary(), classes: side.classes }
    }
}

/// The Merkle root of a run's training examples.
fn root(record: &RunRecord) -> anyhow::Result<Digest> {
    match &record.data {
        Some(data) => Ok(data.train_root),
        None => bail!("{} failed before it had data", record.cell),
    }
}

/// For each test and seed of the plan, the (model, data) pairs of cell ids that it asks for.
fn wanted(plan: &Plan, cells: &[(Cell, String)]) -> anyhow::Result<Vec<Vec<[String; 2]>>> {
    let mut all = Vec::new();
    for test in &plan.sections.provenance {
        for place in 0..plan.seeds.len() {
            let id = |name: &CellName| {
                let cell = plan.tested(name, place).map_err(anyhow::Error::msg)?;
                anyhow::Ok(cells.iter().find(|(other, _)| *other == cell).map(|(_, id)| id.clone()))
            };
            let mut pairs = Vec::new();
            let mut pair = |model: Option<String>, data: &Option<String>| {
                pairs.extend(model.zip(data.clone()).map(|(model, data)| [model, data]));
            };
            let run = id(&test.run)?;
            for name in test.cells() {
                pair(id(name)?, &run);
            }
            // What a template is learnt from is each of its runs on its own data.
            for name in &test.template {
                let own = id(name)?;
                pair(own.clone(), &own);
                if let Some(reference) = &test.reference {
                    pair(id(reference)?, &own);
                }
            }
            all.push(pairs);
        }
    }
    Ok(all)
}
