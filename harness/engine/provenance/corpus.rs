//! `palimpsest provenance corpus`: a run's examples and order as plain files, for the partition test.

use ::data::columns::{write_npy, write_npy_table};
use anyhow::Context as _;
use ledger::record::writer::write_atomic;
use palimpsest::cli::provenance::corpus::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::print_text;

use super::recorded;
use crate::runner::Session;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let record = store.record(&store.find(&args.run)?)?;
    let order = recorded::order(&store, &record)?;
    let last =
        order.epochs().last().with_context(|| format!("run {} consumed nothing", record.cell))?;
    let device = &record.environment.device;
    let mut session = Session::again(&record, store, args.places.sources(), device)?;
    let data = record.planned().0;
    let (tokens, length) = inspect::sample::corpus(session.ready_of(&data)?)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let (mut corpus, mut ids) = (Vec::new(), Vec::new());
    write_npy_table(&mut corpus, &tokens, length)?;
    write_npy(&mut ids, last)?;
    for (name, bytes) in [("corpus.npy", corpus), ("order.npy", ids)] {
        let path = args.out.join(name);
        write_atomic(&path, &bytes)?;
        print_text(&format!("{}\n", path.display()))?;
    }
    Ok(Exit::Fine)
}
