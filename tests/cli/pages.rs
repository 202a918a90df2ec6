//! Pages in the store: the index over suites, links between pages and to records, two reports side by side.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, TINY};

#[test]
fn every_report_is_in_the_page_of_all_suites_and_links_to_it_and_to_its_records() {
    let bench = Bench::with_run(TINY);
    bench.run(&["report", "suite.yaml", "--format", "html,json"]).ends(0);
    let page = fs::read_to_string(bench.path("runs/reports/tiny/index.html")).unwrap();
    assert!(page.contains("<a href=\"../index.html\">All suites</a>"));
    for cell in bench.cells() {
        let record = format!("../../{cell}/record.json");
        assert!(page.contains(&format!("href=\"{record}\"")), "{cell}");
        assert!(bench.path("runs/reports/tiny").join(record).is_file(), "{cell}");
    }
    let index = fs::read_to_string(bench.path("runs/reports/index.html")).unwrap();
    assert!(index.contains("<a href=\"tiny/index.html\">tiny</a>"), "{index}");
    assert!(index.contains("Does it run at all?"));
    // Elsewhere there is nothing to link to.
    bench.run(&["report", "suite.yaml", "--format", "html", "--out", "out"]).ends(0);
    let alone = fs::read_to_string(bench.path("out/index.html")).unwrap();
    assert!(!alone.contains("All suites") && !alone.contains("record.json</a>"));
    assert_eq!(bench.files("out"), ["index.html"]);
}

#[test]
fn the_page_of_all_suites_can_be_drawn_alone_and_lists_the_registers_here() {
    let bench = Bench::new();
    let paths = bench.run(&["report", "--index", "--json"]).ends(0).json();
    assert_eq!(paths, Value::from(vec!["runs/reports/index.html"]));
    let empty = fs::read_to_string(bench.path("runs/reports/index.html")).unwrap();
    assert!(empty.contains("No claim was judged"));
    for name in ["digits.yaml", "digits.claims.json"] {
        let file = fs::read_to_string(crate::support::root().join("suites").join(name)).unwrap();
        bench.write(&format!("suites/{name}"), &file);
    }
    bench.run(&["report", "--index", "--out", "here"]).ends(0);
    let index = fs::read_to_string(bench.path("here/index.html")).unwrap();
    let register = fs::read_to_string(bench.path("suites/digits.claims.json")).unwrap();
    let register: Value = serde_json::from_str(&register).unwrap();
    let claims = register["claims"].as_array().unwrap();
    let standing: Vec<&Value> = claims.iter().filter(|one| one["withdrawn"].is_null()).collect();
    assert!(!standing.is_empty());
    for claim in standing {
        let last = claim["versions"].as_array().unwrap().last().unwrap();
        let statement = last["definition"]["claim"]["statement"].as_str().unwrap();
        let start: String =
            statement.chars().take_while(|c| c.is_alphanumeric() || *c == ' ').collect();
        assert!(index.contains(&start), "{statement}");
    }
    bench.run(&["report", "digits", "--index"]).ends(2);
}

#[test]
fn two_suite_runs_are_a_page_side_by_side_and_two_runs_are_not() {
    let bench = Bench::with_run(TINY);
    bench.run(&["compare", "tiny", "tiny", "--html", "two.html"]).ends(0);
    let page = fs::read_to_string(bench.path("two.html")).unwrap();
    assert!(page.contains("0 of 2 arms differ by more than their intervals"), "{page}");
    assert!(page.contains("Both were made alike"));
    let cells = bench.cells();
    let refused = bench.run(&["compare", &cells[0], &cells[1], "--html", "cells.html"]).ends(2);
    assert!(refused.stderr.contains("--html takes two suite runs"), "{}", refused.stderr);
    assert!(!bench.path("cells.html").exists());
}
