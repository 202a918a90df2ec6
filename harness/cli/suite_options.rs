//! Options that every verb on a suite takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ::data::Sources;
use ::data::columns::{ColumnSource, numbers, order_ids};
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
    /// Train an arm in the order of a file (.npy, .txt, .csv, .parquet) of example ids: ARM=FILE; ARM=FILE#ROW takes a row of a
    /// table, counted from 0
    #[arg(long = "order", value_name = "ARM=FILE")]
    pub orders: Vec<GivenTo>,
    /// Train an arm without some of its examples: ARM=FILE, whose ids are those of --order without these; the run ends
    /// where they end
    #[arg(long, value_name = "ARM=FILE")]
    pub without: Vec<GivenTo>,
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
            _ => Err(format!("\"{text}\" is not ARM=FILE, for example sgd=best.npy")),
        }
    }
}

/// The ids of an order, or of one row of a table of orders (`orders.npy#3`).
fn ids_of(file: &str) -> anyhow::Result<Vec<u32>> {
    let row = file.rsplit_once('#').filter(|_| !Path::new(file).exists());
    let Some((table, row)) = row.and_then(|(table, row)| Some((table, row.parse::<usize>().ok()?)))
    else {
        return Ok(order_ids(Path::new(file))?);
    };
    let column = numbers(&ColumnSource { path: table.into(), column: None })?;
    let ids: Vec<u32> = column.as_ids()?;
    let width = column.columns.unwrap_or(ids.len()).max(1);
    let Some(found) = ids.chunks(width).nth(row) else {
        bail!(
            "{table} holds {} orders, counted from 0, so that there is no row {row}",
            column.rows
        );
    };
    Ok(found.to_vec())
}

/// The share of its budget that an arm's order, which leaves examples out, comes to.
fn shortened(plan: &Plan, index: usize) -> anyhow::Result<f64> {
    let arm = &plan.arms[index];
    let held = arm.order.as_ref().map_or(0, |order| order.ids.len() as u64);
    let on = plan.workloads.iter().filter(|workload| arm.runs_on(&workload.label));
    let budgets: BTreeSet<u64> = on.map(|workload| workload.goal.budget.samples).collect();
    let [whole] = budgets.iter().copied().collect::<Vec<_>>()[..] else {
        bail!(
            "arm \"{}\" runs on workloads of different budgets; choose one with --workloads",
            arm.label
        );
    };
    let most = arm.budget.map_or(whole, |share| (whole as f64 * share).round() as u64);
    if held == 0 || held >= most {
        bail!(
            "the file holds {held} ids, where the run without anything left out consumes {most}; an order of \
             all examples is given by --order"
        );
    }
    Ok(held as f64 / whole as f64)
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
        let without = self
            .without
            .iter()
            .map(|GivenTo(arm, file)| format!("--without {}", quoted(&format!("{arm}={file}"))));
        let early = self.stop_early.then(|| "--stop-early".to_owned());
        list("--methods", &self.methods)
            .into_iter()
            .chain(list("--workloads", &self.workloads))
            .chain(seeds)
            .chain(set)
            .chain(orders)
            .chain(without)
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
        let orders = self.orders.iter().map(|given| ("--order", given));
        let without = self.without.iter().map(|given| ("--without", given));
        for (option, GivenTo(to, file)) in orders.chain(without) {
            let labels: Vec<String> = plan.arms.iter().map(|arm| arm.label.clone()).collect();
            let mut to_whom =
                plan.arms.iter_mut().filter(|arm| arm.label == *to || arm.method == *to).peekable();
            if to_whom.peek().is_none() {
                let names: Vec<&str> = labels.iter().map(String::as_str).collect();
                bail!("{option} {to}={file}: no arm \"{to}\" runs{}", hint(to, names));
            }
            for arm in to_whom {
                if arm.external.is_some() {
                    bail!(
                        "{option} {to}={file}: arm \"{}\" is a program of one's own, which gets the bench's order; leave it out",
                        arm.label
                    );
                }
                arm.order = Some(GivenOrder::unread(file.clone()));
            }
        }
        for arm in &mut plan.arms {
            if let Some(GivenOrder { file, .. }) = &arm.order {
                let ids =
                    ids_of(file).with_context(|| format!("arm \"{}\" has no order", arm.label))?;
                arm.order = Some(GivenOrder::new(file.clone(), ids));
            }
        }
        for GivenTo(to, file) in &self.without {
            for index in 0..plan.arms.len() {
                if plan.arms[index].label == *to || plan.arms[index].method == *to {
                    let share =
                        shortened(plan, index).with_context(|| format!("--without {to}={file}"))?;
                    plan.arms[index].budget = Some(share);
                }
            }
        }
        Ok(())
    }
}
