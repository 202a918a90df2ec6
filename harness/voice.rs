//! Everything a person reads on a terminal: results on stdout, progress and warnings on stderr.

pub mod cost;
mod finding;
pub mod plan;
mod score;
mod seeds_needed;
mod steps;
pub mod strict;
mod summary;
mod table;
mod tuning;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

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
    let _ = writeln!(std::io::stderr(), "{} {}", paint("error:", RED), indented(&reasons(error)));
    Exit::Mistake.into()
}

/// A text whose further lines cannot be taken for messages of their own.
fn indented(text: &str) -> String {
    lines(text).replace('\n', "\n  ")
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

/// A line on stderr, or several.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", lines(text));
}

/// A warning on stderr.
pub fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{} {}", paint("warning:", YELLOW), printable(text));
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
    let wanted = moves() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Whether standard error is a terminal that moves its cursor and knows colours.
#[must_use]
pub fn moves() -> bool {
    std::io::stderr().is_terminal() && !is_dumb(std::env::var_os("TERM").as_deref())
}

fn is_dumb(term: Option<&std::ffi::OsStr>) -> bool {
    term.is_some_and(|term| term == "dumb")
}

/// Whether tables keep a line a row on a terminal that is too narrow for them.
static WIDE: AtomicBool = AtomicBool::new(false);

/// Tables keep a line a row, however narrow the terminal.
pub fn widen() {
    WIDE.store(true, Ordering::Relaxed);
}

/// Columns of the terminal that tables must fit; none where there is no terminal.
fn columns() -> Option<usize> {
    let narrow = std::io::stdout().is_terminal() && !WIDE.load(Ordering::Relaxed);
    narrow.then(textwrap::termwidth)
}

/// Text on stdout, without what a terminal obeys.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(lines(text).as_bytes())?)
}

/// Text from elsewhere, such as a file's name, on one line and without what a terminal obeys: control
/// characters and those that turn the direction of writing are shown by their codes.
pub fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same of a text of several lines, which stay.
pub fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, stays: fn(char) -> bool) -> String {
    let turns = |c: char| matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && !stays(c)) || turns(c) {
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

/// Aligned columns on stdout; on a terminal that is narrower, long texts go below their row.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    print_text(&table::table(header, rows, columns()))
}

/// Digits after the point by which each of these differences has two that count: at least 5, at most 15.
#[must_use]
pub fn decimals_for(differences: &[f64]) -> usize {
    let sizes = differences.iter().map(|value| value.abs()).filter(|size| *size > 0.0);
    let least = sizes.filter(|size| size.is_finite()).fold(f64::INFINITY, f64::min);
    (5..15).find(|&digits| least * 10_f64.powi(digits) >= 10.0).unwrap_or(15) as usize
}

/// `1 seed`, `2 seeds`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `value` with `decimals` digits after the point, or with an exponent where that would show too many
/// digits or none that count.
#[must_use]
pub fn number(value: f64, decimals: usize) -> String {
    let size = value.abs();
    let smallest = 0.5 * 0.1_f64.powi(i32::try_from(decimals).unwrap_or(i32::MAX));
    if size >= 1e6 || (size > 0.0 && size < smallest) {
        format!("{value:.2e}")
    } else {
        format!("{value:.decimals$}")
    }
}

/// The same with a sign before what is not negative.
#[must_use]
pub fn signed(value: f64, decimals: usize) -> String {
    let shown = number(value, decimals);
    if shown.starts_with('-') { shown } else { format!("+{shown}") }
}

/// A word as a shell reads it back, whatever is in it.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./,:=@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_whatever_their_size_and_never_round_to_nothing() {
        assert_eq!(number(22.3141, 2), "22.31");
        assert_eq!(number(1.234e30, 2), "1.23e30");
        assert_eq!(number(-2_000_000.0, 4), "-2.00e6");
        assert_eq!(number(1.5e-9, 2), "1.50e-9");
        assert_eq!(number(0.0, 2), "0.00");
        assert_eq!(signed(0.01234, 4), "+0.0123");
        assert_eq!(signed(-0.000_012, 4), "-1.20e-5");
        assert_eq!(signed(f64::NAN, 2), "+NaN");
    }

    #[test]
    fn a_text_of_lines_keeps_them_and_what_is_one_line_does_not() {
        assert_eq!(lines("a\n\tb\u{1b}[31m\r"), "a\n\tb\\u{1b}[31m\\r");
        assert_eq!(printable("a\nb\u{85}\u{202e}"), "a\\nb\\u{85}\\u{202e}");
        assert_eq!(printable("naïve 中文 ∞"), "naïve 中文 ∞");
    }

    #[test]
    fn a_dumb_terminal_is_one_that_says_so() {
        assert!(is_dumb(Some("dumb".as_ref())));
        assert!(!is_dumb(Some("xterm-256color".as_ref())) && !is_dumb(None));
    }

    #[test]
    fn small_differences_between_losses_are_told_with_two_digits() {
        assert_eq!(decimals_for(&[0.02, -0.5]), 5);
        assert_eq!(decimals_for(&[0.02, -7.3e-6]), 7);
        assert_eq!(format!("{:+.*}", decimals_for(&[-7.34e-6]), -7.34e-6), "-0.0000073");
        assert_eq!(decimals_for(&[0.0, f64::NAN]), 5);
        assert_eq!(decimals_for(&[1e-300]), 15);
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "arm")), ["0 arms", "1 arm", "2 arms"]);
    }
}
