//! How a verdict is shown: one format on standard output, all of them in a folder, and the exit code.

use std::path::{Path, PathBuf};

use analysis::regress::{RegressError, Report, Snapshot};
use anyhow::Context as _;
use reports::regress::{RegressFormat, render};

use crate::exit::Exit;
use crate::voice::print_text;

/// Where the report goes.
#[derive(Debug, Clone, clap::Args)]
pub struct Shown {
    /// What to print: text, json, markdown, junit, github or bmf
    #[arg(long, default_value = "text", value_parser = format)]
    pub format: RegressFormat,
    /// Folder for the report in every format, and for what both sides measured where the verb measures
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn format(text: &str) -> Result<RegressFormat, String> {
    let names: Vec<&str> = RegressFormat::ALL.iter().map(|(name, _)| *name).collect();
    let found = RegressFormat::ALL.into_iter().find(|(name, _)| *name == text);
    found
        .map(|(_, format)| format)
        .ok_or_else(|| format!("there is no format \"{text}\": {} are", names.join(", ")))
}

/// What both sides measured, where that is to be kept beside the report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sides<'a> {
    /// What is compared with.
    pub base: Option<&'a Snapshot>,
    /// What is judged.
    pub head: Option<&'a Snapshot>,
}

/// Whether two sides that do not fit each other are why nothing could be judged: that is no mistake in the call.
pub fn unfit(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<RegressError>(),
        Some(
            RegressError::OtherSuite { .. }
                | RegressError::Mixed { .. }
                | RegressError::TwoMachines { .. }
                | RegressError::Stats { .. }
        )
    )
}

/// Shows the report, and says what the program ends with.
///
/// # Errors
/// When a file cannot be written.
pub fn conclude(shown: &Shown, report: &Report, sides: Sides<'_>) -> anyhow::Result<Exit> {
    if let Some(folder) = &shown.out {
        write_all(folder, report, sides)?;
    }
    print_text(&render(report, shown.format)?)?;
    Ok(match report.exit_code() {
        0 => Exit::Fine,
        1 => Exit::CheckFailed,
        4 => Exit::CellsFailed,
        _ => Exit::NotJudged,
    })
}

/// The report in every format, and both sides as reference files.
fn write_all(folder: &Path, report: &Report, sides: Sides<'_>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for (name, format) in RegressFormat::ALL {
        let file = match format {
            RegressFormat::Text => "report.txt",
            RegressFormat::Json => "report.json",
            RegressFormat::Markdown => "report.md",
            RegressFormat::Junit => "junit.xml",
            RegressFormat::Github => "annotations.txt",
            RegressFormat::Bmf => "bmf.json",
        };
        write(file, render(report, format).with_context(|| format!("cannot draw {name}"))?)?;
    }
    for (name, side) in [("base.json", sides.base), ("head.json", sides.head)] {
        if let Some(side) = side {
            write(name, side.to_json()?)?;
        }
    }
    Ok(())
}
