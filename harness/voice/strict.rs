//! What `run --strict` says of claims that did not come to what the suite expects.

use analysis::suite::CompareBy;
use analysis::summary::ClaimOutcome;

use super::{number, signed, warn};

/// Names a claim that no longer holds, with its numbers and the way out.
pub fn warn_broken(claim: &ClaimOutcome) {
    let remedy = format!(
        "look for what changed since it held (`palimpsest compare`); if this is the true result, say `expect: {}` in the suite",
        claim.verdict.words().replace(' ', "-")
    );
    warn(&format!("{} no longer holds: {}; {remedy}", name(claim), numbers(claim)));
}

/// Names a claim that could not be judged, with its numbers and the way out.
pub fn warn_undecided(claim: &ClaimOutcome) {
    if claim.pairs_lost {
        warn(&format!(
            "{} cannot be judged: {}; runs that diverged, failed or are missing meet no expectation: mend them and run again",
            name(claim),
            numbers(claim)
        ));
        return;
    }
    warn(&format!(
        "{} cannot be judged: {}; `palimpsest plan SUITE --power` tells how many seeds it needs",
        name(claim),
        numbers(claim)
    ));
}

fn name(claim: &ClaimOutcome) -> String {
    format!("claim {} on {}", claim.id, claim.workload)
}

fn numbers(claim: &ClaimOutcome) -> String {
    let number = |value: f64| {
        if claim.scale == CompareBy::Ratio {
            format!("{}×", self::number(value, 3))
        } else {
            signed(value, 4)
        }
    };
    let asked = reports::asked(claim);
    let effect = claim.effect.map_or_else(|| "no effect measured".to_owned(), number);
    let interval = claim.interval.map_or_else(
        || "no interval".to_owned(),
        |i| format!("{} % interval {} to {}", 100.0 * i.level, number(i.low), number(i.high)),
    );
    format!(
        "{}, expected {}; {} of {} against {} {effect}, {interval}, {} pairs, at least {} asked for: {}",
        claim.verdict_words(),
        claim.expected,
        claim.metric,
        claim.arm,
        claim.baseline,
        claim.n,
        asked,
        claim.why()
    )
}
