//! The suite that imported runs belong to: a file of the user's, or what the options come to.

use std::path::Path;

use analysis::plan::{Overrides, Plan, plan};
use analysis::suite::{self, Suite};
use anyhow::{Context as _, bail};
use ledger::catalogue::{Catalogue, DataName, MetricInfo, WorkloadInfo};
use ledger::external::own_task::{OwnTask, WORKLOAD};
use ledger::record::planned::PlannedWorkload;

use super::{Goal, SOURCE};
use crate::library::{self, SuiteText};

/// What is asked of the logs.
pub(super) struct Question<'a> {
    goal: &'a Goal,
    /// The suite's text and what it says, where there is one.
    given: Option<(SuiteText, Suite)>,
}

impl<'a> Question<'a> {
    /// Reads the suite, where one is given.
    pub(super) fn of(goal: &'a Goal) -> anyhow::Result<Self> {
        let Some(name) = &goal.suite else { return Ok(Self { goal, given: None }) };
        let text = library::suite(name)?;
        let suite = suite::parse(&text.file, &text.text)?;
        let imported = suite.arms.iter().any(|arm| arm.method == analysis::imported::METHOD);
        if !imported {
            bail!(
                "{}: its arms are run, not imported; an arm of logs is written `imported: NAME`",
                text.file
            );
        }
        Ok(Self { goal, given: Some((text, suite)) })
    }

    /// The metric's name, as far as it is known before the logs are read.
    pub(super) fn metric(&self) -> Option<String> {
        let Some((_, suite)) = &self.given else { return self.goal.metric.clone() };
        let wanted = |used: &&suite::WorkloadUse| {
            self.goal.workload.is_none() || used.label == self.goal.workload
        };
        let used = suite.workloads.iter().find(wanted)?;
        Some(used.with.get("metric")?.as_str()?.to_owned())
    }

    /// Whether the user gave a suite: its arms and seeds are then planned, and others refused.
    pub(super) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// What `report` calls the suite.
    pub(super) fn named(&self, suite: &str) -> String {
        let file = self.given.as_ref().map(|(text, _)| text.file.clone());
        crate::voice::quoted(&file.unwrap_or_else(|| suite.to_owned()))
    }

    /// Where its text comes from, as suite runs keep it: never from the root on.
    pub(super) fn source(&self) -> String {
        let Some(suite) = &self.goal.suite else { return SOURCE.to_owned() };
        let path = Path::new(suite);
        let name = path.file_name().filter(|_| path.is_absolute());
        name.map_or_else(|| suite.clone(), |name| name.to_string_lossy().into_owned())
    }

    /// What the suite says of examples; 0 where it says nothing.
    pub(super) fn examples(&self) -> u64 {
        let Some((_, suite)) = &self.given else { return 0 };
        let said = |used: &suite::WorkloadUse| used.with.get("examples")?.as_u64();
        suite.workloads.iter().find_map(said).unwrap_or_default()
    }

    /// Budget in samples that the options give, or what the longest log has.
    pub(super) fn budget(&self, longest: u64) -> u64 {
        self.goal.budget.unwrap_or(longest).max(1)
    }

    /// The plan of the suite, where one was given, or of the options with these arms and seeds.
    pub(super) fn plan(
        &self,
        arms: &[String],
        seeds: &[u64],
        budget: u64,
        test: bool,
    ) -> anyhow::Result<Plan> {
        let (file, text) = match &self.given {
            Some((text, _)) => (text.file.clone(), text.text.clone()),
            None => (SOURCE.to_owned(), self.text(arms, seeds, budget, test)),
        };
        let planned = plan(&file, &text, &catalogue(), &Overrides::default());
        match &self.given {
            Some(_) => Ok(planned?),
            // Lines and columns would be those of a text that nobody wrote.
            None => planned.map_err(|error| anyhow::anyhow!("{}", error.message)),
        }
    }

    /// The workload that the logs are of.
    pub(super) fn workload(&self, plan: &Plan) -> anyhow::Result<usize> {
        let labels = || plan.workloads.iter().map(|workload| workload.label.as_str());
        match &self.goal.workload {
            Some(name) => labels().position(|label| label == name).with_context(|| {
                let known = ledger::catalogue::hint(name, labels().collect::<Vec<_>>());
                format!("--workload {name}: the suite has no such workload{known}")
            }),
            None if plan.workloads.len() == 1 => Ok(0),
            None => bail!(
                "the suite has several workloads; say which one the logs are of by --workload: {}",
                labels().collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// Writes the suite to where it was asked for.
    pub(super) fn write(&self, plan: &Plan) -> anyhow::Result<()> {
        let Some(path) = &self.goal.write_suite else { return Ok(()) };
        write(path, &plan.suite_text)
    }

    /// The suite that the options are.
    fn text(&self, arms: &[String], seeds: &[u64], budget: u64, test: bool) -> String {
        let Goal { workload, metric, direction, target, target_origin, data, baseline, .. } =
            self.goal;
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (name, metric) =
            (workload.clone().unwrap_or_default(), metric.clone().unwrap_or_default());
        let direction = direction.as_deref().unwrap_or("higher");
        let origin = quoted(target_origin.as_deref().unwrap_or("given at import"));
        let target = serde_json::Value::from(target.unwrap_or_default());
        let mut more = String::new();
        if test {
            more += ", test: true";
        }
        if let Some(data) = data {
            more += &format!(", data: {}", quoted(data));
        }
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "suite: {}\nquestion: {}\nworkloads:\n  - {{ workload: {WORKLOAD}, as: {}, metric: {}, direction: {direction},\n      samples: {budget}{more}, target: {{ value: {target}, origin: {origin} }} }}\nseeds: [{}]\n",
            quoted(&name),
            quoted(&format!("What do the logs of {name} say?")),
            quoted(&name),
            quoted(&metric),
            seeds.join(", ")
        );
        if let Some(baseline) = baseline {
            text += &format!("baseline: {}\n", quoted(baseline));
        }
        text += "arms:\n";
        for arm in arms {
            text += &format!("  - {{ imported: {} }}\n", quoted(arm));
        }
        text
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    const MODE: u32 = 0o644;
    ledger::record::writer::write_new(path, text.as_bytes(), MODE).with_context(|| {
        format!(
            "cannot write the suite to {}; --write-suite names a file that is new",
            path.display()
        )
    })
}

/// What such a suite may name: the one workload whose data are not here.
fn catalogue() -> Catalogue {
    let external = WorkloadInfo {
        id: WORKLOAD,
        family: "own",
        title: TITLE,
        data: DataName::Own,
        offers: &[],
        // A suite declares its own in the place of this one.
        metrics: &[MetricInfo {
            name: "declared",
            higher_is_better: true,
            best: None,
            chance: None,
        }],
        metric: "declared",
        target: 0.0,
        target_origin: "to be given",
        budget_epochs: 1.0,
        evaluate_every_epochs: 1.0,
        split_sizes: [0, 0, 0],
        epoch_setting: Some("examples"),
        count: Some(|values| {
            OwnTask::read(values).map(|task| task.examples).map_err(|error| error.to_string())
        }),
        settings: OwnTask::table(),
        resolve: OwnTask::declared,
        card: "",
    };
    Catalogue { methods: Vec::new(), workloads: vec![external] }
}

/// What pages call such a workload.
pub(super) const TITLE: &str = "logs of other tools, as they were imported";

/// What a planned workload says as one of somebody's own.
pub(super) fn task(workload: &PlannedWorkload) -> anyhow::Result<OwnTask> {
    OwnTask::of(&workload.id, &workload.settings).context("the workload is none of one's own")
}
