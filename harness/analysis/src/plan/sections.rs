//! The lists of a suite that ask something of its runs: each entry is checked against the whole
//! suite, and kept where all that it names is in the plan.

use std::collections::BTreeSet;

use super::{RATIOS, descent, unjudged};
use crate::suite::{ClaimUse, CompareBy, EstimateUse, MembershipUse, Problem, Step, When, key};
use ledger::catalogue::hint;
use ledger::goal;
use ledger::lineage::CellName;
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use stats::provenance::Adjust;
use stats::verdict::Verdict;

/// What entries can name: that of the whole suite, or of the part that runs.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) workloads: &'a [PlannedWorkload],
    pub(super) arms: &'a [PlannedArm],
}

impl<'a> Named<'a> {
    pub(super) fn arm_labels(self) -> Vec<&'a str> {
        self.arms.iter().map(|arm| arm.label.as_str()).collect()
    }

    fn workload_labels(self) -> Vec<&'a str> {
        self.workloads.iter().map(|workload| workload.label.as_str()).collect()
    }

    pub(super) fn has_arm(self, label: &str) -> bool {
        self.arms.iter().any(|arm| arm.label == label)
    }

    pub(super) fn has_workload(self, label: &str) -> bool {
        self.workloads.iter().any(|workload| workload.label == label)
    }
}

/// An entry of such a list.
pub(super) trait Entry: Sized {
    /// The list's key in a suite.
    const LIST: &'static str;
    /// What one entry is called.
    const NOUN: &'static str;

    /// Its name, unique in the list.
    fn name(&self) -> &str;

    /// What cannot be, with the place within the entry.
    fn check(&self, all: Named<'_>) -> Result<(), Problem>;

    /// What is left of it in a part of the suite.
    fn narrowed(self, part: Named<'_>) -> Option<Self> {
        self.check(part).is_ok().then_some(self)
    }
}

/// Checks a list.
pub(super) fn check<T: Entry>(entries: &[T], whole: Named<'_>) -> Result<(), Problem> {
    for (index, entry) in entries.iter().enumerate() {
        let below = |problem: Problem| problem.below([key(T::LIST), Step::Index(index)]);
        entry.check(whole).map_err(below)?;
    }
    unique(entries.iter().map(Entry::name), T::LIST, T::NOUN)
}

/// What is left of a list in a part of the suite.
pub(super) fn narrowed<T: Entry>(entries: Vec<T>, part: Named<'_>) -> Vec<T> {
    entries.into_iter().filter_map(|entry| entry.narrowed(part)).collect()
}

pub(super) fn known(
    noun: &str,
    name: &str,
    names: &[&str],
    path: Vec<Step>,
) -> Result<(), Problem> {
    if names.contains(&name) {
        return Ok(());
    }
    Err(Problem(path, format!("unknown {noun} \"{name}\"{}", hint(name, names.to_vec()))))
}

pub(super) fn unique<'a>(
    names: impl Iterator<Item = &'a str>,
    list: &str,
    noun: &str,
) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let message =
                format!("two {noun}s are called \"{name}\"; give one another name with `as:`");
            return Err(Problem(vec![key(list), Step::Index(index)], message));
        }
    }
    if seen.is_empty() && ["workloads", "arms"].contains(&list) {
        return Err(Problem(vec![key(list)], format!("no {noun}s are given")));
    }
    Ok(())
}

/// Whether `name` is one of `names`, or that of a look at one of them. Looks are the method's; a metric
/// that the workload itself has at several numbers has no others.
fn is_comparison(name: &str, names: &[&str]) -> bool {
    let (metric, look) = goal::metric_and_look(name);
    let numbered = |known: &&str| *known != metric && goal::metric_and_look(known).0 == metric;
    let looked = || metric.contains('/') && names.contains(&metric) && !names.iter().any(numbered);
    names.contains(&name) || look.is_some_and(|look| !look.is_empty() && looked())
}

/// Whether `name` stands for two metrics or more, those of a split that begin with what it has before its `*`.
fn is_several(name: &str, names: &[&str]) -> bool {
    let begins = |stem: &str| names.iter().filter(|known| known.starts_with(stem)).count();
    let stem = name.strip_suffix('*').filter(|stem| stem.contains('/') && !stem.contains('@'));
    stem.is_some_and(|stem| begins(stem) > 1)
}

