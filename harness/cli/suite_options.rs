//! Options that every verb on a suite takes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ::data::Sources;
use ::data::columns::order_ids;
use analysis::imported::METHOD;
use analysis::plan::{Assignment, Overrides, Plan, plan};
use analysis::suite::Seeds;
use analysis::tuning::Tuned;
use anyhow::{Context as _, bail};
use ledger::catalogue::{Catalogue, hint};
use ledger::given::GivenOrder;
use ledger::record::Store;

use crate::library::{self, SuiteText};
use crate::voice::quoted;

pub mod programs;

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
    /// Train an arm in the order of a file (.npy, .txt, .csv, .parquet) of example ids: ARM=FILE
    #[arg(long = "order", value_name = "ARM=FILE")]
    pub orders: Vec<GivenTo>,
    /// Keep the final weights of every run; those that others start from are kept anyway
    #[arg(long)]
    pub keep_models: bool,
    /// Run seed by seed and end once a confidence sequence has settled the claims
    #[arg(long)]
    pub stop_early: bool,
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

/// The folder that paths in a suite start from; of a suite from a pipe, the working folder.
fn folder_of(suite: &Path) -> &Path {
    let piped = suite.exists() && !suite.is_file();
    suite.parent().filter(|_| !piped).unwrap_or(Path::new(""))
}

/// Holds every given order against the examples and budgets of the workloads it is for, as far as
/// they are known before any data are loaded; what trains checks again.
fn check_orders(plan: &Plan, catalogue: &Catalogue) -> anyhow::Result<()> {
    let given = plan.arms.iter().filter_map(|arm| Some((arm, arm.order.as_ref()?)));
    for (arm, order) in given {
        for workload in plan.workloads.iter().filter(|workload| arm.runs_on(&workload.label)) {
            let Some(info) = catalogue.workload(&workload.id) else { continue };
            if info.count.is_some() {
                continue;
            }
            let set = workload.settings.get("examples").and_then(serde_json::Value::as_u64);
            let set = set.and_then(|examples| u32::try_from(examples).ok());
            let examples = set.unwrap_or(info.split_sizes[0]);
            order
                .epochs(examples, arm.budgeted(workload).goal.budget.samples)
                .with_context(|| format!("arm \"{}\" on {}", arm.label, workload.label))?;
        }
    }
    Ok(())
}

/// One `--order` of the command line: an arm and a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTo(pub String, pub String);

impl FromStr for GivenTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A label may hold `=` inside its brackets.
        let bracket = text.find(']').unwrap_or(0);
        match text[bracket..].split_once('=') {
            Some((rest, file)) if bracket + rest.len() > 0 && !file.is_empty() => {
                Ok(Self(text[..bracket + rest.len()].to_owned(), file.to_owned()))
            }
            _ => Err(format!("--order \"{text}\" is not ARM=FILE, for example sgd=best.npy")),
        }
    }
}

impl SuiteOptions {
    /// Reads, checks against the catalogue and filters the suite.
    ///
    /// # Errors
    /// When there is no such suite, or it is not valid; with file, line and column.
    pub fn plan(&self, catalogue: &Catalogue) -> anyhow::Result<Plan> {
        let suite = library::suite(&self.suite)?;
        let (file, text) = library::tuned(&suite)?;
        let tuned = text.map(|text| Tuned::parse(&file, &self.suite, &text)).transpose()?;
        self.plan_with(&suite, tuned, catalogue)
    }

