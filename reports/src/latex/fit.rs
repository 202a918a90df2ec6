//! How wide a text is once LaTeX has set it, and what of a table fits where. A table is laid out here and not by
//! TeX, so that it fits its column whatever the names are.

use super::escape::{escape, is_typeset};
use crate::paper::{Kind, PaperTable};

/// Width of one column, and of both, of a page of two, in points.
pub(crate) const SINGLE: f64 = 240.0;
/// See [`SINGLE`].
pub(crate) const DOUBLE: f64 = 500.0;
/// `\tabcolsep`: half of the room between two columns.
pub(crate) const GAP: f64 = 3.0;
/// Least width of a column of words on several lines, in a table of one column and of two.
const LEAST: [f64; 2] = [68.0, 56.0];
/// Most lines of a table: a page has more.
const LINES: usize = 46;
/// Widest stretch of a word that TeX is asked to keep together: a little less than the narrowest column.
const STRETCH: f64 = 54.0;
/// Least stretch after which a sign ends it.
const SIGNED: f64 = 12.0;

/// Widths of the printable ASCII characters in Computer Modern Roman, in thousandths of the size: measured in its
/// metrics at 10 points; at 8 points letters are a sixteenth wider.
const WIDTHS: [u16; 95] = [
    333, 278, 500, 833, 500, 833, 778, 278, 389, 389, 500, 778, 278, 333, 278,
    500, // space to /
    500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 278, 278, 778, 778, 778, 472, // 0 to ?
    778, 750, 708, 722, 764, 681, 653, 785, 750, 361, 514, 778, 625, 917, 750, 778, // @ to O
    681, 778, 736, 556, 722, 750, 750, 1028, 750, 750, 611, 278, 500, 278, 611, 778, // P to _
    278, 500, 556, 444, 556, 444, 306, 500, 556, 278, 306, 528, 278, 833, 556, 500, // ` to o
    556, 528, 392, 394, 389, 556, 528, 722, 528, 528, 444, 500, 278, 500, 611, // p to ~
];

/// Size of the tables in points, and what a letter of it is wider for being small.
pub(crate) const SIZE: f64 = 8.0;
const SMALL: f64 = 1.0625;

/// Width of a character in points.
fn character(c: char) -> f64 {
    let thousandths = match c {
        ' '..='~' => f64::from(WIDTHS[c as usize - 0x20]),
        '×' | '±' | '−' | '≥' | '≤' | '÷' | '¬' => 778.0,
        '∞' | '→' | '…' => 1000.0,
        'Æ' | 'æ' | '½' | '¼' | '¾' | '©' | '®' | '‰' => 1050.0,
        c if is_typeset(c) => 780.0,
        '–' | 'ρ' | 'τ' | 'σ' | '·' | '²' | '³' => 600.0,
        'Δ' | '✓' | '✗' => 840.0,
        // `U+10FFFF` at most.
        _ => 8.0 * 560.0,
    };
    thousandths / 1000.0 * SIZE * SMALL
}

/// Width of a text in points.
pub(crate) fn width(text: &str) -> f64 {
    text.chars().map(character).sum()
}

/// `text` as LaTeX text that may be broken: after signs that do not stand in a number, and within words that are wider
/// than a column may be.
pub(crate) fn breakable(text: &str) -> String {
    let mut tex = String::new();
    let mut piece = String::new();
    let mut stretch = 0.0;
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = letters.next() {
        let wide = character(c);
        if stretch + wide > STRETCH {
            tex.push_str(&escape(&piece));
            tex.push_str("\\allowbreak{}");
            piece.clear();
            stretch = 0.0;
        }
        piece.push(c);
        stretch += wide;
        if c.is_whitespace() {
            stretch = 0.0;
        } else if "-_,;:=/.]|+".contains(c)
            && stretch > SIGNED
            && !(before.is_ascii_digit() && letters.peek().is_some_and(char::is_ascii_digit))
        {
            tex.push_str(&escape(&piece));
            tex.push_str("\\allowbreak{}");
            piece.clear();
            stretch = 0.0;
        }
        before = c;
    }
    tex.push_str(&escape(&piece));
    tex
}

