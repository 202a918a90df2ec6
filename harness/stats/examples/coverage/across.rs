//! One number over several workloads: percentile intervals over resampled seeds.

use ledger::streams::normal_f64;
use rand_pcg::Pcg64;
use stats::across::{geometric_mean_speed_up, interquartile_mean, probability_of_improvement};
use stats::bootstrap::Resampling;
use stats::distribution::normal_quantile;
use stats::iqm;
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

/// The score of the slower arm's profile: 1/3 of the mean of 4 - exp(d) where the difference d of the
/// logarithms, normal with mean `gain` and twice the variance of one of them, is above 0, else of 3. (A
/// ratio above 4 does not happen.)
fn true_score(gain: f64) -> f64 {
    let spread = LOG_SPREAD * 2f64.sqrt();
    let slower = (gain + spread * spread / 2.0).exp() * phi(gain / spread + spread);
    (4.0 - phi(-gain / spread) - slower) / 3.0
}

/// The mean of the middle half of the logarithms of the treatment's gains, all workloads together.
fn true_middle(gains: &[f64]) -> f64 {
    let quantiles = (0..100_000).map(|i| normal_quantile((f64::from(i) + 0.5) / 1e5));
    let quantiles: Vec<f64> = quantiles.collect();
    let all = gains.iter().flat_map(|gain| quantiles.iter().map(move |z| gain + LOG_SPREAD * z));
    iqm::interquartile_mean(&all.collect::<Vec<_>>()).expect("numbers")
}

/// Speed-up, probability of improvement, interquartile mean, and the profile score of the slower arm;
/// the last two with a fifth of the simulations: it is the slowest of all tables.
pub fn across(runs: u32) {
    println!(
        "| true speed-ups | seeds each | speed-up | runs | probability of improvement | runs | interquartile mean | profile score | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for gains in GAINS {
        let workloads = gains.len();
        let mean =
            |of: fn(f64) -> f64| gains.iter().map(|&gain| of(gain)).sum::<f64>() / workloads as f64;
        let true_speed = mean(|gain| gain).exp();
        let true_share = mean(|gain| phi(gain / LOG_SPREAD / 2f64.sqrt()));
        let (true_score, true_middle) = (mean(true_score), true_middle(gains));
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
            let [middle, score] = shares(&format!("profile {gains:?} {n}"), fewer, |rng, run| {
                let drawn = draw(rng, gains, n);
                let strata = mapped(&drawn, |pair| {
                    Row::from([
                        ("baseline".to_owned(), Outcome::Reached(pair.baseline)),
                        ("treatment".to_owned(), Outcome::Reached(pair.treatment)),
                    ])
                });
                let found = profile(&strata, resampling(500, run)).expect("times");
                let scores = mapped(&drawn, |pair| -pair.treatment.ln());
                let middle = interquartile_mean(&scores, resampling(500, run)).expect("scores");
                [
                    covers(middle.estimate.interval, true_middle),
                    covers(found.arms[0].interval, true_score),
                ]
            })
            .map(percent);
            println!(
                "| {named} | {n} | {speed} | {runs} | {share} | {runs} | {middle} | {score} | {fewer} |"
            );
        }
    }
}