    /// The same with these chosen settings.
    ///
    /// # Errors
    /// When the suite is not valid; with file, line and column.
    pub fn plan_with(
        &self,
        suite: &SuiteText,
        tuned: Option<Tuned>,
        catalogue: &Catalogue,
    ) -> anyhow::Result<Plan> {
        let folder = folder_of(Path::new(&suite.file));
        let overrides = Overrides {
            folder: folder.to_path_buf(),
            methods: self.methods.clone(),
            workloads: self.workloads.clone(),
            seeds: self.seeds.clone(),
            set: self.set.clone(),
            keep_models: self.keep_models,
            stop_early: self.stop_early,
            tuned,
        };
        let mut plan = plan(&suite.file, &suite.text, catalogue, &overrides)?;
        if let Some(arm) = plan.arms.iter().find(|arm| arm.method == METHOD) {
            bail!(
                "arm \"{}\" of {} is imported, so that nothing trains it: `palimpsest import LOGS --suite {}` brings its runs",
                arm.label,
                suite.file,
                quoted(&suite.file)
            );
        }
        plan.find_files(folder).map_err(anyhow::Error::msg)?;
        self.read_orders(folder, &mut plan)?;
        programs::find(folder, &mut plan)?;
        check_orders(&plan, catalogue)?;
        Ok(plan)
    }

    /// The options that leave out, add or change a part of the suite, as they can be typed again.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let list = |option: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{option} {}", quoted(&names.join(","))))
        };
        let seeds = self.seeds.as_ref().map(|seeds| match seeds.0.as_slice() {
            [first, rest @ ..]
                if rest.iter().zip(first + 1..).all(|(seed, next)| *seed == next) =>
            {
                format!("--seeds {first}..{}", first + 1 + rest.len() as u64)
            }
            list => {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                format!("--seeds {}", list.join(","))
            }
        });
        let set = self.set.iter().map(|Assignment(arm, key, value)| {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            format!("--set {}", quoted(&format!("{arm}.{key}={value}")))
        });
        let orders = self
            .orders
            .iter()
            .map(|GivenTo(arm, file)| format!("--order {}", quoted(&format!("{arm}={file}"))));
        let early = self.stop_early.then(|| "--stop-early".to_owned());
        list("--methods", &self.methods)
            .into_iter()
            .chain(list("--workloads", &self.workloads))
            .chain(seeds)
            .chain(set)
            .chain(orders)
            .chain(early)
            .collect()
    }

    /// Refuses a plan whose arms still have to be tuned.
    ///
    /// # Errors
    /// When settings of an arm were not chosen, or not for the suite as it is.
    pub fn hold_to_tuning(&self, plan: &Plan) -> anyhow::Result<()> {
        let Some(tuning) = &plan.tuning else { return Ok(()) };
        let (file, _) = library::tuned(&library::suite(&self.suite)?)?;
        tuning.refusal(&file, &self.suite).map_or(Ok(()), |refusal| bail!("{refusal}"))
    }

    /// Reads the orders that arms are given: by the suite, from its folder on, or by `--order`.
    fn read_orders(&self, folder: &Path, plan: &mut Plan) -> anyhow::Result<()> {
        for arm in &mut plan.arms {
            if let Some(order) = &mut arm.order {
                order.file = folder.join(&order.file).display().to_string();
            }
        }
        for GivenTo(to, file) in &self.orders {
            let labels: Vec<String> = plan.arms.iter().map(|arm| arm.label.clone()).collect();
            let mut to_whom =
                plan.arms.iter_mut().filter(|arm| arm.label == *to || arm.method == *to).peekable();
            if to_whom.peek().is_none() {
                let names: Vec<&str> = labels.iter().map(String::as_str).collect();
                bail!("--order {to}={file}: no arm \"{to}\" runs{}", hint(to, names));
            }
            for arm in to_whom {
                if arm.external.is_some() {
                    bail!(
                        "--order {to}={file}: arm \"{}\" is a program of one's own, which gets the bench's order; leave it out",
                        arm.label
                    );
                }
                arm.order = Some(GivenOrder::unread(file.clone()));
            }
        }
        for arm in &mut plan.arms {
            if let Some(GivenOrder { file, .. }) = &arm.order {
                let ids = order_ids(Path::new(file))
                    .with_context(|| format!("arm \"{}\" has no order", arm.label))?;
                arm.order = Some(GivenOrder::new(file.clone(), ids));
            }
        }
        Ok(())
    }
}