/// Where a table goes, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// Whether it takes both columns of the page.
    pub(crate) double: bool,
    /// Places of its columns among those of the table.
    pub(crate) columns: Vec<usize>,
    /// Width of each that is set on several lines; none of one that is as wide as its text.
    pub(crate) widths: Vec<Option<f64>>,
    /// Rows, from and to.
    pub(crate) rows: (usize, usize),
}

/// The parts of a table that fit: all of it, or some columns after the other, and some rows after the other.
pub(crate) fn layouts(table: &PaperTable) -> Vec<Layout> {
    let natural: Vec<f64> = (0..table.columns.len()).map(|column| widest(table, column)).collect();
    let mut parts = Vec::new();
    for columns in groups(table, &natural) {
        let (double, widths) = placed(table, &natural, &columns)
            .unwrap_or_else(|| (true, columns.iter().map(|_| None).collect()));
        let mut from = 0;
        let mut lines = 0;
        for (place, row) in table.rows.iter().enumerate() {
            let own = columns.iter().zip(&widths).map(|(column, wide)| match wide {
                // Words do not fill their lines.
                Some(wide) => (1.25 * width(&row[*column]) / wide).ceil().max(1.0) as usize,
                None => 1,
            });
            let own = own.max().unwrap_or(1);
            if lines + own > LINES && place > from {
                let (columns, widths) = (columns.clone(), widths.clone());
                parts.push(Layout { double, columns, widths, rows: (from, place) });
                (from, lines) = (place, 0);
            }
            lines += own;
        }
        parts.push(Layout { double, columns, widths, rows: (from, table.rows.len()) });
    }
    parts
}

/// Width of the widest cell of a column.
fn widest(table: &PaperTable, column: usize) -> f64 {
    let cells = table.rows.iter().map(|row| width(&row[column]));
    // What is measured here is a little less than what TeX adds up.
    cells.fold(width(&table.columns[column].0), f64::max) * 1.02
}

/// Columns that fit beside one another: all of them where they do, else in parts that each begin with the first.
fn groups(table: &PaperTable, natural: &[f64]) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..table.columns.len()).collect();
    if placed(table, natural, &all).is_some() || all.len() < 3 {
        return vec![all];
    }
    let mut groups: Vec<Vec<usize>> = vec![vec![0]];
    for column in 1..table.columns.len() {
        let last = groups.len() - 1;
        let with: Vec<usize> = groups[last].iter().copied().chain([column]).collect();
        if with.len() == 2 || placed(table, natural, &with).is_some() {
            groups[last] = with;
        } else {
            groups.push(vec![0, column]);
        }
    }
    groups
}

/// Whether columns fit into one column of the page or both, and how wide those of words are then.
fn placed(
    table: &PaperTable,
    natural: &[f64],
    columns: &[usize],
) -> Option<(bool, Vec<Option<f64>>)> {
    let gaps = 2.0 * GAP * columns.len() as f64;
    let all: f64 = columns.iter().map(|column| natural[*column]).sum();
    let whole = |double| Some((double, vec![None; columns.len()]));
    if all + gaps <= SINGLE {
        return whole(false);
    }
    if let Some(widths) = wrapped(table, natural, columns, SINGLE - gaps, LEAST[0]) {
        return Some((false, widths));
    }
    if all + gaps <= DOUBLE {
        return whole(true);
    }
    Some((true, wrapped(table, natural, columns, DOUBLE - gaps, LEAST[1])?))
}

