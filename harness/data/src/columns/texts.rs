//! Columns of text: examples that are known by names instead of numbers.

use std::collections::HashMap;
use std::path::Path;

use super::{
    Column, ColumnError, ColumnSource, Kind, csv, kind, npy, numbers, open, refuse_column_of_npy,
    start,
};

/// What a cell of text is told to be where numbers are read.
pub(super) const NOT_A_NUMBER: &str = "not a number";

/// Ids of examples.
#[derive(Debug, Clone, PartialEq)]
pub enum Ids {
    /// Numbers.
    Numbers(Column),
    /// Names.
    Texts(Texts),
}

/// A column of text, or a table of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Texts {
    /// Where it came from, for messages.
    pub source: ColumnSource,
    /// Each text once, in the order in which they first come.
    pub names: Vec<String>,
    /// The text of each row, by its place in `names`; rows after rows.
    pub codes: Vec<u32>,
    /// Rows; for a list the number of values.
    pub rows: usize,
    /// Columns of a table; `None` for a list.
    pub columns: Option<usize>,
}

/// Reads ids: as [`numbers`] where they are numbers, else as text, letter by letter.
///
/// # Errors
/// As [`numbers`]; and for empty text, text that is no UTF-8, and a column of text in a CSV file
/// that is not named, whose first line might be a header or a value.
pub fn ids(source: &ColumnSource) -> Result<Ids, ColumnError> {
    let error = match numbers(source) {
        Ok(column) => return Ok(Ids::Numbers(column)),
        Err(error) => error,
    };
    match &error {
        ColumnError::Cell { what: NOT_A_NUMBER, .. } => texts(source).map(Ids::Texts),
        ColumnError::Dtype { .. } => match texts(source) {
            // Neither numbers nor text.
            Err(ColumnError::Dtype { .. }) => Err(error),
            found => found.map(Ids::Texts),
        },
        _ => Err(error),
    }
}

fn texts(source: &ColumnSource) -> Result<Texts, ColumnError> {
    let path = &source.path;
    let (mut file, length) = open(path)?;
    let column = source.column.as_deref();
    let (found, columns) = match kind(path, &start(path, &mut file)?, length)? {
        Kind::Npy => {
            refuse_column_of_npy(source)?;
            npy::read_texts(path, &mut file, length)?
        }
        Kind::Text { separator } => {
            (csv::read_texts(path, (&mut file, length), separator, column)?, None)
        }
        #[cfg(feature = "parquet")]
        Kind::Parquet => (super::parquet::read_texts(path, file, column)?, None),
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => return Err(ColumnError::NoParquet { path: path.clone() }),
    };
    let Distinct { names, codes, .. } = found;
    let rows = columns.map_or(codes.len(), |(rows, _)| rows);
    let columns = columns.map(|(_, columns)| columns);
    Ok(Texts { source: source.clone(), names, codes, rows, columns })
}

/// Texts so far, each kept once however often it comes.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    /// Each text once, in the order in which they first come.
    pub(super) names: Vec<String>,
    place: HashMap<String, u32>,
    /// The text of each row.
    pub(super) codes: Vec<u32>,
}

impl Distinct {
    /// Appends a text, or says what is wrong with it.
    pub(super) fn push(&mut self, text: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
        if text.trim().is_empty() {
            return Err("empty");
        }
        let code = match self.place.get(text) {
            Some(code) => *code,
            None => {
                let code = u32::try_from(self.names.len()).map_err(|_| "one text too many")?;
                self.names.push(text.to_owned());
                self.place.insert(text.to_owned(), code);
                code
            }
        };
        self.codes.push(code);
        Ok(())
    }

    /// How many rows there are.
    #[cfg(feature = "parquet")]
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }
}

/// The error for a text that cannot be taken, by its index.
pub(super) fn refuse(path: &Path, index: usize, text: &[u8], what: &'static str) -> ColumnError {
    ColumnError::Value {
        path: path.to_path_buf(),
        index,
        value: format!("{:?}", String::from_utf8_lossy(text).chars().take(40).collect::<String>()),
        what,
        remedy: "leave that row out everywhere, or mend it",
    }
}
