//! Where a figure comes from: what its files say of it, so that one that was copied out of its folder can be traced.

use analysis::summary::{Analysis, RunRow};
use ledger::digest::Digest;

use crate::figure::Figure;
use crate::text;

/// Runs whose digests are listed; of more, the digest of the whole list says which they were.
const MOST_RUNS: usize = 500;

/// Gives a figure its title, its explanation, suite, commit and runs: those of a workload, or all.
pub(crate) fn stamp(figure: &mut Figure, analysis: &Analysis, workload: Option<&str>) {
    let mut pairs = vec![
        ("Title", figure.title.clone()),
        ("Description", figure.explanation.clone()),
        ("Software", format!("palimpsest {}", env!("CARGO_PKG_VERSION"))),
        ("Suite", text::one_line(&analysis.suite)),
        ("SuiteDigest", analysis.suite_digest.clone()),
    ];
    let of = |name: &str| {
        let found = analysis.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| text::one_line(value))
    };
    pairs.extend(of("commit").map(|commit| ("Commit", commit)));
    pairs.extend(of("suite run").map(|run| ("SuiteRun", run)));
    pairs.push(("Runs", runs(analysis, workload)));
    figure.stamp = pairs
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
}

/// `cell=digest` of every run that the figure shows, in the order of the suite.
fn runs(analysis: &Analysis, workload: Option<&str>) -> String {
    let shown = |row: &&RunRow| workload.is_none_or(|workload| row.workload == workload);
    let all: Vec<String> = analysis
        .runs
        .iter()
        .filter(shown)
        .filter_map(|row| Some(format!("{}={}", row.cell, row.run_digest.as_deref()?)))
        .collect();
    if all.len() <= MOST_RUNS {
        return all.join(" ");
    }
    let whole = Digest::of(all.join(" ").as_bytes());
    let listed = all[..MOST_RUNS].join(" ");
    format!("{listed} and {} more; SHA-256 of the whole list: {whole}", all.len() - MOST_RUNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn stamped(analysis: &Analysis, workload: Option<&str>) -> Vec<(String, String)> {
        let mut figure = Figure::new("a".to_owned(), "b");
        stamp(&mut figure, analysis, workload);
        figure.stamp
    }

    fn of<'a>(pairs: &'a [(String, String)], key: &str) -> &'a str {
        pairs.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
    }

    #[test]
    fn a_figure_of_a_workload_names_its_runs_and_no_others() {
        let analysis = sample::several();
        let pairs = stamped(&analysis, Some("digits-long"));
        let runs: Vec<&str> = of(&pairs, "Runs").split(' ').collect();
        assert_eq!(runs.len(), 6 * 5);
        let first = &analysis.runs.iter().find(|row| row.workload == "digits-long").unwrap();
        let digest = first.run_digest.as_deref().unwrap();
        assert_eq!(runs[0], format!("{}={digest}", first.cell));
        assert_eq!(of(&pairs, "SuiteDigest"), analysis.suite_digest);
        assert!(of(&pairs, "Commit").starts_with("31d6057c"));
        assert_eq!(of(&stamped(&analysis, None), "Runs").split(' ').count(), 2 * 6 * 5);
    }

    #[test]
    fn of_very_many_runs_the_list_is_cut_and_its_digest_stands_for_the_whole() {
        let mut analysis = sample::full();
        analysis.runs = std::iter::repeat_n(analysis.runs[0].clone(), 501).collect();
        let pairs = stamped(&analysis, None);
        let list = of(&pairs, "Runs");
        assert!(list.contains("and 1 more; SHA-256 of the whole list: "), "{list}");
        assert!(list.len() < 45_000);
    }
}
