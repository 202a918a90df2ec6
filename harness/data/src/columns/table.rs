//! A whole table: a column of labels and the columns of numbers beside it.

use std::fs::File;
use std::path::Path;

use ::csv::{ByteRecord, ReaderBuilder};

use super::csv::{line, nearest, next, number};
use super::texts::Distinct;
use super::{ColumnError, Kind, kind, open, start};

/// Which columns of a table are which.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The column of labels.
    pub label: &'a str,
    /// Columns that are left out.
    pub ignored: &'a [String],
    /// What the labels are.
    pub kind: LabelKind,
}

/// What labels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// Names of classes, whatever they look like.
    Names,
    /// Numbers.
    Numbers,
}

/// The labels of a table, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum TableLabels {
    /// Names of classes.
    Names {
        /// Each name once, in the order in which they first come.
        names: Vec<String>,
        /// The name of each row, by its place in `names`.
        codes: Vec<u32>,
    },
    /// Numbers.
    Numbers(Vec<f64>),
}

/// Rows of numbers with a label each.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns of numbers.
    pub columns: Vec<String>,
    /// Their numbers, row after row; all of them finite.
    pub values: Vec<f64>,
    /// The labels.
    pub labels: TableLabels,
}

impl Table {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match &self.labels {
            TableLabels::Names { codes, .. } => codes.len(),
            TableLabels::Numbers(values) => values.len(),
        }
    }
}

/// Reads a table from a CSV, TSV or Parquet file. Every column that is neither the label nor left out has
/// to hold numbers.
///
/// # Errors
/// When the file cannot be read or is broken, lacks a column that is named, has no column of numbers or no row;
/// and at the first cell that is empty or no finite number, with file, column, line and what to do.
pub fn table(path: &Path, wanted: &Wanted<'_>) -> Result<Table, ColumnError> {
    let (mut file, length) = open(path)?;
    match kind(path, &start(path, &mut file)?, length)? {
        Kind::Text { separator } => of_text(path, &mut file, separator, wanted),
        #[cfg(feature = "parquet")]
        Kind::Parquet => of_parquet(path, file, wanted),
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => Err(ColumnError::NoParquet { path: path.to_path_buf() }),
        Kind::Npy => Err(ColumnError::Kind {
            path: path.to_path_buf(),
            found: "an array has no columns with names".to_owned(),
            remedy: "a table is CSV, TSV or Parquet",
        }),
    }
}

/// Where the label stands, and the columns of numbers.
struct Places {
    label: usize,
    numbers: Vec<usize>,
}

impl Places {
    fn find(path: &Path, names: &[String], wanted: &Wanted<'_>) -> Result<Self, ColumnError> {
        let refuse = |problem: String, hint: String| ColumnError::Column {
            path: path.to_path_buf(),
            problem,
            columns: names.join(", "),
            hint,
        };
        let place = |name: &str| {
            let found: Vec<usize> = (0..names.len()).filter(|&at| names[at] == name).collect();
            match found[..] {
                [at] => Ok(at),
                [] => Err(refuse(format!("there is no column {name:?}"), nearest(name, names))),
                _ => Err(refuse(
                    format!("{} columns are named {name:?}", found.len()),
                    String::new(),
                )),
            }
        };
        if names.iter().all(|name| number(name.as_bytes()).is_ok()) {
            let hint = "; add a row of names above it".to_owned();
            return Err(refuse("its first row holds numbers".to_owned(), hint));
        }
        let label = place(wanted.label)?;
        let ignored = wanted.ignored.iter().map(|name| place(name));
        let ignored = ignored.collect::<Result<Vec<_>, _>>()?;
        if ignored.contains(&label) {
            let problem = format!("column {:?} is the label and left out as well", wanted.label);
            return Err(refuse(problem, String::new()));
        }
        let numbers: Vec<usize> =
            (0..names.len()).filter(|at| *at != label && !ignored.contains(at)).collect();
        if numbers.is_empty() {
            return Err(refuse("no column is left to learn from".to_owned(), String::new()));
        }
        // A name that comes twice tells of a wrong file, though nobody gave it.
        numbers.iter().try_for_each(|&at| place(&names[at]).map(drop))?;
        Ok(Self { label, numbers })
    }

