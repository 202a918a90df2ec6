//! Confidence sequences, planned power, bounds of a spread, and the best of k.

use ledger::goal::Direction;
use ledger::streams::{normal_f64, unit_f64};
use stats::best_of::expected_best;
use stats::interval::mean;
use stats::power::{Goal, power, spread_bound};
use stats::sequential::{Stopping, confidence_sequence};

use crate::law::{Law, SIZES, generator, percent, shares};

/// Coverage of the whole sequence for normal effects beside that of t intervals looked at after every
/// seed; [`super::stopping`] has what stopping saves.
pub fn sequence(runs: u32) {
    println!("| law | looks | sequence holds at all | t intervals hold at all | runs |");
    println!("| --- | --- | --- | --- | --- |");
    for law in Law::ALL {
        for most in [10, 20, 40] {
            let stopping = Stopping { collapse: 0.0, ..Stopping::planned(most) };
            let [whole, naive] = shares(&format!("sequence {law:?} {most}"), runs, |rng, _| {
                let sample = law.sample(rng, most);
                let truth = law.mean();
                let steps = confidence_sequence(&sample, stopping, None).expect("numbers");
                let holds = steps.iter().all(|step| {
                    step.low.is_none_or(|low| low <= truth)
                        && step.high.is_none_or(|high| high >= truth)
                });
                let naive = (2..=most).all(|n| {
                    let interval = mean(&sample[..n], 0.95).expect("numbers").interval;
                    interval.low <= truth && truth <= interval.high
                });
                [holds, naive]
            })
            .map(percent);
            println!("| {} | 2 to {most} | {whole} | {naive} | {runs} |", law.name());
        }
    }
}

/// Planned power beside the share of simulated experiments that show the effect; the bound of a
/// spread; the expected best of k.
pub fn planning(runs: u32) {
    println!("| beyond the claim, s.d. | pairs | planned | measured | runs |");
    println!("| --- | --- | --- | --- | --- |");
    for effect in [0.5, 1.0, 1.77] {
        for n in SIZES {
            let planned = power(Goal { effect, spread: 1.0, level: 0.95 }, n).expect("a goal");
            let [t] = shares(&format!("power {effect} {n}"), runs, |rng, _| {
                let sample: Vec<f64> = (0..n).map(|_| effect + normal_f64(rng)).collect();
                let t = mean(&sample, 0.95).expect("numbers").interval;
                [t.low > 0.0]
            })
            .map(percent);
            println!("| {effect} | {n} | {} | {t} | {runs} |", percent(planned));
        }
    }
    println!("\n| n | bound of the spread at 80 % | at 95 % | runs |\n| --- | --- | --- | --- |");
    for n in SIZES {
        let [most, nearly] = shares(&format!("spread {n}"), runs, |rng, _| {
            let sample: Vec<f64> = (0..n).map(|_| normal_f64(rng)).collect();
            let mean = sample.iter().sum::<f64>() / n as f64;
            let square: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
            let spread = (square / (n - 1) as f64).sqrt();
            [0.8, 0.95].map(|level| spread_bound(spread, n, level).expect("a spread") >= 1.0)
        })
        .map(percent);
        println!("| {n} | {most} | {nearly} | {runs} |");
    }
    println!(
        "\n| budget | truth | mean of the estimate from 12 trials | runs |\n| --- | --- | --- | --- |"
    );
    for budget in [1, 3, 6, 12] {
        let mut rng = generator(&format!("best {budget}"));
        let total: f64 = (0..runs)
            .map(|_| {
                let trials: Vec<f64> = (0..12).map(|_| unit_f64(&mut rng)).collect();
                expected_best(&trials, budget, Direction::HigherIsBetter).expect("a budget")
            })
            .sum();
        // The best of k uniform numbers is k / (k + 1) on average.
        let truth = budget as f64 / (budget + 1) as f64;
        println!("| {budget} | {truth:.4} | {:.4} | {runs} |", total / f64::from(runs));
    }
}
