//! Timestamps of authorities beside what was promised: the options, and what they come to.

use std::path::{Path, PathBuf};

use analysis::evidence::timestamp::{self, Authorities, Timestamp};
use analysis::verify::{Check, Verified};
use anyhow::bail;
use ledger::digest::Digest;

/// Options of the verbs that check timestamps.
#[derive(Debug, clap::Args)]
pub struct Timestamps {
    /// An authority's timestamp (RFC 3161) of what was published; may be repeated. One that lies beside the file of
    /// --promised, as FILE.tsr, is checked unasked
    #[arg(long = "timestamp", value_name = "FILE.tsr")]
    files: Vec<PathBuf>,
    /// Certificates (PEM or DER) of the authorities that you trust to stamp
    #[arg(long, value_name = "FILE")]
    timestamp_ca: Option<PathBuf>,
}

/// Something that may have been stamped.
#[derive(Debug, Clone)]
pub struct Stamped {
    /// What it is.
    pub what: String,
    /// Its digest.
    pub digest: Digest,
}

/// A timestamp that was given, and what it is of.
#[derive(Debug)]
pub struct Told {
    /// Its file.
    pub file: String,
    /// What it states, and of what; or what does not hold.
    pub outcome: Result<(Timestamp, String), String>,
}

impl Timestamps {
    /// Checks all timestamps; `other` says what a digest is that none of those expected has.
    ///
    /// # Errors
    /// When authorities cannot be read, or would not be used.
    pub fn check(
        &self,
        promised: Option<&Path>,
        expected: &[Stamped],
        other: &dyn Fn(&Digest) -> Result<String, String>,
    ) -> anyhow::Result<Vec<Told>> {
        let mut files = self.files.clone();
        if let Some(beside) = promised.map(beside)
            && beside.exists()
            && !files.contains(&beside)
        {
            files.push(beside);
        }
        if let Some(authorities) = self.timestamp_ca.as_ref().filter(|_| files.is_empty()) {
            bail!(
                "--timestamp-ca {} would not be used: give a timestamp with --timestamp",
                authorities.display()
            );
        }
        let authorities = self.timestamp_ca.as_deref().map(Authorities::read).transpose()?;
        let authorities = authorities.unwrap_or_default();
        let told = files.iter().map(|path| {
            let outcome = timestamp::read(path, &authorities).map_err(|error| error.to_string());
            let outcome = outcome.and_then(|stated| {
                let known = expected.iter().find(|stamped| stamped.digest == stated.imprint);
                let what = match known {
                    Some(stamped) => stamped.what.clone(),
                    None => other(&stated.imprint).map_err(|reason| {
                        format!("it is of {}…: {reason}", stated.imprint.short(16))
                    })?,
                };
                Ok((stated, what))
            });
            Told { file: path.display().to_string(), outcome }
        });
        Ok(told.collect())
    }
}

/// Where the timestamp of a file lies: beside it, with `.tsr` added to its name.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".tsr");
    file.with_file_name(name)
}

impl Told {
    /// As a check among others: its name says what was there when, and by whose word.
    pub fn check(&self) -> Check {
        let (name, detail) = match &self.outcome {
            Ok((stated, what)) => (format!("{what} was there on {stated}"), ""),
            Err(problem) => ("timestamp".to_owned(), problem.as_str()),
        };
        Check { name, passed: self.outcome.is_ok(), detail: detail.to_owned() }
    }

    /// All that is known of it.
    pub fn verified(&self) -> Verified {
        Verified { checks: vec![self.check()], unchecked: self.unchecked().into_iter().collect() }
    }

    /// The same for programs, with what is stated.
    pub fn to_json(&self) -> serde_json::Value {
        let Verified { checks, unchecked } = self.verified();
        let stated = self.outcome.as_ref().ok().map(|(stated, _)| stated);
        serde_json::json!({
            "file": self.file, "stated": stated, "checks": checks, "unchecked": unchecked,
        })
    }

    /// What it states, where it holds by the word of an authority that the reader trusts.
    pub fn trusted(&self) -> Option<&Timestamp> {
        let (stated, _) = self.outcome.as_ref().ok()?;
        Some(stated).filter(|stated| stated.chain)
    }

    /// What is open about who stamped.
    pub fn unchecked(&self) -> Option<String> {
        let (stated, _) = self.outcome.as_ref().ok().filter(|(stated, _)| !stated.chain)?;
        Some(format!(
            "chain of {}, who signed {}: give the root certificate of the authority that you trust with --timestamp-ca",
            stated.authority, self.file
        ))
    }
}
