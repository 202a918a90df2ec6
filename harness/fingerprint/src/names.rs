//! What a path means: from the file that says it to the files that may be meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Facts, Path};
use crate::manifest::Member;
use crate::tree::beside;

/// Files, by path.
pub(crate) type Files<'t> = BTreeSet<&'t str>;

/// A source file as a module of its crate.
pub(crate) struct Unit<'t> {
    pub(crate) facts: &'t Facts,
    /// Crate first.
    pub(crate) module: Path,
}

/// All names of a tree.
pub(crate) struct Names<'t> {
    pub(crate) units: BTreeMap<&'t str, Unit<'t>>,
    modules: BTreeMap<Path, &'t str>,
    /// Where macros are made: file, and whether other crates see it.
    macros: BTreeMap<&'t str, Vec<(&'t str, bool)>>,
    crates: BTreeSet<String>,
}

/// What is asked of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Every file on the way.
    Reached,
    /// Files that make what it names.
    Defined,
    /// The same, or files where it may come from, if a glob brings it from out of sight.
    Supposed,
}

impl<'t> Names<'t> {
    pub(crate) fn new(
        members: &'t [Member],
        sources: impl Iterator<Item = (&'t str, &'t Facts)>,
    ) -> Self {
        let mut units = BTreeMap::new();
        for (file, facts) in sources {
            if let Some(member) = members.iter().find(|member| member.owns(file)) {
                units.insert(file, Unit { facts, module: module(member, file) });
            }
        }
        let tests = test_modules(&units);
        units.retain(|_, unit| !tests.iter().any(|test| unit.module.starts_with(test)));
        let mut names = Self {
            units,
            modules: BTreeMap::new(),
            macros: BTreeMap::new(),
            crates: members.iter().map(|member| member.name.clone()).collect(),
        };
        for (file, unit) in &names.units {
            names.modules.insert(unit.module.clone(), file);
            for (name, exported) in &unit.facts.macros {
                names.macros.entry(name).or_default().push((file, *exported));
            }
        }
        names
    }

    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.crates.contains(name)
    }

    /// Every file that a path leads through.
    pub(crate) fn reach(&self, file: &'t str, path: &[String]) -> Files<'t> {
        self.search(Asked::Reached, file, path)
    }

    /// The files that make what a path names; none for what is not of the tree.
    pub(crate) fn definers(&self, file: &'t str, path: &[String]) -> Files<'t> {
        self.search(Asked::Defined, file, path)
    }

    /// The files that may make what a path names, when it is known to be of the tree.
    pub(crate) fn supposed(&self, file: &'t str, path: &[String]) -> Files<'t> {
        self.search(Asked::Supposed, file, path)
    }

    fn search(&self, asked: Asked, file: &'t str, path: &[String]) -> Files<'t> {
        Search { names: self, asked, followed: Vec::new(), through_glob: false }
            .relative(file, path)
    }

    /// The files that make a macro which `file` can call.
    pub(crate) fn macros(&self, file: &str, name: &str) -> Files<'t> {
        let own = self.units.get(file).map(|unit| &unit.module[0]);
        let made = self.macros.get(name).into_iter().flatten();
        made.filter(|(at, exported)| *exported || own == self.units.get(at).map(|at| &at.module[0]))
            .map(|(at, _)| *at)
            .collect()
    }

    /// The file of a module's child, if it has one of its own.
    pub(crate) fn child(&self, file: &str, name: &str) -> Option<&'t str> {
        let unit = self.units.get(file)?;
        self.modules.get(&[&unit.module[..], &[name.to_owned()]].concat()).copied()
    }

    fn root(&self, name: &str) -> Files<'t> {
        self.modules.get(&[name.to_owned()][..]).copied().into_iter().collect()
    }

    /// The file of the longest beginning of a path, and that beginning's length.
    fn deepest(&self, path: &[String]) -> Option<(usize, &'t str)> {
        (1..=path.len())
            .rev()
            .find_map(|length| Some((length, *self.modules.get(&path[..length])?)))
    }
}

/// `a/src/b/c.rs` and `a/src/b/c/mod.rs` are `a::b::c`.
fn module(member: &Member, file: &str) -> Path {
    let mut path = vec![member.name.clone()];
    if file != member.root {
        let below = file[member.sources.len() + 1..].trim_end_matches(".rs");
        let below = below.strip_suffix("/mod").unwrap_or(below);
        path.extend(below.split('/').map(str::to_owned));
    }
    path
}

/// Modules that only tests declare; what lies in them or below decides nothing.
fn test_modules(units: &BTreeMap<&str, Unit<'_>>) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    for (file, unit) in units {
        for (name, path) in &unit.facts.test_modules {
            let elsewhere = path.as_ref().map(|path| units.get(&*beside(file, path)));
            match elsewhere {
                Some(Some(other)) => found.insert(other.module.clone()),
                None if !unit.facts.declared.contains(name) => {
                    found.insert([&unit.module[..], std::slice::from_ref(name)].concat())
                }
                _ => false,
            };
        }
    }
    found
}

