//! `palimpsest provenance siblings`

use std::path::Path;

use ::data::weights::Weights;
use analysis::evidence::certificate::odds;
use anyhow::{Context as _, bail};
use ledger::record::Store;
use serde::Serialize;
use stats::provenance::siblings::{Layer, Siblings, siblings};

use super::given::Given;
use crate::cli::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{print_json, print_table, print_text};

/// Options of `palimpsest provenance siblings`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which of these were given.
    given: Given,
    /// A run that kept its model, by id or unique prefix, or a .safetensors file
    first: String,
    /// The other one
    second: String,
    /// Layers to match, by the names of their weights [default: those whose units are hidden, as
    /// far as names and shapes tell]
    #[arg(long = "layer", value_name = "NAME")]
    layers: Vec<String>,
    /// Seed of the relabelling that breaks ties of the matching
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The `--json` document.
#[derive(Serialize)]
struct Answer<'a> {
    test: &'static str,
    first: &'a str,
    second: &'a str,
    #[serde(flatten)]
    found: &'a Siblings,
    left_out: &'a [String],
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let files = [&args.first, &args.second].iter().all(|model| Path::new(model).is_file());
    args.given.require("store", !files, "both models are files")?;
    args.given.require("data_dir", false, "weights are compared without any data")?;
    let store = args.places.store();
    let [left, right] = [&args.first, &args.second].map(|model| weights(model, &store));
    let (left, right) = (left?, right?);
    let names = if args.layers.is_empty() { left.hidden() } else { left.checked(&args.layers)? };
    if names.is_empty() {
        bail!(
            "no weight of {} is known to have hidden units as its rows; name some with --layer ({})",
            args.first,
            left.matrices().join(", ")
        );
    }
    let mut pairs = Vec::with_capacity(names.len());
    for name in &names {
        let (units, left, right) = left.beside(&right, name)?;
        pairs.push((name, units, left, right));
    }
    let layers: Vec<Layer<'_>> = pairs
        .iter()
        .map(|(name, units, left, right)| Layer { name, units: *units, left, right })
        .collect();
    let found = siblings(&layers, args.seed)?;
    let mut left_out = left.matrices();
    left_out.retain(|name| !names.contains(name));
    if args.json {
        let (first, second) = (&args.first, &args.second);
        print_json(&Answer {
            test: "siblings",
            first,
            second,
            found: &found,
            left_out: &left_out,
        })?;
    } else {
        print(&found, &left_out)?;
    }
    Ok(Exit::Fine)
}

/// The weights of a file, or of the model that a run of the store kept.
fn weights(model: &str, store: &Store) -> anyhow::Result<Weights> {
    let path = if Path::new(model).is_file() {
        Path::new(model).to_owned()
    } else if model.contains(".safetensors") {
        bail!("there is no file {model}");
    } else {
        let cell = store.find(model)?;
        let path = store.folder(&cell).join("checkpoints/final.safetensors");
        if !path.is_file() {
            bail!("run {cell} left no model; `palimpsest run` with --keep-models makes it again");
        }
        path
    };
    let file = path.display().to_string();
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {file}"))?;
    Ok(Weights::read(&file, &bytes)?)
}

fn print(found: &Siblings, left_out: &[String]) -> anyhow::Result<()> {
    let rows = found.layers.iter().map(|layer| {
        [
            layer.layer.clone(),
            layer.units.to_string(),
            layer.same_label.to_string(),
            format!("{:.4}", layer.statistic),
            format!("{:.2}", layer.log10_p),
        ]
    });
    print_table(["layer", "units", "matched to themselves", "Spearman", "log10 p"], rows)?;
    print_text(&format!(
        "together (Fisher): log10 p {:.2}\n\
         had the two starts been independent, labels would match this well {}; this says nothing of \
         the order of the data\n",
        found.log10_p,
        odds(found.log10_p)
    ))?;
    if !left_out.is_empty() {
        print_text(&format!("left out: {}\n", left_out.join(", ")))?;
    }
    Ok(())
}
