//! The order estimates of a suite: one per entry and seed, held to the suite's bars.

use serde::{Deserialize, Serialize};

use crate::suite::estimates::{EstimateUse, Kind};
use crate::suite_run::SuiteRun;
use ledger::record::store::Store;
use stats::estimates::results::{RecencyCurves, SearchResult, Source, Validation};
use stats::estimates::search::Verified;

/// What an entry gave under one seed: the document that a run of the suite keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimateFound {
    /// What was asked for.
    pub settings: EstimateUse,
    /// Digest of the code that computed it.
    pub code: String,
    /// Seconds that it took, all in all.
    pub seconds: f64,
    /// Whether the machine was too busy for times to count.
    pub disturbed: bool,
    /// The numbers.
    pub numbers: Numbers,
}

/// The numbers of an entry, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// The estimator held to true runs, and those beside it.
    Orders(Vec<Validation>),
    /// A search.
    Search(Box<SearchResult>),
    /// Curves by position.
    Position(Box<RecencyCurves>),
}

/// One entry of a suite over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderEstimate {
    /// Name of the entry.
    pub name: String,
    /// The run, as `workload/arm`.
    pub run: String,
    /// The sort of entry.
    pub kind: Kind,
    /// What must come out, in words; empty where nothing must.
    pub expected: String,
    /// One entry per seed.
    pub seeds: Vec<EstimateSeed>,
    /// Whether every bar is met on every seed; `None` without bars, where a seed is missing or a
    /// time is withheld.
    pub met: Option<bool>,
}

/// One entry under one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimateSeed {
    /// The seed as the user gave it.
    pub seed: String,
    /// Cell id of the run.
    pub cell: String,
    /// What came out.
    pub outcome: EstimateOutcome,
    /// The bars, each judged.
    pub checks: Vec<Check>,
}

/// What comes out of an entry under one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EstimateOutcome {
    /// Numbers.
    Found(Box<EstimateFound>),
    /// None, for this reason.
    Missing(String),
}

/// A bar beside what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Key of the bar.
    pub bar: String,
    /// What must come out, in words.
    pub expected: String,
    /// What came out, in words.
    pub found: String,
    /// How they compare.
    pub verdict: CheckVerdict,
}

/// How a bar and what was found compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// It is met.
    Met,
    /// It is not.
    Missed,
    /// It is a time, and the machine was too busy.
    Withheld,
}

impl EstimateFound {
    /// Where its numbers come from; `None` only for a damaged document.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        match &self.numbers {
            Numbers::Orders(all) => all.first().map(|one| &one.source),
            Numbers::Search(found) => Some(&found.source),
            Numbers::Position(found) => Some(&found.source),
        }
    }

    /// The number that a bar of this key is held against.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        let cost = self.source().and_then(|source| source.cost.as_ref());
        match key {
            "speed_up" => return cost.map(|cost| cost.speed_up),
            "set_up" => return cost.map(|cost| cost.set_up),
            "break_even" => return cost.and_then(|cost| cost.break_even),
            _ => {}
        }
        match &self.numbers {
            Numbers::Orders(all) => {
                let agreement = &all.first()?.agreement;
                match key {
                    "held_out" => agreement.held_out,
                    "per_item" => agreement.per_item.map(|items| items.mean),
                    "relative_error" => agreement.relative_error,
                    "mae_over_sd" => agreement.mae_over_sd,
                    _ => None,
                }
            }
            Numbers::Search(found) => match key {
                "best_sd" => in_sd(found.elsewhere.as_ref()?.best.as_ref()),
                "descent_sd" => in_sd(found.elsewhere.as_ref()?.descents.as_ref()),
                "best_searched_sd" => in_sd(found.best.as_ref()),
                "descent_searched_sd" => in_sd(found.descents.as_ref()),
                _ => None,
            },
            Numbers::Position(found) => {
                let agreement = found.own_agreement.as_ref()?;
                match key {
                    "centred_r2" => agreement.centred_r2,
                    "median" => agreement.median,
                    _ => None,
                }
            }
        }
    }

    /// Every bar of `wanted` beside what was found.
    #[must_use]
    pub fn checks(&self, wanted: &EstimateUse) -> Vec<Check> {
        let mut checks = Vec::new();
        let withheld = self.disturbed || self.source().is_some_and(|source| source.withheld);
        if let Some(verdict) = wanted.bars.validity {
            let found = self.source().map(|source| source.validity.verdict);
            let met = found == Some(verdict);
            checks.push(Check {
                bar: "validity".to_owned(),
                expected: verdict.name().to_owned(),
                found: found.map_or("none", |found| found.name()).to_owned(),
                verdict: if met { CheckVerdict::Met } else { CheckVerdict::Missed },
            });
        }
        for bar in wanted.bars.numbers() {
            let found = self.number(bar.key);
            let met = found.is_some_and(|found| {
                if bar.at_least { found >= bar.value } else { found <= bar.value }
            });
            let verdict = match met {
                _ if bar.timed && withheld => CheckVerdict::Withheld,
                true => CheckVerdict::Met,
                false => CheckVerdict::Missed,
            };
            checks.push(Check {
                bar: bar.key.to_owned(),
                expected: format!("{} {}", if bar.at_least { "≥" } else { "≤" }, bar.value),
                found: found.map_or("none".to_owned(), |found| format!("{found:.4}")),
                verdict,
            });
        }
        checks
    }
}

