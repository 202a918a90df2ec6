//! Orders from tables of item numbers, one row an order.

use super::{ItemOrder, OrderError, Window};

/// The orders of a table of item numbers.
///
/// # Errors
/// For a table without rows, and for the first row that is not an order of the window.
pub fn orders_of_rows<'a>(
    window: &Window,
    rows: impl IntoIterator<Item = &'a [i64]>,
) -> Result<Vec<ItemOrder>, OrderError> {
    let read = |(row, flat)| window.order(row, flat);
    let orders: Vec<_> = rows.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    if orders.is_empty() { Err(OrderError::Empty) } else { Ok(orders) }
}

/// The rows of a text: one order a line, numbers apart by commas or semicolons, or else by spaces
/// or tabs. Empty lines and lines that start with `#` are left out.
///
/// # Errors
/// For the first text that is no whole number, with its line and column.
pub fn rows_of_text(text: &str) -> Result<Vec<Vec<i64>>, OrderError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = if content.contains([',', ';']) {
            content.split([',', ';']).map(str::trim).collect()
        } else {
            content.split_whitespace().collect()
        };
        let number = |(column, field): (usize, &&str)| {
            field.parse().map_err(|_| OrderError::NotANumber {
                line,
                column,
                found: field.chars().take(40).collect(),
            })
        };
        rows.push((1..).zip(&fields).map(number).collect::<Result<_, _>>()?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_whatever_separates_them() {
        let text = "# mine\n2, 0,1\n\n0 1\t2\r\n1;2;0\n";
        let rows = rows_of_text(text).unwrap();
        assert_eq!(rows, [vec![2, 0, 1], vec![0, 1, 2], vec![1, 2, 0]]);
        let window = Window::batches(3).unwrap();
        let orders = orders_of_rows(&window, rows.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(orders[2], ItemOrder::batches(&[1, 2, 0]));
    }

    #[test]
    fn a_text_that_is_no_number_is_refused_with_its_place() {
        let refused = |text: &str| rows_of_text(text).unwrap_err().to_string();
        insta::assert_snapshot!(refused("0,1\n1,,0"), @r#"line 2, column 2: "" is not an item number: use whole numbers, 0, 1, ..."#);
        insta::assert_snapshot!(refused("item\n0"), @r#"line 1, column 1: "item" is not an item number: use whole numbers, 0, 1, ..."#);
        insta::assert_snapshot!(refused("0 1.5"), @r#"line 1, column 2: "1.5" is not an item number: use whole numbers, 0, 1, ..."#);
    }

    #[test]
    fn a_wrong_row_is_named_and_an_empty_table_refused() {
        let window = Window::batches(2).unwrap();
        let rows: [&[i64]; 2] = [&[0, 1], &[1, 1]];
        let refused = orders_of_rows(&window, rows).unwrap_err();
        let expected = OrderError::Repeated { row: 1, position: 1, value: 1, first: 0, missing: 0 };
        assert_eq!(refused, expected);
        assert_eq!(orders_of_rows(&window, std::iter::empty()), Err(OrderError::Empty));
    }
}
