//! `palimpsest provenance query`: does a model derive from a run?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::data::columns::ColumnSource;
use analysis::evidence::SecretKey;
use analysis::evidence::certificate::Draft;
use analysis::suite::membership::{Access, Documents};
use analysis::verify::Verifier;
use anyhow::bail;
use ledger::order::{OrderLaw, Unit};
use ledger::record::writer::write_atomic;
use ledger::seed::Randomness;
use serde::Serialize;
use stats::provenance::combine::holm;
use stats::provenance::epochs::DEFAULT_GAMMA;
use stats::provenance::{Adjust, Draws, Finding, Kind, Metric, Tail};

use super::files::{Drawn, Files};
use super::question::{Asked, Choices, Question};
use super::runs::Runs;
use super::{files, runs};
use crate::cli::Ask;
use crate::cli::drawing::Drawing;
use crate::cli::suite_options::Places;
use crate::exit::Exit;
use crate::library::build_digest;
use crate::voice::{note, print_finding, print_json, print_table};

/// Options of `palimpsest provenance query`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The order: ids in the order consumed, one row per epoch (.npy, or FILE:COLUMN of .csv, .parquet)
    #[arg(long, value_name = "FILE", group = "place", help_heading = "From files")]
    pub order: Option<ColumnSource>,
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
    #[arg(long, value_name = "FILE", help_heading = "From files", requires = "order")]
    pub reference_order: Vec<ColumnSource>,
    /// The id of each scored example, where not all were scored in dataset order
    #[arg(long, value_name = "FILE", help_heading = "From files", requires = "order")]
    pub ids: Option<ColumnSource>,
    /// The shuffled unit (pack, shard) of each scored example: scores are averaged within units
    #[arg(long, value_name = "FILE", help_heading = "From files")]
    pub units: Option<ColumnSource>,
    /// The block of each scored example, for an order that is uniform within blocks only
    #[arg(long, value_name = "FILE", help_heading = "From files", requires = "positions")]
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "From files", requires = "order")]
    pub batch_size: Option<u32>,
    /// Test this epoch alone, from 0
    #[arg(long, value_name = "EPOCH")]
    pub epoch: Option<u32>,

    /// The run whose order is tested, by id or unique prefix
    #[arg(long, value_name = "RUN", group = "place", help_heading = "From the store")]
    pub run: Option<String>,
    /// The suspected model: a run that kept its model; several are corrected by Holm
    #[arg(long, value_name = "RUN", help_heading = "From the store", requires = "run")]
    pub model: Vec<String>,
    /// An independent model: a run of another order that kept its model; several are averaged
    #[arg(long, value_name = "RUN", help_heading = "From the store", requires = "run")]
    pub reference_model: Vec<String>,
    /// Learn the profile of the order's imprint from this run of another order and its own model
    #[arg(long, value_name = "RUN", help_heading = "From the store", requires = "run")]
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
        requires = "monte_carlo",
        help_heading = "The test, fixed before looking"
    )]
    pub seed: u64,

    /// Write a certificate: FILE.json and FILE.html
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Sign the certificate with this private key
    #[arg(long, value_name = "KEY.pem", requires = "certificate")]
    pub sign: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// A name of an enum as serde writes it.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
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
        };
        (files, drawn)
    }
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out: a refusal of the test among others.
pub fn run(args: &Args, ask: Ask<'_>) -> anyhow::Result<Exit> {
    let question = match &args.run {
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
            files::question(&files, &drawn, &args.choices())?
        }
    };
    let asked = question.ask()?;
    if let Some(path) = &args.certificate {
        write_certificate(args, &question, &asked, path)?;
    }
    print(args, &question, asked)?;
    Ok(Exit::Fine)
}

/// Writes FILE.json and FILE.html.
fn write_certificate(
    args: &Args,
    question: &Question,
    asked: &[Asked],
    path: &Path,
) -> anyhow::Result<()> {
    let [Asked { finding, .. }] = asked else {
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
    write_atomic(&json, &certificate.to_bytes()?)?;
    write_atomic(&page, reports::certificate::page(&certificate)?.as_bytes())?;
    note(&format!("certificate: {} and {}", json.display(), page.display()));
    Ok(())
}

fn print(args: &Args, question: &Question, mut asked: Vec<Asked>) -> anyhow::Result<()> {
    if asked.len() == 1 {
        let Asked { suspect, finding } = asked.remove(0);
        if args.json {
            return print_json(&finding);
        }
        return print_finding(&question.subject(&suspect), &finding);
    }
    let log10_ps: Vec<f64> = asked.iter().map(|asked| asked.finding.log10_p).collect();
    let corrected = holm(&log10_ps)?;
    let suspects = asked
        .into_iter()
        .zip(corrected)
        .map(|(Asked { suspect, finding }, holm)| Suspect { suspect, finding, holm_log10_p: holm });
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
    let mut warnings: Vec<&String> =
        suspects.iter().flat_map(|row| &row.finding.warnings).collect();
    warnings.dedup();
    warnings.iter().for_each(|warning| crate::voice::warn(warning));
    Ok(())
}
