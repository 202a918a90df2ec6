//! Tables as RFC 4180 CSV.

use super::{Table, Values};

/// The table, with a row of names.
#[must_use]
pub fn csv(table: &Table) -> String {
    let rows = table.columns.first().map_or(0, |(_, values)| values.len());
    let mut text = String::new();
    let names = table.columns.iter().map(|(name, _)| field(name));
    text.push_str(&names.collect::<Vec<_>>().join(","));
    text.push_str("\r\n");
    for row in 0..rows {
        let cells = table.columns.iter().map(|(_, values)| cell(values, row));
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(values: &Values, row: usize) -> String {
    match values {
        Values::Texts(all) => all[row].as_deref().map(field).unwrap_or_default(),
        Values::Numbers(all) => all[row].map(number).unwrap_or_default(),
        Values::Counts(all) => all[row].map(|count| count.to_string()).unwrap_or_default(),
        Values::Flags(all) => all[row].map(|flag| flag.to_string()).unwrap_or_default(),
    }
}

/// Shortest decimal that reads back as the same double.
fn number(value: f64) -> String {
    match value.abs() {
        size if size > 0.0 && !(1e-5..1e21).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}

/// One field, quoted where RFC 4180 asks for it, or where
/// there is a text and it is empty; what a spreadsheet would run as a formula gets an apostrophe.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) || !guard.is_empty() || text.is_empty() {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::table::all;

    fn csv_reader(text: &str) -> ::csv::Reader<&[u8]> {
        ::csv::Reader::from_reader(text.as_bytes())
    }

    #[test]
    fn every_row_has_a_field_for_every_column_and_numbers_read_back() {
        let tables = all(&sample::batch());
        for table in &tables {
            let text = csv(table);
            let mut reader = csv_reader(&text);
            let columns = reader.headers().unwrap().clone();
            let names: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(columns.iter().collect::<Vec<_>>(), names);
            for (row, fields) in reader.records().enumerate() {
                let fields = fields.unwrap();
                assert_eq!(fields.len(), columns.len());
                for ((_, values), field) in table.columns.iter().zip(&fields) {
                    match values {
                        Values::Numbers(all) => assert_eq!(field.parse().ok(), all[row]),
                        Values::Counts(all) => assert_eq!(field.parse().ok(), all[row]),
                        Values::Flags(all) => assert_eq!(field.parse().ok(), all[row]),
                        Values::Texts(all) => {
                            assert_eq!(field, all[row].as_deref().unwrap_or_default());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_are_short_and_lose_nothing() {
        for value in [0.1 + 0.2, 1e-7, 2.5e-120, 1e300, -0.0, 12_345_678.9, f64::NAN, f64::INFINITY]
        {
            let read: f64 = number(value).parse().unwrap();
            assert_eq!(read.to_bits(), value.to_bits());
        }
        assert_eq!(number(2.5e-120), "2.5e-120");
    }

    #[test]
    fn a_text_is_never_a_formula_and_an_empty_one_is_not_a_missing_one() {
        assert_eq!(field("=1+1"), "\"'=1+1\"");
        assert_eq!(field(""), "\"\"");
        let values = Values::Texts(vec![None, Some(String::new())]);
        assert_eq!((cell(&values, 0), cell(&values, 1)), (String::new(), "\"\"".to_owned()));
        assert_eq!(field("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
    }
}
