//! `palimpsest provenance query`: does a model derive from a run?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::data::columns::ColumnSource;
use analysis::evidence::Certificate;
use analysis::evidence::SecretKey;
use analysis::evidence::certificate::Draft;
use analysis::suite::membership::{Access, Documents};
use analysis::verify::Verifier;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};
use ledger::record::writer::write_atomic;
use ledger::seed::Randomness;
use serde::Serialize;
use stats::provenance::audit::Places as Placed;
use stats::provenance::combine::holm;
use stats::provenance::epochs::DEFAULT_GAMMA;
use stats::provenance::{Adjust, Draws, Finding, Kind, Metric, Tail};

use super::files::{Drawn, Files, TokenScores};
use super::given::Given;
use super::order_table::Layout;
use super::plan::{Declared, Plan};
use super::question::{Asked, Choices, Question};
use super::runs::Runs;
use super::{files, promise, runs};
use crate::cli::Ask;
use crate::cli::drawing::Drawing;
use crate::cli::suite_options::Places;
use crate::cli::verify_certificate::MOST_BYTES;
use crate::exit::Exit;
use crate::library::build_digest;
use crate::voice::{note, print_finding, print_json, print_table, print_text, warn};

/// Options of `palimpsest provenance query`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which of these were given.
    pub given: Given,
    /// The order: ids in the order consumed, one row per epoch (.npy, or FILE:COLUMN of .csv, .parquet);
    /// repeated: one file after another, as epochs of unequal length
    #[arg(long, value_name = "FILE", group = "place", help_heading = "From files")]
    pub order: Vec<ColumnSource>,
    /// The position of each scored example in the order, instead of the order
    #[arg(long, value_name = "FILE", group = "place", help_heading = "From files")]
    pub positions: Option<ColumnSource>,
    /// The suspect's score on each example, in dataset order; several suspects are corrected by Holm
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub scores: Vec<ColumnSource>,
    /// Scores of a model that is independent of the order; several are averaged
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub reference: Vec<ColumnSource>,
    /// The order that a reference was trained on, to check that it is another one
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub reference_order: Vec<ColumnSource>,
    /// Rows of the order's table are steps, not epochs; positions count steps
    #[arg(long, help_heading = "From files")]
    pub steps: bool,
    /// Columns of the order's table are epochs, not its rows
    #[arg(long, help_heading = "From files")]
    pub epochs_in_columns: bool,
    /// Take the mean of each row, where a row of the scores holds those of an example's tokens
    #[arg(long, value_name = "HOW", help_heading = "From files")]
    pub token_scores: Option<TokenScores>,
    /// The id of each scored example, where not all were scored in dataset order
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub ids: Option<ColumnSource>,
    /// The shuffled unit (pack, shard) of each scored example: scores are averaged within units
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub units: Option<ColumnSource>,
    /// The block of each scored example, for an order that is uniform within blocks only
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub blocks: Option<ColumnSource>,
    /// How the order was drawn
    #[arg(long, value_name = "LAW", default_value = "uniform", value_parser = parse::<OrderLaw>, help_heading = "From files")]
    pub law: OrderLaw,
    /// What the order moves as one piece: sample, pack or step
    #[arg(long, value_name = "UNIT", default_value = "sample", value_parser = parse::<Unit>, help_heading = "From files")]
    pub unit: Unit,
    /// Where the order's seed came from: os (drawn for this run) or fixed (a number like 42)
    #[arg(long, value_name = "ORIGIN", value_parser = parse::<Randomness>, help_heading = "From files")]
    pub randomness: Option<Randomness>,
    /// Bits of the order's seed: no p-value below 2^-BITS is supported by it
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "From files")]
    pub seed_bits: Option<u32>,
    /// Examples per step, to count positions in steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "From files")]
    pub batch_size: Option<u32>,
    /// Test this epoch alone, from 0
    #[arg(long, value_name = "EPOCH")]
    pub epoch: Option<u32>,

    /// The run whose order is tested, by id or unique prefix
    #[arg(long, value_name = "RUN", group = "place", help_heading = "From the store")]
    pub run: Option<String>,
    /// The suspected model: a run that kept its model; several are corrected by Holm
    #[arg(long, value_name = "RUN", help_heading = "From the store")]
    pub model: Vec<String>,
    /// An independent model: a run of another order that kept its model; several are averaged
    #[arg(long, value_name = "RUN", help_heading = "From the store")]
    pub reference_model: Vec<String>,
    /// Learn the profile of the order's imprint from this run of another order and its own model
    #[arg(long, value_name = "RUN", help_heading = "From the store")]
    pub template: Vec<String>,
    /// What is known of models: log-probs, top-one (agreement) or sampled (a few sampled answers)
    #[arg(long, value_name = "ACCESS", default_value = "log-probs", value_parser = parse::<Access>, help_heading = "From the store")]
    pub access: Access,
    /// Documents of packed examples: whole, apart or averaged
    #[arg(long, value_name = "HOW", default_value = "whole", value_parser = parse::<Documents>, help_heading = "From the store")]
    pub documents: Documents,
    #[command(flatten)]
    /// Where runs are.
    pub places: Places,

    /// Coefficient: spearman, pearson or kendall
    #[arg(long, default_value = "spearman", help_heading = "The test, fixed before looking")]
    pub metric: Metric,
    /// Alternative: two-sided, less or greater
    #[arg(long, default_value = "two-sided", help_heading = "The test, fixed before looking")]
    pub tail: Tail,
    /// Use of references: none, difference or residual [default: difference with one]
    #[arg(long, help_heading = "The test, fixed before looking")]
    pub adjust: Option<Adjust>,
    /// What scores from files are: loss, log-prob or agreement
    #[arg(long, default_value = "loss", help_heading = "The test, fixed before looking")]
    pub kind: Kind,
    /// Weight of an epoch relative to the next one, when several are combined
    #[arg(long, value_name = "GAMMA", default_value_t = DEFAULT_GAMMA, help_heading = "The test, fixed before looking")]
    pub gamma: f64,
    /// Draw the p-value from T orders instead of a closed form
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u64).range(1..), help_heading = "The test, fixed before looking")]
    pub monte_carlo: Option<u64>,
    /// Seed of those draws
    #[arg(
        long,
        value_name = "SEED",
        default_value_t = 0,
        help_heading = "The test, fixed before looking"
    )]
    pub seed: u64,
    /// The tests that were declared beforehand (YAML or JSON), of which this must be one
    #[arg(long, value_name = "FILE", help_heading = "The test, fixed before looking")]
    pub plan: Option<PathBuf>,

    /// The promise that fixed the order's files before training, as `provenance promise` kept it
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub promise: Option<PathBuf>,
    /// Write a certificate: FILE.json and FILE.html
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Sign the certificate with this private key
    #[arg(long, value_name = "KEY.pem")]
    pub sign: Option<PathBuf>,
    /// Write the certificate over a signed one, or over files that are none
    #[arg(long)]
    pub force: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// A name of an enum as serde writes it.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| {
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or(&text).replace('`', "")
    })
}

