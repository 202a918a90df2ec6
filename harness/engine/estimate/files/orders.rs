//! The orders to estimate.

use std::path::Path;

use anyhow::{Context as _, bail};
use data::columns::{ColumnSource, Values, numbers};
use stats::estimates::{ItemOrder, OrderError, Window};

/// Orders of one length.
#[derive(Debug)]
pub struct Orders {
    /// One item a step.
    pub list: Vec<ItemOrder>,
    /// T.
    pub steps: usize,
}

/// Reads M × T item numbers; a list is one order. Unless they are `free`, every epoch of `items`
/// steps must be a permutation.
pub fn read(path: &Path, items: usize, free: bool) -> anyhow::Result<Orders> {
    let shown = path.display();
    let column = numbers(&ColumnSource { path: path.to_path_buf(), column: None })?;
    let Values::Integers(values) = &column.values else {
        bail!(
            "{shown}: the dtype is floating point, but items are whole numbers: save them with \
             .astype(numpy.int64)"
        );
    };
    let steps = column.columns.unwrap_or(column.rows);
    if values.is_empty() {
        bail!(
            "{shown}: the shape is {}: there is no order in it; give one row of item numbers per \
             order",
            column.shape()
        );
    }
    let whole = u32::try_from(items).context("there are more items than an order can name")?;
    let list = if free {
        let rows = values.chunks(steps).enumerate();
        rows.map(|(row, items)| free_order(row, items, whole - 1)).collect::<Result<_, _>>()
    } else {
        if !steps.is_multiple_of(items) {
            bail!(
                "{shown}: the shape is {}, orders of {steps} steps, which is no whole number of \
                 epochs of {items} items; give every item once an epoch, or --free-orders",
                column.shape()
            );
        }
        let reference: Vec<u32> = (0..steps / items).flat_map(|_| 0..whole).collect();
        let epochs = (0..steps / items).map(|epoch| epoch * items..(epoch + 1) * items).collect();
        let window = Window::new(ItemOrder::batches(&reference), epochs)?;
        let rows = values.chunks(steps).enumerate();
        rows.map(|(row, flat)| window.order(row, flat)).collect::<Result<_, _>>()
    };
    let list = list.map_err(|error| match error {
        OrderError::Repeated { row, position, value, first, missing } => anyhow::anyhow!(
            "{shown}: order {row}, position {position}: item {value} came before, at position \
             {first}, and item {missing} never comes in its epoch: give every item once an epoch \
             of {items}, or --free-orders"
        ),
        error => anyhow::anyhow!("{shown}: {error}"),
    })?;
    Ok(Orders { list, steps })
}

/// An order of items that are there.
fn free_order(row: usize, items: &[i64], last: u32) -> Result<ItemOrder, OrderError> {
    let number = |(position, &value): (usize, &i64)| {
        let known = u32::try_from(value).ok().filter(|&item| item <= last);
        known.ok_or(OrderError::Unknown { row, position, value, last })
    };
    let items: Vec<u32> = items.iter().enumerate().map(number).collect::<Result<_, _>>()?;
    Ok(ItemOrder::batches(&items))
}
