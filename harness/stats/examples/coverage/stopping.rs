//! What ending seeds early comes to: wrong verdicts where seeds collapse, and seeds saved where none do.

use ledger::streams::{normal_f64, unit_f64};
use rand_pcg::Pcg64;
use stats::betting::Range;
use stats::sequential::{Stopping, stop};
use stats::verdict::ClaimKind;

use crate::law::{generator, percent};

/// Differences of two shares.
const SHARES: Range = Range { low: -1.0, high: 1.0 };
/// What a seed that does not collapse gains, and the standard deviation between seeds.
const GAIN: f64 = 0.05;
const SPREAD: f64 = 0.01;
/// The smallest effect of the claim.
const CLAIM: ClaimKind = ClaimKind::Superior { smallest_effect: 0.01 };

/// Effects of mean `mean` of which one in `one_in` collapses and loses what the others gain.
pub fn collapsing(rng: &mut Pcg64, one_in: f64, mean: f64, seeds: usize) -> Vec<f64> {
    let draw = |rng: &mut Pcg64| {
        let noise = mean + SPREAD * normal_f64(rng);
        noise + if unit_f64(rng) < 1.0 / one_in { GAIN - GAIN * one_in } else { GAIN }
    };
    (0..seeds).map(|_| draw(rng)).collect()
}

/// The sequence with and without its guard.
fn plans(seeds: usize) -> [(&'static str, Stopping, Option<Range>); 3] {
    let guarded = Stopping::planned(seeds);
    [
        ("for normal effects alone", Stopping { collapse: 0.0, ..guarded }, None),
        ("guarded, range unknown", guarded, None),
        ("guarded, range −1 to 1", guarded, Some(SHARES)),
    ]
}

/// Both tables.
pub fn stopping(runs: u32) {
    println!("| seeds that collapse | planned | sequence | reproduced, true effect 0 | runs |");
    println!("| --- | --- | --- | --- | --- |");
    for one_in in [5.0, 10.0, 20.0] {
        for seeds in [20, 40] {
            for (name, plan, range) in plans(seeds) {
                let mut rng = generator(&format!("stopping collapse {one_in} {seeds}"));
                let wrong = (0..runs).filter(|_| {
                    let effects = collapsing(&mut rng, one_in, 0.0, seeds);
                    stop(&effects, CLAIM, plan, range).expect("numbers").holds == Some(true)
                });
                let wrong = percent(wrong.count() as f64 / f64::from(runs));
                println!("| 1 in {one_in} | {seeds} | {name} | {wrong} | {runs} |");
            }
        }
    }
    println!(
        "\n| true effect | planned | sequence | reproduced | not reproduced | mean seeds saved | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for effect in [0.0, 0.01, 0.05, 0.2, 0.5] {
        for seeds in [20, 40] {
            for (name, plan, range) in plans(seeds) {
                let mut rng = generator(&format!("stopping {effect} {seeds}"));
                let (mut holds, mut fails, mut saved) = (0, 0, 0);
                for _ in 0..runs {
                    let effects: Vec<f64> =
                        (0..seeds).map(|_| effect + 2.0 * SPREAD * normal_f64(&mut rng)).collect();
                    let found = stop(&effects, CLAIM, plan, range).expect("numbers");
                    holds += u32::from(found.holds == Some(true));
                    fails += u32::from(found.holds == Some(false));
                    saved += found.saved;
                }
                let share = |count: u32| percent(f64::from(count) / f64::from(runs));
                println!(
                    "| {effect} | {seeds} | {name} | {} | {} | {:.1} | {runs} |",
                    share(holds),
                    share(fails),
                    saved as f64 / f64::from(runs)
                );
            }
        }
    }
}
