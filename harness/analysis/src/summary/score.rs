//! What arms come to over several workloads: how near to the best, how good at the end, how often better
//! than the baseline and how many times sooner.
//!
//! Arms are compared on the workloads on which all of them train: a group. A suite whose arms share other
//! workloads with other arms has several. A number that the runs do not bear is withheld with the reason,
//! by the same looks that keep a claim from being judged ([`super::claims`]); what a run that never reached
//! its target means is part of each statistic ([`stats::profile`], [`stats::improvement`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::clock::{differs, is_disturbed};
use super::summarise::{end_samples, end_seconds, idle, met_at_start, outcome, samples, seconds};
use super::{CellLeft, CellRun, claims};
use crate::plan::RATIOS;
use crate::suite_run::SuiteRun;
use ledger::record::format::{RunRecord, Status};
use stats::StatsError;
use stats::across::{
    Across, geometric_mean_speed_up, interquartile_mean, probability_of_improvement,
};
use stats::bootstrap::Resampling;
use stats::paired::Pair;
use stats::profile::{Profile, Row, profile};
use stats::stratified::Stratum;
use stats::survival::Outcome;

/// Seed of every resampling: fixed, so that a report can be drawn again to the bit.
const SEED: u64 = 0;

/// A number, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    /// The number.
    Found(T),
    /// Why there is none.
    Withheld(String),
}

impl<T> Part<T> {
    /// The number, where there is one.
    #[must_use]
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Withheld(_) => None,
        }
    }

    /// Why there is none.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Found(_) => None,
            Self::Withheld(reason) => Some(reason),
        }
    }

    /// What `make` gives where nothing stands in its way.
    fn unless(obstacle: Option<String>, make: impl FnOnce() -> Result<T, StatsError>) -> Self {
        match obstacle {
            Some(reason) => Self::Withheld(reason),
            None => make().map_or_else(|error| Self::Withheld(error.to_string()), Self::Found),
        }
    }
}

/// What the arms of a suite come to over several workloads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// One entry per set of workloads that arms share, in the order of their first arms.
    pub groups: Vec<GroupScore>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// Arms over the workloads on which all of them train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupScore {
    /// The workloads, in the suite's order.
    pub workloads: Vec<String>,
    /// Seeds of each arm on each of them.
    pub seeds: u32,
    /// The arm that the others are held against.
    pub baseline: Part<String>,
    /// Performance profiles of samples to the target.
    pub samples_profile: Part<Profile>,
    /// Performance profiles of train seconds to the target.
    pub time_profile: Part<Profile>,
    /// One entry per arm, in the suite's order.
    pub arms: Vec<ArmScore>,
}

/// One arm over the workloads of its group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmScore {
    /// Label of the arm.
    pub arm: String,
    /// Interquartile mean over all runs of the target's metric on the test split at the end of the
    /// budget, from 0 (the mean before training) to 1 (the best value that the metric has).
    pub interquartile_mean: Part<Across>,
    /// Against the baseline; absent for the baseline itself and where there is none.
    pub against: Option<Against>,
}

/// An arm against the baseline, under equal seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Probability that the arm reaches the target with fewer samples.
    pub improvement: Part<Across>,
    /// Geometric mean of the baseline's samples to the target over the arm's: above 1, the arm needs fewer.
    pub fewer_samples: Part<Across>,
    /// Geometric mean of the baseline's train seconds to the target over the arm's.
    pub speed_up: Part<Across>,
}

/// What a number is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Samples to the target.
    Samples,
    /// Train seconds to the target.
    Seconds,
    /// The target's metric at the end.
    Metric,
}

/// What the arms of a suite run come to over several workloads.
pub(super) fn of(suite: &SuiteRun, cells: &[CellRun]) -> Score {
    let groups = Group::all(suite, cells);
    let reason = match (suite.workloads.len(), groups.is_empty()) {
        (_, false) => None,
        (0 | 1, _) => Some("the suite has one workload"),
        (_, true) => Some("no two arms that train share two workloads"),
    };
    Score { groups: groups.iter().map(Group::score).collect(), reason: reason.map(str::to_owned) }
}

