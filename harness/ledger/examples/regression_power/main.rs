//! Power and false alarms of the gate with simulated clocks: the table of `docs/regression.md`.
//!
//!     cargo run -p ledger --example regression_power -- 60

#![expect(clippy::print_stdout, clippy::expect_used, reason = "an example that prints its table")]

#[path = "../simulated/clocks.rs"]
mod clocks;

use clocks::Design;
use ledger::regress::Rule;
use ledger::stats::bootstrap::Resampling;

fn main() {
    let runs: u64 = std::env::args().nth(1).map_or(60, |runs| runs.parse().expect("a number"));
    let resampling = Resampling { resamples: 1000, ..Resampling::seeded(0) };
    println!(
        "| metrics | slower | by | pairs | floor × | found | false alarms in all runs | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (metrics, slowed, slowdown, pairs, floor_multiple) in [
        (100, 0, 0.0, 8, 1.0),
        (100, 5, 0.05, 8, 1.0),
        (100, 5, 0.05, 8, 3.0),
        (100, 5, 0.05, 20, 1.0),
        (100, 1, 0.05, 8, 1.0),
        (100, 1, 0.05, 20, 1.0),
        (12, 1, 0.02, 8, 1.0),
        (12, 1, 0.05, 5, 1.0),
        (12, 1, 0.05, 8, 1.0),
        (12, 1, 0.05, 8, 3.0),
        (12, 1, 0.05, 20, 1.0),
        (12, 1, 0.10, 8, 1.0),
    ] {
        let design = Design { metrics, ..Design::of(pairs, slowed, slowdown) };
        let rule = Rule { floor_multiple, resampling, ..Rule::default() };
        let floor = design.floor(1, 8, &rule);
        let alarms = (0..runs).map(|seed| design.alarms(&design.gate(seed, &floor, &rule)));
        let (right, wrong) = alarms.fold((0, 0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
        let found = match slowed {
            0 => "–".to_owned(),
            _ => format!("{:.0} %", 100.0 * right as f64 / (slowed as u64 * runs) as f64),
        };
        let by = 100.0 * slowdown;
        println!(
            "| {metrics} | {slowed} | {by:.0} % | {pairs} | {floor_multiple} | {found} | {wrong} | {runs} |"
        );
    }
}
