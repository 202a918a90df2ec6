//! Orders drawn again by the engine, for the verbs that verify runs.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsString;

use analysis::verify::Drawn;
use serde::{Deserialize, Serialize};

use super::Ask;
use super::suite_options::Places;

/// What the engine answers about the order of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The order.
    Drawn(Drawn),
    /// Why it cannot be drawn.
    Cannot(String),
}

/// The orders of some runs: the engine is asked once, when the first is wanted.
pub struct Drawing<'a> {
    ask: Ask<'a>,
    places: &'a Places,
    cells: Vec<String>,
    answers: OnceCell<Result<BTreeMap<String, Answer>, String>>,
}

impl<'a> Drawing<'a> {
    /// Of these runs of the store.
    pub fn of(ask: Ask<'a>, places: &'a Places, cells: &[String]) -> Self {
        Self { ask, places, cells: cells.to_vec(), answers: OnceCell::new() }
    }

    /// The order of one of them, or of another run.
    ///
    /// # Errors
    /// Why it cannot be drawn.
    pub fn draw(&self, cell: &str) -> Result<Drawn, String> {
        let all = self.answers.get_or_init(|| self.answers(&self.cells));
        let answer = match all.as_ref().map_err(Clone::clone)?.get(cell) {
            Some(answer) => Some(answer.clone()),
            None => self.answers(&[cell.to_owned()])?.remove(cell),
        };
        match answer {
            Some(Answer::Drawn(drawn)) => Ok(drawn),
            Some(Answer::Cannot(reason)) => Err(reason),
            None => Err("the engine does not answer for it".to_owned()),
        }
    }

    fn answers(&self, cells: &[String]) -> Result<BTreeMap<String, Answer>, String> {
        let mut arguments: Vec<OsString> = ["provenance", "draw"].map(OsString::from).to_vec();
        arguments.extend(cells.iter().map(OsString::from));
        arguments.extend(["--store".into(), self.places.store.clone().into()]);
        if let Some(folder) = &self.places.data_dir {
            arguments.extend(["--data-dir".into(), folder.clone().into()]);
        }
        let said = (self.ask)(&arguments).map_err(|error| format!("{error:#}"))?;
        serde_json::from_slice(&said).map_err(|error| format!("the engine answers amiss: {error}"))
    }
}
