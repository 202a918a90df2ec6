//! `palimpsest provenance calibrate`: trains independent models and tests each against an order it
//! never saw.

use analysis::plan::{Overrides, Plan, plan};
use inspect::probe::{Reading, scores};
use inspect::replay::Replay;
use ledger::streams::Streams;
use palimpsest::cli::provenance::calibrate::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_table, print_text};
use stats::provenance::calibration::public::{
    PublicCalibration, UniformityCheck, public_calibration,
};

use super::parts::Split;
use crate::catalogue::catalogue;
use crate::runner::{NamedSeed, Session};

/// How the models are trained, as the suite of provenance trains its reference case.
const METHOD: &str = "adamw, batch 16, lr 0.003 constant, no weight decay";

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let split = Split { pieces: args.runs, jobs: args.jobs, part: args.part };
    split.check()?;
    let store = args.places.store();
    let plan = suite(&args.workload)?;
    let mut session = Session::new(plan, store.clone(), args.places.sources(), "cpu", false)?;
    let losses = if split.delegates() {
        split.gather()?
    } else {
        split.work(|number| losses(&mut session, u64::from(number)))?
    };
    if split.part.is_some() {
        return Ok(Exit::Fine);
    }
    let found = public_calibration(&args.workload, METHOD, &losses, args.permutations)?;
    let out = args.out.clone().unwrap_or_else(|| store.root().join("reports").join("calibration"));
    let paths = reports::provenance::calibration::render(&found, &out)?;
    if args.json {
        print_json(&found)?;
    } else {
        print(&found)?;
        for path in &paths {
            print_text(&format!("{}\n", path.display()))?;
        }
    }
    Ok(if found.passed { Exit::Fine } else { Exit::CheckFailed })
}

/// One cell of the workload under the method; seeds are taken as they are asked for.
fn suite(workload: &str) -> anyhow::Result<Plan> {
    let workload = serde_json::to_string(workload)?;
    let text = format!(
        "suite: calibration\n\
         question: Are p-values uniform where there is nothing to find?\n\
         workloads: [{workload}]\n\
         seeds: 1\n\
         baseline: adam\n\
         arms:\n  - {{ method: adamw, as: adam, with: {{ batch_size: 16, lr: 0.003, \
         weight_decay: 0.0, schedule: constant }} }}\n"
    );
    Ok(plan("--workload", &text, &catalogue(), &Overrides::default())?)
}

/// Losses of a model of its own on every training example, in dataset order.
fn losses(session: &mut Session, seed: u64) -> anyhow::Result<Vec<f64>> {
    let cell = session.plan.cells[0];
    session.with_setup(cell, &NamedSeed::integer(seed, None), |_, setup| {
        let mut replay = Replay::new(setup)?;
        replay.train(0..u64::MAX, None)?;
        let network = replay.finish()?;
        let reading = Reading { samples: 0, ..Reading::default() };
        let (side, split) = (&setup.ready.side, &setup.ready.splits.train);
        Ok(scores(&network, side, split, reading, &Streams::new([0; 32]))?.losses)
    })
}

fn print(found: &PublicCalibration) -> anyhow::Result<()> {
    let header = ["check", "p-values", "KS p", "below 0.05", "band", "below 0.01", "band", ""];
    let verdict = |passed: bool| if passed { "fine" } else { "FAILED" }.to_owned();
    let rows = found.checks.iter().map(|check| {
        let tail = |at: usize| {
            check.found.tails.get(at).map_or_else(Default::default, |tail| {
                (format!("{:.4}", tail.fraction), format!("[{:.4}, {:.4}]", tail.low, tail.high))
            })
        };
        let (five, one) = (tail(0), tail(1));
        let count = check.found.n.to_string();
        let ks = format!("{:.3}", check.found.ks_p);
        [name(check), count, ks, five.0, five.1, one.0, one.1, verdict(check.passed)]
    });
    print_text(&format!(
        "{}, {}: p-values of the query test where there is nothing to find\n",
        found.workload, found.method
    ))?;
    print_table(header, rows)?;
    for check in &found.enumerations {
        print_text(&format!(
            "all {} orders of 7 examples, {}: {}\n",
            check.found.orders,
            check.metric,
            if check.found.valid { "P(p ≤ a) = a at every p that occurs" } else { "NOT valid" }
        ))?;
    }
    Ok(())
}

fn name(check: &UniformityCheck) -> String {
    let what = if check.models { "a model each, n" } else { "one model, n" };
    let reference = if check.reference { "with reference" } else { "no reference" };
    format!("{what} = {}, {reference}", check.examples)
}
