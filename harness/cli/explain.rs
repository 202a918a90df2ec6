//! `palimpsest explain`

use anyhow::bail;
use ledger::catalogue::listing::Listing;
use ledger::catalogue::{MetricInfo, hint, nearest};
use ledger::settings::SettingInfo;
use serde_json::json;

use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A method or a workload
    name: String,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, listing: &Listing) -> anyhow::Result<Exit> {
    if let Some(method) = listing.method(&args.name) {
        if args.json {
            print_json(&json!({
                "id": method.id, "card": method.card, "needs": method.needs,
                "runs_on": listing.fitting(method).collect::<Vec<_>>(), "settings": method.settings,
            }))?;
            return Ok(Exit::Fine);
        }
        let paper = &method.paper;
        let mut text = format!(
            "{}\n\n## Paper\n{}. {} ({}). {}\nCode: {}\n",
            method.card.trim_end(),
            paper.authors.trim_end_matches('.'),
            paper.title,
            paper.year,
            paper.reference,
            paper.code
        );
        if let Some(baseline) = &method.baseline {
            text += &format!("Compare with: {baseline}\n");
        }
        let fitting: Vec<&str> = listing.fitting(method).collect();
        text += &format!("Needs: {}\n", named(&method.needs));
        text += &format!("Runs on: {}\n", named(&fitting));
        text += &settings(&method.settings);
        print_text(&text)?;
        return Ok(Exit::Fine);
    }
    if let Some(workload) = listing.workload(&args.name) {
        let examples = match workload.split_sizes {
            [0, ..] if workload.settings.iter().any(|setting| setting.name == "examples") => {
                "as many examples as `examples` says".to_owned()
            }
            [0, ..] => "as many examples as the file has".to_owned(),
            [train, validation, test] => {
                format!("{train} train, {validation} validation, {test} test examples")
            }
        };
        let text = format!(
            "{}\n\n## Goal\n{} {} on the validation split, origin: {}\nBudget {} epochs, evaluated every {} epochs\n{examples}\nOffers: {}\n{}{}",
            workload.card.trim_end(),
            workload.metric,
            workload.target,
            workload.target_origin,
            workload.budget_epochs,
            workload.evaluate_every_epochs,
            named(&workload.offers),
            metrics(&workload.metrics),
            settings(&workload.settings)
        );
        if args.json {
            print_json(&json!({
                "id": workload.id, "family": workload.family, "card": workload.card, "offers": workload.offers,
                "metrics": workload.metrics, "settings": workload.settings,
            }))?;
        } else {
            print_text(&text)?;
        }
        return Ok(Exit::Fine);
    }
    let names: Vec<&str> = listing.ids().collect();
    let hint = match nearest(&args.name, names.clone()) {
        Some(_) => hint(&args.name, names),
        None => "; `palimpsest list methods` and `list workloads` show what there is".to_owned(),
    };
    bail!("no method or workload is called \"{}\"{hint}", args.name)
}

/// Names in a row, or a dash.
fn named<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

fn metrics(table: &[MetricInfo<String>]) -> String {
    let mut text = String::from("\n## Metrics\n");
    let width = table.iter().map(|metric| metric.name.chars().count()).max().unwrap_or(0);
    for metric in table {
        let better = if metric.higher_is_better { "higher" } else { "lower" };
        let best = metric.best.map_or_else(String::new, |best| format!(", {best} at best"));
        let chance =
            metric.chance.map_or_else(String::new, |chance| format!(", {chance} by chance"));
        text += &format!("{:width$}  {better} is better{best}{chance}\n", metric.name);
    }
    text
}

fn settings(table: &[SettingInfo<String>]) -> String {
    let mut text = String::from("\n## Settings\n");
    let width = table.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    for setting in table {
        text += &format!(
            "{:width$}  {}\n{:width$}  {}; default {}; from {}\n",
            setting.name, setting.doc, "", setting.kind, setting.default, setting.source
        );
    }
    text
}
