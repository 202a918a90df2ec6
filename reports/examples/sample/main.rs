//! Draws a report of invented numbers, to look at: `cargo run -p reports --example sample -- DIR`.

use std::path::PathBuf;

use reports::{Format, ReportError, render};

mod analysis;

fn main() -> Result<(), ReportError> {
    let out =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/sample"), PathBuf::from);
    for (name, analysis) in [
        ("full", analysis::full()),
        ("sixteen", analysis::sixteen()),
        ("loss", analysis::loss()),
        ("single-seed", analysis::single_seed()),
        ("extreme", analysis::extreme()),
        ("several", analysis::several()),
        ("provenance", analysis::provenance()),
        ("empty", analysis::empty()),
    ] {
        render(&analysis, &Format::ALL, &out.join(name))?;
    }
    Ok(())
}
