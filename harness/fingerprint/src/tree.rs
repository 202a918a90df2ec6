//! Source texts by path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::closure::{self, Closure};
use crate::facts::Facts;
use crate::graph::Graph;
use crate::manifest::{Member, members};
use crate::names::Names;
use crate::tokens::Code;
use crate::{Error, lock, native};

/// The sources of a workspace's members, read once.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    members: Vec<Member>,
    files: BTreeMap<String, Arc<Source>>,
    /// Made when a closure is first asked for.
    graph: OnceLock<Arc<Graph>>,
}

/// A file.
#[derive(Debug)]
struct Source {
    bytes: Vec<u8>,
    content: Content,
    digest: OnceLock<[u8; 32]>,
}

/// What counts of a file; of others than Rust and C++, every byte.
#[derive(Debug)]
pub(crate) enum Content {
    Rust(Code, Box<Facts>),
    Native(String),
    Other,
}

impl Source {
    fn of(file: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let text =
            || std::str::from_utf8(&bytes).map_err(|_| Error::NotText { file: file.to_owned() });
        let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
        let content = if ending == "rs" {
            let code = Code::of(text()?)
                .map_err(|reason| Error::Tokens { file: file.to_owned(), reason })?;
            let facts = Facts::of(&code);
            Content::Rust(code, Box::new(facts))
        } else if native::ENDINGS.contains(&ending) {
            Content::Native(native::code(text()?))
        } else {
            Content::Other
        };
        Ok(Self { bytes, content, digest: OnceLock::new() })
    }

    fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| match &self.content {
            Content::Rust(code, _) => Sha256::digest(code.text()).into(),
            Content::Native(code) => Sha256::digest(code).into(),
            Content::Other => Sha256::digest(&self.bytes).into(),
        })
    }
}

