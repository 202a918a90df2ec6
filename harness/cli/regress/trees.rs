//! Two checkouts of a project whose training is its own. One palimpsest, this one, trains the `command:`
//! arms of both, each side by the suite, the files and the programs of its own checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::build::BuildError;
use crate::git;
use crate::voice::{note, quoted};

/// One checkout.
#[derive(Debug, Clone)]
pub struct Tree {
    /// What messages call it: `base` or `head`.
    pub name: &'static str,
    /// Its folder, as a whole path.
    pub folder: PathBuf,
    /// Its suite, as a whole path.
    pub suite: PathBuf,
    /// Its commit, where the suite belongs to one; with a plus where tracked files have changed since.
    pub commit: Option<String>,
}

/// The checkouts that take turns.
#[derive(Debug, Clone)]
pub struct Trees {
    /// What is compared with.
    pub base: Tree,
    /// What is judged.
    pub head: Tree,
}

impl Tree {
    /// The checkout in `folder`, with the suite of this name or path in it.
    ///
    /// # Errors
    /// When there is no such folder, no such suite in it, or the suite's path leads out of it.
    pub fn at(name: &'static str, folder: &Path, suite: &str) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            bail!("the {name} {} is no folder: name a checkout", folder.display());
        }
        let plain = |path: &Path| {
            use std::path::Component::{CurDir, Normal};
            path.components().all(|part| matches!(part, Normal(_) | CurDir))
        };
        if !plain(Path::new(suite)) {
            bail!("{suite} is not a path within both checkouts: give it from their folders on");
        }
        let below = [suite.to_owned(), format!("suites/{suite}.yaml")];
        let found = below.iter().map(Path::new).find(|below| folder.join(below).is_file());
        let below = found.with_context(|| {
            format!("the {name} {} has no suite {suite}: commit it there first", folder.display())
        })?;
        let commit = git::commit_of(folder, below);
        let folder = std::path::absolute(folder)
            .with_context(|| format!("cannot resolve {}", folder.display()))?;
        Ok(Self { name, suite: folder.join(below), folder, commit })
    }

    /// Runs the command that prepares a checkout.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn build(&self, command: &str) -> Result<(), BuildError> {
        note(&format!("building the {}", self.name));
        // What it prints is no report.
        let status = Command::new("sh")
            .args(["-euc", command])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let said = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("{} ended with {status}", quoted(command)),
            Err(error) => format!("cannot start sh: {error}"),
        };
        Err(BuildError {
            build: self.name,
            program: self.folder.clone(),
            what: "be built".to_owned(),
            said,
            cell: None,
            refused: false,
        })
    }
}

impl Trees {
    /// Both checkouts, prepared by `build` where that is given.
    ///
    /// # Errors
    /// When one is not there, both are one, or one does not build.
    pub fn ready(
        base: &Path,
        head: &Path,
        suite: &str,
        build: Option<&str>,
    ) -> anyhow::Result<Self> {
        let trees =
            Self { base: Tree::at("base", base, suite)?, head: Tree::at("head", head, suite)? };
        let whole = |tree: &Tree| {
            let folder = tree.folder.display();
            tree.folder.canonicalize().with_context(|| format!("cannot resolve {folder}"))
        };
        if whole(&trees.base)? == whole(&trees.head)? {
            let folder = trees.base.folder.display();
            bail!("base and head are one folder, {folder}: check the base out beside the head");
        }
        if let Some(command) = build {
            for tree in [&trees.base, &trees.head] {
                tree.build(command)?;
            }
        }
        Ok(trees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_found_in_both_checkouts_or_refused_by_name() {
        let place = tempfile::tempdir().unwrap();
        for file in ["base/suites/gated.yaml", "base/bench.yaml", "head/bench.yaml"] {
            let path = place.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "suite: gated\n").unwrap();
        }
        let (base, head) = (place.path().join("base"), place.path().join("head"));
        assert!(Tree::at("base", &base, "gated").unwrap().suite.ends_with("suites/gated.yaml"));
        let told = |base: &Path, head: &Path, suite: &str| {
            format!("{:#}", Trees::ready(base, head, suite, None).unwrap_err())
        };
        assert!(Trees::ready(&base, &head, "bench.yaml", None).is_ok());
        assert!(told(&base, &head, "gated").contains("has no suite gated"));
        assert!(told(&base, &base.join("../base"), "bench.yaml").contains("one folder"));
        assert!(told(&base, &base.join("nothing"), "bench.yaml").contains("is no folder"));
        for outside in ["../base/bench.yaml", "/bench.yaml"] {
            assert!(told(&base, &head, outside).contains("within both checkouts"), "{outside}");
        }
    }

    #[test]
    fn a_command_that_fails_is_named_with_the_side_that_it_failed_on() {
        let place = tempfile::tempdir().unwrap();
        for side in ["base", "head"] {
            std::fs::create_dir(place.path().join(side)).unwrap();
            std::fs::write(place.path().join(side).join("bench.yaml"), "suite: gated\n").unwrap();
        }
        let (base, head) = (place.path().join("base"), place.path().join("head"));
        let build = "test ! -f broken && touch built";
        assert!(Trees::ready(&base, &head, "bench.yaml", Some(build)).is_ok());
        assert!(base.join("built").is_file() && head.join("built").is_file());
        std::fs::write(head.join("broken"), "").unwrap();
        let error = Trees::ready(&base, &head, "bench.yaml", Some(build)).unwrap_err();
        let error = error.downcast_ref::<BuildError>().unwrap();
        assert!(error.build == "head" && error.said.contains("exit status: 1"), "{error}");
    }
}
