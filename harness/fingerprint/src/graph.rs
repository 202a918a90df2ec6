//! Which file leads to which, and the impl blocks that need no name to be used.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Files, Names};
use crate::tree::{Content, Tree, beside};
use crate::{Error, native};

/// A file with an impl block for a type and a trait of other files. It decides once one file of
/// each set does: then its code can be called by a method's name alone.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) file: String,
    pub(crate) needs: Vec<BTreeSet<String>>,
}

/// All that leads from file to file in a tree.
#[derive(Debug)]
pub(crate) struct Graph {
    edges: BTreeMap<String, Result<BTreeSet<String>, Error>>,
    pub(crate) rules: Vec<Rule>,
}

impl Graph {
    pub(crate) fn of(tree: &Tree) -> Self {
        let names = tree.names();
        let edges = tree.files().map(|file| (file.to_owned(), edges(tree, &names, file)));
        Self { edges: edges.collect(), rules: rules(&names) }
    }

    /// The files that `file` brings in.
    ///
    /// # Errors
    /// When the file is not there, says what cannot be followed, or includes a file that is not
    /// there.
    pub(crate) fn from(&self, file: &str) -> Result<&BTreeSet<String>, Error> {
        match self.edges.get(file) {
            Some(Ok(edges)) => Ok(edges),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::Missing { file: file.to_owned() }),
        }
    }
}

/// Every impl block that its own file's type or trait does not bring in.
fn rules(names: &Names<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (&file, unit) in &names.units {
        for block in &unit.facts.impls {
            let made = |path| names.definers(file, path);
            let parts = [block.base.as_deref(), block.of.as_deref()];
            let mut parts: Vec<_> = parts.into_iter().flatten().map(made).collect();
            parts.retain(|part| !part.is_empty());
            if parts.is_empty() {
                // `impl From<Ours> for String`: ours is all that is left to know it by.
                let named: Files<'_> = block.named.iter().flat_map(|path| made(path)).collect();
                let supposed = || block.named.iter().flat_map(|path| names.supposed(file, path));
                parts.push(if named.is_empty() { supposed().collect() } else { named });
            }
            // Whoever uses a type or trait of this file has the file already.
            if parts.iter().all(|part| part.iter().any(|other| *other != file)) {
                let others = |part: Files<'_>| {
                    part.into_iter().filter(|other| *other != file).map(str::to_owned).collect()
                };
                rules.push(Rule {
                    file: file.to_owned(),
                    needs: parts.into_iter().map(others).collect(),
                });
            }
        }
    }
    rules
}

fn edges<'t>(tree: &'t Tree, names: &Names<'t>, file: &'t str) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    match tree.content(file)? {
        Content::Rust(_, facts) => {
            if let Some(what) = &facts.refused {
                return Err(Error::Refused { file: file.to_owned(), what: what.clone() });
            }
            if names.units.contains_key(file) {
                named(names, file, &mut found);
                companions(tree, file, &mut found);
                if facts.foreign && !found.iter().any(|other| is_native(other)) {
                    let what = "native functions without a native file beside it".to_owned();
                    return Err(Error::Refused { file: file.to_owned(), what });
                }
            } else {
                orphans(tree, file, &mut found);
            }
            // Rust as text is a method's or workload's card.
            for included in facts.included.iter().filter(|file| !file.ends_with(".rs")) {
                let included = beside(file, included);
                tree.content(&included)?;
                found.insert(included);
            }
        }
        Content::Native(code) => {
            let headers = native::headers(code).map(|header| beside(file, header));
            found.extend(headers.filter(|header| tree.content(header).is_ok()));
        }
        Content::Other => {}
    }
    found.remove(file);
    Ok(found)
}

fn named<'t>(names: &Names<'t>, file: &'t str, found: &mut BTreeSet<String>) {
    let facts = names.units[file].facts;
    let paths = facts.paths.iter().flat_map(|path| names.reach(file, path));
    let macros = facts.calls.iter().flat_map(|name| names.macros(file, name));
    let children = facts.mentions.iter().filter_map(|word| names.child(file, word));
    found.extend(paths.chain(macros).chain(children).map(str::to_owned));
}

/// `b.cpp`, `b.h` and `b_loops.cpp` beside `b.rs`, and the build script with the compiler's flags.
fn companions(tree: &Tree, file: &str, found: &mut BTreeSet<String>) {
    let stem = file.trim_end_matches(".rs");
    let beside: Vec<&str> = tree.files_from(stem).filter(|other| belongs(other, stem)).collect();
    if let (false, Some(member)) = (beside.is_empty(), tree.member_of(file)) {
        let script = member.script();
        found.extend(tree.content(&script).is_ok().then_some(script));
    }
    found.extend(beside.into_iter().map(str::to_owned));
}

/// Native files that no Rust file owns come with the build script that compiles them.
fn orphans(tree: &Tree, script: &str, found: &mut BTreeSet<String>) {
    let Some(member) = tree.members().find(|one| one.script() == script) else {
        return;
    };
    let below = format!("{}/", member.sources);
    let natives = tree.files_from(&below).filter(|file| is_native(file));
    let owned = |native: &str| {
        let folder = native.rsplit_once('/').map_or("", |(folder, _)| folder);
        tree.files_from(&format!("{folder}/"))
            .filter_map(|file| file.strip_suffix(".rs"))
            .any(|stem| belongs(native, stem))
    };
    found.extend(natives.filter(|native| !owned(native)).map(str::to_owned));
}

fn is_native(file: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, ending)| native::ENDINGS.contains(&ending))
}

fn belongs(file: &str, stem: &str) -> bool {
    let Some(rest) = file.strip_prefix(stem) else { return false };
    is_native(file)
        && !rest.contains('/')
        && (rest.starts_with('_') || rest.matches('.').count() == 1 && rest.starts_with('.'))
}
