//! Progress of a run on stderr: a bar with an estimate on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use palimpsest::voice::plan::Forecast;
use palimpsest::voice::{moves, note, printable};

use crate::runner::cell::CellReport;

/// Shows how far a run is.
pub struct Progress {
    names: Vec<String>,
    bar: Option<ProgressBar>,
    kept: usize,
}

impl Progress {
    /// Prints the headline and starts the bar.
    pub fn start(forecast: &Forecast<'_>) -> Self {
        note(forecast.headline().trim_end());
        let plan = forecast.plan;
        let several = plan.workloads.len() > 1;
        let names = plan.cells.iter().map(|cell| {
            let arm = &plan.arms[cell.arm].label;
            let workload = if several {
                format!("{} ", plan.workloads[cell.workload].label)
            } else {
                String::new()
            };
            printable(&format!("{workload}{arm} seed {}", cell.seed))
        });
        let bar = moves().then(|| {
            let bar = ProgressBar::new(plan.cells.len() as u64);
            let template = "{bar:30} {pos}/{len}  {elapsed} elapsed, {eta} left  {msg}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { names: names.collect(), bar, kept: 0 }
    }

    /// A cell starts.
    pub fn begin(&mut self, index: usize) {
        if let (Some(bar), Some(name)) = (&self.bar, self.names.get(index)) {
            bar.set_message(name.clone());
        }
    }

    /// A cell is over.
    pub fn end(&mut self, index: usize, report: &CellReport) {
        self.kept += usize::from(report.kept);
        let name = self.names.get(index).map_or("", String::as_str);
        match &self.bar {
            Some(bar) => {
                if let Some(error) = &report.error {
                    bar.println(printable(&format!("{name}: failed: {error}")));
                }
                bar.inc(1);
            }
            None => {
                let how = if report.kept { "kept" } else { report.status.name() };
                let error =
                    report.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
                let error = printable(&error);
                note(&format!("  [{}/{}] {name}  {how}{error}", index + 1, self.names.len()));
            }
        }
    }

    /// All cells are over.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        if self.kept > 0 {
            note(&format!(
                "{} of {} in the store already; --force runs them again",
                self.kept,
                match self.names.len() {
                    1 => "1 cell was".to_owned(),
                    cells => format!("{cells} cells were"),
                }
            ));
        }
    }
}
