//! Invented scores over two workloads, from the times of the invented arms.

use analysis::summary::score::{Against, ArmScore, GroupScore, Part, Score};
use analysis::summary::{ArmAnalysis, ToTarget, WorkloadAnalysis};
use stats::across::{geometric_mean_speed_up, interquartile_mean, probability_of_improvement};
use stats::bootstrap::Resampling;
use stats::paired::Pair;
use stats::profile::{Row, profile};
use stats::stratified::Stratum;
use stats::survival::Outcome;

const RESAMPLING: Resampling = Resampling { level: 0.95, resamples: 500, seed: 0 };

fn outcomes(times: &ToTarget) -> Vec<Outcome> {
    let outcome = |time: &Option<f64>| match time {
        Some(time) => Outcome::Reached(*time),
        None => Outcome::Censored(times.horizon),
    };
    times.values.iter().map(outcome).collect()
}

fn stratum<T>(workload: &WorkloadAnalysis, seeds: Vec<T>) -> Stratum<T> {
    Stratum { workload: workload.workload.clone(), seeds }
}

/// The arms of the first workload over all of them; their times are withheld.
pub fn of(workloads: &[WorkloadAnalysis]) -> Score {
    let rows = workloads.iter().map(|workload| {
        let arms: Vec<(&String, Vec<Outcome>)> = workload
            .arms
            .iter()
            .map(|arm| (&arm.label, outcomes(&arm.samples_to_target)))
            .collect();
        let seeds = arms.first().map_or(0, |(_, outcomes)| outcomes.len());
        let row = |seed: usize| -> Row {
            arms.iter().map(|(label, outcomes)| ((*label).clone(), outcomes[seed])).collect()
        };
        stratum(workload, (0..seeds).map(row).collect())
    });
    let rows: Vec<Stratum<Row>> = rows.collect();
    let disturbed = "3 of 60 runs were timed while the machine was busier than its cores, or got less than 97 % of one";
    let score = |place: usize, arm: &ArmAnalysis| {
        let values = workloads.iter().map(|workload| {
            let values = &workload.arms[place].at_budget["test/accuracy"].values;
            stratum(workload, values.iter().map(|value| (value - 0.1) / 0.9).collect())
        });
        let pairs: Vec<Stratum<Pair<Outcome>>> = rows
            .iter()
            .map(|stratum| Stratum {
                workload: stratum.workload.clone(),
                seeds: stratum
                    .seeds
                    .iter()
                    .map(|row| Pair { baseline: row["sgd"], treatment: row[&arm.label] })
                    .collect(),
            })
            .collect();
        let reached = pairs.iter().map(|stratum| {
            let both = |pair: &Pair<Outcome>| {
                Some(Pair {
                    baseline: pair.baseline.reached()?,
                    treatment: pair.treatment.reached()?,
                })
            };
            let seeds = stratum.seeds.iter().map(both).collect::<Option<Vec<_>>>()?;
            Some(Stratum { workload: stratum.workload.clone(), seeds })
        });
        let short = "4 of 10 pairs have a run that never reached the target".to_owned();
        let found = reached.collect::<Option<Vec<_>>>();
        let fewer = found.and_then(|strata| geometric_mean_speed_up(&strata, RESAMPLING).ok());
        let improvement = probability_of_improvement(&pairs, RESAMPLING);
        ArmScore {
            arm: arm.label.clone(),
            interquartile_mean: interquartile_mean(&values.collect::<Vec<_>>(), RESAMPLING)
                .map_or_else(|error| Part::Withheld(error.to_string()), Part::Found),
            against: (place > 0).then(|| Against {
                improvement: improvement
                    .map_or_else(|error| Part::Withheld(error.to_string()), Part::Found),
                fewer_samples: fewer.map_or(Part::Withheld(short), Part::Found),
                speed_up: Part::Withheld(disturbed.to_owned()),
            }),
        }
    };
    let arms = workloads.first().map_or(&[][..], |workload| &workload.arms);
    let group = GroupScore {
        workloads: workloads.iter().map(|workload| workload.workload.clone()).collect(),
        seeds: 5,
        baseline: Part::Found("sgd".to_owned()),
        samples_profile: profile(&rows, RESAMPLING)
            .map_or_else(|error| Part::Withheld(error.to_string()), Part::Found),
        time_profile: Part::Withheld(disturbed.to_owned()),
        arms: arms.iter().enumerate().map(|(place, arm)| score(place, arm)).collect(),
    };
    Score { groups: vec![group], reason: None }
}
