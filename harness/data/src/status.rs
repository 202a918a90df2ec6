//! What of the catalogue is at hand: `data list` and `data verify`.

use std::path::PathBuf;

use serde::Serialize;

use crate::catalogue::{self, CATALOGUE, CifarLayout, DataSet, Kind};
use crate::error::DataError;
use crate::files::{self, FILE_CAP};
use crate::load::load;
use crate::loaded::Origin;
use crate::sources::Sources;
use crate::{cifar, text};

/// One data set and its state on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetStatus {
    /// The data set's name.
    pub name: &'static str,
    /// What it holds.
    pub what: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// The set as a whole.
    pub state: State,
    /// Why it is corrupt, for a person.
    pub problem: Option<String>,
    /// Its files; for CIFAR-10 the archive or the loose files, whichever would be loaded.
    pub files: Vec<FileStatus>,
}

/// The state of a data set or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Generated on demand.
    Generated,
    /// There, and matching the pinned hashes.
    Official,
    /// There and readable, but matching no pinned hash.
    Modified,
    /// There, but it does not load.
    Corrupt,
    /// Not there, or not all of it.
    Absent,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// Where it is, or where it should be.
    pub path: PathBuf,
    /// Its state; a set's files are `modified` whether or not they load.
    pub state: State,
}

/// The state of every data set; hashes every file that is there, and loads those that differ.
#[must_use]
pub fn list(sources: &Sources) -> Vec<SetStatus> {
    CATALOGUE.iter().map(|set| of_set(set, sources)).collect()
}

/// The state of one data set, hashes taken afresh.
///
/// # Errors
/// [`DataError::UnknownName`].
pub fn verify(name: &str, sources: &Sources) -> Result<SetStatus, DataError> {
    Ok(of_set(catalogue::find(name)?, sources))
}

/// The files of a data set that are not here; only looks whether they are there, so that a plan can
/// ask before anything runs. Nothing lacks of what is generated.
///
/// # Errors
/// [`DataError::UnknownName`].
pub fn absent(name: &str, sources: &Sources) -> Result<Vec<PathBuf>, DataError> {
    let set = catalogue::find(name)?;
    if set.kind == Kind::Generated
        || (set.name == "cifar10" && catalogue::locate_cifar(sources).is_ok())
    {
        return Ok(Vec::new());
    }
    let lacking =
        |file: &&catalogue::DataFile| !file.candidates(sources).iter().any(|path| path.exists());
    let files = set.files.iter().filter(lacking);
    Ok(files.map(|file| sources.data_dir.join(file.path)).collect())
}

fn of_set(set: &'static DataSet, sources: &Sources) -> SetStatus {
    let files = file_states(set, sources);
    let any = |state| files.iter().any(|file| file.state == state);
    let (state, problem) = if set.kind == Kind::Generated {
        (State::Generated, None)
    } else if any(State::Absent) {
        (State::Absent, None)
    } else if any(State::Modified) || any(State::Corrupt) {
        match loads(set, sources) {
            Ok(_) => (State::Modified, None),
            Err(error) => (State::Corrupt, Some(error.to_string())),
        }
    } else {
        (State::Official, None)
    };
    SetStatus { name: set.name, what: set.what, licence: set.licence, state, problem, files }
}

fn loads(set: &DataSet, sources: &Sources) -> Result<Origin, DataError> {
    match set.name {
        "tinyshakespeare" => text::tinyshakespeare(sources).map(|text| text.origin),
        "gsm8k" => text::gsm8k(sources).map(|questions| questions.origin),
        name => load(name, sources).map(|loaded| loaded.origin),
    }
}

fn file_states(set: &DataSet, sources: &Sources) -> Vec<FileStatus> {
    if set.name == "cifar10"
        && let Ok(CifarLayout::Batches(paths)) = catalogue::locate_cifar(sources)
    {
        let official = |place| move |bytes: &[u8]| catalogue::is_official_batch(place, bytes);
        let states = (0..cifar::BATCHES.len()).zip(paths);
        return states.map(|(place, path)| file_state(path, official(place))).collect();
    }
    let state = |file: &catalogue::DataFile| {
        let candidates = file.candidates(sources);
        let at = candidates.iter().find(|path| path.exists());
        let path = at.cloned().unwrap_or_else(|| sources.data_dir.join(file.path));
        file_state(path.clone(), |bytes| file.pin.matches(&path, bytes))
    };
    set.files.iter().map(state).collect()
}

fn file_state(path: PathBuf, official: impl Fn(&[u8]) -> bool) -> FileStatus {
    let state = if !path.exists() {
        State::Absent
    } else {
        match files::read(&path, FILE_CAP) {
            Ok(bytes) if official(&bytes) => State::Official,
            Ok(_) => State::Modified,
            Err(_) => State::Corrupt,
        }
    };
    FileStatus { path, state }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn state(name: &str, sources: &Sources) -> State {
        verify(name, sources).unwrap().state
    }

    #[test]
    fn an_empty_folder_has_nothing_but_what_is_generated() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_path_buf();
        let sources = Sources { cache_dir: data_dir.join("cache"), data_dir };
        for set in list(&sources) {
            let kind = crate::catalogue::find(set.name).unwrap().kind;
            let generated = kind == crate::catalogue::Kind::Generated;
            let expected = if generated { State::Generated } else { State::Absent };
            assert_eq!(set.state, expected, "{}", set.name);
            assert!(set.files.iter().all(|file| file.state == State::Absent));
        }
    }

    #[test]
    fn a_file_that_differs_is_modified_if_it_loads_and_corrupt_with_its_reason_if_not() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_path_buf();
        let sources = Sources { cache_dir: data_dir.join("cache"), data_dir };
        let file = sources.data_dir.join("tinyshakespeare/input.txt");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "To be").unwrap();
        assert_eq!(state("tinyshakespeare", &sources), State::Modified);
        fs::write(&file, b"\xff").unwrap();
        let status = verify("tinyshakespeare", &sources).unwrap();
        assert_eq!(status.state, State::Corrupt);
        assert!(status.problem.unwrap().contains("not UTF-8 from offset 0"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(state("tinyshakespeare", &sources), State::Corrupt);
    }
}
