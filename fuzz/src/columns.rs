//! Files of numbers and names: `.npy`, CSV, Parquet, lists of ids.

use std::fs;
use std::path::Path;

use data::columns::{Array, ColumnSource, Ids, Values, ids, lists, numbers, order_ids};
use data::weights::Weights;

/// A reader, by the name of its corpus.
pub type Reader = (&'static str, fn(&[u8]));

/// Every reader.
pub const READERS: [Reader; 5] = [
    ("npy", npy),
    ("csv", csv),
    ("parquet", parquet),
    ("ids", list_of_ids),
    ("safetensors", weights),
];

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
}

fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a temporary file");
        read(&path);
    });
}

/// Everything that is read from a column.
fn column(path: &Path, column: Option<&str>) {
    let source = ColumnSource { path: path.to_owned(), column: column.map(str::to_owned) };
    if let Ok(column) = numbers(&source) {
        let _ = column.as_f64();
        let _ = column.as_ids::<u32>();
        let rows = column.columns.map_or(column.rows, |columns| column.rows * columns);
        assert_eq!(rows, column.len(), "rows and columns are not those of the values");
    }
    if let Ok(Ids::Texts(texts)) = ids(&source) {
        assert!(texts.codes.iter().all(|code| (*code as usize) < texts.names.len()));
    }
    if let Ok(lists) = lists(&source) {
        let count = match &lists.values {
            Values::Integers(values) => values.len(),
            Values::Floats(values) => values.len(),
        };
        assert_eq!(lists.lengths.iter().sum::<usize>(), count);
    }
}

/// An array of NumPy.
pub fn npy(bytes: &[u8]) {
    with_file("a.npy", bytes, |path| {
        column(path, None);
        let _ = order_ids(path);
        if let Ok(mut array) = Array::open(path) {
            let _ = array.slices(0, 1);
            let _ = array.values();
        }
    });
}

/// A table in text: the only column, and one by its name.
pub fn csv(bytes: &[u8]) {
    with_file("a.csv", bytes, |path| {
        column(path, None);
        column(path, Some("id"));
    });
}

/// A Parquet file: the only column, and one by its name.
pub fn parquet(bytes: &[u8]) {
    with_file("a.parquet", bytes, |path| {
        column(path, None);
        column(path, Some("id"));
    });
}

/// One id a line.
pub fn list_of_ids(bytes: &[u8]) {
    with_file("a.txt", bytes, |path| {
        let _ = order_ids(path);
    });
}

/// The weights of two models side by side.
pub fn weights(bytes: &[u8]) {
    if let Ok(weights) = Weights::read("a.safetensors", bytes) {
        for name in weights.hidden() {
            let (units, left, right) = weights.beside(&weights, &name).expect("the same matrix");
            assert_eq!(left.len(), right.len());
            assert!(left.is_empty() || left.len().is_multiple_of(units));
        }
        let _ = weights.checked(&["fc1.weigth".to_owned()]);
    }
}
