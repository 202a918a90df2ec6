//! `palimpsest provenance text partition`

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use data::columns::{Column, ColumnSource, numbers};
use serde::Serialize;
use stats::provenance::index::Index;
use stats::provenance::partition::{LONGEST, Overlap, Partition, Parts, RARE};
use stats::provenance::{Finding, Metric, Tail};

use super::super::given::Given;
use super::super::order_table::{Table, Way};
use crate::exit::Exit;
use crate::voice::{print_json, print_text, warn};

/// Options of `palimpsest provenance text partition`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which of these were given.
    given: Given,
    /// What the run was trained on, in the order of its ids: tokens, documents × tokens or one
    /// after the other (.npy, .csv, .parquet), or one document a line (.txt)
    #[arg(long, value_name = "FILE[:COLUMN]")]
    corpus: ColumnSource,
    /// Tokens of each document, where the corpus lists them one after the other
    #[arg(long, value_name = "FILE[:COLUMN]")]
    lengths: Option<ColumnSource>,
    /// Document ids in the order consumed; of epochs × ids the last row is taken
    #[arg(long, value_name = "FILE[:COLUMN]")]
    order: ColumnSource,
    /// The text: tokens, texts × tokens (.npy), or one text a line (.txt)
    #[arg(long, value_name = "FILE[:COLUMN]")]
    text: ColumnSource,
    /// What .txt files are cut into
    #[arg(long, value_enum, default_value = "characters")]
    unit: Unit,
    /// Equal parts of the order [default: 250, or a quarter of the documents where that is less]
    #[arg(long)]
    parts: Option<usize>,
    /// Tokens of the longest window looked up
    #[arg(long, default_value_t = LONGEST)]
    longest: usize,
    /// Windows that occur more often are left out; choose it before looking
    #[arg(long, default_value_t = RARE)]
    rare: u64,
    /// Coefficient: spearman, pearson or kendall
    #[arg(long, default_value_t = Metric::Spearman)]
    metric: Metric,
    /// Alternative: two-sided, less or greater
    #[arg(long, default_value_t = Tail::TwoSided)]
    tail: Tail,
    /// Take p from this many random orders of the documents instead of the closed form
    #[arg(long, value_name = "DRAWS")]
    monte_carlo: Option<u64>,
    /// Seed of the random orders
    #[arg(long, default_value_t = 0, requires = "monte_carlo")]
    seed: u64,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What a line of text is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unit {
    Bytes,
    Characters,
}

/// Sequences of symbols, one after the other.
struct Sequences {
    symbols: Vec<u32>,
    lengths: Vec<u32>,
    /// What a symbol is: tokens, bytes or characters.
    noun: &'static str,
}

/// How the test was made, for the `partition` key of the JSON document.
#[derive(Serialize)]
struct Account {
    unit: &'static str,
    documents: usize,
    parts: usize,
    documents_per_part: usize,
    left_out: usize,
    longest: usize,
    rare: u64,
    starts: u64,
    matched: u64,
    too_frequent: u64,
    unmatched: u64,
    occurrences: u64,
    short_texts: u64,
    counts: Vec<u64>,
    closed_form_log10_p: Option<f64>,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let text_files = [&args.corpus, &args.text].iter().any(|source| is_text(source));
    args.given.require("unit", text_files, "tokens are not cut, and no file is .txt")?;
    let corpus = corpus(args)?;
    let text = sequences(&args.text, args.unit)?;
    if corpus.noun != text.noun {
        bail!(
            "{} holds {}, but {} holds {}: give both as .txt or both as tokens",
            args.corpus,
            corpus.noun,
            args.text,
            text.noun
        );
    }
    let documents = corpus.lengths.len();
    let order = order(&args.order, documents)?;
    let index = Index::new(corpus.symbols, &corpus.lengths)
        .with_context(|| format!("cannot index {}", args.corpus))?;
    let overlap = Overlap::of(&index, text.each(), args.longest, args.rare)?;
    let parts = args.parts.unwrap_or_else(|| 250.min(order.len() / 4));
    let partition = Partition::new(&overlap, &order, parts)?;
    let closed = partition.run(args.metric, args.tail);
    let closed_form = closed.as_ref().ok().map(|closed| closed.log10_p);
    let mut finding = match args.monte_carlo {
        Some(draws) => partition.monte_carlo(args.metric, args.tail, draws, args.seed)?,
        None => closed?,
    };
    if order.len() < documents {
        finding.warnings.push(format!(
            "{} of the {documents} documents are not in the order and were left out",
            documents - order.len()
        ));
    }
    let cut = partition.parts();
    if args.json {
        let account = Account {
            unit: text.noun,
            documents: order.len(),
            parts,
            documents_per_part: cut.size,
            left_out: cut.left_out,
            longest: overlap.longest,
            rare: overlap.rare,
            starts: overlap.starts,
            matched: overlap.matched,
            too_frequent: overlap.too_frequent,
            unmatched: overlap.unmatched,
            occurrences: overlap.occurrences,
            short_texts: overlap.short_texts,
            counts: cut.counts,
            closed_form_log10_p: closed_form,
        };
        let mut document = serde_json::to_value(&finding)?;
        document["partition"] = serde_json::to_value(account)?;
        print_json(&document)?;
    } else {
        print_text(&told(&text, &overlap, &cut, &finding, closed_form))?;
        finding.warnings.iter().for_each(|warning| warn(warning));
    }
    Ok(Exit::Fine)
}

