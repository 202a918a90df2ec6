//! `palimpsest sample`: text from the model that a run kept. The run says what its tokens stand for, so that the
//! text it was trained on need not be here. Where its network is a module of PyTorch, that module runs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use inspect::writing::{How, write};
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::side_info::SideInfo;
use ledger::record::{RunRecord, Status, Store};
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::Streams;
use palimpsest::cli::sample::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{note, print_json, print_text};
use serde_json::json;
use tch::Device;
use training::checkpoint::{FINAL, Weights};
use workloads::shared::own::TokensSettings;
use workloads::shared::text::{WRITING, Writing};

/// Workloads whose models write text.
const WRITERS: [&str; 3] = ["text-char", "text-byte", "tokens"];

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let record = store.record(&store.find(&args.run)?)?;
    let writing = writing(&record)?;
    let prompt = writing.spelling.encode(&args.prompt).context("the prompt cannot be read")?;
    if prompt.is_empty() {
        bail!("the prompt holds no token; give one at least");
    }
    lab::device::prepare_process(1);
    let network = network(&store, &record, &writing)?;
    let reads = writing.reads as usize;
    if prompt.len() > reads {
        let said =
            format!("of the prompt's {} tokens the model reads the last {reads}", prompt.len());
        note(&format!("note: {said}"));
    }
    let Args { temperature, top_p, seed, .. } = *args;
    let how = How { longest: args.tokens as usize, reads, temperature, top_p };
    let streams = Streams::new(Seed::from_integer(seed).bytes);
    let written = write(&network, &prompt, how, &streams)?;
    let text = writing.spelling.decode(&[prompt.as_slice(), &written].concat());
    if args.json {
        print_json(&json!({
            "run": record.cell,
            "prompt": args.prompt,
            "seed": seed,
            "temperature": temperature,
            "top_p": top_p,
            "tokens": written,
            "text": text,
        }))?;
    } else {
        print_text(&format!("{text}\n"))?;
    }
    Ok(Exit::Fine)
}

/// What the run says of its tokens.
fn writing(record: &RunRecord) -> anyhow::Result<Writing> {
    let cell = &record.cell;
    if !WRITERS.contains(&record.workload.as_str()) {
        bail!(
            "run {cell} is of {}, whose models write no text; take a run of {}",
            record.workload,
            WRITERS.join(", ")
        );
    }
    if record.external.is_some() {
        bail!("run {cell} was trained by a program of one's own, which keeps its model to itself");
    }
    if record.status == Status::Failed {
        bail!("run {cell} failed and left no model; `palimpsest run` tries it again");
    }
    let Some(fact) = record.facts.get(WRITING) else {
        bail!(
            "run {cell} does not say what its tokens stand for: it is from before runs kept that; \
             `palimpsest run {} --keep-models --force` trains it again",
            record.suite
        );
    };
    let told = || format!("run {cell} does not say rightly what its tokens stand for");
    let writing: Writing = serde_json::from_value(fact.clone()).with_context(told)?;
    writing.checked().with_context(told)
}

/// The model that the run kept.
fn network(store: &Store, record: &RunRecord, writing: &Writing) -> anyhow::Result<Network> {
    let cell = &record.cell;
    let path = store.folder(cell).join(FINAL);
    if !path.is_file() {
        bail!(
            "run {cell} kept no model; `palimpsest run {} --keep-models` makes it again with one",
            record.suite
        );
    }
    let entry = workloads::find(&record.workload)
        .with_context(|| format!("this palimpsest has no workload {}", record.workload))?;
    let settings = (entry.workload.resolve)(&record.workload_settings)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(writing.tokens()),
        ..SideInfo::default()
    };
    refuse_absent_weights(&path, record, &settings, writing)?;
    // Initial values, which those of the file replace.
    let streams = Streams::new(Seed::from_integer(0).bytes);
    let mut network = (entry.workload.network)(&settings, &side, &streams, Device::Cpu)?;
    Weights::read(&path)?.put_into(&mut network)?;
    if record.parameters_sha256 != Some(network.digest()?) {
        bail!(
            "{} does not hold the weights that the record of run {cell} tells of; `palimpsest verify {cell}` says more",
            path.display()
        );
    }
    Ok(network)
}

/// Refuses a model whose file is too small for the sizes in the record, which may be a stranger's, before memory is
/// taken for them.
fn refuse_absent_weights(
    path: &Path,
    record: &RunRecord,
    settings: &Values,
    writing: &Writing,
) -> anyhow::Result<()> {
    if record.workload != "tokens" {
        return Ok(());
    }
    let vocabulary = u64::try_from(writing.tokens().vocabulary)?;
    let least = TokensSettings::least_parameters(settings, vocabulary)?;
    let held = fs::metadata(path)?.len() / 4;
    if held < least {
        bail!(
            "{} has room for {held} numbers of 32 bits, but a model of the sizes that the record of run {} names has \
             {least} at least: they do not belong together",
            path.display(),
            record.cell
        );
    }
    Ok(())
}
