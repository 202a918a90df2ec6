//! The tree of this checkout: which edits make new cells, and which keep what is stored.

#![expect(clippy::unwrap_used, reason = "a checkout that reads")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fingerprint::Tree;
use fingerprint::cells::{COMPUTES, CORE, CellCode, EXTERNAL, Part};

/// External crates that deciding code names and that compute no result: how values are written, how
/// errors read, where files lie.
const BESIDE: &[&str] = &[
    // Compiles what lab's build script says.
    "cc",
    // Read the files of users: what they read is in the root of the data.
    "csv",
    "half",
    "libc",
    "parquet",
    "png",
    "serde",
    "serde_json",
    "serde_json_canonicalizer",
    "strsim",
    "tar",
    "thiserror",
    "ureq",
    "zune-jpeg",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lock() -> String {
    std::fs::read_to_string(root().join("Cargo.lock")).unwrap()
}

static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::read(&root()).unwrap());

fn code(tree: &Tree, lock: &str) -> CellCode {
    CellCode::new(tree.clone(), lock, &["a target".to_owned()]).unwrap()
}

static CODE: LazyLock<CellCode> = LazyLock::new(|| code(&TREE, &lock()));

fn part(parts: &[Part], id: &str) -> Part {
    parts.iter().find(|part| part.id == id).unwrap_or_else(|| panic!("no {id}")).clone()
}

/// Pairs of method and workload that stand for all: every family, with and without AdamW.
const PAIRS: [(&str, &str); 8] = [
    ("sgd", "digits-mlp"),
    ("adamw", "digits-mlp"),
    ("muon", "blobs-cnn"),
    ("rs2", "digits-mlp"),
    ("granet", "mnist-cnn"),
    ("edm", "ring8"),
    ("lm-adamw", "slp-trace"),
    ("grpo", "chain-sum"),
];

/// The pairs whose cells run again when this tree replaces that of the checkout.
fn again(tree: &Tree, lock: &str) -> Vec<&'static str> {
    let changed = code(tree, lock);
    let digest = |code: &CellCode, method: &str, workload: &str| {
        code.cell(&part(&code.methods(), method), &part(&code.workloads(), workload)).unwrap()
    };
    let differs = |(method, workload): &(&'static str, &'static str)| {
        digest(&CODE, method, workload) != digest(&changed, method, workload)
    };
    PAIRS.iter().filter(|pair| differs(pair)).map(|(method, _)| *method).collect()
}

/// The checkout with a line of code more in `file`.
fn edited(file: &str) -> Tree {
    let text = TREE.text(file).unwrap();
    TREE.with(file, &format!("{text}\npub const MORE: u32 = 1;\n")).unwrap()
}

fn again_after(file: &str) -> Vec<&'static str> {
    again(&edited(file), &lock())
}

const NONE: [&str; 0] = [];

#[test]
fn comments_and_tests_keep_every_cell() {
    let mut tree = TREE.clone();
    let files: Vec<String> = TREE.files().map(str::to_owned).collect();
    for file in files.iter().filter(|file| file.ends_with(".rs") || file.ends_with(".cpp")) {
        let mut text = format!("{}\n// Another comment.\n", TREE.text(file).unwrap());
        if file.ends_with(".rs") {
            text.push_str("#[cfg(test)]\nmod more { use crate::x; }\n");
        }
        tree = tree.with(file, &text).unwrap();
    }
    assert_eq!(again(&tree, &lock()), NONE);
}

#[test]
fn a_new_method_and_a_new_workload_keep_every_cell() {
    let method = TREE.text("methods/src/optim/adamw.rs").unwrap();
    let tree = TREE.with("methods/src/optim/another.rs", method).unwrap();
    let workload = TREE.text("harness/workloads/src/classification/digits_mlp.rs").unwrap();
    let tree = tree.with("harness/workloads/src/classification/another.rs", workload).unwrap();
    assert!(code(&tree, &lock()).methods().iter().any(|part| part.id == "another"));
    assert_eq!(again(&tree, &lock()), NONE);
}

#[test]
fn what_reads_runs_and_what_speaks_keeps_every_cell() {
    for file in [
        "harness/stats/src/t_test.rs",
        "harness/analysis/src/plan.rs",
        "harness/analysis/src/summary/claims.rs",
        "harness/inspect/src/estimate/course.rs",
        "reports/src/html.rs",
    ] {
        assert_eq!(again_after(file), NONE, "{file}");
    }
    // Verbs and the programs themselves are no member of the tree.
    assert!(!TREE.files().any(|file| file.starts_with("harness/cli/")));
}