impl Entry for ClaimUse {
    const LIST: &'static str = "claims";
    const NOUN: &'static str = "claim";

    fn name(&self) -> &str {
        &self.id
    }

    fn check(&self, all: Named<'_>) -> Result<(), Problem> {
        let claim = self;
        let path = |field: &str| vec![key(field)];
        let (arms, workloads) = (all.arm_labels(), all.workload_labels());
        known("arm", &claim.arm, &arms, path("arm"))?;
        known("arm", &claim.baseline, &arms, path("baseline"))?;
        for workload in claim.workloads.iter().chain(&claim.grows_from) {
            known("workload", workload, &workloads, path("workloads"))?;
        }
        let others = claim.minus.iter().flat_map(|pair| [&pair.arm, &pair.baseline]);
        let floor = claim.floor.iter().map(|arm| ("floor", arm));
        let control = claim.control.iter().map(|arm| ("control", arm));
        for (field, arm) in others.map(|arm| ("minus", arm)).chain(floor).chain(control) {
            known("arm", arm, &arms, path(field))?;
        }
        let named = |label: &String| claim.workloads.is_empty() || claim.workloads.contains(label);
        let judged = all.workloads.iter().filter(|workload| named(&workload.label));
        let mut comparisons: Vec<String> = RATIOS.iter().map(|ratio| (*ratio).to_owned()).collect();
        for (workload, metric) in judged
            .flat_map(|workload| workload.metrics.iter().map(move |metric| (workload, metric)))
        {
            let test = workload.has_test().then_some(goal::TEST);
            let splits = std::iter::once(goal::VALIDATION).chain(test);
            let names = splits.map(|split| goal::key(split, &metric.name));
            comparisons
                .extend(names.filter(|name| !comparisons.contains(name)).collect::<Vec<_>>());
        }
        let names: Vec<&str> = comparisons.iter().map(String::as_str).collect();
        let each = claim.when == When::Lost && claim.compare.ends_with('*');
        let looked = |name: &str, field: &str| match is_comparison(name, &names)
            || (each && name == claim.compare && is_several(name, &names))
        {
            true => Ok(()),
            false => known("comparison", name, &names, path(field)),
        };
        looked(&claim.compare, "compare")?;
        if let Some(against) = &claim.against {
            looked(against, "against")?;
            let stem = |name: &str| name.rsplit_once('@').unwrap_or((name, "")).0.to_owned();
            let (ours, theirs) = (stem(&claim.compare), stem(against));
            // A workload that measures something under a condition names it `condition_metric`.
            let conditioned = match (ours.split_once('/'), theirs.split_once('/')) {
                (Some((split, ours)), Some((other, theirs))) => {
                    let of = |long: &str, short: &str| long.ends_with(&format!("_{short}"));
                    split == other && (of(ours, theirs) || of(theirs, ours))
                }
                _ => false,
            };
            if against == &claim.compare || (ours != theirs && !conditioned) {
                let message = format!(
                    "against is {against}, but must be another number of the same metric as {}, as in test/sw2@8 beside test/sw2@4 or test/fixed_violation beside test/violation",
                    claim.compare
                );
                return Err(Problem(path("against"), message));
            }
        }
        let timed = RATIOS.contains(&claim.compare.as_str());
        let ratio = timed || claim.by == CompareBy::Ratio;
        if timed && claim.when != When::End {
            let message = format!("{} is of the whole run; leave out `when`", claim.compare);
            return Err(Problem(path("when"), message));
        }
        let noun = if ratio { "ratio" } else { "difference" };
        let least = if ratio { 1.0 } else { 0.0 };
        if claim.at_least < least || !claim.at_least.is_finite() {
            let message =
                format!("at_least is {}, but a {noun} must be at least {least}", claim.at_least);
            return Err(Problem(path("at_least"), message));
        }
        if let Some(problem) = super::possible::effect(claim, all.workloads) {
            return Err(problem);
        }
        if let (Some(reason), Some(expect @ (Verdict::Reproduced | Verdict::NotReproduced))) =
            (&claim.cannot_decide, claim.expect)
        {
            let message = format!(
                "\"{}\" is expected, but `cannot_decide` says that nothing can be said: {reason}; leave one of them out",
                expect.words()
            );
            return Err(Problem(path("expect"), message));
        }
        if claim.arm == claim.baseline {
            return Err(Problem(
                path("baseline"),
                format!("arm and baseline are both \"{}\"", claim.arm),
            ));
        }
        Ok(())
    }

