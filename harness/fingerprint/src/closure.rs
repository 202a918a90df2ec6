//! The files that decide, how each came in, and their digest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::graph::Rule;
use crate::{Error, Tree};

/// The files that a few roots lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// Paths from the root of the tree; roots among them.
    pub files: BTreeSet<String>,
    /// Who brought a file in; nobody for a root.
    came_by: BTreeMap<String, Option<String>>,
    digests: BTreeMap<String, [u8; 32]>,
}

impl Closure {
    /// SHA-256 of each file in order: the path's length (u64, little endian), the path, the digest
    /// of its tokens.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for (file, digest) in &self.digests {
            hasher.update((file.len() as u64).to_le_bytes());
            hasher.update(file);
            hasher.update(digest);
        }
        hasher.finalize().into()
    }

    /// [`digest`](Self::digest) as hexadecimal text.
    #[must_use]
    pub fn hex(&self) -> String {
        self.digest().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A shortest chain of files from a root to `file`; empty if it does not decide.
    #[must_use]
    pub fn why(&self, file: &str) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = self.came_by.get_key_value(file);
        while let Some((file, by)) = next {
            chain.push(file.clone());
            next = by.as_ref().and_then(|by| self.came_by.get_key_value(by));
        }
        chain.reverse();
        chain
    }
}

/// Breadth first, so that chains are short; impl blocks last, as nobody names them.
pub(crate) fn of(tree: &Tree, roots: &[&str]) -> Result<Closure, Error> {
    let graph = tree.graph();
    let mut came_by: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut waiting: VecDeque<String> = roots.iter().map(|root| (*root).to_owned()).collect();
    came_by.extend(waiting.iter().map(|root| (root.clone(), None)));
    while !waiting.is_empty() {
        while let Some(file) = waiting.pop_front() {
            for other in graph.from(&file)? {
                if !came_by.contains_key(other) {
                    came_by.insert(other.clone(), Some(file.clone()));
                    waiting.push_back(other.clone());
                }
            }
        }
        for Rule { file, needs } in &graph.rules {
            if came_by.contains_key(file) {
                continue;
            }
            let mut met = Vec::new();
            for need in needs {
                met.extend(need.iter().find(|one| came_by.contains_key(*one)).cloned());
            }
            if met.len() == needs.len() {
                let by = met.into_iter().next();
                came_by.insert(file.clone(), by);
                waiting.push_back(file.clone());
            }
        }
    }
    let digests = came_by
        .keys()
        .map(|file| Ok((file.clone(), tree.digest(file)?)))
        .collect::<Result<_, Error>>()?;
    Ok(Closure { files: came_by.keys().cloned().collect(), came_by, digests })
}
