//! What a search for settings ends with: a line per arm, then what to beware of.

use analysis::suite::SAMPLES;
use analysis::summary::tuning::{SweptArm, TuningAnalysis};

use super::{duration, print_table, print_text, warn};

/// Prints the sweeps: results on stdout, edges and unequal effort on stderr.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_tuning(tuning: &TuningAnalysis) -> anyhow::Result<()> {
    print_text(&format!("\n{}: {}\n", tuning.suite, tuning.effort()))?;
    let sound = if tuning.choose == SAMPLES { "reached" } else { "finite" };
    let header = [
        "  arm",
        "best settings",
        &tuning.choose,
        sound,
        "trials",
        "expected best of half",
        "the sweep took",
        "at an edge",
    ];
    print_table(header, tuning.arms.iter().map(row))?;
    for note in &tuning.notes {
        warn(note);
    }
    Ok(())
}

fn row(arm: &SweptArm) -> [String; 8] {
    let dash = || "–".to_owned();
    let widened = match arm.widenings {
        0 => String::new(),
        1 => " (widened once)".to_owned(),
        times => format!(" (widened {times} times)"),
    };
    [
        format!("  {}", arm.arm),
        arm.chosen_words(),
        arm.value.map_or_else(dash, number),
        format!("{}/{}", arm.sound, arm.runs),
        format!("{}{widened}", arm.trials.len()),
        arm.half_the_sweep()
            .map_or_else(dash, |(half, best)| format!("{} of {half}", number(best))),
        format!("{}, {} samples", duration(arm.seconds), arm.samples),
        arm.edge_words().unwrap_or_else(dash),
    ]
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}
