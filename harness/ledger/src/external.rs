//! External arms: a program that is not ours trains, and the bench hands it data and order, keeps the
//! time and judges (`docs/external.md`).
//!
//! Here is what such an arm is: a command with places for settings, the files that are the program, and
//! the digest of what runs them. [`protocol`] has the messages, [`npy`] the arrays beside them,
//! [`own_task`] the workloads whose data and evaluation are the program's, too.

pub mod npy;
pub mod own_task;
pub mod protocol;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::settings::Values;

/// The method id of all external arms.
pub const METHOD: &str = "external";

/// A program that an arm is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Program and arguments, with `{setting}` where a setting's value goes.
    pub command: Vec<String>,
    /// The files that are the program.
    pub files: Vec<ProgramFile>,
    /// Digest of what the command's first word names; none before it was looked for.
    pub program: Option<Digest>,
    /// Where that is on this machine.
    #[serde(skip)]
    pub found: PathBuf,
    /// The folder that the files are taken from.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A file of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramFile {
    /// Path, from the suite's folder on.
    pub name: String,
    /// Digest of what is in it; none before it was read.
    pub sha256: Option<Digest>,
}

/// What a record says of the program behind a run. What the run consumed is this program's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The program.
    pub arm: External,
    /// Version of the protocol that was spoken.
    pub protocol: u32,
    /// Versions that the program named, by what they are of.
    pub versions: BTreeMap<String, String>,
    /// The device that the program named.
    pub device: Option<String>,
    /// Processor seconds of the program, by the operating system.
    pub cpu_seconds: Option<f64>,
    /// Its largest resident set in bytes, by the operating system.
    pub peak_memory_bytes: Option<u64>,
}

impl Told {
    /// Before the program has said anything.
    #[must_use]
    pub fn nothing_yet(arm: External) -> Self {
        Self {
            arm,
            protocol: protocol::VERSION,
            versions: BTreeMap::new(),
            device: None,
            cpu_seconds: None,
            peak_memory_bytes: None,
        }
    }
}

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Setting(String),
}

/// An argument in its parts: `{name}` is a setting, `{{` and `}}` are braces.
fn pieces(word: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let open = rest[at..].starts_with('{');
        let doubled = rest[at..].starts_with(if open { "{{" } else { "}}" });
        if doubled {
            text.push(if open { '{' } else { '}' });
            rest = &rest[at + 2..];
            continue;
        }
        let name = rest[at + 1..].split_once('}').filter(|_| open);
        let fits = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            !name.is_empty() && name.chars().all(fits)
        };
        let Some((name, behind)) = name.filter(|(name, _)| fits(name)) else {
            return Err(format!(
                "{word:?} has a brace that opens or closes no setting; write {{{{ or }}}} for a brace"
            ));
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Setting(name.to_owned()));
        rest = behind;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The value of a setting as an argument.
fn argument(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!(
            "setting \"{name}\" is {value}, but an argument is a text, a number, true or false"
        )),
    }
}

impl External {
    /// A program whose files are still to be read.
    #[must_use]
    pub fn unread(command: Vec<String>, files: Vec<String>) -> Self {
        let files = files.into_iter().map(|name| ProgramFile { name, sha256: None }).collect();
        let (found, folder) = (PathBuf::new(), PathBuf::new());
        Self { command, files, program: None, found, folder }
    }

    /// Names of the settings that the command has places for.
    ///
    /// # Errors
    /// When a brace belongs to no setting.
    pub fn places(&self) -> Result<BTreeSet<String>, String> {
        let mut places = BTreeSet::new();
        for word in &self.command {
            places.extend(pieces(word)?.into_iter().filter_map(|piece| match piece {
                Piece::Setting(name) => Some(name),
                Piece::Text(_) => None,
            }));
        }
        Ok(places)
    }

    /// The command with the values of `settings` in their places.
    ///
    /// # Errors
    /// When a place has no setting, or a value is no argument.
    pub fn arguments(&self, settings: &Values) -> Result<Vec<String>, String> {
        let word = |word: &String| {
            let mut text = String::new();
            for piece in pieces(word)? {
                match piece {
                    Piece::Text(piece) => text.push_str(&piece),
                    Piece::Setting(name) => {
                        let value = settings.get(&name).ok_or_else(|| {
                            format!(
                                "{{{name}}} in {word:?} is no setting of the arm; give it in `with`"
                            )
                        })?;
                        text.push_str(&argument(&name, value)?);
                    }
                }
            }
            Ok(text)
        };
        self.command.iter().map(word).collect()
    }

