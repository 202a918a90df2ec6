//! Everything a person reads on a terminal: results on stdout, progress and warnings on stderr.

pub mod cost;
mod finding;
pub mod plan;
mod score;
mod seeds_needed;
mod steps;
pub mod strict;
mod summary;
mod tuning;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use analysis::plan::unjudged::{self, Unjudged};
use serde::Serialize;

use crate::exit::Exit;
pub use finding::print_finding;
pub use score::print_score;
pub use seeds_needed::print_seeds_needed;
pub use steps::Steps;
pub use summary::print_analysis;
pub use tuning::print_tuning;

/// Sends panics to one line that asks for a report, instead of a backtrace nobody asked for.
pub fn prepare() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some(data::columns::PARSER_THREAD) {
            // A damaged file, which is told as such.
        } else if std::env::var_os("RUST_BACKTRACE").is_some() {
            default(panic);
        } else {
            note(&format!("internal error: {panic}"));
            note("this is a bug; set RUST_BACKTRACE=1 for where it happened");
        }
    }));
}

/// Prints clap's message with our exit code.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { Exit::Mistake.into() } else { Exit::Fine.into() }
}

/// Prints an error and the way out. A reader that closed the pipe is no error.
pub fn refuse(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if broken_pipe {
        return Exit::Fine.into();
    }
    let _ = writeln!(std::io::stderr(), "{} {}", paint("error:", RED), reasons(error));
    Exit::Mistake.into()
}

/// The chain of causes, without those that the message before them tells already.
fn reasons(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

/// A line on stderr.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A warning on stderr.
pub fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{} {text}", paint("warning:", YELLOW));
}

/// Says which claims are not judged because an option leaves out what they need.
pub fn warn_unjudged(unjudged: &[Unjudged]) {
    if let Some(words) = unjudged::words(unjudged) {
        warn(&words);
    }
}

const RED: &str = "31;1";
const YELLOW: &str = "33;1";

/// Colour on a terminal that has not asked for none.
fn paint(text: &str, colour: &str) -> String {
    let wanted = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Text on stdout.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// Text from elsewhere, such as a file's name, on one line and without what a terminal obeys: control
/// characters and those that turn the direction of writing are shown by their codes.
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// One JSON document on stdout.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// Aligned columns on stdout.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    print_text(&table(header, rows))
}

/// Aligned columns, a line each.
fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A program's name with its commit shortened: `375f69abc8c8`, or `375f69abc8c8+1a2b3c4d` with changes.
#[must_use]
pub fn short_program(name: &str) -> String {
    let (commit, changes) = name.find('+').map_or((name, ""), |place| name.split_at(place));
    format!("{}{changes}", commit.get(..12).unwrap_or(commit))
}

/// `42 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations are positive and moderate"
    )]
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}
