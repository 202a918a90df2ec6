//! A membership question with everything it needs, from files or from the store.

use std::collections::BTreeMap;

use analysis::evidence::OrderPromise;
use analysis::evidence::certificate::{Origin, Role, Tested};
use analysis::suite::membership::{Access, Documents};
use ledger::order::Unit;
use serde_json::{Value, json};
use stats::provenance::audit::{Audit, Order, Places};
use stats::provenance::order_list::Resolution;
use stats::provenance::template::Template;
use stats::provenance::{Adjust, Draws, Finding, Kind, Metric, Refusal, Tail};

use super::example_ids::Labels;
use super::files::TokenScores;
use super::order_table::Layout;
use super::plan::{Declared, Test};

/// How the test is made: fixed before looking, and the same for files and runs.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// The coefficient.
    pub metric: Metric,
    /// The alternative.
    pub tail: Tail,
    /// Use of references; the difference where there is one and nothing was said.
    pub adjust: Option<Adjust>,
    /// What scores from files are.
    pub kind: Kind,
    /// The only epoch to test.
    pub epoch: Option<u32>,
    /// Recency factor.
    pub gamma: f64,
    /// Monte Carlo draws.
    pub monte_carlo: Option<Draws>,
}

impl Choices {
    /// What references are used for.
    pub fn adjust(&self, references: &[Scores]) -> Adjust {
        let usual = if references.is_empty() { Adjust::None } else { Adjust::Difference };
        self.adjust.unwrap_or(usual)
    }
}

/// A column of scores and where it comes from.
#[derive(Debug)]
pub struct Scores {
    /// What people call it: a file, or a run.
    pub name: String,
    /// One number per row.
    pub values: Vec<f64>,
}

/// How the files of a question were read.
#[derive(Debug, Default)]
pub struct Reading {
    /// What a row of a table of ids is.
    pub layout: Layout,
    /// What became of several scores in a row.
    pub token_scores: Option<TokenScores>,
    /// What the ids that are counted stand for in the files, where that is something else.
    pub labels: Option<Labels>,
}

/// A membership question.
#[derive(Debug)]
pub struct Question {
    /// What people call the order: a file, or a run.
    pub order_name: String,
    /// The order.
    pub order: Order,
    /// Suspects.
    pub suspects: Vec<Scores>,
    /// References.
    pub references: Vec<Scores>,
    /// Example of each row, where not all in dataset order.
    pub rows: Option<Vec<u64>>,
    /// Unit of each row.
    pub units: Option<Vec<u64>>,
    /// Block of each row.
    pub blocks: Option<Vec<u64>>,
    /// What positions count.
    pub resolution: Resolution,
    /// The profile that positions are replaced by.
    pub template: Option<Template>,
    /// The coefficient.
    pub metric: Metric,
    /// The alternative.
    pub tail: Tail,
    /// Use of references.
    pub adjust: Adjust,
    /// What scores are.
    pub kind: Kind,
    /// Monte Carlo draws.
    pub monte_carlo: Option<Draws>,
    /// Recency factor.
    pub gamma: f64,
    /// The only epoch tested, where one was chosen.
    pub epoch: Option<u32>,
    /// Examples per step, where it was given beside a file.
    pub batch_size: Option<u32>,
    /// How files were read.
    pub reading: Reading,
    /// The plan that was declared beforehand.
    pub plan: Option<Declared>,
    /// What was asked of models of the store, and of their packs.
    pub asked_of: Option<(Access, Documents)>,
    /// What was read, for the certificate.
    pub tested: Tested,
    /// The committed run behind the order.
    pub origin: Option<Origin>,
}

/// An answer about one suspect.
#[derive(Debug)]
pub struct Asked {
    /// Name of the suspect.
    pub suspect: String,
    /// The answer.
    pub finding: Finding,
}

impl Question {
    /// Answers for every suspect.
    ///
    /// # Errors
    /// With the refusal, naming the suspect.
    pub fn ask(&self) -> anyhow::Result<Vec<Asked>> {
        let answers = self.suspects.iter().map(|suspect| {
            let audit = Audit {
                order: &self.order,
                scores: &suspect.values,
                references: self.references.iter().map(|scores| scores.values.as_slice()).collect(),
                rows: self.rows.as_deref(),
                units: self.units.as_deref(),
                blocks: self.blocks.as_deref(),
                resolution: self.resolution,
                template: self.template.as_ref(),
                metric: self.metric,
                tail: self.tail,
                adjust: self.adjust,
                kind: self.kind,
                monte_carlo: self.monte_carlo,
                gamma: self.gamma,
            };
            let finding = audit.run().map_err(|refusal| {
                let at_fault = self.at_fault(&refusal, suspect);
                let told = match &self.reading.labels {
                    Some(labels) => labels.told(refusal),
                    None => refusal.to_string(),
                };
                anyhow::anyhow!("{at_fault}: {told}")
            })?;
            Ok(Asked { suspect: suspect.name.clone(), finding })
        });
        answers.collect()
    }