fn in_sd(verified: Option<&Verified>) -> Option<f64> {
    verified.map(|verified| verified.difference_in_sd)
}

/// The bars of an entry in words.
#[must_use]
pub fn expected(wanted: &EstimateUse) -> String {
    let validity = wanted.bars.validity.map(|verdict| format!("validity {verdict}"));
    let numbers =
        wanted.bars.numbers().into_iter().map(|bar| {
            format!("{} {} {}", bar.key, if bar.at_least { "≥" } else { "≤" }, bar.value)
        });
    validity.into_iter().chain(numbers).collect::<Vec<_>>().join(", ")
}

/// Reads a document that a suite run kept; `file` is from the store's folder on.
pub(super) fn read(store: &Store, file: &str) -> Result<EstimateFound, String> {
    let path = store.root().join(file);
    let again = "`palimpsest run` of the suite makes it again";
    let bytes = std::fs::read(&path)
        .map_err(|error| format!("cannot read {}: {error}; {again}", path.display()))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("{} is damaged: {error}; {again}", path.display()))
}

/// Holds every estimate of a suite run to its bars; `read` reads a document that the run kept.
pub fn judge(
    suite: &SuiteRun,
    read: &mut dyn FnMut(&str) -> Result<EstimateFound, String>,
) -> Vec<OrderEstimate> {
    let entries = suite.sections.estimates.iter().enumerate();
    let entries = entries.map(|(number, wanted)| {
        let runs = suite.estimated.iter().filter(|one| one.entry == number);
        let seeds: Vec<EstimateSeed> = runs
            .map(|one| {
                let found = match (&one.file, &one.error) {
                    (Some(file), _) => read(file),
                    (None, error) => Err(error.clone().unwrap_or_else(|| "not made".to_owned())),
                };
                let (outcome, checks) = match found {
                    Ok(found) => {
                        let checks = found.checks(wanted);
                        (EstimateOutcome::Found(Box::new(found)), checks)
                    }
                    Err(reason) => (EstimateOutcome::Missing(reason), Vec::new()),
                };
                EstimateSeed { seed: one.seed.clone(), cell: one.cell.clone(), outcome, checks }
            })
            .collect();
        OrderEstimate {
            name: wanted.name.clone(),
            run: wanted.run.to_string(),
            kind: wanted.kind(),
            expected: expected(wanted),
            met: met(&seeds),
            seeds,
        }
    });
    entries.collect()
}

