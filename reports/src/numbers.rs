//! Numbers for the sentences of a paper: a LaTeX macro that prints each by its name, with its interval, how many seeds
//! are behind it, and the digests of the runs that it comes from.
//!
//! `\palimpsest{digits/digits-mlp/adamw/speed-up}` is the number as the tables show it; `[exact]` has every digit,
//! `[low]`, `[high]` and `[interval]` the 95 % interval, `[n]` the number of seeds or pairs, `[runs]` the run digests.
//! A name or a part that there is not is an error of the document, never an empty place.

use std::collections::{BTreeMap, BTreeSet};

use analysis::summary::{Analysis, ArmAnalysis, Estimate, ToTarget, WorkloadAnalysis};
use stats::interval::Interval;

use crate::csv::{MEASURED, Measured};
use crate::latex::escape::escape;
use crate::order_estimates::Row as Estimated;
use crate::score::profile_of;
use crate::text::{self, slug};

/// A number and what is known of it.
#[derive(Debug, Clone, PartialEq)]
struct Number {
    /// Its name: parts of small letters, digits, `-` and `.`, between slashes.
    key: String,
    value: f64,
    interval: Option<Interval>,
    n: u32,
    /// Digests of the runs behind it, in the suite's order.
    runs: Vec<String>,
}

/// The file, ready for `\input{numbers}` in the preamble.
pub(crate) fn macros(analysis: &Analysis) -> String {
    let mut tex = format!(
        "% Numbers of suite {}, digest {}.\n% \\palimpsest{{NAME}}; also \\palimpsest[exact|low|high|interval|n|runs]{{NAME}}.\n",
        text::one_line(&analysis.suite),
        text::one_line(&analysis.suite_digest),
    );
    tex.push_str(
        "\\makeatletter\n\
         \\providecommand*{\\palimpsest}[2][value]{\\ifcsname pal@#2@#1\\endcsname\\csname pal@#2@#1\\endcsname\
         \\else\\PackageError{palimpsest}{No number #2 with #1}{The names are in numbers.tex.}\\fi}\n\
         \\providecommand*{\\pal@is}[3]{\\expandafter\\def\\csname pal@#1@#2\\endcsname{#3}}\n",
    );
    // Runs stand once for all numbers that they are behind.
    let mut sets: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for number in all(analysis) {
        let known = sets.len();
        let set = *sets.entry(number.runs.clone()).or_insert(known);
        if set == known && !number.runs.is_empty() {
            let digests = number.runs.iter().map(|digest| escape(digest)).collect::<Vec<_>>();
            tex.push_str(&format!(
                "\\pal@is{{{}/runs}}{{{set}}}{{{}}}\n",
                own(analysis),
                digests.join(", ")
            ));
        }
        number.define(&mut tex, &own(analysis), set);
    }
    tex.push_str("\\makeatother\n");
    tex
}

/// Every name.
#[cfg(test)]
pub(crate) fn keys(analysis: &Analysis) -> Vec<String> {
    all(analysis).into_iter().map(|number| number.key).collect()
}

impl Number {
    fn define(&self, tex: &mut String, suite: &str, set: usize) {
        let shown = |value: f64| anywhere(&text::significant(value, 3));
        let exact = |value: f64| anywhere(&text::given(value));
        let mut is = |part: &str, shown: &str| {
            tex.push_str(&format!("\\pal@is{{{}}}{{{part}}}{{{shown}}}\n", self.key));
        };
        is("value", &shown(self.value));
        is("exact", &exact(self.value));
        let ends = self.interval.as_ref();
        let absent = || escape(text::ABSENT);
        is("low", &ends.map_or_else(absent, |ends| exact(ends.low)));
        is("high", &ends.map_or_else(absent, |ends| exact(ends.high)));
        let interval =
            |ends: &Interval| format!("{{[}}{}, {}{{]}}", shown(ends.low), shown(ends.high));
        is("interval", &ends.map_or_else(absent, interval));
        is("n", &self.n.to_string());
        let runs = format!("\\csname pal@{suite}/runs@{set}\\endcsname");
        is("runs", if self.runs.is_empty() { "" } else { &runs });
    }
}