    /// The file or run that a refusal is about.
    fn at_fault<'a>(&'a self, refusal: &Refusal, suspect: &'a Scores) -> &'a str {
        let column = match refusal {
            Refusal::Length { what, .. }
            | Refusal::NotFinite { what, .. }
            | Refusal::Constant { what, .. } => what.as_str(),
            Refusal::NoReference { .. } | Refusal::UnusedReference { .. } => "scores",
            Refusal::ScatteredUnit { .. } => "units",
            Refusal::RepeatedRow { .. } | Refusal::SplitExample { .. } => "ids",
            _ => return &self.order_name,
        };
        let of_role = |role| self.tested.files.iter().find(|file| file.role == role);
        let file = match column {
            "units" => of_role(Role::Units),
            "blocks" => of_role(Role::Blocks),
            "ids" => of_role(Role::Ids),
            _ => None,
        };
        let number = column.strip_prefix("reference ").and_then(|number| number.parse().ok());
        let reference = number.and_then(|number: usize| self.references.get(number));
        let named = reference.map(|scores| &scores.name).or(file.map(|file| &file.name));
        named.map_or(&suspect.name, String::as_str)
    }

    /// Takes the promise that fixed the order's files.
    ///
    /// # Errors
    /// When it is of other files, or of another law or unit.
    pub fn keep(&mut self, promise: OrderPromise) -> anyhow::Result<()> {
        let of_order = |role| [Role::Order, Role::Positions].contains(&role);
        let files = self.tested.files.iter().filter(|file| of_order(file.role));
        let files: Vec<_> = files.map(|file| file.sha256).collect();
        promise.holds(self.order.law, self.order.unit, &files).map_err(anyhow::Error::msg)?;
        self.tested.promise = Some(promise);
        Ok(())
    }

    /// The coefficient that the answer has: a template has one only.
    pub fn metric_used(&self) -> Metric {
        if self.template.is_some() { Metric::Pearson } else { self.metric }
    }

    /// What a plan speaks of.
    pub fn planned(&self) -> Test<'_> {
        let Self { tested, tail, adjust, .. } = self;
        Test { tested, metric: self.metric_used(), tail: *tail, adjust: *adjust }
    }

    /// The choices that were made before looking, for the certificate.
    pub fn options(&self) -> BTreeMap<String, Value> {
        let mut options = BTreeMap::from([
            ("metric".to_owned(), json!(self.metric_used())),
            ("tail".to_owned(), json!(self.tail)),
            ("adjust".to_owned(), json!(self.adjust)),
            ("kind".to_owned(), json!(self.kind)),
            ("law".to_owned(), json!(self.order.law)),
            ("unit".to_owned(), json!(self.order.unit)),
            ("resolution".to_owned(), json!(self.resolution)),
        ]);
        let mut note = |name: &str, value: Option<Value>| {
            options.extend(value.map(|value| (name.to_owned(), value)));
        };
        note("epoch", self.epoch.map(|epoch| json!(epoch)));
        note("batch_size", self.batch_size.map(|size| json!(size)));
        let layout = self.reading.layout;
        note("layout", (layout != Layout::Epochs).then(|| json!(layout)));
        note("row_scores", self.reading.token_scores.map(|scores| json!(scores)));
        note("plan", self.plan.map(|plan| json!(plan)));
        note("randomness", self.order.randomness.map(|origin| json!(origin)));
        note("seed_bits", self.order.seed_bits.map(|bits| json!(bits)));
        note("access", self.asked_of.map(|(access, _)| json!(access)));
        note("documents", self.asked_of.map(|(_, documents)| json!(documents)));
        if matches!(&self.order.places, Places::Epochs(epochs) if epochs.len() > 1) {
            options.insert("gamma".to_owned(), json!(self.gamma));
        }
        if let Some(draws) = self.monte_carlo {
            options.insert("monte_carlo".to_owned(), json!(draws));
        }
        if let Some(template) = &self.template {
            options.insert("template".to_owned(), json!(template));
        }
        options
    }

    /// What is tested, in words.
    pub fn subject(&self, suspect: &str) -> String {
        let unit = match self.order.unit {
            Unit::Sample => "",
            Unit::Pack => ", by pack",
            Unit::Step => ", by step",
        };
        let references: Vec<&str> =
            self.references.iter().map(|scores| scores.name.as_str()).collect();
        let beside = match references.as_slice() {
            [] => String::new(),
            names => format!(", beside {}", names.join(" and ")),
        };
        format!("{suspect} against the order of {}{unit}{beside}", self.order_name)
    }
}