/// One suspect of several.
#[derive(Debug, Serialize)]
struct Suspect {
    suspect: String,
    #[serde(flatten)]
    finding: Finding,
    /// log10 p corrected for the number of suspects.
    holm_log10_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Planned>,
}

/// Which test of a plan this is, and what the plan makes of its p-value.
fn plan_line(test: u64, tests: u64, log10_p: f64) -> String {
    if tests == 1 {
        return "test 1 of 1 planned\n".to_owned();
    }
    let multiplied = (log10_p + (tests as f64).log10()).min(0.0);
    format!(
        "test {test} of {tests} planned: multiply p by {tests} (log10 p {multiplied:.2}), or correct \
         all {tests} by Holm\n"
    )
}

impl Args {
    fn choices(&self) -> Choices {
        Choices {
            metric: self.metric,
            tail: self.tail,
            adjust: self.adjust,
            kind: self.kind,
            epoch: self.epoch,
            gamma: self.gamma,
            monte_carlo: self.monte_carlo.map(|draws| Draws { draws, seed: self.seed }),
        }
    }

    fn files(&self) -> (Files, Drawn) {
        let files = Files {
            order: self.order.clone(),
            positions: self.positions.clone(),
            scores: self.scores.clone(),
            reference: self.reference.clone(),
            reference_order: self.reference_order.clone(),
            ids: self.ids.clone(),
            units: self.units.clone(),
            blocks: self.blocks.clone(),
        };
        let drawn = Drawn {
            law: self.law,
            unit: self.unit,
            randomness: self.randomness,
            seed_bits: self.seed_bits,
            batch_size: self.batch_size,
            layout: match (self.steps, self.epochs_in_columns) {
                (true, _) => Layout::Steps,
                (_, true) => Layout::EpochsInColumns,
                _ => Layout::Epochs,
            },
            token_scores: self.token_scores,
        };
        (files, drawn)
    }

