//! Programs that arms are: what runs them is looked for, their files are read and taken into the cells' ids.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use analysis::plan::Plan;
use anyhow::{Context as _, anyhow, bail};
use ledger::digest::{Digest, of_reader};
use ledger::external::External;
use ledger::plain;

/// Looks for the programs and files of all arms, from the suite's folder on.
///
/// # Errors
/// When one is not there or cannot be read.
pub fn find(folder: &Path, plan: &mut Plan) -> anyhow::Result<()> {
    for arm in &mut plan.arms {
        if let Some(external) = &mut arm.external {
            found(folder, external).with_context(|| format!("arm \"{}\"", arm.label))?;
        }
    }
    Ok(())
}

fn found(folder: &Path, external: &mut External) -> anyhow::Result<()> {
    let folder =
        std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    for file in &mut external.files {
        let path = folder.join(&file.name);
        let read = plain::open(&path).and_then(|mut file| of_reader(&mut file));
        let (_, sha256) = read.with_context(|| {
            format!(
                "cannot read {}, one of its `files`; a path in a suite is taken from the suite's folder on",
                path.display()
            )
        })?;
        file.sha256 = Some(sha256);
    }
    let name = external.command.first().cloned().unwrap_or_default();
    let program = on_this_machine(&folder, &name)?;
    let digest = File::open(&program).and_then(|mut file| of_reader(&mut file));
    let (_, digest) = digest.with_context(|| format!("cannot read {}", program.display()))?;
    external.program = Some(digest);
    external.found = program;
    external.folder = folder;
    Ok(())
}

/// What the first word of a command names: a path from the suite's folder on, or a program of `PATH`. A
/// link stays one: the Python of a virtual environment knows by it where it belongs.
fn on_this_machine(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let runs = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = folder.join(name);
        if !runs(&path) {
            bail!(
                "{} is no program that runs; a path is taken from the suite's folder on",
                path.display()
            );
        }
        return Ok(path);
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&places).map(|place| place.join(name)).find(|path| runs(path));
    let found = found.ok_or_else(|| {
        anyhow!("there is no program {name} on PATH; install it, or give its path from the suite's folder on")
    })?;
    Ok(std::path::absolute(found)?)
}

/// Copies the files of a program into `folder`, where they still are what the plan read.
///
/// # Errors
/// When one cannot be read or written, or has changed since.
pub fn copy(external: &External, folder: &Path) -> anyhow::Result<()> {
    for file in &external.files {
        let from = external.folder.join(&file.name);
        let bytes =
            plain::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        if file.sha256 != Some(Digest::of(&bytes)) {
            bail!("{} has changed since the plan was made; run again", from.display());
        }
        let to = folder.join(&file.name);
        let write = || -> io::Result<()> {
            fs::create_dir_all(to.parent().unwrap_or(folder))?;
            fs::write(&to, &bytes)?;
            fs::set_permissions(&to, fs::metadata(&from)?.permissions())
        };
        write().with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &str, file: &str) -> External {
        External::unread(vec![command.to_owned()], vec![file.to_owned()])
    }

    #[test]
    fn files_and_programs_are_known_by_what_is_in_them() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("train.py"), "text").unwrap();
        let mut external = program("sh", "train.py");
        found(place.path(), &mut external).unwrap();
        assert_eq!(external.files[0].sha256, Some(Digest::of(b"text")));
        assert!(external.found.is_absolute() && external.program.is_some());
        let to = tempfile::tempdir().unwrap();
        copy(&external, to.path()).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("train.py")).unwrap(), "text");
        fs::write(place.path().join("train.py"), "other").unwrap();
        let told = copy(&external, to.path()).unwrap_err().to_string();
        assert!(told.contains("has changed since the plan was made"), "{told}");
    }

    #[test]
    fn what_is_not_there_is_named_with_the_place_where_it_was_looked_for() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("train.py"), "text").unwrap();
        std::os::unix::fs::symlink("train.py", place.path().join("link.py")).unwrap();
        let told = |command: &str, file: &str| {
            format!("{:#}", found(place.path(), &mut program(command, file)).unwrap_err())
        };
        assert!(told("sh", "model.py").contains("model.py, one of its `files`"));
        assert!(told("sh", "link.py").contains("it is a link"));
        assert!(told("no-such-program", "train.py").contains("no program no-such-program on PATH"));
        assert!(told("./train.py", "train.py").contains("is no program that runs"));
    }
}
