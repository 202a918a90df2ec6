//! One number over several workloads: percentile intervals over resampled seeds.

use ledger::streams::normal_f64;
use rand_pcg::Pcg64;
use stats::across::{geometric_mean_speed_up, probability_of_improvement};
use stats::bootstrap::Resampling;
use stats::paired::Pair;
use stats::profile::{Row, profile};
use stats::stratified::Stratum;
use stats::survival::Outcome;

use crate::law::{LOG_SPREAD, SIZES, covers, percent, phi, shares};

/// True logarithms of the speed-up, by workload: one workload with a small gain, one on which the
/// treatment nearly always wins, and three together.
const GAINS: [&[f64]; 3] = [&[0.1], &[0.3], &[0.1, 0.3, 0.05]];

fn resampling(resamples: u32, run: u64) -> Resampling {
    Resampling { resamples, ..Resampling::seeded(run) }
}

fn draw(rng: &mut Pcg64, gains: &[f64], n: usize) -> Vec<Stratum<Pair<f64>>> {
    let pair = |gain: f64, rng: &mut Pcg64| {
        let baseline = (LOG_SPREAD * normal_f64(rng)).exp();
        Pair { baseline, treatment: (LOG_SPREAD * normal_f64(rng) - gain).exp() }
    };
    gains
        .iter()
        .enumerate()
        .map(|(index, &gain)| Stratum {
            workload: format!("w{index}"),
            seeds: (0..n).map(|_| pair(gain, rng)).collect(),
        })
        .collect()
}

fn mapped<T>(strata: &[Stratum<Pair<f64>>], map: impl Fn(&Pair<f64>) -> T) -> Vec<Stratum<T>> {
    let one = |stratum: &Stratum<Pair<f64>>| Stratum {
        workload: stratum.workload.clone(),
        seeds: stratum.seeds.iter().map(&map).collect(),
    };
    strata.iter().map(one).collect()
}

/// Speed-up, probability of improvement, and the profile score of the slower arm (with a fifth of
/// the simulations: it is the slowest of all tables).
pub fn across(runs: u32) {
    println!(
        "| true speed-ups | seeds each | speed-up | runs | probability of improvement | runs | profile score | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for gains in GAINS {
        let workloads = gains.len();
        let mean =
            |of: fn(f64) -> f64| gains.iter().map(|&gain| of(gain)).sum::<f64>() / workloads as f64;
        let true_speed = mean(|gain| gain).exp();
        let true_share = mean(|gain| phi(gain / LOG_SPREAD / 2f64.sqrt()));
        let true_score = mean(|gain| (4.0 - gain.exp()) / 3.0);
        let named: Vec<String> = gains.iter().map(|gain| format!("{:.2}", gain.exp())).collect();
        let named = named.join(", ");
        for n in SIZES {
            let row = format!("across {gains:?} {n}");
            let [speed, share] = shares(&row, runs, |rng, run| {
                let strata = draw(rng, gains, n);
                let settings = resampling(1000, run);
                let speed = geometric_mean_speed_up(&strata, settings).expect("times");
                let reached = |pair: &Pair<f64>| Pair {
                    baseline: Outcome::Reached(pair.baseline),
                    treatment: Outcome::Reached(pair.treatment),
                };
                let outcomes = mapped(&strata, reached);
                let share = probability_of_improvement(&outcomes, settings).expect("times");
                [
                    covers(speed.estimate.interval, true_speed),
                    covers(share.estimate.interval, true_share),
                ]
            })
            .map(percent);
            let fewer = runs / 5;
            let [score] = shares(&format!("profile {gains:?} {n}"), fewer, |rng, run| {
                let strata = mapped(&draw(rng, gains, n), |pair| {
                    Row::from([
                        ("baseline".to_owned(), Outcome::Reached(pair.baseline)),
                        ("treatment".to_owned(), Outcome::Reached(pair.treatment)),
                    ])
                });
                let found = profile(&strata, resampling(500, run)).expect("times");
                [covers(found.arms[0].interval, true_score)]
            })
            .map(percent);
            println!("| {named} | {n} | {speed} | {runs} | {share} | {runs} | {score} | {fewer} |");
        }
    }
}
