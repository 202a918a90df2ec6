//! `CITATION.cff` (1.2.0) of runs: what they are, by whom, with the digests that name them and the papers whose methods
//! they try.

use std::fmt::Write as _;

use analysis::calendar::day;
use ledger::catalogue::Paper;

use crate::yaml::quoted;
use crate::{Batch, PROGRAM_URL};

/// A paper and the methods of the batch that are its.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The paper.
    pub paper: Paper<String>,
    /// Ids of the methods.
    pub methods: Vec<String>,
}

/// The file.
#[must_use]
pub fn citation(batch: &Batch, authors: &[String], papers: &[Source]) -> String {
    let mut cff = String::from("cff-version: 1.2.0\ntype: dataset\n");
    let mut line = |text: &str| {
        cff.push_str(text);
        cff.push('\n');
    };
    line(&format!("message: {}", quoted("Cite these runs and the papers whose methods they try.")));
    line(&format!("title: {}", quoted(&batch.title())));
    if let Some(question) = &batch.question {
        line(&format!("abstract: {}", quoted(question)));
    }
    line("authors:");
    authors.iter().for_each(|author| line(&format!("  - name: {}", quoted(author))));
    line(&format!("date-released: {}", quoted(&day(batch.ended_unix()))));
    line("identifiers:");
    let identifiers =
        batch.suite_digest.iter().map(|digest| (digest.clone(), "text of the suite".to_owned()));
    let runs = batch
        .runs
        .iter()
        .map(|run| (run.digest.to_string(), format!("run {}: {}", run.record.cell, run.title())));
    for (digest, what) in identifiers.chain(runs) {
        line("  - type: other");
        line(&format!("    value: {}", quoted(&format!("sha256:{digest}"))));
        line(&format!("    description: {}", quoted(&what)));
    }
    line("references:");
    for (version, commit) in versions(batch) {
        line("  - type: software");
        line("    title: 'Palimpsest'");
        line("    authors:\n      - name: 'the Palimpsest contributors'");
        line(&format!("    version: {}", quoted(version)));
        commit.iter().for_each(|commit| line(&format!("    commit: {}", quoted(commit))));
        line(&format!("    repository-code: {}", quoted(PROGRAM_URL)));
    }
    for Source { paper, methods } in papers {
        line("  - type: article");
        line(&format!("    title: {}", quoted(&paper.title)));
        line(&format!("    authors:\n      - name: {}", quoted(&paper.authors)));
        line(&format!("    year: {}", paper.year));
        line(&format!("    notes: {}", quoted(&notes(paper, methods))));
        address(paper).iter().for_each(|url| line(&format!("    url: {}", quoted(url))));
    }
    cff
}

/// Where to find the paper, as its card has it, and what of the batch is its.
fn notes(paper: &Paper<String>, methods: &[String]) -> String {
    let mut notes = String::new();
    let _ = write!(notes, "{}; here: {}", paper.reference, methods.join(", "));
    notes
}

/// The address of a paper on arXiv.
fn address(paper: &Paper<String>) -> Option<String> {
    let number = paper.reference.split_once("arXiv:")?.1;
    let number: String = number.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let number = number.trim_end_matches('.');
    (!number.is_empty()).then(|| format!("https://arxiv.org/abs/{number}"))
}

/// Versions and commits of the program that made the runs.
fn versions(batch: &Batch) -> std::collections::BTreeSet<(&str, Option<String>)> {
    let environments = batch.runs.iter().map(|run| &run.record.environment);
    environments.map(|it| (it.palimpsest.as_str(), it.program())).collect()
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;
    use crate::sample;

    fn paper(reference: &str) -> Paper<String> {
        Paper {
            title: "Adam: \"a\" method # for\nstochastic optimisation".to_owned(),
            authors: "Kingma, Ba".to_owned(),
            year: 2015,
            reference: reference.to_owned(),
            code: "none found".to_owned(),
        }
    }

    #[test]
    fn the_file_names_papers_authors_and_every_run_by_its_digest() {
        let batch = sample::batch();
        let source =
            Source { paper: paper("arXiv:1412.6980, ICLR"), methods: vec!["adamw".to_owned()] };
        let authors = ["Ada: Lovelace".to_owned(), "- x".to_owned()];
        let text = citation(&batch, &authors, std::slice::from_ref(&source));
        let read: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read["cff-version"], "1.2.0");
        assert_eq!(read["authors"][1]["name"], "- x");
        assert_eq!(read["date-released"], "2025-11-30");
        assert_eq!(read["title"], "Runs of the suite sample");
        let identifiers = read["identifiers"].as_sequence().unwrap();
        let named = |digest: &str| {
            let value = format!("sha256:{digest}");
            identifiers.iter().filter(|one| one["value"] == value.as_str()).count()
        };
        assert_eq!(named(batch.suite_digest.as_ref().unwrap()), 1);
        assert!(batch.runs.iter().all(|run| named(&run.digest.to_string()) == 1));
        let [software, article] = read["references"].as_sequence().unwrap().as_slice() else {
            panic!("{text}");
        };
        assert_eq!((&software["version"], &software["commit"]), (&"0.1.0".into(), &"abc".into()));
        assert_eq!(article["title"].as_str(), Some(source.paper.title.as_str()));
        assert_eq!(article["year"], 2015);
        assert_eq!(article["url"], "https://arxiv.org/abs/1412.6980");
        assert!(article["notes"].as_str().unwrap().ends_with("here: adamw"));
    }

    #[test]
    fn only_what_is_on_arxiv_has_an_address_there() {
        assert_eq!(address(&paper("NeurIPS 2024")), None);
        assert_eq!(address(&paper("arXiv:")), None);
        let version = address(&paper("arXiv:2510.02239v2."));
        assert_eq!(version.as_deref(), Some("https://arxiv.org/abs/2510.02239"));
    }
}