/// Arms and the workloads on which all of them train.
struct Group<'a> {
    suite: &'a SuiteRun,
    cells: &'a [CellRun],
    workloads: Vec<usize>,
    arms: Vec<usize>,
}

impl<'a> Group<'a> {
    fn all(suite: &'a SuiteRun, cells: &'a [CellRun]) -> Vec<Self> {
        let trains = |workload: usize, arm: usize| {
            let mut mine = of_pair(cells, workload, arm).peekable();
            let trains = |run: &CellRun| run.left.as_ref().is_none_or(|left| !idle(&left.record));
            mine.peek().is_some() && mine.any(trains)
        };
        let shared: Vec<BTreeSet<usize>> = (0..suite.arms.len())
            .map(|arm| (0..suite.workloads.len()).filter(|w| trains(*w, arm)).collect())
            .collect();
        let mut seen = BTreeSet::new();
        let sets = shared.iter().filter(|set| set.len() > 1 && seen.insert((*set).clone()));
        let groups = sets.map(|set| Self {
            suite,
            cells,
            workloads: set.iter().copied().collect(),
            arms: (0..shared.len()).filter(|arm| shared[*arm].is_superset(set)).collect(),
        });
        groups.filter(|group| group.arms.len() > 1).collect()
    }

    fn score(&self) -> GroupScore {
        let label = |arm: &usize| self.suite.arms[*arm].label.clone();
        let baseline = self.baseline();
        let reference = baseline.found().copied().unwrap_or(self.arms[0]);
        let arm = |&arm: &usize| ArmScore {
            arm: label(&arm),
            interquartile_mean: self.interquartile_mean(arm, reference),
            against: baseline
                .found()
                .filter(|baseline| **baseline != arm)
                .map(|baseline| self.against(arm, *baseline)),
        };
        let first = of_pair(self.cells, self.workloads[0], reference).count();
        GroupScore {
            workloads: self
                .workloads
                .iter()
                .map(|w| self.suite.workloads[*w].label.clone())
                .collect(),
            seeds: u32::try_from(first).unwrap_or(u32::MAX),
            samples_profile: self.profile(Of::Samples),
            time_profile: self.profile(Of::Seconds),
            arms: self.arms.iter().map(arm).collect(),
            baseline: match baseline {
                Part::Found(arm) => Part::Found(label(&arm)),
                Part::Withheld(reason) => Part::Withheld(reason),
            },
        }
    }

    /// The suite's baseline, where it is one of the arms.
    fn baseline(&self) -> Part<usize> {
        let Some(label) = &self.suite.baseline else {
            return Part::Withheld("the suite names no baseline".to_owned());
        };
        let place = self.arms.iter().find(|arm| self.suite.arms[**arm].label == *label);
        place.map_or_else(
            || Part::Withheld(format!("{label} does not train on all of these workloads")),
            |arm| Part::Found(*arm),
        )
    }

    fn profile(&self, of: Of) -> Part<Profile> {
        Part::unless(self.obstacle(&self.arms, of), || {
            let rows = |workload: &usize| Stratum {
                workload: self.suite.workloads[*workload].label.clone(),
                seeds: self.rows(*workload, of),
            };
            let strata: Vec<Stratum<Row>> = self.workloads.iter().map(rows).collect();
            profile(&strata, Resampling::seeded(SEED))
        })
    }

    /// Outcomes by arm of each seed, in the order in which the seeds ran.
    fn rows(&self, workload: usize, of: Of) -> Vec<Row> {
        let outcome = |record: &RunRecord| match of {
            Of::Seconds => outcome(record, seconds, end_seconds),
            Of::Samples | Of::Metric => outcome(record, samples, end_samples),
        };
        let row = |seed: &str| -> Row {
            let of_seed = self.arms.iter().filter_map(|arm| {
                let mut mine = of_pair(self.cells, workload, *arm);
                let left = mine.find(|run| run.cell.seed == seed)?.left.as_ref()?;
                Some((self.suite.arms[*arm].label.clone(), outcome(&left.record)))
            });
            of_seed.collect()
        };
        let seeds = of_pair(self.cells, workload, self.arms[0]);
        seeds.map(|run| row(&run.cell.seed)).collect()
    }

