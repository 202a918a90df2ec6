//! Small trees.

use std::collections::BTreeSet;

use fingerprint::{Closure, Tree};

/// Crates `a` and `b` in folders of their names, from paths and texts.
pub fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::from_files([("a", "a"), ("b", "b")], files.iter().copied()).unwrap()
}

/// What a root reaches, without the root.
pub fn reached(tree: &Tree, root: &str) -> BTreeSet<String> {
    let mut files = closure(tree, root).files;
    files.remove(root);
    files
}

/// The closure of one root.
pub fn closure(tree: &Tree, root: &str) -> Closure {
    tree.closure(&[root]).unwrap()
}

/// Asserts that `text`, as `a/src/here.rs`, reaches exactly `wanted` among `files`.
#[track_caller]
pub fn reaches(text: &str, files: &[(&str, &str)], wanted: &[&str]) {
    let tree = tree(files).with("a/src/here.rs", text).unwrap();
    let found = reached(&tree, "a/src/here.rs");
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), wanted, "{text}");
}