    /// What is wrong with the command and the files, whatever the settings.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match self.command.first() {
            None => {
                return Some("command: it is empty; give a program and its arguments".to_owned());
            }
            Some(first) if first.is_empty() || first.contains(['{', '}']) => {
                return Some(format!(
                    "command: {first:?} is no program; settings go into arguments"
                ));
            }
            Some(_) => {}
        }
        if let Some(word) = self.command.iter().find(|word| word.contains('\0')) {
            return Some(format!("command: {word:?} has a zero byte, which no argument can hold"));
        }
        if self.files.is_empty() {
            let message = "files: name the files that are the program, such as [train.py]: the cell's id holds what is in them, and nothing else is beside the program when it runs";
            return Some(message.to_owned());
        }
        let mut seen = BTreeSet::new();
        for ProgramFile { name, .. } in &self.files {
            if let Some(reason) = leads_away(name) {
                return Some(format!(
                    "files: {name:?} {reason}; give a path below the suite's folder"
                ));
            }
            if !seen.insert(name) {
                return Some(format!("files: {name:?} stands there twice"));
            }
        }
        self.places().err().map(|reason| format!("command: {reason}"))
    }

    /// What is wrong with the names of its settings: one that has no place where others have, or a place
    /// that no setting fills. Without any place all of them are read from the first message.
    #[must_use]
    pub fn misfit<'s>(&self, settings: impl IntoIterator<Item = &'s str>) -> Option<Misfit> {
        let places = self.places().ok()?;
        let settings: BTreeSet<&str> = settings.into_iter().collect();
        if let Some(unknown) = places.iter().find(|place| !settings.contains(place.as_str())) {
            return Some(Misfit::NoSetting(unknown.clone()));
        }
        let unused = settings.iter().find(|name| !places.is_empty() && !places.contains(**name));
        unused.map(|name| Misfit::NoPlace((*name).to_owned()))
    }
}

/// A setting and a command that do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// The command has a place for a setting that the arm does not have.
    NoSetting(String),
    /// The arm has a setting that the command has no place for.
    NoPlace(String),
}

/// Why a name leads out of the folder that it is looked for in.
#[must_use]
pub fn leads_away(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains('\0') {
        return Some("is no name");
    }
    let mut parts = Path::new(name).components();
    parts.find_map(|part| match part {
        Component::Normal(_) => None,
        Component::ParentDir => Some("leads out of its folder"),
        Component::RootDir | Component::Prefix(_) => Some("is an absolute path"),
        Component::CurDir => Some("has a dot for a folder"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(command: &[&str]) -> External {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        External::unread(command, vec!["train.py".to_owned()])
    }

    fn settings(pairs: &[(&str, Value)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn settings_go_into_their_places_and_doubled_braces_are_braces() {
        let arm = arm(&["python", "train.py", "--lr={lr}", "{{{name}}}", "{{}}"]);
        assert_eq!(arm.places().unwrap(), BTreeSet::from(["lr".to_owned(), "name".to_owned()]));
        let values = settings(&[("lr", 3e-4.into()), ("name", "x y".into())]);
        let found = arm.arguments(&values).unwrap();
        assert_eq!(found, ["python", "train.py", "--lr=0.0003", "{x y}", "{}"]);
    }

    #[test]
    fn numbers_are_written_as_the_suite_has_them() {
        let arm = arm(&["p", "{a}", "{b}", "{c}"]);
        let values = settings(&[("a", 1.into()), ("b", 1.0.into()), ("c", true.into())]);
        assert_eq!(arm.arguments(&values).unwrap(), ["p", "1", "1.0", "true"]);
    }

    #[test]
    fn braces_that_hold_no_name_are_refused() {
        for word in ["{", "}", "{}", "{a b}", "a}b", "{a", "{{a}"] {
            let told = arm(&["p", word]).problem().unwrap();
            assert!(told.contains("opens or closes no setting"), "{word}: {told}");
        }
    }

    #[test]
    fn places_without_a_setting_and_settings_without_a_place_are_found() {
        let some = arm(&["p", "{lr}"]);
        assert_eq!(some.misfit(["lr"]), None);
        assert_eq!(some.misfit([]), Some(Misfit::NoSetting("lr".to_owned())));
        assert_eq!(some.misfit(["lr", "width"]), Some(Misfit::NoPlace("width".to_owned())));
        // Without any place the program reads all of them from the first message.
        assert_eq!(arm(&["p"]).misfit(["lr", "width"]), None);
    }

    #[test]
    fn files_stay_below_their_folder() {
        let told = |files: &[&str]| {
            let files = files.iter().map(|name| (*name).to_owned()).collect();
            External::unread(vec!["p".to_owned()], files).problem()
        };
        assert_eq!(told(&["train.py", "net/model.py"]), None);
        for (name, reason) in [
            ("../train.py", "leads out"),
            ("net/../../train.py", "leads out"),
            ("/etc/passwd", "absolute"),
            ("./train.py", "dot"),
            ("", "no name"),
        ] {
            let told = told(&[name]).unwrap();
            assert!(told.contains(reason), "{name}: {told}");
        }
        assert!(told(&["a", "a"]).unwrap().contains("twice"));
        assert!(told(&[]).unwrap().contains("name the files"));
    }

    #[test]
    fn a_command_begins_with_a_program() {
        assert!(arm(&[]).problem().unwrap().contains("is empty"));
        assert!(arm(&["{lr}"]).problem().unwrap().contains("is no program"));
        assert!(arm(&[""]).problem().unwrap().contains("is no program"));
        assert!(arm(&["p", "a\0b"]).problem().unwrap().contains("zero byte"));
        assert_eq!(arm(&["p", "{lr}"]).problem(), None);
    }

    #[test]
    fn what_is_no_argument_is_refused_with_its_value() {
        let told = arm(&["p", "{lr}"]).arguments(&settings(&[("lr", Value::Null)])).unwrap_err();
        assert_eq!(
            told,
            "setting \"lr\" is null, but an argument is a text, a number, true or false"
        );
    }
}