    fn against(&self, arm: usize, baseline: usize) -> Against {
        let pairs = |of: Of| -> Vec<Stratum<Pair<Outcome>>> {
            let [ours, theirs] = [arm, baseline].map(|arm| &self.suite.arms[arm].label);
            let pair =
                |row: Row| Some(Pair { baseline: *row.get(theirs)?, treatment: *row.get(ours)? });
            let of_workload = |workload: &usize| Stratum {
                workload: self.suite.workloads[*workload].label.clone(),
                seeds: self.rows(*workload, of).into_iter().filter_map(pair).collect(),
            };
            self.workloads.iter().map(of_workload).collect()
        };
        let both = [baseline, arm];
        let ratio = |of: Of| {
            let pairs = pairs(of);
            let reached = reached(&pairs);
            let all: usize = pairs.iter().map(|stratum| stratum.seeds.len()).sum();
            let short = all - reached.iter().map(|stratum| stratum.seeds.len()).sum::<usize>();
            let short = (short > 0).then(|| {
                format!("{short} of {all} pairs have a run that never reached the target")
            });
            Part::unless(self.obstacle(&both, of).or(short), || {
                geometric_mean_speed_up(&reached, Resampling::seeded(SEED))
            })
        };
        Against {
            improvement: Part::unless(self.obstacle(&both, Of::Samples), || {
                probability_of_improvement(&pairs(Of::Samples), Resampling::seeded(SEED))
            }),
            fewer_samples: ratio(Of::Samples),
            speed_up: ratio(Of::Seconds),
        }
    }

    fn interquartile_mean(&self, arm: usize, reference: usize) -> Part<Across> {
        let obstacle = self.obstacle(&[reference, arm], Of::Metric);
        let strata =
            self.workloads.iter().map(|&workload| self.normalised(workload, arm, reference));
        let strata = match (obstacle, strata.collect::<Result<Vec<_>, _>>()) {
            (Some(reason), _) | (None, Err(reason)) => return Part::Withheld(reason),
            (None, Ok(strata)) => strata,
        };
        Part::unless(None, || interquartile_mean(&strata, Resampling::seeded(SEED)))
    }

    /// The metric of each run, from 0 before training to 1 at the best there is. Before training only the
    /// validation split is looked at; an untrained network is as good on one split as on another.
    fn normalised(
        &self,
        workload: usize,
        arm: usize,
        reference: usize,
    ) -> Result<Stratum<f64>, String> {
        let planned = &self.suite.workloads[workload];
        let (name, label) = (&planned.target.metric, &planned.label);
        let row = planned.metrics.iter().find(|row| row.name == *name);
        let Some(best) = row.and_then(|row| row.best) else {
            return Err(format!("{label}: {name} has no best value to measure by"));
        };
        let records =
            |arm: usize| of_pair(self.cells, workload, arm).filter_map(|run| run.left.as_ref());
        let key = planned.target.validation_key();
        let start = |left: &CellLeft| {
            let descends =
                left.record.lineage.as_ref().is_some_and(|lineage| lineage.from.is_some());
            left.looks(&key).find(|(samples, _)| !descends && *samples == 0).map(|(_, value)| value)
        };
        let Some(starts) = records(reference).map(start).collect::<Option<Vec<f64>>>() else {
            let reference = &self.suite.arms[reference].label;
            return Err(format!("{label}: {reference} was not looked at before training"));
        };
        #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
        let start = starts.iter().sum::<f64>() / starts.len().max(1) as f64;
        if (best - start).abs() <= 1e-9 * best.abs().max(start.abs()) {
            return Err(format!("{label}: {name} is at its best before training"));
        }
        let key = planned.target.test_key();
        let end = |left: &CellLeft| {
            let sound = left.record.status != Status::Diverged;
            left.record.last.get(&key).filter(|_| sound).map(|end| (end - start) / (best - start))
        };
        let ends: Vec<Option<f64>> = records(arm).map(end).collect();
        let lack = ends.iter().filter(|end| end.is_none()).count();
        if lack > 0 {
            return Err(format!(
                "{label}: {lack} of {} runs diverged or have no {key}",
                ends.len()
            ));
        }
        Ok(Stratum { workload: label.clone(), seeds: ends.into_iter().flatten().collect() })
    }

