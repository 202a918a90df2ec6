//! The memory that an estimate needs, told before anything large is read.

use anyhow::bail;
use inspect::estimate::course::ROWS;
use palimpsest::voice::note;

use super::inputs::Inputs;

const GB: f64 = 1e9;

/// Prints what is needed; returns whether the curvature fits into memory with the rest.
pub fn check(inputs: &Inputs, orders: usize, limit: Option<f64>) -> anyhow::Result<bool> {
    let p = inputs.parameters as u64 * 8;
    let (arrays, curvature) = inputs.bytes();
    // Moving rows: parameters, gradients, two moments, and as many on the way; the result is
    // gathered, copied and written.
    let moving = orders.min(ROWS) as u64 * p * 8;
    let result = orders as u64 * p * 3;
    let rest = arrays + moving + result;
    let one = curvature / inputs.items as u64 * 2;
    let limit = limit.or_else(|| palimpsest::machine::free_memory().map(|free| free as f64 / GB));
    let fits = |bytes: u64| limit.is_none_or(|limit| bytes as f64 <= limit * GB);
    let [whole, by_item] = [rest + curvature + one, rest + one];
    note(&format!(
        "memory: {:.3} GB, {:.3} GB of it for the curvature, {:.3} GB for {orders} orders",
        whole as f64 / GB,
        curvature as f64 / GB,
        (moving + result) as f64 / GB
    ));
    if fits(whole) {
        return Ok(true);
    }
    let limit = limit.unwrap_or(f64::INFINITY);
    if !fits(by_item) {
        bail!(
            "{:.3} GB of memory are needed even with the curvature left on disk, and {limit:.3} GB \
             may be used: estimate fewer orders at a time, use fewer directions, or raise \
             --memory-limit",
            by_item as f64 / GB
        );
    }
    note(&format!(
        "that is above {limit:.3} GB: the curvature is read item by item at every step instead, \
         which needs {:.3} GB and is slower",
        by_item as f64 / GB
    ));
    Ok(false)
}
