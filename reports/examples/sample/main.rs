//! Draws a report of invented numbers, to look at: `cargo run -p reports --example sample -- DIR`, for a screen and for a paper.

use std::path::PathBuf;

use reports::preset::{self, Paper};
use reports::{Format, ReportError, render};

mod analysis;

fn main() -> Result<(), ReportError> {
    let out =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/sample"), PathBuf::from);
    let ordinary = [
        ("full", analysis::full()),
        ("sixteen", analysis::sixteen()),
        ("loss", analysis::loss()),
        ("single-seed", analysis::single_seed()),
        ("extreme", analysis::extreme()),
        ("several", analysis::several()),
        ("provenance", analysis::provenance()),
        ("recorded", analysis::recorded()),
        ("lone", analysis::lone()),
        ("forty", analysis::forty()),
        ("strange", analysis::strange()),
        ("empty", analysis::empty()),
    ];
    for (name, analysis) in ordinary.into_iter().chain(analysis::hostile()) {
        render(&analysis, &Format::ALL, &out.join(name))?;
        preset::render(&analysis, &Paper::default(), &out.join(name))?;
    }
    render(&analysis::thousand(), &[Format::Html], &out.join("thousand"))?;
    Ok(())
}