struct Search<'n, 't> {
    names: &'n Names<'t>,
    asked: Asked,
    /// Imports being followed: `use a::a` does not lead from itself to itself.
    followed: Vec<(&'t str, usize)>,
    /// Not every name is one that a glob brings.
    through_glob: bool,
}

impl<'t> Search<'_, 't> {
    fn relative(&mut self, file: &'t str, path: &[String]) -> Files<'t> {
        let Some(unit) = self.names.units.get(file) else { return Files::new() };
        let module = unit.module.as_slice();
        let Some((first, rest)) = path.split_first() else { return Files::new() };
        match first.as_str() {
            "crate" => return self.certain(&[&module[..1], rest].concat()),
            "self" if rest.first().is_some_and(|next| next == "super") => {
                return self.relative(file, rest);
            }
            "self" => return self.certain(&[module, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                let kept = module.len().saturating_sub(ups).max(1);
                return self.certain(&[&module[..kept], &path[ups..]].concat());
            }
            "Self" => return Files::new(),
            _ => {}
        }
        let defined = self.asked != Asked::Reached && unit.facts.defines.contains(first);
        let mut found: Files<'t> = defined.then_some(file).into_iter().collect();
        let child = [module, path].concat();
        if self.names.deepest(&child).is_some_and(|(length, _)| length > module.len()) {
            found.extend(self.absolute(&child));
        }
        let imported = self.imported(file, path, found.is_empty());
        found.extend(imported);
        if self.names.is_member(first) {
            found.extend(self.absolute(path));
            if found.is_empty() && self.guesses() {
                found = self.names.root(first);
            }
        }
        found
    }

    /// Through the imports of `file`; a glob may bring any name that nothing else brings.
    fn imported(&mut self, file: &'t str, path: &[String], unknown: bool) -> Files<'t> {
        let Some(unit) = self.names.units.get(file) else { return Files::new() };
        let uses = || unit.facts.uses.iter().enumerate();
        let mut found = Files::new();
        for (index, import) in uses().filter(|(_, import)| import.name.as_ref() == path.first()) {
            found.extend(self.follow(file, index, &[&import.target, &path[1..]].concat()));
        }
        if self.asked == Asked::Reached || (unknown && found.is_empty()) {
            let before = std::mem::replace(&mut self.through_glob, true);
            for (index, import) in uses().filter(|(_, import)| import.name.is_none()) {
                found.extend(self.follow(file, index, &[&import.target, path].concat()));
            }
            self.through_glob = before;
        }
        found
    }

    fn follow(&mut self, file: &'t str, index: usize, path: &[String]) -> Files<'t> {
        if self.followed.contains(&(file, index)) {
            return Files::new();
        }
        self.followed.push((file, index));
        let found = self.relative(file, path);
        self.followed.pop();
        found
    }

    /// Whether what is not found where it must be is taken to be there, made by a macro.
    fn guesses(&self) -> bool {
        self.asked != Asked::Defined || !self.through_glob
    }

    /// A path that is surely of the tree: what is not found is taken to be in the crate's root.
    fn certain(&mut self, path: &[String]) -> Files<'t> {
        let found = self.absolute(path);
        if found.is_empty() && self.guesses() { self.names.root(&path[0]) } else { found }
    }

    fn absolute(&mut self, path: &[String]) -> Files<'t> {
        let Some((length, file)) = self.names.deepest(path) else { return Files::new() };
        let rest = &path[length..];
        // The root is no file to depend on as a whole: it names every module.
        let reached = self.asked == Asked::Reached && (length > 1 || rest.is_empty());
        let mut found: Files<'t> = reached.then_some(file).into_iter().collect();
        if !rest.is_empty() {
            found.extend(self.named(file, rest));
            if found.is_empty() && length > 1 && self.guesses() {
                found.insert(file);
            }
        } else if let Some((above, parent)) = self.names.deepest(&path[..length - 1]) {
            // A function, a macro or an import may have the name of a module beside it.
            found.extend(self.named(parent, &path[above..]));
        }
        found
    }

    /// What a name stands for in a file that is not necessarily where it is made.
    fn named(&mut self, file: &'t str, mut path: &[String]) -> Files<'t> {
        let Unit { facts, module } = &self.names.units[file];
        let mut found = Files::new();
        while path.len() > 1 && facts.inline.contains(&path[0]) {
            path = &path[1..];
            if self.asked == Asked::Reached {
                found.insert(file);
            }
        }
        if facts.defines.contains(&path[0]) {
            found.insert(file);
        }
        if module.len() == 1 {
            let made = self.names.macros.get(path[0].as_str()).into_iter().flatten();
            let own = made
                .filter(|(at, exported)| *exported && self.names.units[at].module[0] == module[0]);
            found.extend(own.map(|(at, _)| *at));
        }
        let unknown = found.is_empty();
        found.extend(self.imported(file, path, unknown));
        found
    }
}
