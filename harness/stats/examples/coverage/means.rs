//! Intervals of means.

use ledger::streams::normal_f64;
use stats::bootstrap::{Resampling, bca};
use stats::interval::{geometric_mean, mean as t_interval};
use stats::iqm::interquartile_mean;
use stats::paired::{Pair, speed_up};

use crate::law::{LOG_SPREAD, Law, SIZES, covers, percent, shares, student_t3};

fn resampling(run: u64) -> Resampling {
    Resampling { resamples: 2000, ..Resampling::seeded(run) }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The t interval, which is used, and BCa.
pub fn mean(runs: u32) {
    println!("| law | n | t | BCa | runs |\n| --- | --- | --- | --- | --- |");
    for law in Law::ALL {
        for n in SIZES {
            let [t, boot] = shares(&format!("mean {law:?} {n}"), runs, |rng, run| {
                let sample = law.sample(rng, n);
                let t = t_interval(&sample, 0.95).expect("numbers").interval;
                let boot = bca(&sample, average, resampling(run)).expect("numbers").interval;
                [t, boot].map(|interval| covers(interval, law.mean()))
            })
            .map(percent);
            println!("| {} | {n} | {t} | {boot} | {runs} |", law.name());
        }
    }
}

/// BCa of the interquartile mean.
pub fn iqm(runs: u32) {
    println!("| law | n | BCa of the IQM | runs |\n| --- | --- | --- | --- |");
    let statistic = |values: &[f64]| interquartile_mean(values).unwrap_or(f64::NAN);
    for law in Law::ALL {
        for n in SIZES {
            let [boot] = shares(&format!("iqm {law:?} {n}"), runs, |rng, run| {
                let sample = law.sample(rng, n);
                let found = bca(&sample, statistic, resampling(run)).expect("numbers");
                [covers(found.interval, law.interquartile_mean())]
            })
            .map(percent);
            println!("| {} | {n} | {boot} | {runs} |", law.name());
        }
    }
}

/// The log-t interval of times, and the speed-up of pairs that share a seed's luck.
pub fn geometric(runs: u32) {
    println!(
        "| logarithms | n | geometric mean | speed-up of pairs | runs |\n| --- | --- | --- | --- | --- |"
    );
    for (name, heavy) in [("normal", false), ("Student t, 3 d.f.", true)] {
        for n in SIZES {
            let row = format!("geometric {name} {n}");
            let [one, two] = shares(&row, runs, |rng, _| {
                let mut noise =
                    || LOG_SPREAD * if heavy { student_t3(rng) } else { normal_f64(rng) };
                let times: Vec<f64> = (0..n).map(|_| noise().exp()).collect();
                let pair = |_| {
                    let luck = noise();
                    let treatment = (luck + noise()).exp();
                    Pair { baseline: (luck + noise()).exp() * 1.25, treatment }
                };
                let pairs: Vec<Pair<f64>> = (0..n).map(pair).collect();
                let one = geometric_mean(&times, 0.95).expect("times").interval;
                let two = speed_up(&pairs, 0.95).expect("times").interval;
                [covers(one, 1.0), covers(two, 1.25)]
            })
            .map(percent);
            println!("| {name} | {n} | {one} | {two} | {runs} |");
        }
    }
}