#[test]
fn an_unrelated_dependency_keeps_every_cell_and_one_that_computes_keeps_none() {
    let bumped = |name: &str| {
        let lock = lock();
        let start = lock.find(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        let version = start + lock[start..].find("version = \"").unwrap() + 11;
        let end = version + lock[version..].find('"').unwrap();
        format!("{}99.0.0{}", &lock[..version], &lock[end..])
    };
    for unrelated in ["clap", "plotters", "serde_json", "parquet"] {
        assert_eq!(again(&TREE, &bumped(unrelated)), NONE, "{unrelated}");
    }
    let all: Vec<&str> = PAIRS.iter().map(|(method, _)| *method).collect();
    for computes in ["tch", "rand_pcg"] {
        assert_eq!(again(&TREE, &bumped(computes)), all, "{computes}");
    }
}

#[test]
fn an_edited_method_runs_its_own_cells_again_and_no_others() {
    assert_eq!(again_after("methods/src/optim/muon.rs"), ["muon"]);
    assert_eq!(again_after("methods/src/sparse/granet.rs"), ["granet"]);
}

#[test]
fn the_loop_of_programs_of_ones_own_decides_their_cells_and_no_others() {
    let digest = |code: &CellCode| {
        let program = Part { id: "external".to_owned(), file: EXTERNAL.to_owned() };
        code.cell(&program, &part(&code.workloads(), "digits-mlp")).unwrap()
    };
    for file in [EXTERNAL, "harness/training/src/external/arrays.rs"] {
        let tree = edited(file);
        assert_eq!(again(&tree, &lock()), NONE, "{file}");
        assert_ne!(digest(&code(&tree, &lock())), digest(&CODE), "{file}");
    }
    let judge = edited("harness/training/src/judge.rs");
    assert_ne!(digest(&code(&judge, &lock())), digest(&CODE));
    assert_eq!(digest(&code(&edited("methods/src/optim/muon.rs"), &lock())), digest(&CODE));
}

#[test]
fn an_edited_workload_runs_its_own_cells_again_and_no_others() {
    assert_eq!(again_after("harness/workloads/src/generative/ring8.rs"), ["edm"]);
}

#[test]
fn an_edited_adamw_runs_the_cells_that_use_it_again_and_no_others() {
    let again = again_after("harness/lab/src/optim/adamw.rs");
    for with in ["adamw", "lm-adamw", "grpo"] {
        assert!(again.contains(&with), "{with} of {again:?}");
    }
    // Methods that take any optimiser by a setting use all of them; sgd is one.
    let [method, workload] = [part(&CODE.methods(), "sgd"), part(&CODE.workloads(), "digits-mlp")];
    let closure = TREE.closure(&[&CORE[..], &[&method.file, &workload.file]].concat()).unwrap();
    let why = closure.why("harness/lab/src/optim/adamw.rs");
    assert!(!again.contains(&"sgd"), "{}", why.join("\n  → "));
}

#[test]
fn an_edited_shuffle_or_loop_runs_every_cell_again() {
    let all: Vec<&str> = PAIRS.iter().map(|(method, _)| *method).collect();
    for file in ["harness/ledger/src/order.rs", "harness/training/src/run.rs"] {
        assert_eq!(again_after(file), all, "{file}");
    }
}

#[test]
fn the_core_names_no_method_workload_or_reader_of_runs() {
    let closure = TREE.closure(&CORE).unwrap();
    for folder in [
        "methods/",
        "harness/workloads/",
        "harness/stats/",
        "harness/analysis/",
        "harness/inspect/",
        "reports/",
    ] {
        let found = closure.files.iter().find(|file| file.starts_with(folder));
        assert!(found.is_none(), "{}", closure.why(found.unwrap()).join("\n  → "));
    }
}

#[test]
fn every_external_crate_that_deciding_code_names_is_known_to_compute_or_not_to() {
    let files: Vec<String> =
        CODE.methods().into_iter().chain(CODE.workloads()).map(|part| part.file).collect();
    let roots: Vec<&str> = CORE.into_iter().chain(files.iter().map(String::as_str)).collect();
    let closure = TREE.closure(&roots).unwrap();
    let known = COMPUTES.iter().chain(BESIDE);
    let known: BTreeSet<String> = known.map(|name| name.replace('-', "_")).collect();
    let named: BTreeSet<String> = TREE
        .external_names(&closure, &lock())
        .unwrap()
        .into_iter()
        .map(|name| name.replace('-', "_"))
        .collect();
    // Nothing is among those that compute for nothing; torch-sys is what tch stands on.
    let idle: Vec<_> =
        COMPUTES.iter().filter(|name| !named.contains(&name.replace('-', "_"))).collect();
    assert_eq!(idle, Vec::<&&str>::new(), "{named:?}");
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}: add to COMPUTES, or to BESIDE with a reason");
}
