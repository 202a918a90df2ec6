//! What a run ends with: one line per arm, claims, membership tests, warnings.

use analysis::suite::CompareBy;
use analysis::summary::{Analysis, ArmAnalysis, ClaimOutcome, Estimate, WorkloadAnalysis};
use reports::membership::Test;
use reports::order_estimates::{COLUMNS, Row, counts};
use stats::verdict::Verdict;

use super::{number, print_score, print_table, print_text, printable, signed, warn};

/// Prints an analysis: results on stdout, warnings on stderr.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_analysis(analysis: &Analysis) -> anyhow::Result<()> {
    for workload in &analysis.workloads {
        let target = reports::given(workload.target.value);
        let headline = format!(
            "{}   {} {target} on {}",
            workload.workload, workload.target.metric, workload.split
        );
        print_text(&format!("\n{}\n", printable(&headline)))?;
        let test = format!("test {}", workload.target.metric);
        let header =
            ["  arm", "time to target", "95 % interval", "reached", &test, "speed-up", "ms/step"];
        print_table(header, workload.arms.iter().map(|arm| row(workload, arm)))?;
    }
    if !analysis.claims.is_empty() {
        print_text("\n")?;
        print_table(
            ["claim", "verdict", "effect", "95 % interval", "n", "why"],
            analysis.claims.iter().map(claim),
        )?;
    }
    print_score(&analysis.score)?;
    if let Some(tuning) = &analysis.tuning {
        print_text(&format!("settings: {}\n", tuning.effort()))?;
    }
    if let Some(stopping) = &analysis.stopping {
        print_text(&format!("{}\n", stopping.summary))?;
    }
    print_tests(&Test::all(analysis))?;
    print_estimates(&Row::all(analysis))?;
    for warning in &analysis.warnings {
        warn(warning);
    }
    Ok(())
}

/// One line per order estimate, seed and estimator.
fn print_estimates(rows: &[Row<'_>]) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    print_text("\n")?;
    let mut header = ["estimate", "seed", "estimator", "", "", "", "", "", "", "", "", "", "", ""];
    header[3..].copy_from_slice(&COLUMNS);
    print_table(header, rows.iter().map(estimate))?;
    print_text(&format!("order estimates: {}\n", counts(rows)))
}

fn estimate(row: &Row<'_>) -> [String; 14] {
    let mut cells = [(); 14].map(|()| String::new());
    let first = [row.entry.name.as_str(), &row.seed.seed, &row.estimator];
    for (cell, text) in cells.iter_mut().zip(first.into_iter().chain(row.cells())) {
        text.clone_into(cell);
    }
    cells
}

/// One line per membership test, then why some have no p-value.
fn print_tests(tests: &[Test<'_>]) -> anyhow::Result<()> {
    if tests.is_empty() {
        return Ok(());
    }
    print_text("\n")?;
    let header = ["test", "run → suspect", "access", "log10 p", "statistic", "expected", "outcome"];
    print_table(header, tests.iter().map(test))?;
    if tests.iter().any(|test| test.simulation) {
        print_text(
            "simulation: orders of public seeds, whose p-values show what a test can do and prove \
             nothing\n",
        )?;
    }
    for test in tests {
        for (reason, seeds) in &test.reasons {
            let id = printable(&test.raw.id);
            print_text(&format!("{id}: {seeds} of {} without a p-value: {reason}\n", test.seeds))?;
        }
    }
    Ok(())
}

fn test(test: &Test<'_>) -> [String; 7] {
    let together =
        test.combined.as_ref().map_or_else(String::new, |log10_p| format!(", together {log10_p}"));
    [
        test.raw.id.clone(),
        format!("{} → {}", test.raw.run, test.raw.suspect),
        test.access.to_owned(),
        format!("{}{together}", test.log10_p),
        test.statistic.clone(),
        test.raw.expected.clone(),
        test.outcome(),
    ]
}

fn row(workload: &WorkloadAnalysis, arm: &ArmAnalysis) -> [String; 7] {
    let time = &arm.time_to_target;
    let outcomes = arm.outcomes;
    let cells = outcomes.reached + outcomes.censored + outcomes.diverged + outcomes.failed;
    let shown = time.geometric_mean.or(time.median);
    let interval =
        time.interval.map_or_else(dash, |i| format!("{} … {}", seconds(i.low), seconds(i.high)));
    let test = arm.at_budget.get(&workload.target.test_key()).map_or_else(dash, with_margin);
    let speed_up = arm.speed_up.as_ref().map_or_else(dash, |speed_up| {
        let interval = speed_up.interval.map_or_else(String::new, |i| {
            format!(" [{}, {}]", number(i.low, 2), number(i.high, 2))
        });
        format!("{}×{interval}", number(speed_up.ratio, 2))
    });
    let speed_up = if workload.baseline.as_ref() == Some(&arm.label) {
        "baseline".to_owned()
    } else {
        speed_up
    };
    [
        format!("  {}", arm.label),
        match shown {
            Some(time) => seconds(time),
            None if arm.idle || reports::without_clock(arm) => dash(),
            None if time.at_start > 0 => "met at the start".to_owned(),
            None => "not reached".to_owned(),
        },
        interval,
        format!("{}/{cells}", outcomes.reached),
        test,
        speed_up,
        arm.step_milliseconds.as_ref().map_or_else(dash, |step| number(step.value, 3)),
    ]
}

fn dash() -> String {
    "–".to_owned()
}

fn seconds(value: f64) -> String {
    if value < 0.1 {
        format!("{} ms", number(1e3 * value, 1))
    } else {
        format!("{} s", number(value, 3))
    }
}

fn with_margin(estimate: &Estimate) -> String {
    let margin = estimate
        .interval
        .map_or_else(String::new, |i| format!(" ± {}", number((i.high - i.low) / 2.0, 4)));
    format!("{}{margin}", number(estimate.value, 4))
}

fn claim(claim: &ClaimOutcome) -> [String; 6] {
    let number = |value: f64| {
        if claim.scale == CompareBy::Ratio {
            format!("{}×", number(value, 2))
        } else {
            signed(value, 4)
        }
    };
    [
        claim.id.clone(),
        if claim.verdict == claim.expected || claim.expected == Verdict::Reproduced {
            claim.verdict_words()
        } else {
            format!("{} (expected {})", claim.verdict_words(), claim.expected)
        },
        claim.effect.map_or_else(dash, number),
        claim.interval.map_or_else(dash, |i| format!("{} … {}", number(i.low), number(i.high))),
        claim.n.to_string(),
        claim.why(),
    ]
}