impl Tree {
    /// Reads the members that the manifest in `root` lists, except a package in `root` itself:
    /// everything in their source folders, their build scripts, and what their code includes.
    ///
    /// # Errors
    /// When a file cannot be read, is not Rust, or a manifest lacks what it must have.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let manifest = text(root, "Cargo.toml")?;
        let mut tree = Self::default();
        for folder in members(&manifest)? {
            let manifest = text(root, &format!("{folder}/Cargo.toml"))?;
            let member = Member::of_manifest(&folder, &manifest)?;
            tree.read_folder(root, &member.sources)?;
            let script = member.script();
            if root.join(&script).exists() {
                tree.insert(&script, bytes(root, &script)?)?;
            }
            tree.members.push(member);
        }
        let included: Vec<String> = tree
            .sources()
            .flat_map(|(file, facts)| facts.included.iter().map(move |path| beside(file, path)))
            .collect();
        for file in included {
            if !tree.files.contains_key(&file) {
                tree.insert(&file, bytes(root, &file)?)?;
            }
        }
        Ok(tree)
    }

    /// A tree in memory: crates by name and folder, files by path and text.
    ///
    /// # Errors
    /// When a Rust file is not a sequence of tokens.
    pub fn from_files<'a>(
        crates: impl IntoIterator<Item = (&'a str, &'a str)>,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let members = crates.into_iter().map(|(name, folder)| Member::new(name, folder)).collect();
        let mut tree = Self { members, ..Self::default() };
        for (file, text) in files {
            tree.insert(file, text.into())?;
        }
        Ok(tree)
    }

    /// A copy in which `file` has another text, or is there at all.
    ///
    /// # Errors
    /// When the text is not a sequence of tokens.
    pub fn with(&self, file: &str, text: &str) -> Result<Self, Error> {
        let mut tree = self.clone();
        tree.insert(file, text.into())?;
        Ok(tree)
    }

    /// A copy that lacks `file`.
    #[must_use]
    pub fn without(&self, file: &str) -> Self {
        let mut tree = self.clone();
        tree.files.remove(file);
        tree.graph = OnceLock::new();
        tree
    }

    /// Paths of all files, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When there is no such file, or it is not text.
    pub fn text(&self, file: &str) -> Result<&str, Error> {
        let bytes = &self.source(file)?.bytes;
        std::str::from_utf8(bytes).map_err(|_| Error::NotText { file: file.to_owned() })
    }

    /// The files that decide what `roots` do.
    ///
    /// # Errors
    /// When a root or an included file is not there, or a deciding file holds what cannot be
    /// followed.
    pub fn closure(&self, roots: &[impl AsRef<str>]) -> Result<Closure, Error> {
        let roots: Vec<&str> = roots.iter().map(AsRef::as_ref).collect();
        closure::of(self, &roots)
    }

    /// The packages outside the tree that the code of a closure names, as paths spell them.
    ///
    /// Candidates are the packages of `lock_text`, so that a local name is not taken for one.
    ///
    /// # Errors
    /// When the closure is of another tree, with files that this one lacks.
    pub fn external_names(
        &self,
        closure: &Closure,
        lock_text: &str,
    ) -> Result<BTreeSet<String>, Error> {
        let known = lock::packages(lock_text);
        let known: Vec<String> = known.iter().map(|(name, _)| name.replace('-', "_")).collect();
        let names = self.names();
        let mut found = BTreeSet::new();
        for file in &closure.files {
            let Content::Rust(_, facts) = self.content(file)? else { continue };
            let first = facts.paths.iter().filter_map(|path| path.first());
            found.extend(
                first
                    .filter(|name| known.contains(name) && !names.is_member(name))
                    .filter(|name| names.child(file, name).is_none())
                    .cloned(),
            );
        }
        Ok(found)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    pub(crate) fn graph(&self) -> &Graph {
        self.graph.get_or_init(|| Arc::new(Graph::of(self)))
    }

    pub(crate) fn names(&self) -> Names<'_> {
        Names::new(&self.members, self.sources())
    }

    pub(crate) fn member_of(&self, file: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.owns(file))
    }

    pub(crate) fn content(&self, file: &str) -> Result<&Content, Error> {
        Ok(&self.source(file)?.content)
    }

    pub(crate) fn digest(&self, file: &str) -> Result<[u8; 32], Error> {
        Ok(self.source(file)?.digest())
    }

    /// Files whose paths start with `start`.
    pub(crate) fn files_from<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        let files = self.files.range(start.to_owned()..).map(|(file, _)| file.as_str());
        files.take_while(move |file| file.starts_with(start))
    }

    fn source(&self, file: &str) -> Result<&Source, Error> {
        let source = self.files.get(file).map(Arc::as_ref);
        source.ok_or_else(|| Error::Missing { file: file.to_owned() })
    }

    fn sources(&self) -> impl Iterator<Item = (&str, &Facts)> {
        self.files.iter().filter_map(|(file, source)| match &source.content {
            Content::Rust(_, facts) => Some((file.as_str(), &**facts)),
            _ => None,
        })
    }

    fn insert(&mut self, file: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let source = Source::of(file, bytes)?;
        self.files.insert(file.to_owned(), Arc::new(source));
        self.graph = OnceLock::new();
        Ok(())
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<(), Error> {
        let entries =
            fs::read_dir(root.join(folder)).map_err(|source| unreadable(folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| unreadable(folder, source))?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.read_folder(root, &path)?;
            } else {
                self.insert(&path, bytes(root, &path)?)?;
            }
        }
        Ok(())
    }
}

fn bytes(root: &Path, file: &str) -> Result<Vec<u8>, Error> {
    fs::read(root.join(file)).map_err(|source| unreadable(file, source))
}

fn text(root: &Path, file: &str) -> Result<String, Error> {
    fs::read_to_string(root.join(file)).map_err(|source| unreadable(file, source))
}

fn unreadable(path: &str, source: std::io::Error) -> Error {
    Error::Unreadable { path: path.to_owned(), source: Arc::new(source) }
}

/// A path relative to a file, from the root of the tree.
pub(crate) fn beside(file: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