/// Widths of the columns of words in the room that numbers leave: what a narrow one does not need, wide ones get.
fn wrapped(
    table: &PaperTable,
    natural: &[f64],
    columns: &[usize],
    room: f64,
    least: f64,
) -> Option<Vec<Option<f64>>> {
    let is_words = |column: &usize| table.columns[*column].1 == Kind::Words;
    let numbers = columns.iter().filter(|column| !is_words(column)).map(|it| natural[*it]);
    let mut left = room - numbers.sum::<f64>();
    let mut words: Vec<usize> = columns.iter().copied().filter(is_words).collect();
    words.sort_by(|a, b| natural[*a].total_cmp(&natural[*b]));
    let mut widths = vec![None; columns.len()];
    for (place, column) in words.iter().enumerate() {
        let fair = left / (words.len() - place) as f64;
        let own = natural[*column].min(fair);
        if own < natural[*column] {
            if own < least {
                return None;
            }
            let at = columns.iter().position(|other| other == column)?;
            widths[at] = Some((own * 10.0).floor() / 10.0);
        }
        left -= own;
    }
    (left >= -1e-9).then_some(widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, Kind)], rows: &[&[&str]]) -> PaperTable {
        PaperTable {
            label: "t".to_owned(),
            caption: String::new(),
            columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
                .collect(),
        }
    }

    /// What a part takes, in points.
    fn taken(table: &PaperTable, part: &Layout) -> f64 {
        let own = part.columns.iter().zip(&part.widths);
        let own = own.map(|(column, wide)| wide.unwrap_or_else(|| widest(table, *column)));
        own.sum::<f64>() + 2.0 * GAP * part.columns.len() as f64
    }

    #[test]
    fn digits_are_as_wide_as_in_computer_modern_at_eight_points() {
        // cmr8: 0.531 em of 8 points.
        assert!((character('5') - 4.25).abs() < 0.01);
        assert!((width("mm") - 2.0 * 7.08).abs() < 0.02);
    }

    #[test]
    fn narrow_tables_take_one_column_wide_ones_two_and_words_are_wrapped_before_that() {
        use Kind::{Numbers, Words};
        let narrow = table(&[("Arm", Words), ("n", Numbers)], &[&["sgd", "5"]]);
        assert_eq!(layouts(&narrow)[0].widths, [None, None]);
        assert!(!layouts(&narrow)[0].double);
        let sentence = "a long sentence that says at length what is claimed and where it stands";
        let wrapped = table(&[("Claim", Words), ("n", Numbers)], &[&[sentence, "5"]]);
        let part = &layouts(&wrapped)[0];
        assert!(!part.double && part.widths[0].is_some(), "{part:?}");
        let numbers = ["1.2345 [1.2000, 1.3000]"; 4];
        let wide =
            table(&[("A", Numbers), ("B", Numbers), ("C", Numbers), ("D", Numbers)], &[&numbers]);
        let part = &layouts(&wide)[0];
        assert!(part.double && part.widths.iter().all(Option::is_none), "{part:?}");
    }

    #[test]
    fn no_part_is_wider_than_its_column_and_every_cell_is_in_one() {
        use Kind::{Numbers, Words};
        let name = "W".repeat(60);
        let columns: Vec<(&str, Kind)> =
            std::iter::once(("Arm", Words)).chain([("Time to target", Numbers); 14]).collect();
        let row: Vec<&str> =
            std::iter::once(&*name).chain(["123.45 [100.00, 150.00]"; 14]).collect();
        let rows: Vec<&[&str]> = vec![&row; 120];
        let table = table(&columns, &rows);
        let parts = layouts(&table);
        for part in &parts {
            let most = if part.double { DOUBLE } else { SINGLE };
            assert!(taken(&table, part) <= most, "{part:?}");
            assert_eq!(part.columns[0], 0);
        }
        let mut cells: Vec<_> = parts
            .iter()
            .flat_map(|part| {
                let rows = part.rows.0..part.rows.1;
                rows.flat_map(|row| part.columns[1..].iter().map(move |column| (row, *column)))
            })
            .collect();
        cells.sort_unstable();
        cells.dedup();
        assert_eq!(cells.len(), 120 * 14);
    }

    #[test]
    fn a_word_without_end_can_be_broken_often_enough() {
        let tex = breakable(&"W".repeat(60));
        assert!(tex.split("\\allowbreak{}").all(|part| part.matches('W').count() <= 6), "{tex}");
        assert_eq!(breakable("a b"), "a b");
        let setting = breakable("drop-muon[cutoff=uniform,lr=0.1]");
        assert!(setting.contains("=\\allowbreak{}uniform"), "{setting}");
        // Neither a number nor a word of common length is broken.
        for whole in ["0.07766", "2026-11-28", "validation", "schedule", "12,345,678.9"] {
            let tex = breakable(&format!("smoothing={whole}"));
            assert!(tex.ends_with(whole), "{tex}");
        }
    }
}
