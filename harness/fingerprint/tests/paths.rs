//! Which paths lead from file to file.

#![expect(clippy::unwrap_used, reason = "a tree that a test writes")]

mod support;

use support::{reached, reaches, tree};

const FILES: [(&str, &str); 8] = [
    ("a/src/lib.rs", "pub mod one; pub mod two; pub use two::Gate; pub static COUNT: u32 = 1;"),
    ("a/src/one.rs", "pub mod part; pub fn one() {} pub struct One;"),
    ("a/src/one/part.rs", "pub struct Part;"),
    ("a/src/two.rs", "pub struct Gate; pub use crate::one as first;"),
    ("a/src/here/child.rs", "pub struct Child;"),
    (
        "b/src/lib.rs",
        "pub mod far; pub use far::*; mod hidden; pub use hidden::deep::{Deep as Found};",
    ),
    ("b/src/far/mod.rs", "pub struct Far;"),
    ("b/src/hidden/deep.rs", "pub struct Deep;"),
];

#[test]
fn a_path_from_the_crate_leads_to_the_longest_file() {
    reaches("fn f() { crate::one::one() }", &FILES, &["a/src/one.rs"]);
    reaches("use crate::one::part::Part;", &FILES, &["a/src/one/part.rs"]);
    reaches("fn f() -> crate::one::part::Part { todo!() }", &FILES, &["a/src/one/part.rs"]);
    reaches("type A = Vec<crate::two::Gate>;", &FILES, &["a/src/one.rs", "a/src/two.rs"]);
    reaches("use ::b::far::Far;", &FILES, &["b/src/far/mod.rs"]);
    reaches("fn f() { return ::b::far::Far }", &FILES, &["b/src/far/mod.rs"]);
    reaches("fn f() -> X { X { ..b::far::Far } }", &FILES, &["b/src/far/mod.rs"]);
}

#[test]
fn children_and_relatives_are_found_by_self_super_and_name() {
    reaches("fn f() { child::Child; }", &FILES, &["a/src/here/child.rs"]);
    reaches("pub use self::child::Child;", &FILES, &["a/src/here/child.rs"]);
    reaches("use super::one::One;", &FILES, &["a/src/one.rs"]);
    reaches("mod m { use super::super::one::One; }", &FILES, &["a/src/one.rs"]);
    reaches("mod m { use super::child::Child; }", &FILES, &["a/src/here/child.rs"]);
    let tree = tree(&FILES).with("a/src/one/part.rs", "use super::super::two::Gate;").unwrap();
    assert!(reached(&tree, "a/src/one/part.rs").contains("a/src/two.rs"));
}

#[test]
fn a_parent_comes_only_if_it_is_named() {
    let tree = tree(&FILES);
    assert!(reached(&tree, "a/src/one/part.rs").is_empty());
    let tree = tree.with("a/src/one/part.rs", "use super::One;").unwrap();
    assert_eq!(
        reached(&tree, "a/src/one/part.rs").into_iter().collect::<Vec<_>>(),
        ["a/src/one.rs"]
    );
}

#[test]
fn a_declared_module_is_no_edge_and_a_re_export_is() {
    reaches("pub mod child;", &FILES, &[]);
    reaches("pub mod child; pub use child::Child;", &FILES, &["a/src/here/child.rs"]);
}

#[test]
fn imports_give_names_to_modules() {
    reaches(
        "use crate::one; fn f() { one::part::Part; }",
        &FILES,
        &["a/src/one.rs", "a/src/one/part.rs"],
    );
    reaches(
        "use crate::one as o; fn f() { o::part::Part; }",
        &FILES,
        &["a/src/one.rs", "a/src/one/part.rs"],
    );
    reaches(
        "use crate::{one::{self, part::{self}}};",
        &FILES,
        &["a/src/one.rs", "a/src/one/part.rs"],
    );
    reaches(
        "use crate::one::*; fn f() { part::Part; }",
        &FILES,
        &["a/src/one.rs", "a/src/one/part.rs"],
    );
    reaches(
        "use super::*; fn f() { one::part::Part; }",
        &FILES,
        &["a/src/lib.rs", "a/src/one.rs", "a/src/one/part.rs", "a/src/two.rs"],
    );
    reaches(
        "use b as c; fn f() { c::far::Far; }",
        &FILES,
        &["b/src/far/mod.rs", "b/src/hidden/deep.rs", "b/src/lib.rs"],
    );
    // A module under another name in another file.
    reaches(
        "fn f() { crate::two::first::part::Part; }",
        &FILES,
        &["a/src/one.rs", "a/src/one/part.rs", "a/src/two.rs"],
    );
}