    /// A claim about some workloads is about those of them that are left.
    fn narrowed(mut self, part: Named<'_>) -> Option<Self> {
        if !unjudged::lacks(&self, part).is_empty() {
            return None;
        }
        self.workloads.retain(|label| part.has_workload(label));
        Some(self)
    }
}

impl Entry for MembershipUse {
    const LIST: &'static str = "provenance";
    const NOUN: &'static str = "test";

    fn name(&self) -> &str {
        &self.id
    }

    fn check(&self, Named { workloads, arms }: Named<'_>) -> Result<(), Problem> {
        let fields = [("run", Some(&self.run)), ("suspect", Some(&self.suspect))];
        let fields = fields.into_iter().chain([("reference", self.reference.as_ref())]);
        let template = self.template.iter().map(|name| ("template", Some(name)));
        for (field, name) in fields.chain(template) {
            let Some(name) = name else { continue };
            if name.workload.is_none() {
                let message = format!("{name}: name the workload too, as in workload/{name}");
                return Err(Problem::at(field, message));
            }
            descent::find(workloads, arms, 0, name)
                .map_err(|message| Problem::at(field, message))?;
        }
        if self.run.seeds_ahead > 0 {
            let message =
                format!("{}: seeds are counted from the run's; leave out the +", self.run);
            return Err(Problem::at("run", message));
        }
        if self.adjust.is_some_and(|adjust| (adjust == Adjust::None) == self.reference.is_some()) {
            let message = "a reference needs difference or residual, and none needs none";
            return Err(Problem::at("adjust", message));
        }
        self.expect.problem().map_or(Ok(()), |message| Err(Problem::at("expect", message)))
    }
}

/// Why these tests cannot be made with so few seeds: `+3` of three is the run's own seed again, whose
/// order it has, and `+1` and `+3` of two are one run.
pub(super) fn too_few_seeds(tests: &[MembershipUse], seeds: usize) -> Option<String> {
    let least = |test: &MembershipUse| {
        let names: Vec<_> = test.cells().collect();
        let again = |name: &CellName| {
            let ahead = name.seeds_ahead;
            let of_the_run = ahead > 0 && ahead.is_multiple_of(seeds);
            let of_another = names.iter().any(|other| {
                let same = (&other.workload, &other.arm) == (&name.workload, &name.arm);
                same && other.seeds_ahead < ahead && ahead % seeds == other.seeds_ahead % seeds
            });
            of_the_run || of_another
        };
        let first = names.iter().copied().find(|name| again(name))?;
        let most = names.iter().map(|name| name.seeds_ahead).max()?;
        Some((first.clone(), most + 1))
    };
    let (test, (name, least)) = tests.iter().find_map(|test| Some((test, least(test)?)))?;
    Some(format!(
        "test \"{}\" needs at least {least} seeds, but there {} {seeds}: {name} would be a run that it names already",
        test.id,
        if seeds == 1 { "is" } else { "are" },
    ))
}

impl Entry for EstimateUse {
    const LIST: &'static str = "estimates";
    const NOUN: &'static str = "estimate";

    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, Named { workloads, arms }: Named<'_>) -> Result<(), Problem> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let name = &self.run;
        let message = if name.workload.is_none() {
            format!("{name}: name the workload too, as in workload/{name}")
        } else if name.seeds_ahead > 0 {
            format!("{name}: every seed is estimated; leave out the +")
        } else {
            match descent::find(workloads, arms, 0, name) {
                Ok(_) => return Ok(()),
                Err(message) => message,
            }
        };
        Err(Problem::at("run", message))
    }
}
