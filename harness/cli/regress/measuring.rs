//! What is measured, and how the suite wants it: shared by the verbs that train.

use std::path::PathBuf;
use std::time::Duration;

use analysis::regress::excuse::Quarantine;
use analysis::regress::extract::Context;
use analysis::regress::metric::Class;
use analysis::regress::{Rule, Snapshot};
use analysis::suite::{RegressUse, Seeds};
use anyhow::Context as _;

use super::floors;
use super::turns::told;
use crate::cli::suite_options::Places;
use crate::{library, limit};

/// What is measured: shared by the gate and `regress aa`.
#[derive(Debug, Clone, clap::Args)]
pub struct Measuring {
    /// Name of a suite, or a YAML file
    pub suite: String,
    /// Only these methods (ids or arm labels)
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Only these workloads (ids or labels)
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// Other seeds: a count, a range a..b, or a list a,b,c
    #[arg(long)]
    pub seeds: Option<Seeds>,
    /// Pairs of times of each arm, over all seeds; 8 unless the suite says otherwise
    #[arg(long, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub pairs: Option<u32>,
    /// Where to train: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// How long one cell may take, in seconds or as 90s, 10m, 2h; a run that takes longer is stopped
    /// and counts as crashed
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = limit::parse)]
    pub timeout: Duration,
    /// File with the noise floor; by default one per suite and machine in the store
    #[arg(long, value_name = "FILE")]
    pub floor: Option<PathBuf>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}

/// The suite's own part in what is measured and how it is judged.
pub(super) struct Plan {
    /// The suite as builds are told it.
    pub told: String,
    /// How it is judged.
    pub rule: Rule,
    /// Pairs of each arm.
    pub pairs: u32,
    /// How metrics are compared.
    pub context: Context,
    /// What does not count for a while.
    pub quarantines: Vec<Quarantine>,
}

impl Plan {
    /// What the suite of this name or path wishes; `pairs` come before its own.
    ///
    /// # Errors
    /// When there is no such suite, or its `regress` part cannot be.
    pub(super) fn of(suite: &str, pairs: Option<u32>) -> anyhow::Result<Self> {
        let found = library::suite(suite)?;
        let parsed = analysis::suite::parse(&found.file, &found.text)?;
        let wishes: RegressUse = parsed.regress;
        let metrics = wishes.metrics.iter();
        let treatments = metrics.map(|(name, used)| (name.clone(), used.treatment())).collect();
        Ok(Plan {
            told: told(&found.file, suite)?,
            rule: wishes.rule(),
            pairs: pairs.or(wishes.pairs).unwrap_or(analysis::suite::regress::PAIRS),
            context: Context { treatments, exceptions: wishes.exceptions(), ..Context::default() },
            quarantines: wishes.quarantines(),
        })
    }
}

impl Measuring {
    /// Reads the suite's wishes.
    ///
    /// # Errors
    /// When there is no such suite, or its `regress` part cannot be.
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        Plan::of(&self.suite, self.pairs)
    }

    /// Options of a build: what the user chose, with whole paths.
    pub(super) fn options(&self) -> anyhow::Result<Vec<String>> {
        let mut options = Vec::new();
        for (option, values) in [("--methods", &self.methods), ("--workloads", &self.workloads)] {
            if !values.is_empty() {
                options.extend([option.to_owned(), values.join(",")]);
            }
        }
        if let Some(folder) = &self.places.data_dir {
            let folder = std::path::absolute(folder)?;
            options.extend(["--data-dir".to_owned(), folder.display().to_string()]);
        }
        Ok(options)
    }

    /// The seeds as builds are told them; none for the suite's own.
    pub(super) fn told_seeds(&self) -> Option<String> {
        self.seeds.as_ref().map(list)
    }

    /// The floor's file on the machine of `measured`.
    pub(super) fn floor_file(&self, measured: &Snapshot) -> PathBuf {
        self.floor
            .clone()
            .unwrap_or_else(|| floors::file(&self.places.store, &measured.suite, &measured.machine))
    }
}

pub(super) fn list(seeds: &Seeds) -> String {
    // A bare number is a count.
    match seeds.0.as_slice() {
        [one] => format!("{one}..{}", one.saturating_add(1)),
        seeds => seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// This program, unless another is named.
pub(super) fn program(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe().context("cannot find the file of this program"),
    }
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    let classes = [Class::Exact, Class::Ulp, Class::Quality, Class::Time];
    let names = classes.map(Class::name);
    let found = classes.into_iter().find(|class| class.name() == text);
    found.ok_or_else(|| format!("there is no class \"{text}\": {} are", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_one_seed_is_not_told_as_a_count() {
        let told = list(&Seeds(vec![7]));
        assert_eq!(told.parse::<Seeds>().map(|seeds| seeds.0), Ok(vec![7]), "{told}");
        assert_eq!(list(&Seeds(vec![7, 9])), "7,9");
    }
}
