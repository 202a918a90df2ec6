//! What counts of a file's text, macros, impl blocks and files that are not Rust.

#![expect(clippy::unwrap_used, reason = "a tree that a test writes")]

mod support;

use fingerprint::Tree;
use support::{closure, reached, reaches, tree};

fn digest(text: &str) -> [u8; 32] {
    closure(&tree(&[("a/src/here.rs", text)]), "a/src/here.rs").digest()
}

#[test]
fn comments_layout_and_tests_do_not_count() {
    let plain = digest("pub fn f(x: u32) -> u32 { x + 1 }");
    for text in [
        "//! Doc.\n\n/// Doc.\npub fn f(x: u32)\n    -> u32 {\n    // why\n    x /* what */ + 1\n}\n",
        "#![doc = \"Doc.\"]\n#[doc(hidden)]\npub fn f(x: u32) -> u32 { x + 1 }",
        "pub fn f(x: u32) -> u32 { x + 1 }\n#[cfg(test)]\nmod tests { use super::*; }",
        "pub fn f(x: u32) -> u32 { x + 1 } #[cfg(test)] #[path = \"x/t.rs\"] mod tests;",
        "#[cfg(test)] pub(crate) use a::{b}; pub fn f(x: u32) -> u32 { x + 1 }",
        "#[cfg(test)] /// Doc.\n const X: S = S { a: 1 }; pub fn f(x: u32) -> u32 { x + 1 }",
        "#[test] #[ignore] fn t() -> [u8; { 3 }] where T: A {} pub fn f(x: u32) -> u32 { x + 1 }",
        "#[cfg(all(unix, test))] const fn g() {} pub fn f(x: u32) -> u32 { x + 1 }",
        "pub fn f(x: u32) -> u32 { #[cfg(test)] seen!(x); #[cfg(test)] let y = { x }; x + 1 }",
        "#[cfg(test)] extern crate self as a; pub fn f(x: u32) -> u32 { x + 1 }",
    ] {
        assert_eq!(digest(text), plain, "{text}");
    }
}

#[test]
fn code_counts_also_beside_tests() {
    let plain = digest("pub fn f(x: u32) -> u32 { x + 1 }");
    for text in [
        "pub fn f(x: u32) -> u32 { x + 2 }",
        "pub fn f(x: u32) -> u32 { x - 1 }",
        "#[inline] pub fn f(x: u32) -> u32 { x + 1 }",
        "#[cfg(not(test))] mod m {} pub fn f(x: u32) -> u32 { x + 1 }",
        "#[cfg(any(test, unix))] mod m {} pub fn f(x: u32) -> u32 { x + 1 }",
        "#[cfg(test)] mod m; const Y: u32 = 1; pub fn f(x: u32) -> u32 { x + 1 }",
    ] {
        assert_ne!(digest(text), plain, "{text}");
    }
    // The end of what is no item is not certain: nothing is left out.
    let field = |rest| digest(&format!("struct S {{ #[cfg(test)] x: u32, {rest} }}"));
    assert_ne!(field("y: u32"), field("y: u64"));
    assert_ne!(digest("a == b"), digest("a = = b"));
    assert_ne!(digest("\"a // b\""), digest("\"a // c\""));
    assert_ne!(
        digest("macro_rules! m { ($(#[doc = $d:literal])*) => {} }"),
        digest("macro_rules! m { () => {} }")
    );
    assert_eq!(digest("#![cfg(test)] fn f() {}"), digest(""));
}

#[test]
fn files_of_tests_bring_nothing_in_and_are_not_brought_in() {
    let files = [
        (
            "a/src/one.rs",
            "pub trait Rule {} #[cfg(test)] mod tests; #[cfg(test)] #[path = \"one/odd.rs\"] mod more;",
        ),
        ("a/src/one/tests.rs", "impl super::Rule for u32 {}"),
        ("a/src/one/tests/deep.rs", "impl super::super::Rule for u64 {}"),
        ("a/src/one/odd.rs", "impl super::Rule for u8 {}"),
        ("a/src/two.rs", "impl crate::one::Rule for u16 {}"),
    ];
    reaches(
        "use crate::one::Rule; #[cfg(test)] mod tests { use crate::three::X; }",
        &files,
        &["a/src/one.rs", "a/src/two.rs"],
    );
}

