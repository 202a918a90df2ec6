//! Options that every verb on a suite takes.

use std::path::PathBuf;

use ::data::Sources;
use ledger::catalogue::Catalogue;
use ledger::plan::{Assignment, Overrides, Plan, plan};
use ledger::record::Store;
use ledger::suite::Seeds;

use crate::library;

/// Which suite, which part of it, and where things are.
#[derive(Debug, Clone, clap::Args)]
pub struct SuiteOptions {
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
    /// Change a setting of an arm: ARM.KEY=VALUE
    #[arg(long = "set", value_name = "ARM.KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// Keep the final weights of every run; those that others start from are kept anyway
    #[arg(long)]
    pub keep_models: bool,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}

/// Where data and runs are.
#[derive(Debug, Clone, clap::Args)]
pub struct Places {
    /// Folder with data sets
    #[arg(long, value_name = "DIR", env = "PALIMPSEST_DATA")]
    pub data_dir: Option<PathBuf>,
    /// Folder with runs
    #[arg(long, value_name = "DIR", default_value = "runs", env = "PALIMPSEST_STORE")]
    pub store: PathBuf,
}

impl Places {
    /// Where data files are looked for.
    pub fn sources(&self) -> Sources {
        Sources::from_env(self.data_dir.as_deref())
    }

    /// The store.
    pub fn store(&self) -> Store {
        Store::at(&self.store)
    }
}

impl SuiteOptions {
    /// Reads, checks against the catalogue and filters the suite.
    ///
    /// # Errors
    /// When there is no such suite, or it is not valid; with file, line and column.
    pub fn plan(&self, catalogue: &Catalogue) -> anyhow::Result<Plan> {
        let suite = library::suite(&self.suite)?;
        let overrides = Overrides {
            methods: self.methods.clone(),
            workloads: self.workloads.clone(),
            seeds: self.seeds.clone(),
            set: self
                .set
                .iter()
                .map(|Assignment(arm, key, value)| (arm.clone(), key.clone(), value.clone()))
                .collect(),
            keep_models: self.keep_models,
        };
        Ok(plan(&suite.file, &suite.text, catalogue, &overrides)?)
    }
}
