//! A plan of tests that was declared before looking (`--plan FILE`).

use std::collections::BTreeSet;
use std::path::Path;

use analysis::evidence::certificate::{Role, Tested};
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use serde::{Deserialize, Serialize};
use stats::provenance::{Adjust, Metric, Tail};

/// Largest plan that is read.
const MOST_BYTES: u64 = 1 << 20;

/// The file: which tests will be made, in YAML or JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Suspects: file names, with `:COLUMN` where there is one, or ids of runs.
    suspects: Vec<String>,
    /// References, all of which are used in every test.
    #[serde(default)]
    references: Vec<String>,
    /// Coefficients.
    metrics: Vec<Metric>,
    /// Alternatives.
    #[serde(default = "two_sided")]
    tails: Vec<Tail>,
    /// Uses of references.
    #[serde(default)]
    adjusts: Vec<Adjust>,
    /// How many tests: at least one for each suspect, metric, tail and adjustment.
    tests: u64,
}

fn two_sided() -> Vec<Tail> {
    vec![Tail::TwoSided]
}

/// What a certificate tells of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Tests declared.
    pub tests: u64,
}

/// What a plan speaks of in a test.
pub struct Test<'a> {
    /// Suspects and references.
    pub tested: &'a Tested,
    /// The coefficient of the answer.
    pub metric: Metric,
    /// The alternative.
    pub tail: Tail,
    /// Use of references.
    pub adjust: Adjust,
}

/// A plan that was read.
#[derive(Debug)]
pub struct Plan {
    name: String,
    file: File,
    declared: Declared,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// When it cannot be read, names something twice, or declares fewer tests than it names.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::parse(path, &bytes(path)?)
    }

    /// A plan of what a file holds.
    ///
    /// # Errors
    /// When it names something twice, or declares fewer tests than it names.
    pub fn parse(path: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let text = std::str::from_utf8(bytes).with_context(|| name.clone())?;
        let mut file: File = analysis::yaml::from_str(text).with_context(|| name.clone())?;
        if file.adjusts.is_empty() {
            file.adjusts =
                vec![if file.references.is_empty() { Adjust::None } else { Adjust::Difference }];
        }
        fn different<T: Ord>(values: &[T]) -> bool {
            values.iter().collect::<BTreeSet<_>>().len() == values.len()
        }
        for (key, once, count) in [
            ("suspects", different(&file.suspects), file.suspects.len()),
            ("references", different(&file.references), 1),
            ("metrics", different(&file.metrics), file.metrics.len()),
            ("tails", different(&file.tails), file.tails.len()),
            ("adjusts", different(&file.adjusts), file.adjusts.len()),
        ] {
            if !once || count == 0 {
                let fault = if once { "is empty" } else { "names something twice" };
                bail!("{name}: `{key}` {fault}; name each once");
            }
        }
        let named = file.named();
        if file.tests < named {
            bail!(
                "{name}: `tests` is {}, but {} suspects, {} metrics, {} tails and {} adjusts make {named}; \
                 declare at least as many",
                file.tests,
                file.suspects.len(),
                file.metrics.len(),
                file.tails.len(),
                file.adjusts.len()
            );
        }
        if file.tests > 1 << 53 {
            bail!("{name}: `tests` is {}, which no certificate holds; at most 2^53", file.tests);
        }
        let declared = Declared { sha256: Digest::of(bytes), tests: file.tests };
        Ok(Self { name, file, declared })
    }

    /// What a certificate tells of it.
    pub fn declared(&self) -> Declared {
        self.declared
    }

    /// The number of each suspect's test among those declared, from 1.
    ///
    /// # Errors
    /// When the test is none of the plan's.
    pub fn place(&self, test: &Test<'_>) -> anyhow::Result<Vec<u64>> {
        let Self { name, file, .. } = self;
        let Test { tested, metric, tail, adjust } = *test;
        let is_run = !tested.runs.is_empty();
        let known =
            |names: &[String], found: &str| names.iter().position(|name| fits(name, found, is_run));
        let metric = self.among("metrics", &file.metrics, metric)?;
        let tail = self.among("tails", &file.tails, tail)?;
        let adjust = self.among("adjusts", &file.adjusts, adjust)?;
        let references = names(tested, Role::Reference);
        if let Some(other) =
            references.iter().find(|found| known(&file.references, found).is_none())
        {
            bail!(
                "{name}: reference {other} is not among its `references` ({})",
                list(&file.references)
            );
        }
        let left_out = file
            .references
            .iter()
            .find(|name| !references.iter().any(|found| fits(name, found, is_run)));
        if let Some(left_out) = left_out {
            bail!(
                "{name}: its reference {left_out} is not used: a test without it was not declared"
            );
        }
        let places = names(tested, Role::Scores).into_iter().map(|suspect| {
            let Some(at) = known(&file.suspects, &suspect) else {
                bail!(
                    "{name}: suspect {suspect} is not among its `suspects` ({})",
                    list(&file.suspects)
                );
            };
            let [metrics, tails, adjusts] =
                [file.metrics.len(), file.tails.len(), file.adjusts.len()];
            Ok(1 + (((at * metrics + metric) * tails + tail) * adjusts + adjust) as u64)
        });
        places.collect()
    }

    fn among<T: PartialEq + std::fmt::Display>(
        &self,
        key: &str,
        declared: &[T],
        used: T,
    ) -> anyhow::Result<usize> {
        let Some(at) = declared.iter().position(|value| *value == used) else {
            let declared: Vec<String> = declared.iter().map(ToString::to_string).collect();
            bail!("{}: {used} is not among its `{key}` ({})", self.name, declared.join(", "));
        };
        Ok(at)
    }
}

/// The bytes of a plan's file.
///
/// # Errors
/// When it cannot be read, or is too large for a plan.
pub fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let cannot = || format!("cannot read {name}");
    let metadata = std::fs::metadata(path).with_context(cannot)?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        bail!("{name}: a plan is a file of at most {MOST_BYTES} bytes");
    }
    std::fs::read(path).with_context(cannot)
}

impl File {
    /// How many tests there are by name.
    fn named(&self) -> u64 {
        [self.suspects.len(), self.metrics.len(), self.tails.len(), self.adjusts.len()]
            .iter()
            .fold(1, |product: u64, count| product.saturating_mul(*count as u64))
    }
}

/// Inputs of a role by the names that a plan has for them.
fn names(tested: &Tested, role: Role) -> Vec<String> {
    let files = tested.files.iter().filter(|file| file.role == role);
    let files = files.map(|file| match &file.column {
        Some(column) => format!("{}:{column}", file.name),
        None => file.name.clone(),
    });
    let runs = tested.runs.iter().filter(|run| run.role == role).map(|run| run.run.clone());
    files.chain(runs).collect()
}

/// A file is named whole, a run by at least eight characters of its id.
fn fits(declared: &str, found: &str, is_run: bool) -> bool {
    declared == found || is_run && declared.len() >= 8 && found.starts_with(declared)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "there are none".to_owned() } else { names.join(", ") }
}