    /// Refuses options that were given and would not be used; [`Args::require_epochs`] sees to the
    /// one that hangs on what a file holds.
    ///
    /// # Errors
    /// Naming the first of them and what it needs.
    fn require_used(&self) -> anyhow::Result<()> {
        RULES.iter().try_for_each(|Rule { option, used, needs }| {
            self.given.require(option, used(self), needs)
        })
    }

    /// Refuses a weight of epochs where there is nothing to weigh.
    fn require_epochs(&self, question: &Question) -> anyhow::Result<()> {
        let several = matches!(&question.order.places, Placed::Epochs(epochs) if epochs.len() > 1);
        let weighed = several && !ONE_TEST.contains(&question.order.law);
        self.given.require("gamma", weighed, "it weighs epochs that are combined, and there is one")
    }
}

/// Laws under which there is one test however many rows the order has, or rows that are no epochs.
const ONE_TEST: [OrderLaw; 3] =
    [OrderLaw::UniformSameEachEpoch, OrderLaw::Replacement, OrderLaw::Blockwise];

/// When an option is used.
#[derive(Debug)]
struct Rule {
    option: &'static str,
    used: fn(&Args) -> bool,
    needs: &'static str,
}

const fn rule(option: &'static str, used: fn(&Args) -> bool, needs: &'static str) -> Rule {
    Rule { option, used, needs }
}

const fn always(option: &'static str) -> Rule {
    rule(option, |_| true, "")
}

/// Whether the question is about files.
fn of_files(args: &Args) -> bool {
    args.run.is_none()
}

/// Whether the question is about a run of the store.
fn of_a_run(args: &Args) -> bool {
    args.run.is_some()
}

/// Whether the question is about an order in files.
fn of_an_order(args: &Args) -> bool {
    !args.order.is_empty()
}

/// What options of files need.
const FILES: &str = "it is for files, and with --run the store says it";
/// What options of runs need.
const RUN: &str = "it goes with --run RUN";
/// What options of an order need.
const ORDER: &str = "it goes with --order FILE";

/// All options and when they are used; one may have several conditions. `requires` of clap does not
/// hold between options of which one excludes the other by a group.
const RULES: &[Rule] = &[
    always("order"),
    always("positions"),
    rule("scores", of_files, "with --run, name the suspect with --model RUN"),
    rule("reference", of_files, "with --run, name references with --reference-model RUN"),
    rule("reference_order", of_an_order, ORDER),
    rule(
        "reference_order",
        |args| !args.reference.is_empty(),
        "there is no --reference that it is of",
    ),
    rule("steps", of_an_order, ORDER),
    rule("steps", |args| !args.epochs_in_columns, "--epochs-in-columns says what the table is"),
    rule(
        "steps",
        |args| args.law != OrderLaw::Replacement,
        "draws with replacement are one list, however they lie in the table",
    ),
    rule("epochs_in_columns", of_an_order, ORDER),
    rule("token_scores", of_files, FILES),
    rule("ids", of_an_order, ORDER),
    rule("units", of_files, "with --run, documents of packs are averaged by --documents averaged"),
    rule("blocks", |args| args.positions.is_some(), "it goes with --positions FILE"),
    rule("blocks", |args| args.law == OrderLaw::Blockwise, "it goes with --law blockwise"),
    rule("law", of_files, FILES),
    rule("unit", of_files, FILES),
    rule("randomness", of_files, FILES),
    rule("seed_bits", of_files, FILES),
    rule(
        "seed_bits",
        |args| args.randomness.is_some(),
        "say where the seed came from with --randomness",
    ),
    rule("batch_size", of_an_order, ORDER),
    rule("batch_size", |args| !args.steps, "the rows of --steps say how many examples a step has"),
    rule(
        "batch_size",
        |args| args.law != OrderLaw::Replacement,
        "positions of draws with replacement count draws",
    ),
    rule("epoch", |args| args.positions.is_none(), "positions are of one epoch"),
    always("run"),
    rule("model", of_a_run, RUN),
    rule("reference_model", of_a_run, RUN),
    rule("template", of_a_run, RUN),
    rule("access", of_a_run, RUN),
    rule("documents", of_a_run, RUN),
    rule("data_dir", of_a_run, RUN),
    rule("store", of_a_run, RUN),
    rule(
        "metric",
        |args| args.template.is_empty() || args.metric == Metric::Pearson,
        "with --template the statistic is a Pearson correlation",
    ),
    always("tail"),
    always("adjust"),
    rule("kind", of_files, "with --run, --access says what scores are"),
    rule("gamma", |args| args.positions.is_none(), "positions are of one epoch"),
    rule("gamma", |args| args.epoch.is_none(), "--epoch chooses one epoch"),
    rule("gamma", |args| args.template.is_empty(), "a template is of one epoch"),
    rule("monte_carlo", |args| args.template.is_empty(), "a template is tested by its closed form"),
    rule("seed", |args| args.monte_carlo.is_some(), "it goes with --monte-carlo T"),
    always("plan"),
    rule("promise", of_files, "with --run, the store holds the promise"),
    always("certificate"),
    rule("sign", |args| args.certificate.is_some(), "it goes with --certificate FILE"),
    rule("force", |args| args.certificate.is_some(), "it goes with --certificate FILE"),
    always("json"),
];

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out: a refusal of the test among others.
pub fn run(args: &Args, ask: Ask<'_>) -> anyhow::Result<Exit> {
    let outcome = answer(args, ask)?;
    if let Some(paths) = &outcome.paths {
        write_certificate(args, &outcome, paths)?;
    }
    print(args, outcome)?;
    Ok(Exit::Fine)
}

