//! `palimpsest provenance sample`

use ::data::columns::write_npy_table;
use anyhow::Context as _;
use inspect::sample::{Form, documents};
use ledger::record::writer::write_atomic;
use ledger::seed::Seed;
use ledger::streams::Streams;
use palimpsest::cli::provenance::sample::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::print_text;

use crate::runner::Session;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let record = store.record(&store.find(&args.model)?)?;
    let device = &record.environment.device;
    let mut session = Session::again(&record, store, args.places.sources(), device)?;
    let streams = Streams::new(Seed::from_integer(args.seed).bytes);
    let (texts, form) = session.with_model(&record, |network, ready| {
        let form = Form::of(ready)?;
        let count = u32::try_from(args.tokens.div_ceil(form.length.max(1) as u64))
            .context("--tokens asks for more than 4,294,967,295 documents")?;
        Ok((documents(network, ready, count, args.temperature, &streams)?, form))
    })?;
    let mut bytes = Vec::new();
    write_npy_table(&mut bytes, &texts.concat(), form.length)?;
    write_atomic(&args.out, &bytes)?;
    print_text(&format!(
        "{}: {} documents of {} tokens, the first {} of each given\n",
        args.out.display(),
        texts.len(),
        form.length,
        form.given
    ))?;
    Ok(Exit::Fine)
}
