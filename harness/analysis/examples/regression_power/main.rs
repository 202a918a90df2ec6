//! Power and false alarms of the gate with simulated clocks: the table of `docs/regression_measured.md`.
//!
//!     cargo run --release -p analysis --example regression_power -- 1000

#![expect(clippy::print_stdout, clippy::expect_used, reason = "an example that prints its table")]

#[path = "../simulated/clocks.rs"]
mod clocks;

use analysis::regress::Rule;
use clocks::Design;
use stats::bootstrap::Resampling;

fn main() {
    let runs: u64 = std::env::args().nth(1).map_or(60, |runs| runs.parse().expect("a number"));
    let resampling = Resampling { resamples: 1000, ..Resampling::seeded(0) };
    println!(
        "| metrics | slower | by | pairs | floor × | found | found in round 1 | false alarms | in round 1 | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (metrics, slowed, slowdown, pairs, floor_multiple) in [
        (100, 0, 0.0, 8, 1.0),
        (100, 0, 0.0, 20, 1.0),
        (100, 5, 0.05, 8, 1.0),
        (100, 5, 0.05, 8, 3.0),
        (100, 5, 0.05, 12, 1.0),
        (100, 5, 0.05, 20, 1.0),
        (100, 1, 0.05, 8, 1.0),
        (100, 1, 0.05, 20, 1.0),
        (12, 0, 0.0, 8, 1.0),
        (12, 1, 0.02, 8, 1.0),
        (12, 1, 0.05, 5, 1.0),
        (12, 1, 0.05, 8, 1.0),
        (12, 1, 0.05, 8, 3.0),
        (12, 1, 0.05, 20, 1.0),
        (12, 1, 0.10, 8, 1.0),
    ] {
        let design = Design { metrics, ..Design::of(pairs, slowed, slowdown) };
        let rule = Rule { floor_multiple, resampling, ..Rule::default() };
        // (found, false) after both rounds, then after the first alone.
        let mut totals = [0; 4];
        for seed in 0..runs {
            // A floor of its own: one lucky floor would decide a whole row.
            let floor = design.floor(seed, 8, &rule);
            let (first, both) = design.gate(seed, &floor, &rule);
            let ((right, wrong), (right_first, wrong_first)) =
                (design.alarms(&both), design.alarms(&first));
            for (total, count) in totals.iter_mut().zip([right, wrong, right_first, wrong_first]) {
                *total += count;
            }
        }
        let [right, wrong, right_first, wrong_first] = totals;
        let share = |found: usize| match slowed {
            0 => "–".to_owned(),
            _ => format!("{:.1} %", 100.0 * found as f64 / (slowed as u64 * runs) as f64),
        };
        let (found, found_first, by) = (share(right), share(right_first), 100.0 * slowdown);
        println!(
            "| {metrics} | {slowed} | {by:.0} % | {pairs} | {floor_multiple} | {found} | {found_first} | {wrong} | {wrong_first} | {runs} |"
        );
    }
}