/// What a query came to.
#[derive(Debug)]
pub struct Outcome {
    /// The question.
    pub question: Question,
    /// The answers, one for each suspect.
    pub asked: Vec<Asked>,
    /// The number of each suspect's test in the plan, from 1; none without a plan.
    pub places: Vec<u64>,
    /// Where the certificate goes, as JSON and as a page.
    paths: Option<(PathBuf, PathBuf)>,
}

/// Asks the question; writes and prints nothing.
///
/// # Errors
/// With what was wrong and the way out.
pub fn answer(args: &Args, ask: Ask<'_>) -> anyhow::Result<Outcome> {
    args.require_used()?;
    let paths =
        args.certificate.as_deref().map(|path| certificate_paths(path, args.force)).transpose()?;
    let plan = args.plan.as_deref().map(Plan::read).transpose()?;
    let mut question = match &args.run {
        Some(run) => {
            let runs = Runs {
                run,
                models: &args.model,
                references: &args.reference_model,
                template: &args.template,
                access: args.access,
                documents: args.documents,
            };
            let places = &args.places;
            let score = |model: &str, on: &str| runs::score(ask, places, model, on);
            let store = places.store();
            let drawing = Drawing::of(ask, places, &[store.find(run)?]);
            let draw = |cell: &str| drawing.draw(cell);
            let verifier = Verifier::new(&store).drawing(&draw);
            runs::question(&runs, &args.choices(), &store, &verifier, &score)?
        }
        None => {
            let (files, drawn) = args.files();
            let mut question = files::question(&files, &drawn, &args.choices())?;
            if let Some(path) = &args.promise {
                question.keep(promise::read(path)?).with_context(|| path.display().to_string())?;
            }
            question
        }
    };
    args.require_epochs(&question)?;
    let places =
        plan.as_ref().map(|plan| plan.place(&question.planned())).transpose()?.unwrap_or_default();
    question.plan = plan.map(|plan| plan.declared());
    let asked = question.ask()?;
    Ok(Outcome { question, asked, places, paths })
}