#[test]
fn a_macro_brings_in_the_file_that_makes_it() {
    let files = [
        ("b/src/lib.rs", "pub mod settings; mod inner;"),
        (
            "b/src/settings.rs",
            "#[macro_export] /// Doc.\n macro_rules! settings { () => { $crate::inner::f() } }\n#[macro_export] macro_rules! choice { () => {} }",
        ),
        ("b/src/inner.rs", "macro_rules! local { () => {} }"),
    ];
    let both = ["b/src/inner.rs", "b/src/settings.rs"];
    reaches("settings! { x }", &files, &both);
    reaches("fn f() { b::settings!(x); }", &files, &both);
    reaches("use b::settings;", &files, &both);
    reaches("use b::choice as c; c!();", &files, &both);
    reaches("local!();", &files, &[]);
    let own = tree(&files).with("b/src/here.rs", "local!();").unwrap();
    assert_eq!(reached(&own, "b/src/here.rs").len(), 1);
    // The `use` of a settings block is no import.
    reaches("m! { use child: S; }", &[("a/src/child.rs", "")], &[]);
    // A macro may make a path of a module's name.
    reaches("m! { child }", &[("a/src/here/child.rs", "")], &["a/src/here/child.rs"]);
}

const IMPLS: [(&str, &str); 4] = [
    ("a/src/lib.rs", "pub use kind::Kind;"),
    ("a/src/kind.rs", "pub struct Kind<T>(T); pub type Other = std::X;"),
    ("a/src/rule.rs", "pub trait Rule<T> {}"),
    ("a/src/apart.rs", ""),
];

/// Whether `a/src/apart.rs` with a text comes in with files that name kind, rule, both.
fn comes_with(text: &str) -> [bool; 3] {
    let tree = tree(&IMPLS).with("a/src/apart.rs", text).unwrap();
    ["use crate::Kind;", "use crate::rule::Rule;", "use crate::{Kind, rule::Rule};"].map(|here| {
        let tree = tree.with("a/src/here.rs", here).unwrap();
        reached(&tree, "a/src/here.rs").contains("a/src/apart.rs")
    })
}

#[test]
fn an_impl_block_elsewhere_comes_with_its_type_and_trait() {
    for inherent in [
        "impl<T> crate::Kind<T> { fn f() {} }",
        "use crate::Kind; impl<T: Into<[u8; { 4 }]>> Kind<T> where T: Copy {}",
        "use crate::kind as k; impl std::fmt::Debug for k::Kind<u8> {}",
        "use crate::kind::*; impl MadeByMacro {}",
        "use crate::*; impl From<u8> for &mut Kind<u8> {}",
        "use crate::Kind; impl<'a, F: Fn() -> u8> Iterator for &'a Kind<F> {}",
        "use crate::Kind; impl From<Kind<u8>> for String {}",
        "type Short = crate::Kind<u8>; impl Default for Short {}",
        "use crate::Kind; impl Add for Box<Kind<u8>> {}",
        "use crate::Kind; unsafe impl Send for Kind<u8> {}",
        "mod m { impl Drop for super::super::Kind<u8> {} }",
    ] {
        assert_eq!(comes_with(inherent), [true, false, true], "{inherent}");
    }
    for foreign in [
        "use crate::rule::Rule; impl Rule<u8> for f64 {}",
        "use crate::rule::Rule; impl<T: Copy> Rule<T> for T {}",
        "use crate::rule; impl rule::Rule<u8> for (u8, Vec<u8>) {}",
        "use crate::rule::Rule; impl<T: Rule<T> + ?Sized> Rule<T> for Box<T> {}",
        "use crate::rule::Rule; impl dyn Rule<u8> {}",
        "use crate::rule::Rule; macro_rules! m { ($t:ty) => { impl Rule<u8> for $t {} } }",
        "use crate::rule::Rule; impl<F> Rule<u8> for F where F: for<'a> Fn(&'a u8) {}",
    ] {
        assert_eq!(comes_with(foreign), [false, true, true], "{foreign}");
    }
    let both = "use crate::{Kind, rule::Rule}; impl Rule<u8> for Kind<u8> {}";
    assert_eq!(comes_with(both), [false, false, true]);
}

#[test]
fn an_impl_block_beside_its_type_or_trait_comes_with_that_file_only() {
    for text in [
        "use crate::rule::Rule; struct Own; impl Rule<u8> for Own {}",
        "use crate::Kind; trait Own {} impl Own for Kind<u8> {}",
        "use crate::rule::Rule; fn f(x: impl Rule<u8>) -> impl Rule<u8> { x }",
        "fn f(x: &impl crate::rule::Rule<u8>, y: Vec<impl crate::rule::Rule<u8>>) {}",
        "struct Own; impl From<crate::Kind<u8>> for Own {}",
    ] {
        assert_eq!(comes_with(text), [false; 3], "{text}");
    }
}

