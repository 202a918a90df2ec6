//! Files of an order: example ids in the order of consumption.

use std::path::Path;

use super::{Column, ColumnError, ColumnSource, Values, numbers, open};

/// Reads example ids: a list or table of whole numbers as [`numbers`] reads them (a table row after
/// row, for example an epoch a row), or a `.txt` file with one id a line.
///
/// # Errors
/// When the file cannot be read, holds nothing, or holds anything but whole numbers from 0; each
/// names the file, the place, the value and the remedy.
pub fn order_ids(path: &Path) -> Result<Vec<u32>, ColumnError> {
    let text = path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("txt"));
    let column = if text {
        lines(path)?
    } else {
        let text = path.display().to_string();
        numbers(&text.parse().unwrap_or(ColumnSource { path: path.to_path_buf(), column: None }))?
    };
    if column.is_empty() {
        return Err(ColumnError::Malformed {
            path: path.to_path_buf(),
            format: "order",
            problem: "it holds no ids".to_owned(),
            remedy: "give the example ids in the order of consumption",
        });
    }
    column.as_ids()
}

/// One id a line.
fn lines(path: &Path) -> Result<Column, ColumnError> {
    let io = |source| ColumnError::Io { path: path.to_path_buf(), source };
    open(path)?;
    let text = std::fs::read_to_string(path).map_err(io)?;
    let mut values = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let value = line.trim().parse().map_err(|_| ColumnError::Cell {
            path: path.to_path_buf(),
            place: format!("line {number}"),
            value: format!("{:?}", line.chars().take(40).collect::<String>()),
            what: "no whole number",
            remedy: "give one example id a line",
        })?;
        values.push(value);
    }
    let source = ColumnSource { path: path.to_path_buf(), column: None };
    Ok(Column { source, rows: values.len(), values: Values::Integers(values), columns: None })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::columns::write_npy;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn text_and_npy_give_the_same_ids() {
        let folder = folder();
        let [text, npy] = ["order.txt", "order.npy"].map(|name| folder.path().join(name));
        fs::write(&text, "3\n0\n 2\r\n1\n").unwrap();
        let mut file = fs::File::create(&npy).unwrap();
        write_npy(&mut file, &[3_u32, 0, 2, 1]).unwrap();
        assert_eq!(order_ids(&text).unwrap(), [3, 0, 2, 1]);
        assert_eq!(order_ids(&npy).unwrap(), [3, 0, 2, 1]);
    }

    #[test]
    fn what_holds_no_ids_is_refused_with_its_place() {
        let folder = folder();
        let refused = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            order_ids(&path).unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
        };
        assert!(refused("a.txt", "1\nx2\n").contains("line 2"), "{}", refused("a.txt", "1\nx2\n"));
        assert!(refused("b.txt", "1\n\n2\n").contains("line 2"));
        assert!(refused("c.txt", "1\n-2\n").contains("value 1 (counted from 0) is -2"));
        assert!(refused("d.txt", "").contains("it holds no ids"));
        assert!(refused("e.txt", "4294967296\n").contains("above 4294967295"));
        let npy = folder.path().join("f.npy");
        write_npy(&mut fs::File::create(&npy).unwrap(), &[0.5_f64]).unwrap();
        let error = order_ids(&npy).unwrap_err().to_string();
        assert!(error.contains("whole numbers are needed"), "{error}");
        let error = order_ids(&folder.path().join("none.npy")).unwrap_err().to_string();
        assert!(error.contains("none.npy"), "{error}");
    }
}
