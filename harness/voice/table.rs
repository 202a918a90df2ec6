//! Aligned columns, a line each; where the terminal is narrower, long texts go below their row.

use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

use super::printable;

/// Between columns.
const GAP: usize = 2;
/// Texts from here on are sentences, which are easier to read below their row than in a narrow column.
const SENTENCE: usize = 28;
/// Before a text below its row.
const BELOW: &str = "      ";
/// A column is not folded to less.
const LEAST: usize = 8;

/// The rows under their header, within `most` columns of a terminal where there is such a limit.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    most: Option<usize>,
) -> String {
    let header = header.map(str::to_owned);
    let rows: Vec<[String; N]> =
        std::iter::once(header).chain(rows).map(|row| row.map(|cell| printable(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(display_width(cell));
        }
    }
    let below = most.map_or([false; N], |most| fit(&mut widths, most));
    let mut text = String::new();
    for row in &rows {
        within(&mut text, row, &widths, &below);
        let most = most.unwrap_or(usize::MAX).max(2 * BELOW.len());
        for (cell, _) in row.iter().zip(below).filter(|(cell, below)| *below && !cell.is_empty()) {
            let options = Options::new(most).initial_indent(BELOW).subsequent_indent(BELOW);
            for line in
                textwrap::wrap(cell.trim(), options.word_splitter(WordSplitter::NoHyphenation))
            {
                text += &line;
                text.push('\n');
            }
        }
    }
    text
}

/// Which columns go below their row so that the others fit; those are folded where they still do not.
fn fit<const N: usize>(widths: &mut [usize; N], most: usize) -> [bool; N] {
    let mut below = [false; N];
    let over = |widths: &[usize; N], below: &[bool; N]| {
        let beside = widths.iter().zip(below).filter(|(_, below)| !**below);
        let beside: Vec<usize> = beside.map(|(width, _)| *width).collect();
        beside.iter().sum::<usize>() + GAP * beside.len().saturating_sub(1) > most
    };
    while over(widths, &below) {
        // The first column names the row.
        let longest = (1..N).filter(|&at| !below[at]).max_by_key(|&at| widths[at]);
        match longest {
            Some(at) if widths[at] >= SENTENCE => below[at] = true,
            _ => break,
        }
    }
    while over(widths, &below) {
        let beside = (0..N).filter(|&at| !below[at]);
        match beside.max_by_key(|&at| widths[at]) {
            Some(at) if widths[at] > LEAST => widths[at] -= 1,
            _ => break,
        }
    }
    below
}

/// A row without what goes below it, each cell folded between words to its column's width.
fn within<const N: usize>(
    text: &mut String,
    row: &[String; N],
    widths: &[usize; N],
    below: &[bool; N],
) {
    let beside: Vec<usize> = (0..N).filter(|&at| !below[at]).collect();
    let folded = beside.iter().map(|&at| {
        let options = Options::new(widths[at]).word_splitter(WordSplitter::NoHyphenation);
        if display_width(&row[at]) <= widths[at] {
            vec![row[at].as_str().into()]
        } else {
            textwrap::wrap(&row[at], options)
        }
    });
    let folded: Vec<Vec<_>> = folded.collect();
    let height = folded.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..height {
        let mut end = 0;
        let mut whole = String::new();
        for (cell, &at) in folded.iter().zip(&beside) {
            let piece = cell.get(line).map_or("", AsRef::as_ref);
            whole += &" ".repeat(end - display_width(&whole).min(end));
            whole += piece;
            end += widths[at] + GAP;
        }
        *text += whole.trim_end();
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[String; 4]> {
        let row =
            |arm: &str, time: &str, n: &str, why: &str| [arm, time, n, why].map(str::to_owned);
        vec![
            row(
                "  sgd",
                "12.5 ms … 13.0 ms",
                "5",
                "the interval lies above the margin of 1.2×, on all of five seeds",
            ),
            row("  adamw", "–", "5", ""),
        ]
    }

    const HEADER: [&str; 4] = ["  arm", "95 % interval", "n", "why"];

    fn shown(most: Option<usize>) -> String {
        table(HEADER, rows().into_iter(), most)
    }

    #[test]
    fn a_pipe_gets_a_line_a_row() {
        insta::assert_snapshot!(shown(None), @r"
          arm    95 % interval      n  why
          sgd    12.5 ms … 13.0 ms  5  the interval lies above the margin of 1.2×, on all of five seeds
          adamw  –                  5
        ");
        assert_eq!(shown(None), shown(Some(200)));
    }

    #[test]
    fn on_a_narrow_terminal_the_longest_text_goes_below_its_row_and_no_word_is_cut() {
        insta::assert_snapshot!(shown(Some(44)), @r"
          arm    95 % interval      n
              why
          sgd    12.5 ms … 13.0 ms  5
              the interval lies above the margin of
              1.2×, on all of five seeds
          adamw  –                  5
        ");
    }

    #[test]
    fn where_no_text_is_a_sentence_columns_are_folded_between_words() {
        insta::assert_snapshot!(shown(Some(26)), @r"
          arm    95 % interval   n
              why
          sgd    12.5 ms … 13.0  5
                 ms
              the interval lies
              above the margin of
              1.2×, on all of five
              seeds
          adamw  –               5
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_every_word_is_there() {
        for most in 24..100 {
            let shown = shown(Some(most));
            assert!(shown.lines().all(|line| display_width(line) <= most), "{most}:\n{shown}");
            for word in rows().concat().iter().flat_map(|cell| cell.split(' ')) {
                assert!(shown.contains(word), "{most}: {word} is not in\n{shown}");
            }
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_by_its_code() {
        let row = ["\u{1b}[2Jx".to_owned(), "a\nb\u{202e}c".to_owned()];
        let shown = table(["arm", "why"], std::iter::once(row), None);
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.contains(r"\u{1b}[2Jx") && shown.contains(r"a\nb\u{202e}c"), "{shown}");
    }

    #[test]
    fn wide_letters_take_two_columns_of_a_terminal() {
        let row = |a: &str, b: &str| [a, b].map(str::to_owned);
        let rows = [row("中文", "1"), row("arm", "2")];
        let shown = table(["a", "b"], rows.into_iter(), None);
        assert_eq!(shown, "a     b\n中文  1\narm   2\n");
    }
}