    fn names(&self, names: &[String]) -> Vec<String> {
        self.numbers.iter().map(|&at| names[at].clone()).collect()
    }
}

/// Labels so far.
enum Labels {
    Names(Distinct),
    Numbers(Vec<f64>),
}

impl Labels {
    fn of(kind: LabelKind) -> Self {
        match kind {
            LabelKind::Names => Self::Names(Distinct::default()),
            LabelKind::Numbers => Self::Numbers(Vec::new()),
        }
    }

    fn push(&mut self, cell: &[u8]) -> Result<(), &'static str> {
        match self {
            Self::Names(names) => names.push(cell.trim_ascii()),
            Self::Numbers(values) => {
                values.push(finite(cell)?);
                Ok(())
            }
        }
    }

    fn finish(self) -> TableLabels {
        match self {
            Self::Names(Distinct { names, codes, .. }) => TableLabels::Names { names, codes },
            Self::Numbers(values) => TableLabels::Numbers(values),
        }
    }
}

/// The finite number that a cell holds.
fn finite(cell: &[u8]) -> Result<f64, &'static str> {
    match number(cell.trim_ascii())? {
        value if value.is_finite() => Ok(value),
        _ => Err("infinite"),
    }
}

fn of_text(
    path: &Path,
    file: &mut File,
    separator: u8,
    wanted: &Wanted<'_>,
) -> Result<Table, ColumnError> {
    let mut reader = ReaderBuilder::new().delimiter(separator).has_headers(false).from_reader(file);
    let mut record = ByteRecord::new();
    let empty = || ColumnError::Malformed {
        path: path.to_path_buf(),
        format: "CSV",
        problem: "it has no rows below its row of names".to_owned(),
        remedy: "write it again",
    };
    if !next(path, &mut reader, &mut record)? {
        return Err(empty());
    }
    let text = |name: &[u8]| String::from_utf8_lossy(name.trim_ascii()).into_owned();
    let names: Vec<String> = record.iter().map(text).collect();
    let places = Places::find(path, &names, wanted)?;
    let (mut values, mut labels) = (Vec::new(), Labels::of(wanted.kind));
    while next(path, &mut reader, &mut record)? {
        let refuse = |at: usize, what: &'static str| ColumnError::Cell {
            path: super::named(path, Some(&names[at])),
            place: line(path, record.position()),
            value: String::from_utf8_lossy(&record[at]).chars().take(40).collect(),
            what,
            remedy: remedy(at == places.label),
        };
        for &at in &places.numbers {
            values.push(finite(&record[at]).map_err(|what| refuse(at, what))?);
        }
        let at = places.label;
        labels.push(&record[at]).map_err(|what| refuse(at, what))?;
    }
    let table = Table { columns: places.names(&names), values, labels: labels.finish() };
    if table.rows() == 0 { Err(empty()) } else { Ok(table) }
}

/// What to do about a cell that is of no use.
fn remedy(label: bool) -> &'static str {
    if label {
        "leave that row out, or mend it"
    } else {
        "leave that row out, mend it, or leave the column out with `ignore`"
    }
}

