//! Reach rates, censored times, and times to target.

use ledger::crossing::{EvalPoint, crossing};
use ledger::goal::Direction;
use ledger::streams::{normal_f64, unit_f64};
use statrs::distribution::{Binomial, Discrete as _};
use stats::interval::{median, wilson as wilson_interval};
use stats::survival::{Outcome, kaplan_meier};

use crate::law::{LOG_SPREAD, Law, SIZES, covers, generator, percent, phi, shares};

/// Wilson's interval: simulated, and summed over the binomial.
pub fn wilson(runs: u32) {
    println!("| p | n | measured | exact | runs |\n| --- | --- | --- | --- | --- |");
    let covered = |reached: u64, n: usize, p: f64| {
        covers(wilson_interval(reached, n as u64, 0.95).expect("a proportion").interval, p)
    };
    for p in [0.05, 0.2, 0.5, 0.8, 0.95] {
        for n in SIZES {
            let [share] = shares(&format!("wilson {p} {n}"), runs, |rng, _| {
                let reached = (0..n).filter(|_| unit_f64(rng) < p).count();
                [covered(reached as u64, n, p)]
            })
            .map(percent);
            let law = Binomial::new(p, n as u64).expect("a probability");
            let exact: f64 = (0..=n as u64).filter(|&k| covered(k, n, p)).map(|k| law.pmf(k)).sum();
            println!("| {p} | {n} | {share} | {} | {runs} |", percent(exact));
        }
    }
}

/// When runs stop being watched.
#[derive(Debug, Clone, Copy)]
enum Budget {
    /// Never.
    None,
    /// All at the same time, which 30 % do not reach.
    Shared,
    /// Each at a time of its own.
    Own,
}

/// The order-statistic interval of the median, and mean ± 1.96 standard errors of the restricted
/// mean, of log-normal times with a coefficient of variation of 10 %.
pub fn survival(runs: u32) {
    println!(
        "| censoring | n | median: guaranteed | median: measured | upper end open | restricted mean ± 1.96 s.e. | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    // The 70 % quantile of the times.
    let shared = (LOG_SPREAD * 0.524_400_512_708_041).exp();
    let area = Law::LogNormal.mean() * phi((shared.ln() - LOG_SPREAD.powi(2)) / LOG_SPREAD)
        + shared * (1.0 - phi(shared.ln() / LOG_SPREAD));
    for (name, budget) in [
        ("none", Budget::None),
        ("at one budget, 30 % of runs", Budget::Shared),
        ("at random, about 35 % of runs", Budget::Own),
    ] {
        for n in SIZES {
            let mut guaranteed = 0.0;
            let row = format!("survival {budget:?} {n}");
            let [holds, open, restricted] = shares(&row, runs, |rng, _| {
                let one = |_| {
                    let time = Law::LogNormal.draw(rng);
                    let end = match budget {
                        Budget::None => f64::INFINITY,
                        Budget::Shared => shared,
                        Budget::Own => 0.9 + 0.3 * unit_f64(rng),
                    };
                    if time <= end { Outcome::Reached(time) } else { Outcome::Censored(end) }
                };
                let outcomes: Vec<Outcome> = (0..n).map(one).collect();
                let found = median(&outcomes, 0.95).expect("times");
                guaranteed = found.coverage;
                let holds = found.low <= 1.0 && found.high.is_none_or(|high| high >= 1.0);
                let curve = kaplan_meier(&outcomes).expect("times");
                let near = curve
                    .restricted_mean(shared)
                    .is_ok_and(|mean| (mean.mean - area).abs() <= 1.96 * mean.standard_error);
                [holds, found.high.is_none(), near]
            })
            .map(percent);
            // With random censoring the horizon is often beyond the last observation: refused.
            let restricted =
                if matches!(budget, Budget::Own) { "–".to_owned() } else { restricted };
            let guaranteed = percent(guaranteed);
            println!("| {name} | {n} | {guaranteed} | {holds} | {open} | {restricted} | {runs} |");
        }
    }
}

/// Bias and spread of the readings of a time to target: accuracy 1 - exp(-3 t), target 0.9, noise
/// of an evaluation 0.003 (10,000 test images).
pub fn crossing_times(runs: u32) {
    println!("| evaluated every | reading | bias | standard deviation | not reached | runs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let truth = 10f64.ln() / 3.0;
    for interval in [0.01, 0.05, 0.2] {
        let mut rng = generator(&format!("crossing {interval}"));
        let mut readings: [Vec<f64>; 3] = Default::default();
        for _ in 0..runs {
            // The grid does not know the crossing: it starts anywhere.
            let start = unit_f64(&mut rng) * interval;
            let points = (2.0 / interval) as u64;
            let curve: Vec<EvalPoint> = (0..points)
                .map(|point| {
                    let share = start + point as f64 * interval;
                    let value = 1.0 - (-3.0 * share * truth).exp() + 0.003 * normal_f64(&mut rng);
                    EvalPoint { train_seconds: share, samples: point, steps: point, value }
                })
                .collect();
            let found = crossing(&curve, 0.9, Direction::HigherIsBetter).expect("a curve");
            for (readings, time) in
                readings.iter_mut().zip([found.isotonic, found.first, found.held3])
            {
                readings.extend(time);
            }
        }
        for (name, times) in ["isotonic", "first", "third in a row"].into_iter().zip(readings) {
            let n = times.len() as f64;
            let mean = times.iter().sum::<f64>() / n;
            let square: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
            let (bias, spread) = (mean - 1.0, (square / (n - 1.0)).sqrt());
            println!(
                "| {:.0} % of the time | {name} | {:+.1} % | {} | {} | {runs} |",
                100.0 * interval,
                100.0 * bias,
                percent(spread),
                runs as usize - times.len()
            );
        }
    }
}