/// The finding for a person.
fn told(
    text: &Sequences,
    overlap: &Overlap,
    cut: &Parts,
    finding: &Finding,
    closed_form: Option<f64>,
) -> String {
    let noun = text.noun;
    let how = match &finding.monte_carlo {
        Some(drawn) => {
            let closed =
                closed_form.map_or("none".to_owned(), |log10_p| format!("log10 {log10_p:.2}"));
            format!(
                "{} random orders of the documents, seed {} (closed form: {closed})",
                drawn.draws, drawn.seed
            )
        }
        None if finding.exact => "exact".to_owned(),
        None if finding.saddlepoint => "saddlepoint".to_owned(),
        None => "closed form".to_owned(),
    };
    let left_out = match cut.left_out {
        0 => String::new(),
        n => format!(", the first {n} left out"),
    };
    format!(
        "partition test: {} {noun} of text against {} parts of {} documents{left_out}\n\
         windows    2 to {} {noun}, those that occur more than {} times left out\n\
         starts     {}: {} matched ({} occurrences), {} too frequent, {} without a match\n\
         {:<9}  {:+.4}, {}\n\
         p          {:.3e} (log10 {:.2}), {}, {how}\n",
        text.symbols.len(),
        cut.counts.len(),
        cut.size,
        overlap.longest,
        overlap.rare,
        overlap.starts,
        overlap.matched,
        overlap.occurrences,
        overlap.too_frequent,
        overlap.unmatched,
        finding.metric,
        finding.statistic,
        finding.direction,
        finding.p,
        finding.log10_p,
        finding.tail,
    )
}

/// The corpus, cut into documents.
fn corpus(args: &Args) -> anyhow::Result<Sequences> {
    let mut corpus = sequences(&args.corpus, args.unit)?;
    let Some(source) = &args.lengths else {
        if corpus.lengths.len() < 2 {
            bail!(
                "{} is a single list: give the tokens of each document with --lengths, or documents × tokens",
                args.corpus
            );
        }
        return Ok(corpus);
    };
    if corpus.lengths.len() > 1 {
        bail!("{} is cut into documents already: leave --lengths out", args.corpus);
    }
    corpus.lengths = numbers(source)?.as_ids()?;
    Ok(corpus)
}

/// The ids of the last epoch; a single row or column of a table is one.
fn order(source: &ColumnSource, documents: usize) -> anyhow::Result<Vec<u32>> {
    let column: Column = numbers(source)?;
    let table = Table { source, ids: column.as_ids()?, columns: column.columns };
    table.require_epochs_in_rows(Some(documents), &WAY)?;
    let mut ids: Vec<u32> = column.as_ids()?;
    if let Some(columns) = column.columns.filter(|columns| *columns > 1) {
        ids.drain(..ids.len().saturating_sub(columns));
    }
    Ok(ids)
}

/// What to do about a table that is not one of epochs in rows.
const WAY: Way = Way {
    steps: "save them as one list with .reshape(-1), the last epoch alone",
    columns: "save its transpose",
};

/// Whether a file is text by its name.
fn is_text(source: &ColumnSource) -> bool {
    let ending = source.path.extension();
    source.column.is_none() && ending.is_some_and(|end| end.eq_ignore_ascii_case("txt"))
}

/// A table's rows, a list as one, or the lines of a text file.
fn sequences(source: &ColumnSource, unit: Unit) -> anyhow::Result<Sequences> {
    if is_text(source) {
        return lines(&source.path, unit);
    }
    let column = numbers(source)?;
    let symbols = column.as_ids()?;
    let long = || format!("{source} has rows of more than 2^32 - 1 tokens; give shorter documents");
    let lengths = match column.columns {
        None => vec![u32::try_from(symbols.len()).ok().with_context(long)?],
        Some(columns) => vec![u32::try_from(columns).ok().with_context(long)?; column.rows],
    };
    Ok(Sequences { symbols, lengths, noun: "tokens" })
}

/// The lines of a text file, without their ends.
fn lines(path: &PathBuf, unit: Unit) -> anyhow::Result<Sequences> {
    let file = path.display();
    // Looked at before opening: opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {file}"))?;
    if !metadata.is_file() {
        bail!("{file}: not a regular file; save the text to a file and name that");
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let (mut symbols, mut lengths) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let before = symbols.len();
        match unit {
            Unit::Bytes => symbols.extend(line.iter().copied().map(u32::from)),
            Unit::Characters => {
                let line = std::str::from_utf8(line).with_context(|| {
                    format!("{file}: line {number} is not UTF-8; convert it, or use --unit bytes")
                })?;
                symbols.extend(line.chars().map(u32::from));
            }
        }
        let long = || format!("{file}: line {number} is longer than 2^32 - 1 symbols");
        lengths.push(u32::try_from(symbols.len() - before).ok().with_context(long)?);
    }
    let noun = match unit {
        Unit::Bytes => "bytes",
        Unit::Characters => "characters",
    };
    Ok(Sequences { symbols, lengths, noun })
}

impl Sequences {
    /// The sequences, each by itself.
    fn each(&self) -> impl Iterator<Item = &[u32]> {
        let mut rest = &self.symbols[..];
        self.lengths.iter().map(move |&length| {
            let (one, after) = rest.split_at(length as usize);
            rest = after;
            one
        })
    }
}