#[cfg(feature = "parquet")]
fn of_parquet(path: &Path, file: File, wanted: &Wanted<'_>) -> Result<Table, ColumnError> {
    use super::{ColumnSource, parquet};

    let names = parquet::names(path, file)?;
    let places = Places::find(path, &names, wanted)?;
    let column =
        |at: usize| ColumnSource { path: path.to_path_buf(), column: Some(names[at].clone()) };
    let numbers = |at: usize| {
        let values = super::numbers(&column(at))?.as_f64()?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(row) => Err(ColumnError::Cell {
                path: super::named(path, Some(&names[at])),
                place: format!("row {row}"),
                value: values[row].to_string(),
                what: "infinite",
                remedy: remedy(at == places.label),
            }),
        }
    };
    let labels = match wanted.kind {
        LabelKind::Numbers => TableLabels::Numbers(numbers(places.label)?),
        LabelKind::Names => match super::ids(&column(places.label))? {
            super::Ids::Texts(texts) => {
                TableLabels::Names { names: texts.names, codes: texts.codes }
            }
            super::Ids::Numbers(column) => {
                let mut names = Distinct::default();
                let shown: Vec<String> = match &column.values {
                    super::Values::Integers(values) => {
                        values.iter().map(ToString::to_string).collect()
                    }
                    super::Values::Floats(values) => {
                        values.iter().map(ToString::to_string).collect()
                    }
                };
                for name in &shown {
                    // Numbers as text are never empty.
                    names.push(name.as_bytes()).ok();
                }
                TableLabels::Names { names: names.names, codes: names.codes }
            }
        },
    };
    let columns = places.numbers.iter().map(|&at| numbers(at)).collect::<Result<Vec<_>, _>>()?;
    let rows = columns.first().map_or(0, Vec::len);
    let values = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    Ok(Table { columns: places.names(&names), values, labels })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str, label: &str, ignored: &[&str], kind: LabelKind) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, text).unwrap();
        let ignored: Vec<String> = ignored.iter().map(ToString::to_string).collect();
        let wanted = Wanted { label, ignored: &ignored, kind };
        let shown = folder.path().display().to_string();
        table(&path, &wanted).map_err(|error| error.to_string().replace(&shown, ""))
    }

    const PLANTS: &str = "\u{feff}length,kind,width,place\r\n1,\"a, b\",2.5,north\r\n-3e1, c ,0,south\r\n1,\"a, b\",7,north\r\n";

    #[test]
    fn columns_beside_the_label_are_numbers_and_names_are_kept_as_they_come() {
        let table = read(PLANTS, "kind", &["place"], LabelKind::Names).unwrap();
        assert_eq!(table.columns, ["length", "width"]);
        assert_eq!(table.values, [1.0, 2.5, -30.0, 0.0, 1.0, 7.0]);
        let names = vec!["a, b".to_owned(), "c".to_owned()];
        assert_eq!(table.labels, TableLabels::Names { names, codes: vec![0, 1, 0] });
        let table = read(PLANTS, "width", &["kind", "place"], LabelKind::Numbers).unwrap();
        assert_eq!(table.labels, TableLabels::Numbers(vec![2.5, 0.0, 7.0]));
        assert_eq!((table.rows(), table.values), (3, vec![1.0, -30.0, 1.0]));
    }

    #[test]
    fn what_cannot_be_learnt_from_is_named_with_column_line_value_and_remedy() {
        let refused = |text: &str, label: &str, ignored: &[&str], kind, parts: &[&str]| {
            let told = read(text, label, ignored, kind).unwrap_err();
            for part in parts {
                assert!(told.contains(part), "{part} is not in {told}");
            }
        };
        use LabelKind::{Names, Numbers};
        refused(
            PLANTS,
            "kind",
            &[],
            Names,
            &["/t.csv:place", "line 2", "\"north\"", "not a number", "`ignore`"],
        );
        refused(PLANTS, "knd", &["place"], Names, &["no column \"knd\"", "did you mean \"kind\"?"]);
        refused(
            PLANTS,
            "kind",
            &["plac"],
            Names,
            &["no column \"plac\"", "did you mean \"place\"?"],
        );
        refused(PLANTS, "kind", &["kind", "place"], Names, &["the label and left out as well"]);
        refused(PLANTS, "kind", &["length", "width", "place"], Names, &["no column is left"]);
        refused(
            PLANTS,
            "kind",
            &["place"],
            Numbers,
            &["/t.csv:kind", "line 2", "not a number", "mend it"],
        );
        refused("x,y\n1,\n", "y", &[], Names, &["t.csv:y", "line 2", "empty"]);
        refused("x,y\n,1\n", "y", &[], Names, &["t.csv:x", "line 2", "empty"]);
        refused("x,y\ninf,1\n", "y", &[], Names, &["t.csv:x", "line 2", "infinite"]);
        refused("x,y\n1,2,3\n", "y", &[], Names, &["line 2 has 3 fields"]);
        refused("x,x,y\n1,2,3\n", "y", &[], Names, &["2 columns are named \"x\""]);
        refused("1,2\n3,4\n", "2", &[], Names, &["its first row holds numbers", "row of names"]);
        refused("x,y\n", "y", &[], Names, &["no rows below"]);
    }
}