fn met(seeds: &[EstimateSeed]) -> Option<bool> {
    let checks = || seeds.iter().flat_map(|seed| &seed.checks);
    if checks().any(|check| check.verdict == CheckVerdict::Missed) {
        return Some(false);
    }
    let missing = |seed: &EstimateSeed| matches!(seed.outcome, EstimateOutcome::Missing(_));
    let open = checks().any(|check| check.verdict == CheckVerdict::Withheld);
    if checks().next().is_none() || open || seeds.iter().any(missing) {
        return None;
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;
    use stats::estimates::agreement::{Agreement, Compared};
    use stats::estimates::cost::Cost;
    use stats::estimates::results::{FORMAT, Items};
    use stats::estimates::search::{Elsewhere, Found, Search};
    use stats::estimates::settings::HeldOut;
    use stats::estimates::validity::{Validity, Verdict};

    fn wanted(bars: &str) -> EstimateUse {
        serde_yaml::from_str(&format!("{{ name: a, run: w/a, bars: {{ {bars} }} }}")).unwrap()
    }

    /// Ten estimates off by a constant: rank correlation 1, set-up 40, 11 times faster.
    fn found(disturbed: bool) -> EstimateFound {
        let retrained: Vec<f64> = (0..10).map(|at| 1.0 + f64::from(at) / 10.0).collect();
        let estimated: Vec<f64> = retrained.iter().map(|loss| loss + 0.01).collect();
        let agreement = Agreement::of(&Compared {
            estimated: &estimated,
            retrained: &retrained,
            reference: 1.0,
            pilot_sd: 0.3,
            parameters: None,
            own: (&[], &[]),
        });
        let source = Source {
            format: FORMAT,
            cell: Digest::of(b"cell").short(16),
            first_step: 64,
            steps: 16,
            items: Items::Batches,
            item_count: 16,
            estimator: "surrogate".to_owned(),
            k: Some(32),
            seed: 0,
            pilots: 6,
            validity: Validity { verdict: Verdict::Ok, ..Validity::unjudged("") },
            cost: Some(Cost::new(40.0, 11.0).unwrap()),
            centres: 1,
            target: None,
            stacked: None,
            withheld: false,
            effect: None,
            warnings: Vec::new(),
        };
        let validation = Validation {
            source,
            reference: 1.0,
            agreement: agreement.unwrap(),
            points: Vec::new(),
            error_growth: Vec::new(),
        };
        EstimateFound {
            settings: wanted(""),
            code: String::new(),
            seconds: 1.0,
            disturbed,
            numbers: Numbers::Orders(vec![validation]),
        }
    }

    fn verdicts(bars: &str, disturbed: bool) -> Vec<(String, CheckVerdict)> {
        let checks = found(disturbed).checks(&wanted(bars));
        checks.into_iter().map(|check| (check.bar, check.verdict)).collect()
    }

    #[test]
    fn bars_are_met_or_missed_by_what_was_found() {
        use CheckVerdict::{Met, Missed};
        let named = |bar: &str, verdict| (bar.to_owned(), verdict);
        let bars = "held_out: 0.99, validity: ok, speed_up: 11.5, set_up: 50, break_even: 43";
        let expected = [
            named("validity", Met),
            named("held_out", Met),
            named("speed_up", Missed),
            named("set_up", Met),
            // 40 / (1 - 1/11) is 44.
            named("break_even", Missed),
        ];
        assert_eq!(verdicts(bars, false), expected);
        // What was not measured is not met.
        assert_eq!(verdicts("per_item: 0.1", false), [named("per_item", Missed)]);
        assert_eq!(verdicts("validity: outside validity", false), [named("validity", Missed)]);
    }

    #[test]
    fn times_of_a_busy_machine_are_withheld_and_ranks_are_not() {
        let found = verdicts("held_out: 0.99, speed_up: 99", true);
        let verdicts: Vec<_> = found.iter().map(|(_, verdict)| *verdict).collect();
        assert_eq!(verdicts, [CheckVerdict::Met, CheckVerdict::Withheld]);
    }

    #[test]
    fn a_search_is_held_to_the_split_that_it_did_not_look_at() {
        let verified = |best: f64| Verified::of(&[best], &[1.0, 2.0, 3.0]).unwrap();
        let Numbers::Orders(all) = found(false).numbers else { panic!("orders") };
        let elsewhere = Elsewhere {
            split: HeldOut::Test,
            recorded: 2.0,
            best: Some(verified(2.25)),
            descents: None,
            kept: None,
            agreement: None,
            agreement_interval: None,
        };
        let search = SearchResult {
            source: all[0].source.clone(),
            found: Found {
                search: Search::default(),
                scored: 1,
                not_finite: 0,
                random_mean: 2.0,
                random_sd: 1.0,
                best: Vec::new(),
                descents: Vec::new(),
            },
            best: Some(verified(0.0)),
            descents: None,
            promised: None,
            kept: None,
            elsewhere: Some(elsewhere),
        };
        let found = EstimateFound { numbers: Numbers::Search(Box::new(search)), ..found(false) };
        let keys = ["best_searched_sd", "best_sd", "descent_sd"];
        assert_eq!(keys.map(|key| found.number(key)), [Some(-2.0), Some(0.25), None]);
    }

    #[test]
    fn costs_that_were_withheld_are_no_missed_bars() {
        let mut busy = found(false);
        let Numbers::Orders(all) = &mut busy.numbers else { panic!("orders") };
        (all[0].source.cost, all[0].source.withheld) = (None, true);
        let checks = busy.checks(&wanted("held_out: 0.99, speed_up: 2"));
        let verdicts: Vec<_> = checks.iter().map(|check| check.verdict).collect();
        assert_eq!(verdicts, [CheckVerdict::Met, CheckVerdict::Withheld]);
    }

    #[test]
    fn an_entry_is_met_when_every_seed_is() {
        let seed = |bars: &str, disturbed| EstimateSeed {
            seed: "0".into(),
            cell: String::new(),
            checks: found(disturbed).checks(&wanted(bars)),
            outcome: EstimateOutcome::Found(Box::new(found(disturbed))),
        };
        let (good, bad) = (seed("held_out: 0.9", false), seed("speed_up: 99", false));
        let open = seed("speed_up: 9", true);
        let missing = EstimateSeed {
            outcome: EstimateOutcome::Missing("it failed".into()),
            checks: Vec::new(),
            ..good.clone()
        };
        assert_eq!(met(std::slice::from_ref(&good)), Some(true));
        assert_eq!(met(&[good.clone(), bad.clone(), missing.clone()]), Some(false));
        assert_eq!(met(&[good.clone(), missing]), None);
        assert_eq!(met(&[good, open]), None);
        assert_eq!(met(&[seed("", false)]), None);
    }
}
