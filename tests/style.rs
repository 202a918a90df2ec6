//! What the sources must keep to, checked on their text: direction of dependencies, no printing and
//! no `unwrap` in libraries, suites that plan.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Bench, Output, output, root};

/// Rust files below a folder of the checkout, sorted, without tests, benches and examples.
pub fn sources_below(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["tests", "benches", "examples", "target"].contains(&&*name) {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "build.rs" {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no sources below {folder}");
    files
}

/// Lines that are neither comments nor test items, with their numbers.
pub fn code_lines(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let mut in_test = false;
    let mut code = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line == "#[cfg(test)]" {
            in_test = true;
        } else if in_test {
            // An item ends with `;` on its line, or with a brace in the first column.
            let ends = line == "}" || (line.ends_with(';') && !line.starts_with(' '));
            in_test = !ends;
        } else if !line.trim_start().starts_with("//") {
            code.push((number, line.to_owned()));
        }
    }
    code
}

/// Places below `folder` whose code holds one of `words`.
pub fn places_with(folder: &str, words: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for path in sources_below(folder) {
        for (number, line) in code_lines(&path) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                let shown = path.strip_prefix(root()).unwrap().display();
                places.push(format!("{shown}:{number}: {word}"));
            }
        }
    }
    places
}

/// The wings of the house, each with the crates it may name. Tests and benches may name more.
const WINGS: &[(&str, &str, &[&str])] = &[
    // What decides a run.
    ("ledger", "harness/ledger", &[]),
    ("data", "harness/data", &["ledger"]),
    ("lab", "harness/lab", &["data", "ledger"]),
    ("training", "harness/training", &["data", "lab", "ledger"]),
    ("workloads", "harness/workloads", &["data", "lab", "ledger", "training"]),
    ("methods", "methods", &["lab", "ledger"]),
    // What reads runs.
    ("logs", "harness/logs", &["ledger"]),
    ("stats", "harness/stats", &["ledger"]),
    ("analysis", "harness/analysis", &["ledger", "stats"]),
    ("inspect", "harness/inspect", &["analysis", "data", "lab", "ledger", "stats", "training"]),
    ("exports", "harness/exports", &["analysis", "ledger"]),
    ("reports", "reports", &["analysis", "ledger", "stats"]),
];

/// Names in the `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let lines = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).map(str::trim_start);
    let names = lines.filter(|line| !line.starts_with('#'));
    let names = names.map(|line| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn dependencies_point_one_way() {
    for (wing, folder, allowed) in WINGS {
        let names = dependencies(&format!("{folder}/Cargo.toml"));
        assert!(!names.is_empty(), "{wing}");
        for name in names.iter().filter(|name| WINGS.iter().any(|(wing, ..)| wing == name)) {
            assert!(allowed.contains(&name.as_str()), "{wing} depends on {name}");
        }
    }
}

#[test]
fn what_needs_no_tensor_never_links_libtorch() {
    for wing in ["ledger", "data", "logs", "stats", "analysis", "exports", "reports"] {
        let (_, folder, _) = WINGS.iter().find(|(name, ..)| *name == wing).unwrap();
        let names = dependencies(&format!("{folder}/Cargo.toml"));
        assert!(
            !names.iter().any(|name| ["tch", "torch-sys", "torch-glue"].contains(&name.as_str())),
            "{wing}"
        );
    }
}

#[test]
fn plans_records_and_reports_name_no_metric_and_no_family() {
    // Code only: comments may give examples, and the reports' sample data are not code.
    let words = [
        "accuracy",
        "\"nll\"",
        "perplexity",
        "logits",
        "diffusion",
        "generative",
        "language",
        "reinforcement",
        "reward",
        "token",
    ];
    let places: Vec<_> =
        ["harness/ledger/src", "harness/stats/src", "harness/analysis/src", "reports/src"]
            .into_iter()
            .flat_map(|folder| places_with(folder, &words))
            .collect();
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn libraries_print_nothing() {
    let words = ["println!", "eprintln!", "print!(", "eprint!(", "dbg!("];
    let sources = WINGS.iter().map(|(_, folder, _)| format!("{folder}/src"));
    let places: Vec<_> = sources.flat_map(|folder| places_with(&folder, &words)).collect();
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn what_a_person_reads_is_written_in_one_place() {
    let places = places_with("harness", &["println!", "print!(", "dbg!("]);
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn nothing_outside_tests_unwraps_or_panics() {
    let words = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!("];
    let places: Vec<_> = ["harness", "methods/src", "reports/src"]
        .into_iter()
        .flat_map(|folder| places_with(folder, &words))
        .collect();
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn every_suite_of_the_repository_plans() {
    let bench = Bench::new();
    let mut folders = vec![root().join("suites")];
    let mut planned = 0;
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml")
                && !path.display().to_string().ends_with(".tuned.yaml")
            {
                let plan = bench.run(&["plan", path.to_str().unwrap(), "--json"]).ends(0).json();
                assert!(!plan["cells"].as_array().unwrap().is_empty(), "{}", path.display());
                for arm in plan["tuning"]["arms"].as_array().into_iter().flatten() {
                    let remedy = "run `palimpsest tune` and commit the frozen file";
                    assert_eq!(arm["state"], "chosen", "{}: {arm}; {remedy}", path.display());
                }
                planned += 1;
            }
        }
    }
    assert!(planned > 0);
}

#[test]
fn the_suite_that_the_documentation_shows_plans() {
    let text = fs::read_to_string(root().join("docs/suites.md")).unwrap();
    let example = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.yaml");
    fs::write(&path, example).unwrap();
    Bench::new().run(&["plan", path.to_str().unwrap()]).ends(0);
}

#[test]
fn the_template_of_suites_plans() {
    let text = fs::read_to_string(root().join("scripts/new/suite.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my-question.yaml");
    fs::write(&path, text.replace("@NAME@", "my-question")).unwrap();
    let plan = Bench::new().run(&["plan", path.to_str().unwrap(), "--json"]).ends(0).json();
    assert_eq!(plan["suite"], "my-question");
    assert!(!plan["cells"].as_array().unwrap().is_empty());
}

/// The program in the root of this checkout.
fn here(arguments: &[&str]) -> Output {
    let mut command = Bench::new().command(arguments);
    command.current_dir(root());
    output(command)
}

#[test]
fn nothing_that_was_judged_changes_in_silence() {
    let told = here(&["claims", "check"]).ends(0).stdout;
    assert!(told.contains("suites are as they were judged"), "{told}");
}

#[test]
fn the_page_of_claims_is_that_of_the_registers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("claims.md");
    here(&["claims", "page", "--out", out.to_str().unwrap()]).ends(0);
    let committed = fs::read_to_string(root().join("docs/claims.md")).unwrap();
    assert_eq!(fs::read_to_string(out).unwrap(), committed, "run `palimpsest claims page`");
}