/// A number as LaTeX that stands in a sentence as well as in a formula.
fn anywhere(number: &str) -> String {
    let tex = escape(number);
    tex.replace("$-$", "\\ensuremath{-}").replace("$\\infty$", "\\ensuremath{\\infty}")
}

/// A part of a name.
fn part(text: &str) -> String {
    slug(text).replace('_', "-")
}

fn own(analysis: &Analysis) -> String {
    part(&analysis.suite)
}

/// Every number of the report, each under a name of its own.
fn all(analysis: &Analysis) -> Vec<Number> {
    let mut numbers = Vec::new();
    for workload in &analysis.workloads {
        for arm in &workload.arms {
            of_arm(analysis, workload, arm, &mut numbers);
        }
    }
    for claim in &analysis.claims {
        let Some(effect) = claim.effect else { continue };
        numbers.push(Number {
            key: format!("{}/claims/{}/{}", own(analysis), part(&claim.id), part(&claim.workload)),
            value: effect,
            interval: claim.interval,
            n: claim.n,
            runs: runs(analysis, &[&claim.workload], &[&claim.arm, &claim.baseline]),
        });
    }
    of_scores(analysis, &mut numbers);
    of_membership(analysis, &mut numbers);
    of_estimates(analysis, &mut numbers);
    let mut taken = BTreeSet::new();
    for number in &mut numbers {
        let own = number.key.clone();
        for again in 2_u32.. {
            if taken.insert(number.key.clone()) {
                break;
            }
            number.key = format!("{own}-{again}");
        }
    }
    numbers
}

/// Digests of the runs of arms on workloads.
fn runs(analysis: &Analysis, workloads: &[&str], arms: &[&str]) -> Vec<String> {
    let rows = analysis.runs.iter().filter(|run| {
        workloads.contains(&run.workload.as_str()) && arms.contains(&run.arm.as_str())
    });
    rows.filter_map(|run| run.run_digest.clone()).collect()
}

/// Digests of runs by their ids; an id whose run is not of the report has none.
fn digests<'a>(analysis: &Analysis, cells: impl Iterator<Item = &'a str>) -> Vec<String> {
    let cells: BTreeSet<&str> = cells.collect();
    let rows = analysis.runs.iter().filter(|run| cells.contains(run.cell.as_str()));
    rows.filter_map(|run| run.run_digest.clone()).collect()
}

fn of_arm(
    analysis: &Analysis,
    workload: &WorkloadAnalysis,
    arm: &ArmAnalysis,
    numbers: &mut Vec<Number>,
) {
    let below = format!("{}/{}/{}", own(analysis), part(&workload.workload), part(&arm.label));
    let own = runs(analysis, &[&workload.workload], &[&arm.label]);
    let mut add = |what: &str, value: f64, interval: Option<Interval>, n: u32, runs: &[String]| {
        let key = format!("{below}/{}", part(what));
        numbers.push(Number { key, value, interval, n, runs: runs.to_vec() });
    };
    let reach = &arm.reach_rate;
    add("reach-rate", reach.value, reach.interval, reach.n, &own);
    let reached = |to: &ToTarget| u32::try_from(to.values.len()).unwrap_or(u32::MAX);
    for (what, to) in
        [("time-to-target", &arm.time_to_target), ("samples-to-target", &arm.samples_to_target)]
    {
        if let Some((value, _)) = text::centre(to) {
            add(what, value, to.interval, reached(to), &own);
        }
    }
    let baseline = workload.baseline.as_deref().unwrap_or_default();
    let both = runs(analysis, &[&workload.workload], &[&arm.label, baseline]);
    for (what, gain) in [("speed-up", &arm.speed_up), ("fewer-samples", &arm.fewer_samples)] {
        if let Some(gain) = gain {
            add(what, gain.ratio, gain.interval, gain.n, &both);
        }
    }
    let mut estimate = |what: &str, found: &Estimate| {
        add(what, found.value, found.interval, found.n, &own);
    };
    arm.at_budget.iter().for_each(|(metric, found)| estimate(metric, found));
    for (name, cost) in &arm.costs {
        estimate(&format!("cost/{name}"), &cost.in_all);
    }
    if let Some(found) = &arm.train_seconds {
        estimate("train-seconds", found);
    }
    if let Some(found) = &arm.test_at_crossing {
        estimate("test-at-crossing", found);
    }
    if let Some(found) = &arm.step_milliseconds {
        estimate("step-milliseconds", found);
    }
}