#[test]
fn the_root_is_asked_for_a_name_and_not_brought_in_for_it() {
    reaches("use crate::Gate;", &FILES, &["a/src/one.rs", "a/src/two.rs"]);
    reaches("use b::Found;", &FILES, &["b/src/far/mod.rs", "b/src/hidden/deep.rs"]);
    reaches("use b::Far;", &FILES, &["b/src/far/mod.rs"]);
    reaches("fn f() { crate::COUNT; }", &FILES, &["a/src/lib.rs", "a/src/one.rs", "a/src/two.rs"]);
    // Perhaps made by a macro: in doubt, the root.
    reaches(
        "fn f() { crate::unknown(); }",
        &FILES,
        &["a/src/lib.rs", "a/src/one.rs", "a/src/two.rs"],
    );
}

#[test]
fn what_is_not_of_the_tree_is_nobody() {
    reaches(
        "use std::one::One; fn f() { Self::part(); Kind::One; x.one::<T>(); serde::de::X; }",
        &FILES,
        &[],
    );
    // Neither is a module beside this one that is not imported.
    reaches("fn f() { part::Part; two::Gate; }", &FILES, &[]);
}

#[test]
fn a_name_may_be_a_module_and_a_function() {
    let files = [
        ("a/src/lib.rs", "pub use load::load;"),
        ("a/src/load.rs", "pub use crate::body as load;"),
        ("a/src/body.rs", ""),
    ];
    reaches("use crate::load;", &files, &["a/src/body.rs", "a/src/load.rs"]);
    let files = [("a/src/lib.rs", "mod y; pub fn y() {}"), ("a/src/y.rs", "")];
    reaches("use crate::y;", &files, &["a/src/lib.rs", "a/src/y.rs"]);
    let files = [("a/src/x.rs", "pub fn y() {}"), ("a/src/x/y.rs", "")];
    reaches("use crate::x::y;", &files, &["a/src/x.rs", "a/src/x/y.rs"]);
}

#[test]
fn modules_need_no_declaration() {
    let files =
        [("a/src/family/name.rs", "fn f() { part::X; }"), ("a/src/family/name/part.rs", "")];
    reaches(
        "use a::family::name::X;",
        &files,
        &["a/src/family/name.rs", "a/src/family/name/part.rs"],
    );
}

#[test]
fn attributes_name_code_in_strings() {
    reaches("#[serde(with = \"crate::one::part\")] struct S;", &FILES, &["a/src/one/part.rs"]);
    reaches("struct S { #[serde(with = \"child\")] x: u8 }", &FILES, &["a/src/here/child.rs"]);
    reaches("#[error(\"no child of {0}\")] struct S;", &FILES, &[]);
}

#[test]
fn chains_say_why() {
    let tree = tree(&FILES).with("a/src/here.rs", "use crate::two::Gate;").unwrap();
    let closure = support::closure(&tree, "a/src/here.rs");
    assert_eq!(closure.why("a/src/one.rs"), ["a/src/here.rs", "a/src/two.rs", "a/src/one.rs"]);
    assert!(closure.why("b/src/lib.rs").is_empty());
}

#[test]
fn what_cannot_be_followed_is_refused_where_it_decides() {
    for (text, wanted) in [
        ("#[path = \"x.rs\"] mod x;", "#[path]"),
        ("include!(\"one.rs\");", "include!"),
        ("const X: &str = include_str!(concat!(\"a\", \".txt\"));", "computed path"),
        ("macro_rules! m { ($x:ident) => { $crate::$x::f() } }", "macro's variable"),
        ("macro_rules! m { ($x:ident) => { $crate::one::$x() } }", "macro's variable"),
        ("extern crate serde as s;", "extern crate"),
        ("unsafe extern \"C\" { fn f(); }", "native"),
    ] {
        let tree = tree(&FILES).with("a/src/here.rs", text).unwrap();
        let error = tree.closure(&["a/src/here.rs"]).unwrap_err().to_string();
        assert!(error.starts_with("a/src/here.rs: ") && error.contains(wanted), "{error}");
        assert!(tree.closure(&["a/src/one.rs"]).is_ok());
    }
    reaches("include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\"));", &FILES, &[]);
}

#[test]
fn a_wrong_root_or_text_is_an_error_with_the_file() {
    let tree = tree(&FILES);
    assert_eq!(
        tree.closure(&["a/src/x.rs"]).unwrap_err().to_string(),
        "a/src/x.rs: no such file in the tree"
    );
    let error = tree.with("a/src/one.rs", "fn f( {").unwrap_err().to_string();
    assert!(error.starts_with("a/src/one.rs: "), "{error}");
}
