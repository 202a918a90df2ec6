//! Is the test of a certificate one of those that a plan declared?

use std::path::Path;

use analysis::evidence::certificate::{Certificate, Verification};
use analysis::verify::Check;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use serde::de::DeserializeOwned;

use crate::cli::provenance::plan::{self, Declared, Plan, Test};

/// Adds the check, or what it would need.
///
/// # Errors
/// When the file cannot be read.
pub fn check(
    certificate: &Certificate,
    file: Option<&Path>,
    outcome: &mut Verification,
) -> anyhow::Result<()> {
    let Some(path) = file else {
        if let Ok(Some(Declared { sha256, tests })) =
            option::<Option<Declared>>(certificate, "plan")
        {
            outcome.unchecked.push(format!(
                "plan of {tests} tests, sha256 {}: give its file with --plan",
                sha256.short(16)
            ));
        }
        return Ok(());
    };
    let bytes = plan::bytes(path)?;
    let shown = path.display();
    outcome.checks.push(match place(certificate, path, &bytes) {
        Ok((test, tests)) => {
            let name = format!("plan {shown}: test {test} of {tests}");
            Check { name, passed: true, detail: String::new() }
        }
        Err(error) => {
            Check { name: format!("plan {shown}"), passed: false, detail: format!("{error:#}") }
        }
    });
    Ok(())
}

/// The number of the certificate's test among those declared, and how many these are.
fn place(certificate: &Certificate, path: &Path, bytes: &[u8]) -> anyhow::Result<(u64, u64)> {
    let named: Option<Declared> = option(certificate, "plan")?;
    let named = named.context("the certificate names no plan")?;
    let found = Digest::of(bytes);
    if named.sha256 != found {
        bail!("the certificate names a plan of sha256 {}, this one has {found}", named.sha256);
    }
    let plan = Plan::parse(path, bytes)?;
    let tests = plan.declared().tests;
    if named.tests != tests {
        bail!("the certificate says {} tests, the plan declares {tests}", named.tests);
    }
    let places = plan.place(&Test {
        tested: &certificate.tested,
        metric: option(certificate, "metric")?,
        tail: option(certificate, "tail")?,
        adjust: option(certificate, "adjust")?,
    })?;
    match places.as_slice() {
        [place] => Ok((*place, tests)),
        _ => bail!("a certificate is about one suspect"),
    }
}

fn option<T: DeserializeOwned>(certificate: &Certificate, name: &str) -> anyhow::Result<T> {
    let value = certificate.options.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).with_context(|| format!("option {name} of the certificate"))
}
