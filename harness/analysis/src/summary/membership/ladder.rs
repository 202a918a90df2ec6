//! The tests of a suite on fewer and fewer examples: how many must be queried to tell.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bench, Evidence, Prepared, seeds};
use crate::suite::membership::MembershipUse;
use crate::suite_run::SuiteRun;
use crate::summary::power::{Measured, PowerCurve, gather};
use ledger::order::shuffle;
use ledger::record::RunRecord;
use ledger::seed::Seed;
use ledger::streams::Streams;
use stats::provenance::Refusal;
use stats::provenance::audit::Places;

/// The quantity of a ladder.
pub const AXIS: &str = "examples queried";

/// Makes every test of a suite that has a bar for log10 p and no place on a curve again, on the
/// first `rungs` examples of a random order; a rung above the number of examples that the run
/// consumed becomes that number. `draw` is the integer seed of the subsets: stream
/// `provenance/power/<seed of the suite>`, so that all tests of a seed query the same examples and
/// every rung holds those below it.
///
/// Which examples are queried is independent of the order of the run, so that each rung is a test
/// as valid as that on all examples; rungs of one test are not independent of each other.
#[must_use]
pub fn ladder(
    suite: &SuiteRun,
    records: &BTreeMap<&str, &RunRecord>,
    evidence: &dyn Evidence,
    rungs: &[u64],
    draw: u64,
) -> Vec<PowerCurve> {
    let seeds = seeds(suite);
    let streams = Streams::new(Seed::from_integer(draw).bytes);
    let barred =
        |test: &&MembershipUse| test.curve.is_none() && test.expect.log10_p_at_most.is_some();
    let mut measured = Vec::new();
    for test in suite.sections.provenance.iter().filter(barred) {
        for (at, seed) in seeds.iter().enumerate() {
            let bench = Bench { suite, seeds: &seeds, at, records, evidence };
            let climbed = bench.prepare(test).and_then(|prepared| {
                climb(&prepared, test, rungs, &streams, seed).map_err(|refusal| refusal.to_string())
            });
            let whole = format!("{}, seed {seed}", test.id);
            let of = |n: u64, log10_p: Result<f64, String>| Measured {
                axis: AXIS.to_owned(),
                line: test.id.clone(),
                at: n as f64,
                log10_p,
            };
            match climbed {
                Err(reason) => measured.push(of(0, Err(format!("{whole}: {reason}")))),
                Ok(steps) => measured.extend(steps.into_iter().map(|(n, found)| {
                    of(n, found.map_err(|refusal| format!("{whole}, {n} examples: {refusal}")))
                })),
            }
        }
    }
    gather(measured)
}

/// Examples queried and log10 p, rung by rung.
type Steps = Vec<(u64, Result<f64, Refusal>)>;

fn climb(
    prepared: &Prepared<'_>,
    test: &MembershipUse,
    rungs: &[u64],
    streams: &Streams,
    seed: &str,
) -> Result<Steps, Refusal> {
    let template = prepared.checked(test)?;
    // What is refused on all examples is refused here, for the same reason.
    let whole = prepared.test(test, template.as_ref(), None)?;
    let mut ids = consumed(prepared);
    shuffle(&mut streams.generator(&format!("provenance/power/{seed}")), &mut ids);
    let all = ids.len() as u64;
    let rungs: BTreeSet<u64> = rungs.iter().map(|&rung| rung.min(all)).collect();
    let step = |n: u64| {
        if n == all {
            return (n, Ok(whole.log10_p));
        }
        let queried = ids.iter().take(n as usize).copied().map(u64::from).collect();
        let found = prepared.test(test, template.as_ref(), Some(&queried));
        (n, found.map(|finding| finding.log10_p))
    };
    Ok(rungs.into_iter().map(step).collect())
}

/// The examples that some epoch of the run consumed, sorted.
fn consumed(prepared: &Prepared<'_>) -> Vec<u32> {
    let Places::Epochs(epochs) = &prepared.order.places else { return Vec::new() };
    let ids = epochs.iter().flat_map(|epoch| &epoch.ids);
    let ids: BTreeSet<u32> = ids.filter_map(|&id| u32::try_from(id).ok()).collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests;
