//! The tree of this checkout: which edits make new cells, and which keep what is stored.

#![expect(clippy::unwrap_used, reason = "a checkout that reads")]

use std::path::Path;
use std::sync::LazyLock;

use fingerprint::Tree;

/// Files whose code decides every cell.
const CORE: [&str; 2] = ["harness/lab/src/cell.rs", "harness/lab/src/loops/training.rs"];

/// Files that list what could be found without them, so that all that is listed decides every cell.
/// What is asked below holds once they list nothing; to be emptied as they are opened.
const CIRCLES: [&str; 1] = ["harness/lab/src/workloads.rs"];

/// A method, the file that only its kind of method needs, and a method without it.
const WITH: &str = "methods/src/optim/adamw.rs";
const PART: &str = "harness/lab/src/optim/adamw.rs";
const WITHOUT: &str = "methods/src/optim/sgd.rs";

static TREE: LazyLock<Tree> =
    LazyLock::new(|| Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap());

fn methods() -> Vec<&'static str> {
    let files = TREE.files().filter(|file| file.starts_with("methods/src/"));
    files.filter(|file| file.split('/').count() == 4).collect()
}

/// The digest of a cell's code, for a method.
fn digest(tree: &Tree, method: &str) -> [u8; 32] {
    tree.closure(&[&CORE[..], &[method]].concat()).unwrap().digest()
}

#[test]
fn comments_and_tests_change_no_digest() {
    let mut tree = TREE.clone();
    for file in TREE.closure(&[&CORE[..], &[WITH]].concat()).unwrap().files {
        let Some(native) = file.rsplit_once('.').map(|(_, ending)| ending != "rs") else {
            continue;
        };
        let mut text = format!("{}\n// Another comment.\n", TREE.text(&file).unwrap());
        if !native {
            text.push_str("#[cfg(test)]\nmod more { use crate::x; }\n");
        }
        tree = tree.with(&file, &text).unwrap();
    }
    assert_eq!(digest(&tree, WITH), digest(&TREE, WITH));
}

#[test]
fn a_new_method_changes_no_other_methods_digest() {
    let text = TREE.text(WITH).unwrap();
    let tree = TREE.with("methods/src/optim/another.rs", text).unwrap();
    for method in methods() {
        assert_eq!(digest(&tree, method), digest(&TREE, method), "{method}");
    }
    assert_ne!(digest(&tree, "methods/src/optim/another.rs"), digest(&TREE, WITH));
}

#[test]
fn a_methods_own_code_changes_its_digest_only() {
    let text = format!("{}\npub const MORE: u32 = 1;\n", TREE.text(WITH).unwrap());
    let tree = TREE.with(WITH, &text).unwrap();
    let changed: Vec<_> =
        methods().into_iter().filter(|one| digest(&tree, one) != digest(&TREE, one)).collect();
    assert_eq!(changed, [WITH]);
}

#[test]
fn a_part_belongs_to_the_methods_that_name_it() {
    let with = TREE.closure(&[WITH]).unwrap();
    assert_eq!(with.why(PART), [WITH, PART]);
    let text = format!("{}\npub const MORE: u32 = 1;\n", TREE.text(PART).unwrap());
    let tree = TREE.with(PART, &text).unwrap();
    assert_ne!(digest(&tree, WITH), digest(&TREE, WITH));
    let open = CIRCLES.iter().fold(TREE.clone(), |tree, circle| tree.with(circle, "").unwrap());
    let without = open.closure(&[&CORE[..], &[WITHOUT]].concat()).unwrap();
    assert!(!without.files.contains(PART), "{}", without.why(PART).join("\n  → "));
}

#[test]
fn no_deciding_file_names_what_cannot_be_followed() {
    for method in methods() {
        let closure = TREE.closure(&[&CORE[..], &[method]].concat()).unwrap();
        assert!(closure.files.iter().all(|file| !file.starts_with("reports/")));
        assert!(!closure.files.iter().any(|file| file.ends_with("tests.rs")), "{method}");
    }
}
