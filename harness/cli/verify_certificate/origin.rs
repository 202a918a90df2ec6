//! Is an order file the order of the committed run that a certificate tells of?

use std::path::Path;

use ::data::columns::{ColumnSource, numbers};
use analysis::evidence::certificate::{Certificate, Origin, Role, Verification};
use analysis::verify::Check;
use anyhow::Context as _;
use ledger::order::order_hash;

/// Adds the check, or what it would need.
pub fn check(certificate: &Certificate, order: Option<&Path>, outcome: &mut Verification) {
    let Some(origin) = &certificate.origin else { return };
    let name = format!("order of run {}", origin.run);
    if let Some(path) = order {
        let files = &certificate.tested.files;
        let named = files.iter().find(|file| file.role == Role::Order);
        let column = named.and_then(|file| file.column.clone());
        let source = ColumnSource { path: path.to_owned(), column };
        let found = same(origin, &source).map_err(|error| format!("{error:#}"));
        let (passed, detail) = (found.is_ok(), found.err().unwrap_or_default());
        outcome.checks.push(Check { name, passed, detail });
    } else if !certificate.tested.runs.iter().any(|input| input.run == origin.run) {
        outcome.unchecked.push(format!("{name}: give the file with --order"));
    }
}

/// The ids of a file, row by row, hash to what the run committed to.
fn same(origin: &Origin, source: &ColumnSource) -> anyhow::Result<()> {
    let column = numbers(source)?;
    let ids: Vec<u32> = column.as_ids()?;
    if ids.is_empty() {
        anyhow::bail!("{source} has no ids");
    }
    let each = column.columns.filter(|columns| *columns > 0).unwrap_or(ids.len());
    let epochs = ids.chunks(each);
    for (epoch, ids) in epochs.enumerate() {
        let found = order_hash(ids);
        if !origin.order_hashes.contains(&found) {
            let first = origin.order_hashes.first().context("the certificate has no order hash")?;
            anyhow::bail!(
                "epoch {epoch} of {source} hashes to {}, which is none of the run's ({} …)",
                found.short(16),
                first.short(16)
            );
        }
    }
    Ok(())
}
