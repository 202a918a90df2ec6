//! Options of `palimpsest record`, and the suite of one cell that they are

use std::path::PathBuf;

use ledger::settings::Values;
use serde_json::{Value, json};

use super::suite_options::Places;

/// Options of `palimpsest record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the task, by which pages and records know it
    #[arg(long, value_name = "NAME")]
    pub workload: String,
    /// The metric that the script tells
    #[arg(long, value_name = "NAME")]
    pub metric: String,
    /// Which way it improves
    #[arg(long, default_value = "higher", value_parser = ["higher", "lower"])]
    pub direction: String,
    /// Number of training examples: the order is one of 0 to below it
    #[arg(long, value_name = "N")]
    pub examples: u32,
    /// Samples to train on
    #[arg(long, value_name = "N")]
    pub samples: u64,
    /// Distance of evaluations in samples; an epoch by default
    #[arg(long, value_name = "N")]
    pub evaluate_every: Option<u64>,
    /// Value of the metric that is to be reached
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub target: f64,
    /// Where the target comes from
    #[arg(long, value_name = "TEXT", default_value = "the script's")]
    pub target_origin: String,
    /// What the data are, in words or by a digest of your own; a part of the run's id
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub data: String,
    /// Name of the arm; by default the first file's, with the settings
    #[arg(long, value_name = "NAME")]
    pub arm: Option<String>,
    /// The script's settings, for the record: a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = settings)]
    pub settings: Values,
    /// A file that the script consists of, from `--folder` on; may be given again
    #[arg(long = "file", value_name = "FILE", required = true)]
    pub files: Vec<String>,
    /// Where the files are
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The integer seed
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// Draw the seed from the operating system, so that p-values are evidence and not simulation
    #[arg(long, conflicts_with = "seed")]
    pub attested: bool,
    /// Replace the record of the same run, where there is one; a failed attempt replaces it, too
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    /// Where the store is.
    pub places: Places,
    /// The script's command, for the record; it runs already
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `--settings` of a command line.
fn settings(text: &str) -> Result<Values, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))
}

impl Args {
    /// The suite that such a run is: one cell of a workload of the script's own.
    #[must_use]
    pub fn suite(&self) -> String {
        let mut workload = json!({
            "workload": ledger::external::own_task::WORKLOAD,
            "as": self.workload,
            "metric": self.metric,
            "direction": self.direction,
            "examples": self.examples,
            "samples": self.samples,
            "target": { "value": self.target, "origin": self.target_origin },
        });
        if let Some(every) = self.evaluate_every {
            workload["evaluate_every"] = every.into();
        }
        if !self.data.is_empty() {
            workload["data"] = self.data.as_str().into();
        }
        // Braces of a command are places for settings; a script's have been filled.
        let command = self.command.iter().map(|word| word.replace('{', "{{").replace('}', "}}"));
        let suite = json!({
            "suite": self.workload,
            "question": format!("What did scripts record of {}?", self.workload),
            "workloads": [workload],
            "seeds": [self.seed],
            "arms": [{
                "command": command.collect::<Vec<_>>(),
                "files": self.files,
                "as": self.label(),
                "with": self.settings,
            }],
        });
        format!("{suite:#}\n")
    }

    fn label(&self) -> String {
        if let Some(arm) = &self.arm {
            return arm.clone();
        }
        let first = self.files.first().map(String::as_str).unwrap_or_default();
        let stem =
            PathBuf::from(first).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if self.settings.is_empty() {
            return stem;
        }
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = self.settings.iter().map(|(name, value)| format!("{name}={}", plain(value)));
        format!("{stem}[{}]", pairs.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use analysis::suite::parse;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn read(more: &[&str]) -> Args {
        let given =
            ["record", "--workload", "t", "--metric", "m", "--examples", "5", "--samples", "9"];
        let rest = ["--target", "-1.5", "--file", "a/train.py"];
        let all = [&given[..], &rest[..], more, &["--", "python3", "train.py", "{x}"][..]].concat();
        Line::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).args
    }

    #[test]
    fn the_options_are_a_suite_of_one_cell() {
        let suite =
            parse("record", &read(&["--settings", r#"{"lr":0.1,"o":"sgd"}"#]).suite()).unwrap();
        assert_eq!(suite.arms[0].label.as_deref(), Some("train[lr=0.1,o=sgd]"));
        assert_eq!(suite.workloads[0].samples, Some(9));
        assert_eq!(suite.workloads[0].target.as_ref().unwrap().value, -1.5);
        let command = &suite.arms[0].external.as_ref().unwrap();
        assert_eq!(command.arguments(&Values::new()).unwrap(), ["python3", "train.py", "{x}"]);
        assert_eq!(
            parse("record", &read(&[]).suite()).unwrap().arms[0].label.as_deref(),
            Some("train")
        );
        let named = read(&["--arm", "lion", "--seed", "7"]).suite();
        let named = parse("record", &named).unwrap();
        assert_eq!((named.arms[0].label.as_deref(), &named.seeds.0[..]), (Some("lion"), &[7][..]));
    }
}
