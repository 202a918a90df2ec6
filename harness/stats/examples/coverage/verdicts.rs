//! How often a claim "better by at least s" comes to which verdict.

use ledger::goal::Direction;
use ledger::streams::normal_f64;
use stats::verdict::{ClaimKind, ClaimTest, Scale, Verdict, judge};

use crate::law::{Law, SIZES, generator, percent, shares};

/// The smallest effect, in standard deviations of the differences.
const SMALLEST: f64 = 1.0;

fn verdict(effects: Vec<f64>, smallest_effect: f64) -> Verdict {
    let test = ClaimTest {
        effects,
        scale: Scale::Difference,
        direction: Direction::HigherIsBetter,
        kind: ClaimKind::Superior { smallest_effect },
        no_room: None,
        cap: None,
        withheld: None,
        level: 0.95,
    };
    judge(&test).expect("numbers").verdict
}

/// Shares of the verdicts by true effect, beside those of the rule that asks for an interval above 0 and
/// a mean of at least s; then false verdicts by law where the true effect is just s.
pub fn verdicts(runs: u32) {
    println!(
        "| true effect | n | reproduced | not reproduced | interval above 0, mean ≥ s | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for share in [0.0, 0.8, 0.94, 1.0, 1.5, 2.0, 3.0] {
        for n in SIZES {
            let [yes, no, loose] = shares(&format!("verdict {share} {n}"), runs, |rng, _| {
                let effects: Vec<f64> =
                    (0..n).map(|_| share * SMALLEST + normal_f64(rng)).collect();
                let mean = stats::interval::mean(&effects, 0.95).expect("numbers");
                let found = verdict(effects, SMALLEST);
                let loose = mean.interval.low > 0.0 && mean.value >= SMALLEST;
                [found == Verdict::Reproduced, found == Verdict::NotReproduced, loose]
            })
            .map(percent);
            println!("| {share} s | {n} | {yes} | {no} | {loose} | {runs} |");
        }
    }
    println!("\n| law of the differences | n | reproduced at s | not reproduced at s | runs |");
    println!("| --- | --- | --- | --- | --- |");
    for law in Law::ALL {
        for n in SIZES {
            let [yes, no] = shares(&format!("verdict {law:?} {n}"), runs, |rng, _| {
                let found = verdict(law.sample(rng, n), law.mean());
                [found == Verdict::Reproduced, found == Verdict::NotReproduced]
            })
            .map(percent);
            println!("| {} | {n} | {yes} | {no} | {runs} |", law.name());
        }
    }
    collapses(runs);
}

/// A fixed number of seeds, of which some collapse, without effect on average.
fn collapses(runs: u32) {
    println!(
        "\n| seeds that collapse | n | reproduced, true effect 0 | runs |\n| --- | --- | --- | --- |"
    );
    for one_in in [10.0, 20.0] {
        for n in SIZES {
            let mut rng = generator(&format!("verdict collapse {one_in} {n}"));
            let wrong = (0..runs).filter(|_| {
                let effects = crate::stopping::collapsing(&mut rng, one_in, 0.0, n);
                verdict(effects, 0.01) == Verdict::Reproduced
            });
            let wrong = percent(wrong.count() as f64 / f64::from(runs));
            println!("| 1 in {one_in} | {n} | {wrong} | {runs} |");
        }
    }
}
