//! `exact` and `ulp`: values compared seed by seed and round by round, without statistics.

use crate::regress::align::{Aligned, Couple};
use crate::regress::metric::{Class, Tolerance, Value, ulps};
use crate::regress::report::{Row, Verdict};

use super::unjudged;

/// A distance beyond which a number of ulps tells a reader nothing: from 0 to 1 there are 2^62.
const MOST_ULPS: u64 = 1 << 20;

/// How the head's value stands to the base's.
enum Standing {
    Equal,
    Within(String),
    Better(String),
    Worse(String),
}

/// The row of an `exact` or `ulp` metric that both sides have.
pub(super) fn row(aligned: &Aligned, row: Row) -> Row {
    let mut row = row;
    let (mut equal, mut within, mut better, mut worse) = (0, None, None, None);
    let mut alone = None;
    for ((seed, _), couple) in &aligned.couples {
        let (Some(base), Some(head)) = (&couple.base, &couple.head) else {
            // A reference with one round is enough for all rounds of the head.
            if !both(aligned, seed) {
                let side = if couple.base.is_none() { "base" } else { "head" };
                alone.get_or_insert(format!("the {side} has no value under seed {seed:?}"));
            }
            continue;
        };
        row.pairs += 1;
        let (slot, how) = match standing(aligned, base, head) {
            Standing::Equal => {
                equal += 1;
                continue;
            }
            Standing::Within(how) => (&mut within, how),
            Standing::Better(how) => (&mut better, how),
            Standing::Worse(how) => (&mut worse, how),
        };
        slot.get_or_insert((seed, couple, how));
    }
    let changed = row.pairs - equal;
    let told = |(seed, couple, how): (&String, &Couple, String), row: Row, verdict| Row {
        reason: format!("{how} under seed {seed:?} ({changed} of {} pairs differ)", row.pairs),
        base: couple.base.clone(),
        head: couple.head.clone(),
        verdict,
        ..row
    };
    // What was seen to be worse stays worse, whatever else is not there.
    match (worse, alone, better, within) {
        (Some(first), ..) => told(first, row, Verdict::Regressed),
        (None, Some(reason), ..) => unjudged(row, Verdict::Inconclusive, reason),
        (None, None, Some(first), _) => told(first, row, Verdict::Improved),
        (None, None, None, Some(first)) => told(first, row, Verdict::Same),
        (None, None, None, None) => {
            let reason = format!("equal in all {} pairs", row.pairs);
            Row { verdict: Verdict::Same, reason, ..row }
        }
    }
}

/// Whether both sides have a value in some round of `seed`.
fn both(aligned: &Aligned, seed: &str) -> bool {
    let of_seed = aligned.couples.iter().filter(|((other, _), _)| other == seed);
    of_seed.into_iter().any(|(_, couple)| couple.base.is_some() && couple.head.is_some())
}

fn standing(aligned: &Aligned, base: &Value, head: &Value) -> Standing {
    let definition = &aligned.definition;
    if definition.class == Class::Exact {
        return if same_bits(base, head) {
            Standing::Equal
        } else {
            Standing::Worse("an exact value changed".to_owned())
        };
    }
    let (Some(a), Some(b)) = (base.number(), head.number()) else {
        return Standing::Worse("not a number".to_owned());
    };
    let apart = ulps(a, b);
    if apart == 0 {
        return Standing::Equal;
    }
    let tolerated = match definition.tolerance.unwrap_or(Tolerance::Ulps(0)) {
        Tolerance::Ulps(most) => apart <= most,
        Tolerance::Relative(share) => (a - b).abs() <= share * a.abs().max(b.abs()),
    };
    let gain = definition.direction.map(|direction| direction.orient(b) - direction.orient(a));
    let how = if apart <= MOST_ULPS {
        format!("{apart} ulps apart")
    } else {
        "far beyond the last bits".to_owned()
    };
    match gain {
        _ if tolerated => Standing::Within(format!("{how}, within the tolerance,")),
        Some(gain) if gain > 0.0 => Standing::Better(format!("better, {how},")),
        _ => Standing::Worse(format!("worse, {how},")),
    }
}

/// Whether two values are one. A program may write 1 or 1.0: a count is the number that it counts.
fn same_bits(base: &Value, head: &Value) -> bool {
    /// Up to here every count is a number of its own.
    const MOST_EXACT: u64 = 1 << 53;
    match (base, head) {
        (Value::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
        (Value::Count(count), Value::Number(number))
        | (Value::Number(number), Value::Count(count)) => {
            *count < MOST_EXACT && (*count as f64).to_bits() == number.to_bits()
        }
        _ => base == head,
    }
}
