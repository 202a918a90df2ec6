//! `palimpsest estimate estimators`: what there is to choose from.

use inspect::estimate::registry::{Gives, REGISTRY};
use palimpsest::exit::Exit;
use palimpsest::voice::print_table;

pub fn run() -> anyhow::Result<Exit> {
    let header = ["estimator", "what it does", "update rules", "gives", "timed", "source"];
    let rows = REGISTRY.iter().map(|entry| {
        let gives = match entry.gives {
            Gives::Parameters => "parameters",
            Gives::Losses => "losses",
            Gives::Ranks => "ranks",
        };
        [
            entry.id.to_owned(),
            entry.title.to_owned(),
            entry.fits.words().to_owned(),
            gives.to_owned(),
            if entry.timed { "yes" } else { "no" }.to_owned(),
            entry.source.to_owned(),
        ]
    });
    print_table(header, rows)?;
    Ok(Exit::Fine)
}