#[test]
fn included_files_count_by_their_bytes() {
    let files =
        [("a/src/x/table.txt", "1 // 2"), ("a/src/card.rs", "x"), ("a/src/code.rs", "fn f() {}")];
    let text =
        "const T: &str = include_str!(\"x/table.txt\"); const C: &str = include_str!(\"card.rs\");";
    reaches(text, &files, &["a/src/x/table.txt"]);
    let one = tree(&files).with("a/src/here.rs", text).unwrap();
    let two = one.with("a/src/x/table.txt", "1 // 3").unwrap();
    assert_ne!(closure(&one, "a/src/here.rs").digest(), closure(&two, "a/src/here.rs").digest());
    let error = one.without("a/src/x/table.txt").closure(&["a/src/here.rs"]).unwrap_err();
    assert_eq!(error.to_string(), "a/src/x/table.txt: no such file in the tree");
}

#[test]
fn native_companions_come_with_their_flags() {
    let files = [
        ("a/build.rs", "fn main() { flag(\"-O3\"); }"),
        ("a/src/here.cpp", "#include \"deep/shared.h\"\nint f(); // f"),
        ("a/src/here_loops.cu", ""),
        ("a/src/heretic.cpp", ""),
        ("a/src/heretic.rs", ""),
        ("a/src/deep/shared.h", ""),
        ("a/src/stray.c", ""),
    ];
    let wanted = [
        "a/build.rs",
        "a/src/deep/shared.h",
        "a/src/here.cpp",
        "a/src/here_loops.cu",
        "a/src/stray.c",
    ];
    reaches("unsafe extern \"C\" { fn f(); }", &files, &wanted);
    let tree = tree(&files).with("a/src/here.rs", "").unwrap();
    let digest = |tree: &Tree| closure(tree, "a/src/here.rs").digest();
    let plain = digest(&tree);
    assert_eq!(
        digest(
            &tree.with("a/src/here.cpp", "#include \"deep/shared.h\"\nint f(); /* g */\n").unwrap()
        ),
        plain
    );
    for (file, text) in [
        ("a/src/here.cpp", "int g();"),
        ("a/build.rs", "fn main() {}"),
        ("a/src/deep/shared.h", "int x;"),
    ] {
        assert_ne!(digest(&tree.with(file, text).unwrap()), plain, "{file}");
    }
    assert!(reached(&tree.with("a/src/other.rs", "").unwrap(), "a/src/other.rs").is_empty());
}

#[test]
fn external_crates_are_those_of_the_lock_file() {
    let lock = ["serde-json", "tch", "b", "thiserror", "unused"]
        .map(|name| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n"));
    let text = "use serde_json::Value; use std::fmt; use b::X; tch::no_grad(); #[derive(thiserror::Error)] enum E { A } E::A; local::f();";
    let tree =
        tree(&[("a/src/here.rs", text), ("b/src/lib.rs", ""), ("a/src/else.rs", "use unused::X;")]);
    let found = tree.external_names(&closure(&tree, "a/src/here.rs"), &lock.concat()).unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["serde_json", "tch", "thiserror"]);
}

#[test]
fn a_tree_is_read_as_its_manifests_say() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[workspace]\nmembers = [\"x/one\"]\n");
    write("x/one/Cargo.toml", "[package]\nname = \"my-one\"\n");
    write("x/one/build.rs", "fn main() {}");
    write(
        "x/one/src/lib.rs",
        "use my_one::part::X; const T: &[u8] = include_bytes!(\"../data.bin\");",
    );
    write("x/one/src/part.rs", "");
    write("x/one/data.bin", "bytes");
    write("x/one/tests/t.rs", "not Rust (");
    let tree = Tree::read(folder.path()).unwrap();
    let all = ["x/one/build.rs", "x/one/data.bin", "x/one/src/lib.rs", "x/one/src/part.rs"];
    assert_eq!(tree.files().collect::<Vec<_>>(), all);
    assert_eq!(tree.text("x/one/data.bin").unwrap(), "bytes");
    assert_eq!(closure(&tree, "x/one/src/lib.rs").files.len(), 3);
    write("x/one/src/part.rs", "\"");
    let error = Tree::read(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("x/one/src/part.rs: "), "{error}");
}