/// FILE.json and FILE.html, where they may be written.
fn certificate_paths(path: &Path, force: bool) -> anyhow::Result<(PathBuf, PathBuf)> {
    let stem = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "html") => path.with_extension(""),
        _ => path.to_owned(),
    };
    let with = |extension: &str| {
        let mut name = stem.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    let (json, page) = (with(".json"), with(".html"));
    let folder = json.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!(
            "there is no folder {} for the certificate {}: make it, or name another",
            folder.display(),
            json.display()
        );
    }
    if force {
        return Ok((json, page));
    }
    let unsigned = match std::fs::metadata(&json) {
        Err(_) if page.exists() => bail!(
            "{} is there already, without a certificate beside it: name another file, or write over it \
             with --force",
            page.display()
        ),
        Err(_) => true,
        Ok(metadata) if metadata.len() > MOST_BYTES => false,
        Ok(_) => {
            let found = std::fs::read(&json).ok().and_then(|bytes| Certificate::read(&bytes).ok());
            found.is_some_and(|certificate| certificate.signatures.is_empty())
        }
    };
    if !unsigned {
        bail!(
            "{} is there already, and is signed or no certificate: name another file, or write over it \
             with --force",
            json.display()
        );
    }
    Ok((json, page))
}

/// Writes FILE.json and FILE.html.
fn write_certificate(
    args: &Args,
    Outcome { question, asked, .. }: &Outcome,
    (json, page): &(PathBuf, PathBuf),
) -> anyhow::Result<()> {
    let [Asked { finding, .. }] = asked.as_slice() else {
        bail!("a certificate is about one suspect; ask about each on its own");
    };
    let draft = Draft {
        tested: question.tested.clone(),
        options: question.options(),
        finding: serde_json::to_value(finding)?,
        origin: question.origin.clone(),
        software: BTreeMap::from([(
            "palimpsest".to_owned(),
            format!("{} ({})", env!("CARGO_PKG_VERSION"), build_digest()),
        )]),
    };
    let mut certificate = draft.seal()?;
    if let Some(key) = &args.sign {
        certificate.sign(&SecretKey::read(key)?);
    }
    write_atomic(json, &certificate.to_bytes()?)?;
    write_atomic(page, reports::certificate::page(&certificate)?.as_bytes())?;
    note(&format!("certificate: {} and {}", json.display(), page.display()));
    Ok(())
}

/// A suspect's place in the plan that was declared.
#[derive(Debug, Serialize)]
struct Planned {
    sha256: Digest,
    tests: u64,
    test: u64,
}

fn print(args: &Args, outcome: Outcome) -> anyhow::Result<()> {
    let Outcome { question, mut asked, places, .. } = outcome;
    let planned =
        |test| question.plan.map(|Declared { sha256, tests }| Planned { sha256, tests, test });
    let in_plan: Vec<Option<Planned>> =
        (0..asked.len()).map(|at| places.get(at).and_then(|test| planned(*test))).collect();
    if asked.len() == 1 {
        let Asked { suspect, finding } = asked.remove(0);
        if args.json {
            let mut document = serde_json::to_value(&finding)?;
            if let Some(Some(planned)) = in_plan.first() {
                document["plan"] = serde_json::to_value(planned)?;
            }
            return print_json(&document);
        }
        print_finding(&question.subject(&suspect), &finding)?;
        return in_plan.iter().flatten().try_for_each(|planned| {
            print_text(&format!("\n{}", plan_line(planned.test, planned.tests, finding.log10_p)))
        });
    }
    let log10_ps: Vec<f64> = asked.iter().map(|asked| asked.finding.log10_p).collect();
    let corrected = holm(&log10_ps)?;
    let suspects = asked.into_iter().zip(corrected).zip(in_plan).map(
        |((Asked { suspect, finding }, holm), plan)| Suspect {
            suspect,
            finding,
            holm_log10_p: holm,
            plan,
        },
    );
    let suspects: Vec<Suspect> = suspects.collect();
    if args.json {
        return print_json(&suspects);
    }
    let header = ["suspect", "statistic", "n", "log10 p", "Holm", "direction"];
    print_table(
        header,
        suspects.iter().map(|row| {
            [
                row.suspect.clone(),
                format!("{:+.4}", row.finding.statistic),
                row.finding.n.to_string(),
                format!("{:.2}", row.finding.log10_p),
                format!("{:.2}", row.holm_log10_p),
                row.finding.direction.clone(),
            ]
        }),
    )?;
    for row in &suspects {
        if let Some(Planned { test, tests, .. }) = row.plan {
            let line = plan_line(test, tests, row.finding.log10_p);
            print_text(&format!("{}: {line}", row.suspect))?;
        }
    }
    let mut warnings: Vec<&String> =
        suspects.iter().flat_map(|row| &row.finding.warnings).collect();
    warnings.dedup();
    warnings.iter().for_each(|warning| warn(warning));
    Ok(())
}