fn of_scores(analysis: &Analysis, numbers: &mut Vec<Number>) {
    for (place, group) in analysis.score.groups.iter().enumerate() {
        let workloads: Vec<&str> = group.workloads.iter().map(String::as_str).collect();
        let baseline = group.baseline.found().map_or("", String::as_str);
        for arm in &group.arms {
            let below = format!("{}/scores/{}/{}", own(analysis), place + 1, part(&arm.arm));
            let profiles = [
                ("profile-samples", &group.samples_profile),
                ("profile-time", &group.time_profile),
            ];
            let all: Vec<&str> = group.arms.iter().map(|arm| arm.arm.as_str()).collect();
            for (what, profile) in profiles {
                if let Some((value, interval)) = profile_of(profile, &arm.arm) {
                    numbers.push(Number {
                        key: format!("{below}/{what}"),
                        value,
                        interval: Some(interval),
                        n: group.seeds,
                        // Of a profile all arms are part.
                        runs: runs(analysis, &workloads, &all),
                    });
                }
            }
            let against = arm.against.as_ref();
            let over = [
                ("interquartile-mean", Some(&arm.interquartile_mean), &[arm.arm.as_str()][..]),
                (
                    "improvement",
                    against.map(|it| &it.improvement),
                    &[arm.arm.as_str(), baseline][..],
                ),
                (
                    "fewer-samples",
                    against.map(|it| &it.fewer_samples),
                    &[arm.arm.as_str(), baseline][..],
                ),
                ("speed-up", against.map(|it| &it.speed_up), &[arm.arm.as_str(), baseline][..]),
            ];
            for (what, found, arms) in over {
                let Some(found) = found.and_then(|found| found.found()) else { continue };
                numbers.push(Number {
                    key: format!("{below}/{what}"),
                    value: found.estimate.value,
                    interval: Some(found.estimate.interval),
                    n: group.seeds,
                    runs: runs(analysis, &workloads, arms),
                });
            }
        }
    }
}

/// Of each test and seed: the coefficient and log10 p.
fn of_membership(analysis: &Analysis, numbers: &mut Vec<Number>) {
    for test in &analysis.membership {
        for seed in &test.seeds {
            let analysis::summary::membership::TestOutcome::Found(found) = &seed.outcome else {
                continue;
            };
            let below =
                format!("{}/membership/{}/{}", own(analysis), part(&test.id), part(&seed.seed));
            for (what, value) in [("statistic", found.statistic), ("log10-p", found.log10_p)] {
                numbers.push(Number {
                    key: format!("{below}/{what}"),
                    value,
                    interval: None,
                    n: u32::try_from(found.n).unwrap_or(u32::MAX),
                    runs: digests(analysis, [seed.run.as_str(), seed.suspect.as_str()].into_iter()),
                });
            }
        }
    }
}