    /// Why these arms cannot be compared.
    fn obstacle(&self, arms: &[usize], of: Of) -> Option<String> {
        let runs = || {
            let pairs = self.workloads.iter().flat_map(|w| arms.iter().map(|arm| (*w, *arm)));
            pairs.flat_map(|(workload, arm)| of_pair(self.cells, workload, arm))
        };
        let all = runs().count();
        let status = |run: &CellRun| run.left.as_ref().map(|left| left.record.status);
        let lost =
            [(Some(Status::Failed), "failed"), (None, "have not run")].map(|(wanted, words)| {
                let n = runs().filter(|run| status(run) == wanted).count();
                (n > 0).then(|| format!("{n} of {all} runs {words}"))
            });
        let mut reasons: Vec<String> = lost.into_iter().flatten().collect();
        if !reasons.is_empty() {
            return Some(reasons.join(", "));
        }
        let records = || runs().filter_map(|run| Some((run, &run.left.as_ref()?.record)));
        if of != Of::Metric {
            let met = records().filter(|(_, record)| met_at_start(record)).count();
            if met > 0 {
                reasons.push(format!(
                    "{met} of {all} runs met the target at the start; raise the target"
                ));
            }
        }
        if of == Of::Seconds {
            let disturbed = records().filter(|(_, record)| is_disturbed(record)).count();
            if disturbed > 0 {
                reasons.push(format!(
                    "{disturbed} of {all} runs were timed while the machine was busier than its cores, or got less than 97 % of one"
                ));
            }
            let mut first: BTreeMap<(usize, &str), &RunRecord> = BTreeMap::new();
            let elsewhere = records().find_map(|(run, record)| {
                let place = (run.cell.workload, run.cell.seed.as_str());
                differs(&first.entry(place).or_insert(record).environment, &record.environment)
            });
            reasons.extend(
                elsewhere
                    .map(|how| format!("runs under one seed were on different machines ({how})")),
            );
        }
        reasons.extend(self.unlike(arms, of));
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// What differs between the first of these arms and the others beside the method: the first that is
    /// found, on the first workload where it is.
    fn unlike(&self, arms: &[usize], of: Of) -> Option<String> {
        let (first, others) = arms.split_first()?;
        self.workloads.iter().find_map(|&workload| {
            let planned = &self.suite.workloads[workload];
            let compare = match of {
                Of::Seconds => RATIOS[0].to_owned(),
                Of::Samples => RATIOS[1].to_owned(),
                Of::Metric => planned.target.test_key(),
            };
            let unlike = |other: &usize| {
                let pair = [*first, *other];
                let reasons = claims::unlike(self.suite, self.cells, workload, pair, &compare);
                reasons.into_iter().next()
            };
            let found = others.iter().find_map(unlike)?;
            Some(format!("{}: {found}", planned.label))
        })
    }
}

/// The cells of an arm on a workload, in the order in which the seeds ran.
fn of_pair(cells: &[CellRun], workload: usize, arm: usize) -> impl Iterator<Item = &CellRun> {
    cells.iter().filter(move |run| run.cell.workload == workload && run.cell.arm == arm)
}

/// The pairs of which both runs reached the target.
fn reached(strata: &[Stratum<Pair<Outcome>>]) -> Vec<Stratum<Pair<f64>>> {
    let both = |pair: &Pair<Outcome>| {
        Some(Pair { baseline: pair.baseline.reached()?, treatment: pair.treatment.reached()? })
    };
    let of_workload = |stratum: &Stratum<Pair<Outcome>>| Stratum {
        workload: stratum.workload.clone(),
        seeds: stratum.seeds.iter().filter_map(both).collect(),
    };
    strata.iter().map(of_workload).collect()
}

#[cfg(test)]
mod tests;
