//! `palimpsest prove`

use std::path::PathBuf;

use analysis::evidence::inclusion::{PROOF_VERSION, Proof, locate};
use analysis::imported::refusal;
use analysis::verify::Verifier;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::merkle::inclusion_proof;
use ledger::plain;
use ledger::record::Store;
use ledger::transcript::replay::read_ids;

use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest prove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, by id or unique prefix
    #[arg(required_unless_present = "check")]
    run: Option<String>,
    /// Step of the run, from 0
    #[arg(long, requires = "run", required_unless_present = "check")]
    step: Option<u64>,
    /// Place in the step's batch, from 0
    #[arg(long, requires = "run", required_unless_present = "check")]
    slot: Option<u64>,
    /// Check a proof instead of making one
    #[arg(long, value_name = "PROOF", conflicts_with_all = ["run", "step", "slot"])]
    check: Option<PathBuf>,
    /// The order root of the proof's epoch, as it was published
    #[arg(long, value_name = "DIGEST", requires = "check")]
    root: Option<Digest>,
    #[command(flatten)]
    places: Places,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(file) = &args.check {
        return check(file, args.root, &args.places.store());
    }
    let (Some(run), Some(step), Some(slot)) = (&args.run, args.step, args.slot) else {
        bail!("give a run with --step and --slot, or --check PROOF");
    };
    print_json(&prove(args, run, step, slot)?)?;
    Ok(Exit::Fine)
}

fn prove(args: &Args, run: &str, step: u64, slot: u64) -> anyhow::Result<Proof> {
    let store = args.places.store();
    let cell = store.find(run)?;
    let record = store.record(&cell)?;
    if let Some(refusal) = refusal(&record, "it has no order, so that nothing can be proved of one")
    {
        bail!(refusal);
    }
    let order = record.order.as_ref().with_context(|| format!("{cell} has no order"))?;
    let read = |name: &str| {
        let path = store.folder(&cell).join(name);
        plain::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let ids = read_ids(&read("order.bin")?)?;
    let samples = read("sample_ids.bin")?;
    let (samples, _) = samples.as_chunks::<32>();
    let (epoch, position) = locate(order, step, slot)?;
    let range = usize::try_from(epoch.offset).ok().zip(usize::try_from(epoch.n).ok());
    let consumed = range.and_then(|(start, n)| ids.get(start..start.checked_add(n)?));
    let consumed = consumed
        .context("order.bin is shorter than the record says; `palimpsest verify` says more")?;
    let leaves = consumed.iter().map(|id| samples.get(*id as usize).copied().map(Digest));
    let leaves: Vec<Digest> = leaves
        .collect::<Option<_>>()
        .context("order.bin names an example that sample_ids.bin lacks")?;
    let index = usize::try_from(position)?;
    let sample_id = *leaves
        .get(index)
        .context("the record's steps exceed its epoch; `palimpsest verify` says more")?;
    Ok(Proof {
        version: PROOF_VERSION,
        run: cell,
        step,
        slot,
        epoch: epoch.epoch,
        position,
        epoch_length: epoch.n,
        sample_id,
        order_root: epoch.order_root,
        path: inclusion_proof(&leaves, index)?,
        told: record.external.is_some(),
    })
}

/// Checks the path, and against a published root or the run's record, which must itself hold, all else
/// that the proof says.
fn check(file: &std::path::Path, published: Option<Digest>, store: &Store) -> anyhow::Result<Exit> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let proof =
        Proof::read(&bytes).with_context(|| format!("{} is not a proof", file.display()))?;
    let answer = match against(&proof, published, store)? {
        Ok(proved) => (proved, Exit::Fine),
        Err(reason) => (format!("NOT proved: {reason}\n"), Exit::CheckFailed),
    };
    print_text(&answer.0)?;
    Ok(answer.1)
}

/// What is proved, or why nothing is.
fn against(
    proof: &Proof,
    published: Option<Digest>,
    store: &Store,
) -> anyhow::Result<Result<String, String>> {
    let Proof { run, step, slot, epoch, position, epoch_length, sample_id, order_root, .. } = proof;
    if !proof.holds() {
        return Ok(Err(format!(
            "the path does not lead from sample {sample_id} to order root {order_root}"
        )));
    }
    if let Some(published) = published.filter(|published| published != order_root) {
        return Ok(Err(format!(
            "the path leads to order root {order_root}, but the published one is {published}"
        )));
    }
    let root = if published.is_some() { "the published order root" } else { "order root" };
    if !store.has(run) {
        let compare = match published {
            Some(_) => format!("that it is epoch {epoch} of run {run}, whoever published it says"),
            None => format!(
                "run {run} is not in {}: compare this root with that of epoch {epoch} in its record",
                store.root().display()
            ),
        };
        let told = if proof.told {
            "told: a program of one's own says that it consumed this; the run's record says whether the bench had the data or their places alone\n"
        } else {
            ""
        };
        return Ok(Ok(format!(
            "proved: sample {sample_id} is example {position} of the {epoch_length} under {root} {order_root}\n{compare}\n{told}"
        )));
    }
    let verified = Verifier::new(store).verify(run);
    if let Some(failed) = verified.checks.iter().find(|check| !check.passed) {
        return Ok(Err(format!(
            "run {run} does not hold: {}: {}; `palimpsest verify {run}` says more",
            failed.name, failed.detail
        )));
    }
    if let Some(reason) = proof.disagreement(&store.record(run)?) {
        return Ok(Err(format!("in the record of run {run}, {reason}")));
    }
    let told = if store.record(run)?.own_task().is_some() {
        "told: a program of one's own says that it consumed this; the bench saw that it gave out this place, not what lies there\n"
    } else if proof.told {
        "told: a program of one's own says that it consumed this; the bench saw that it gave it out\n"
    } else {
        ""
    };
    Ok(Ok(format!(
        "proved: sample {sample_id} was example {position} of epoch {epoch} of run {run} (step {step}, slot {slot}), under {root} {order_root}\n{told}"
    )))
}
