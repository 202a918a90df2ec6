//! How far a long piece of work is, on stderr: a bar on a terminal, a line per quarter elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use super::{moves, note};

/// Progress over equal steps.
pub struct Steps {
    what: &'static str,
    done: usize,
    all: usize,
    bar: Option<ProgressBar>,
}

impl Steps {
    /// Starts with nothing done of `all` steps, called `what`.
    #[must_use]
    pub fn start(what: &'static str, all: usize) -> Self {
        let bar = moves().then(|| {
            let bar = ProgressBar::new(all as u64);
            let template =
                format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}} elapsed, {{eta}} left");
            let style = ProgressStyle::with_template(&template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { what, done: 0, all, bar }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        let quarter = |done: usize| 4 * done / self.all.max(1);
        match &self.bar {
            Some(bar) => bar.inc(1),
            None if quarter(self.done) > quarter(self.done - 1) => {
                note(&format!("{}/{} {}", self.done, self.all, self.what));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