/// Of each estimate, seed and estimator: what was measured.
fn of_estimates(analysis: &Analysis, numbers: &mut Vec<Number>) {
    for row in Estimated::all(analysis) {
        let Some((found, place)) = row.found else { continue };
        let measured = Measured::of(found, place);
        let ends = measured.numbers[1].zip(measured.numbers[2]);
        let ends = ends.map(|(low, high)| Interval { low, high, level: 0.95 });
        let below = format!(
            "{}/estimates/{}/{}/{}",
            own(analysis),
            part(&row.entry.name),
            part(&row.seed.seed),
            part(&row.estimator)
        );
        for (what, value) in MEASURED.iter().zip(measured.numbers) {
            let Some(value) = value.filter(|_| !what.starts_with("held_out_")) else { continue };
            numbers.push(Number {
                key: format!("{below}/{}", part(what)),
                value,
                interval: ends.filter(|_| *what == "held_out"),
                n: 1,
                runs: digests(analysis, std::iter::once(row.seed.cell.as_str())),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn number(analysis: &Analysis, key: &str) -> Number {
        let found = all(analysis).into_iter().find(|number| number.key == key);
        found.unwrap_or_else(|| panic!("no {key} in {:?}", keys(analysis)))
    }

    #[test]
    fn a_number_carries_its_value_interval_n_and_the_digests_of_its_runs() {
        let analysis = sample::full();
        let workload = &analysis.workloads[0];
        let arm = workload.arms.iter().find(|arm| arm.speed_up.is_some()).unwrap();
        let speed = arm.speed_up.as_ref().unwrap();
        let own = part(&analysis.suite);
        let key = format!("{own}/digits-mlp/{}/speed-up", part(&arm.label));
        let found = number(&analysis, &key);
        assert_eq!((found.value, found.interval, found.n), (speed.ratio, speed.interval, speed.n));
        let mut behind: Vec<String> = analysis
            .runs
            .iter()
            .filter(|run| run.arm == arm.label || Some(&run.arm) == workload.baseline.as_ref())
            .filter_map(|run| run.run_digest.clone())
            .collect();
        assert_eq!(found.runs, behind);
        assert!(behind.len() >= 10, "both arms");
        let tex = macros(&analysis);
        behind = behind.iter().map(|digest| escape(digest)).collect();
        assert!(tex.contains(&behind.join(", ")));
        let exact =
            format!("\\pal@is{{{key}}}{{exact}}{{{}}}\n", anywhere(&text::given(speed.ratio)));
        assert!(tex.contains(&exact), "{exact}");
        assert!(tex.contains(&format!("\\pal@is{{{key}}}{{n}}{{{}}}\n", speed.n)));
    }

    #[test]
    fn every_number_has_a_name_of_its_own_that_tex_reads_and_every_metric_of_every_arm_has_one() {
        for analysis in [sample::full(), sample::several(), sample::provenance(), sample::extreme()]
        {
            let names = keys(&analysis);
            let distinct: BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len());
            let fits = |c: char| c.is_ascii_alphanumeric() || "-./".contains(c);
            assert!(names.iter().all(|name| name.chars().all(fits)), "{names:?}");
            for workload in &analysis.workloads {
                for arm in &workload.arms {
                    let below = format!("/{}/{}/", part(&workload.workload), part(&arm.label));
                    let here = names.iter().filter(|name| name.contains(&below)).count();
                    assert!(here > arm.at_budget.len(), "{below}");
                    let counts =
                        names.iter().filter(|name| name.contains(&format!("{below}cost-")));
                    assert_eq!(counts.count(), arm.costs.len(), "{below}");
                }
            }
        }
    }

    #[test]
    fn a_minus_stands_in_a_formula_and_in_a_sentence() {
        assert_eq!(anywhere("−0.05"), "\\ensuremath{-}0.05");
        assert_eq!(anywhere("∞"), "\\ensuremath{\\infty}");
    }

    #[test]
    fn claims_have_both_arms_runs_and_tests_those_of_their_seed() {
        let analysis = sample::full();
        let claim = analysis.claims.iter().find(|claim| claim.effect.is_some()).unwrap();
        let key = format!(
            "{}/claims/{}/{}",
            part(&analysis.suite),
            part(&claim.id),
            part(&claim.workload)
        );
        let found = number(&analysis, &key);
        assert_eq!((Some(found.value), found.n), (claim.effect, claim.n));
        let arms = [&claim.arm, &claim.baseline];
        let behind = analysis
            .runs
            .iter()
            .filter(|run| run.workload == claim.workload && arms.contains(&&run.arm));
        assert_eq!(found.runs.len(), behind.count());
    }
}
