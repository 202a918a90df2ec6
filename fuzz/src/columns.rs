//! Files of numbers and names (`.npy`, CSV, Parquet, lists of ids), images, and texts.

use std::fs;
use std::path::Path;

use data::columns::{Array, ColumnSource, Ids, Values, ids, lists, numbers, order_ids};
use data::images::{Colours, Fit, decode};
use data::own::Shares;
use data::text::spelling::Unit;
use data::tokens::{self, Format, Wanted};
use data::weights::Weights;

/// A reader, by the name of its corpus.
pub type Reader = (&'static str, fn(&[u8]));

/// Every reader.
pub const READERS: [Reader; 7] = [
    ("npy", npy),
    ("csv", csv),
    ("parquet", parquet),
    ("ids", list_of_ids),
    ("safetensors", weights),
    ("image", image),
    ("tokens", text_or_tokens),
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

/// A PNG or a JPEG, brought to one size.
pub fn image(bytes: &[u8]) {
    if let Ok(picture) = decode(bytes) {
        assert_eq!(picture.pixels.len(), picture.width * picture.height * picture.channels);
        for colours in [Colours::Grey, Colours::Rgb] {
            let fitted = Fit { size: 5, colours }.of(&picture);
            assert_eq!(fitted.len(), 25 * colours.channels());
        }
    }
}

/// A text, JSON lines and 16-bit numbers.
pub fn text_or_tokens(bytes: &[u8]) {
    with_file("a.tokens", bytes, |path| {
        for format in [Format::Text, Format::Lines, Format::Numbers] {
            for unit in [Unit::Character, Unit::Byte] {
                let wanted = Wanted { format, unit, field: "text", vocabulary: None, context: 3 };
                let shares = Shares { validation: 0.2, test: 0.2 };
                let Ok(data) = tokens::load(path, &wanted, shares) else { continue };
                let all = [&data.train, &data.validation, &data.test];
                let tokens = all.into_iter().flat_map(|part| &part.examples);
                let mut tokens = tokens.flat_map(|example| &example.tokens);
                assert!(tokens.all(|token| usize::from(*token) < data.spelling.vocabulary()));
            }
        }
    });
}
