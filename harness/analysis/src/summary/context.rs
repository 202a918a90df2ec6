//! What a reader must know beside the numbers: machine and versions, and what to be wary of.

use std::collections::BTreeSet;

use super::CellRun;
use super::WorkloadAnalysis;
use super::clock::is_disturbed;
use crate::imported::is_imported;
use crate::suite_run::SuiteRun;
use ledger::record::format::{DISTURBED, Environment, RunRecord, Status};

/// What a reader needs to rerun; where cells differ, all values are named.
pub(super) fn environment(suite: &SuiteRun, cells: &[CellRun]) -> Vec<(String, String)> {
    let records = || cells.iter().filter_map(|run| run.left.as_ref()).map(|left| &left.record);
    let version = |record: &RunRecord| record.environment.palimpsest.clone();
    let versions: BTreeSet<String> = records().map(version).collect();
    // Of the machine behind a log nothing is known.
    let records = || records().filter(|record| !is_imported(record));
    let all = |value: &dyn Fn(&Environment) -> Option<String>| {
        let values: BTreeSet<String> =
            records().filter_map(|record| value(&record.environment)).collect();
        values.into_iter().collect::<Vec<_>>().join("; ")
    };
    let loads: Vec<f64> = records().filter_map(|record| record.environment.load_at_start).collect();
    let load = loads.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let rows: Vec<(&str, String)> = vec![
        ("suite run", suite.made.id.clone()),
        ("command", suite.argv.join(" ")),
        (
            "commit",
            all(&|e| {
                let changed =
                    if e.git_dirty == Some(true) { " (changes in no commit)" } else { "" };
                Some(format!("{}{changed}", e.program()?))
            }),
        ),
        ("palimpsest", versions.into_iter().collect::<Vec<_>>().join("; ")),
        ("code digest", all(&|e| Some(e.code_digest.clone()))),
        ("Cargo.lock digest", all(&|e| Some(e.cargo_lock_digest.clone()))),
        ("libtorch", all(&|e| Some(e.libtorch.clone()))),
        ("device", all(&|e| Some(e.device.clone()))),
        ("CPU", all(&|e| Some(format!("{} ({} logical)", e.cpu, e.cpus)))),
        ("GPU", all(&|e| e.gpu.clone())),
        ("driver", all(&|e| e.driver.clone())),
        ("system", all(&|e| Some(e.os.clone()))),
        ("torch threads", all(&|e| Some(e.threads.to_string()))),
        (
            "highest load at start",
            if load.is_finite() { format!("{load:.2}") } else { String::new() },
        ),
    ];
    rows.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What a reader must know before believing the numbers, each with what to do about it.
pub(super) fn warnings(
    suite: &SuiteRun,
    cells: &[CellRun],
    workloads: &[WorkloadAnalysis],
) -> Vec<String> {
    let mut warnings: Vec<String> =
        suite.sections.changed.iter().map(ToString::to_string).collect();
    let records: Vec<_> =
        cells.iter().filter_map(|run| run.left.as_ref()).map(|left| &left.record).collect();
    let damaged: Vec<_> = cells
        .iter()
        .filter_map(|run| Some((run.cell.cell.as_str(), run.damaged.as_deref()?)))
        .collect();
    if let Some((first, reason)) = damaged.first() {
        let ids: Vec<&str> = damaged.iter().map(|(id, _)| *id).collect();
        warnings.push(format!(
            "{} of {} cells left what cannot be read, and count as missing ({first}: {reason}); `palimpsest mend {}` trains {} again",
            damaged.len(),
            cells.len(),
            ids.join(" "),
            if ids.len() == 1 { "it" } else { "them" }
        ));
    }
    let missing = cells.len() - records.len() - damaged.len();
    if missing > 0 {
        let how = if suite.made.id.is_empty() || suite.made.ended_unix.is_some() {
            ""
        } else {
            ": the run was interrupted, or still goes on"
        };
        let command: Vec<&str> = ["palimpsest", "run", &suite.source]
            .into_iter()
            .chain(suite.made.options.iter().map(String::as_str))
            .collect();
        let (command, all) = (command.join(" "), cells.len());
        warnings.push(match suite.is_imported() {
            false => format!("{missing} of {all} cells have not run{how}; `{command}` continues"),
            true => format!(
                "{missing} of {all} cells have no log here; `palimpsest import FILES --suite {}` brings more",
                suite.source
            ),
        });
    }
    let count = |status| records.iter().filter(|record| record.status == status).count();
    for (status, remedy) in [
        (Status::Failed, "their messages are in record.json, and the next run tries them again"),
        (Status::Diverged, "they count as censored; lower the learning rate"),
    ] {
        let n = count(status);
        if n > 0 {
            warnings.push(format!("{n} of {} cells {}: {remedy}", cells.len(), status.name()));
        }
    }
    for workload in workloads {
        let short: Vec<String> = workload
            .arms
            .iter()
            .filter(|arm| !arm.idle && arm.outcomes.censored > 0)
            .map(|arm| format!("{} ({} of {})", arm.label, arm.outcomes.reached, arm.reach_rate.n))
            .collect();
        if !short.is_empty() {
            warnings.push(format!(
                "{}: not every run reached the target {} within the budget: {}; raise `epochs` or lower the target",
                workload.workload,
                workload.target.value,
                short.join(", ")
            ));
        }
        let met = workload.arms.iter().filter(|arm| arm.time_to_target.at_start > 0);
        let met: Vec<String> = met
            .map(|arm| format!("{} ({} runs)", arm.label, arm.time_to_target.at_start))
            .collect();
        if !met.is_empty() {
            warnings.push(format!(
                "{}: the target {} was met before the first step by {}: they have no time to it; raise the target",
                workload.workload,
                workload.target.value,
                met.join(", ")
            ));
        }
        if workload.target.origin == "assumed" {
            warnings.push(format!(
                "{}: the target is assumed, not derived from tuned baseline runs",
                workload.workload
            ));
        }
    }
    if !suite.of_another_build.is_empty() {
        let other =
            |record: &&&ledger::record::RunRecord| suite.of_another_build.contains(&record.cell);
        let programs: BTreeSet<String> = records
            .iter()
            .filter(other)
            .filter_map(|record| record.environment.program())
            .map(|program| match program.split_once('+') {
                Some((commit, changes)) => {
                    format!("{}+{changes}", commit.get(..12).unwrap_or(commit))
                }
                None => program.get(..12).unwrap_or(&program).to_owned(),
            })
            .collect();
        warnings.push(format!(
            "{} of {} runs are of another build ({}) whose deciding code differs, kept by --accept-build; `palimpsest run {}` without it trains them again",
            suite.of_another_build.len(),
            cells.len(),
            programs.into_iter().collect::<Vec<_>>().join(", "),
            suite.source
        ));
    }
    let disturbed = records.iter().filter(|record| is_disturbed(record)).count();
    if disturbed > 0 {
        warnings.push(format!(
            "{disturbed} of {} cells ran while the machine was busier than its cores, or got less than 97 % of one: timed verdicts are withheld; run them again with --force on a quiet machine",
            cells.len()
        ));
    }
    let machines: BTreeSet<(&str, &str, Option<&str>)> = records
        .iter()
        .map(|record| {
            let Environment { cpu, device, gpu, .. } = &record.environment;
            (cpu.as_str(), device.as_str(), gpu.as_deref())
        })
        .collect();
    if machines.len() > 1 {
        let names = machines.iter().map(|(cpu, device, gpu)| match gpu {
            Some(gpu) => format!("{device} ({gpu}, {cpu})"),
            None => format!("{device} ({cpu})"),
        });
        warnings.push(format!(
            "the cells ran on different machines: {}; times are compared only where both runs of a pair share one",
            names.collect::<Vec<_>>().join("; ")
        ));
    }
    if suite.cells.iter().map(|cell| &cell.seed).collect::<BTreeSet<_>>().len() < 3 {
        warnings.push("fewer than 3 seeds: no verdict is given on any claim".to_owned());
    }
    let modified = records
        .iter()
        .filter_map(|record| record.data.as_ref())
        .find(|data| data.origin == "modified");
    if let Some(data) = modified {
        warnings.push(format!("the files of {} are not the published ones: compare arms, but not with published numbers", data.name));
    }
    let told = suite.arms.iter().enumerate().filter(|(index, _)| {
        let mut of_arm = cells.iter().filter(|run| run.cell.arm == *index);
        let told = |record: &RunRecord| record.external.is_some() && record.own_task().is_none();
        of_arm.any(|run| run.left.as_ref().is_some_and(|left| told(&left.record)))
    });
    let told: Vec<&str> = told.map(|(_, arm)| arm.label.as_str()).collect();
    if !told.is_empty() {
        warnings.push(format!(
            "{}: programs of one's own; times and metrics are the bench's, but what they consumed is told, not measured",
            told.join(", ")
        ));
    }
    let tasks: BTreeSet<String> = {
        let own = records.iter().filter(|record| !is_imported(record));
        own.filter_map(|record| Some(record.own_task()?.name)).collect()
    };
    if !tasks.is_empty() {
        warnings.push(format!(
            "{}: data and evaluation are the programs' own; times are the bench's, but metrics and what was consumed are told, not measured",
            tasks.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    let imported = records.iter().filter(|record| is_imported(record)).count();
    if imported > 0 {
        warnings.push(format!(
            "{imported} of {} runs are imported from logs: what they consumed, their metrics and their times are what the logs say, evaluations included in the times; nothing of them is attested, and timed verdicts are withheld unless a claim takes the logs' clocks (unequal: [clock])",
            cells.len()
        ));
    }
    let own: BTreeSet<&String> = records.iter().flat_map(|record| &record.warnings).collect();
    warnings.extend(own.into_iter().filter(|warning| *warning != DISTURBED).cloned());
    warnings
}
