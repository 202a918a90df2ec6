//! How many seeds and minutes claims need.

use analysis::suite::CompareBy;
use analysis::summary::seeds_needed::{Need, SeedsNeeded, Wish};

use super::{duration, print_table, print_text};

/// Prints one row per claim, then what the numbers assume and why some are missing.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_seeds_needed(plans: &[SeedsNeeded], wish: Wish) -> anyhow::Result<()> {
    let header = [
        "claim",
        "workload",
        "true effect",
        "measured",
        "stored",
        "spread",
        "≤ 80 %",
        "seeds",
        "careful",
        "minutes",
        "verdict",
        "direction",
    ];
    print_table(header, plans.iter().map(row))?;
    print_text(&format!(
        "\nseeds: enough for the verdict to which the true effect leads (`reproduced` above `at_least`, `not reproduced` below), with\n\
         probability {}, if the spread between pairs (of log-ratios for ratios) is as stored. The true effect is the measured one unless\n\
         --effect names another (of a non-inferiority claim: no difference). One of just `at_least` leads to no verdict;\n\
         careful: should the spread be at its 80 % upper bound, with what the claim's cells take then: plan with this one;\n\
         direction: enough, with that spread, to show on which side of no effect it lies.\n\
         Effects are taken to be normal.\n",
        wish.power
    ))?;
    for plan in plans {
        for note in &plan.notes {
            print_text(&format!("{} on {}: {note}\n", plan.claim, plan.workload))?;
        }
    }
    Ok(())
}

fn row(plan: &SeedsNeeded) -> [String; 12] {
    let dash = || "–".to_owned();
    let number = |value: f64| {
        if plan.scale == CompareBy::Ratio {
            format!("{value:.3}×")
        } else {
            format!("{value:+.4}")
        }
    };
    let seeds = |need: Option<Need>| need.map_or_else(dash, |need| need.seeds.to_string());
    let minutes = |need: Need| {
        if need.minutes.is_finite() { duration(60.0 * need.minutes) } else { "unknown".to_owned() }
    };
    [
        plan.claim.clone(),
        plan.workload.clone(),
        plan.effect.map_or_else(dash, number),
        plan.measured.map_or_else(dash, number),
        format!("{} pairs", plan.pairs),
        plan.spread.map_or_else(dash, |spread| format!("{spread:.4}")),
        plan.spread_bound.map_or_else(dash, |spread| format!("{spread:.4}")),
        seeds(plan.needed),
        seeds(plan.careful),
        plan.careful.map_or_else(dash, minutes),
        plan.verdict.map_or_else(dash, |verdict| verdict.to_string()),
        seeds(plan.direction),
    ]
}
