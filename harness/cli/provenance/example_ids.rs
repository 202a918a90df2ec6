//! Ids of examples as they are in files, and as the test counts them.
//!
//! The test keeps a place for every id up to the largest. Where the ids of the scored examples are
//! given, they may be any numbers, or text: then they are counted anew, in increasing order.

use std::collections::HashMap;

use ::data::columns::{ColumnSource, Ids, ids};
use anyhow::bail;
use stats::provenance::Refusal;

use super::order_table::Table;

/// Reads ids of several files that name the same examples.
#[derive(Debug, Default)]
pub struct Register {
    /// The file whose ids were read first, and a text of it where it holds text.
    first: Option<(ColumnSource, Option<String>)>,
    /// Texts so far.
    names: Vec<String>,
    codes: HashMap<String, u64>,
}

impl Register {
    /// The ids of a file; those that are text by their number in this register.
    ///
    /// # Errors
    /// When they cannot be read, or are text here and numbers elsewhere.
    pub fn read<'a>(&mut self, source: &'a ColumnSource) -> anyhow::Result<Table<'a>> {
        let found = ids(source)?;
        let text = match &found {
            Ids::Numbers(_) => None,
            Ids::Texts(texts) => {
                let is_text = |name: &&String| name.trim().parse::<f64>().is_err();
                texts.names.iter().find(is_text).or(texts.names.first()).cloned()
            }
        };
        let (other, its) = self.first.get_or_insert_with(|| (source.clone(), text.clone()));
        match (&text, &*its) {
            (Some(text), None) => bail!(
                "{source} holds text, such as {text:?}, but {other} holds numbers: ids are matched by \
                 their exact text, so that all files must hold text"
            ),
            (None, Some(text)) => bail!(
                "{source} holds numbers, but {other} holds text, such as {text:?}: ids are matched by \
                 their exact text, so that all files must hold text"
            ),
            _ => {}
        }
        Ok(match found {
            Ids::Numbers(column) => {
                Table { source, ids: column.as_ids()?, columns: column.columns }
            }
            Ids::Texts(texts) => {
                let codes: Vec<u64> = texts.names.into_iter().map(|name| self.code(name)).collect();
                let ids = texts.codes.iter().map(|&code| codes[code as usize]).collect();
                Table { source, ids, columns: texts.columns }
            }
        })
    }

    fn code(&mut self, name: String) -> u64 {
        let next = self.names.len() as u64;
        *self.codes.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }

    /// Whether ids are text.
    pub fn is_text(&self) -> bool {
        matches!(self.first, Some((_, Some(_))))
    }

    /// What the number of an id stands for.
    pub fn label(&self, id: u64) -> String {
        match self.names.get(id as usize) {
            Some(name) if self.is_text() => format!("{name:?}"),
            _ => id.to_string(),
        }
    }

    /// What the ids that were counted anew stand for; `None` where that is what they are.
    pub fn labels(self, anew: Option<Vec<u64>>) -> Option<Labels> {
        if !self.is_text() {
            return anew.map(Labels::Numbers);
        }
        Some(Labels::Texts(match anew {
            None => self.names,
            Some(ids) => {
                ids.iter().filter_map(|id| self.names.get(*id as usize).cloned()).collect()
            }
        }))
    }
}

/// What the ids that the test counts stand for in the files.
#[derive(Debug)]
pub enum Labels {
    /// Other numbers.
    Numbers(Vec<u64>),
    /// Texts.
    Texts(Vec<String>),
}

/// Counts ids from 0 on, in increasing order, so that they need memory for as many as there are and
/// not for the largest. Says what they stood for, unless that is the same.
pub fn count_anew(epochs: &mut [Vec<u64>], rows: &mut [u64]) -> Option<Vec<u64>> {
    let mut all: Vec<u64> = epochs.iter().flatten().chain(rows.iter()).copied().collect();
    all.sort_unstable();
    all.dedup();
    if all.last().is_none_or(|last| *last < all.len() as u64) {
        return None;
    }
    let ids = epochs.iter_mut().flatten().chain(rows);
    // Every id is in the list that was made of them.
    ids.for_each(|id| *id = all.partition_point(|other| other < id) as u64);
    Some(all)
}

impl Labels {
    /// A refusal with the ids of the files.
    pub fn told(&self, refusal: Refusal) -> String {
        let number = |id: u64| match self {
            Self::Numbers(labels) => labels.get(id as usize).copied().unwrap_or(id),
            Self::Texts(_) => id,
        };
        let (refusal, id) = match refusal {
            Refusal::DuplicateId { index, id, first } => {
                (Refusal::DuplicateId { index, id: number(id), first }, id)
            }
            Refusal::MissingId { id, missing, found, examples } => {
                (Refusal::MissingId { id: number(id), missing, found, examples }, id)
            }
            Refusal::RepeatedRow { index, id, first } => {
                (Refusal::RepeatedRow { index, id: number(id), first }, id)
            }
            Refusal::SplitExample { index, id, first } => {
                (Refusal::SplitExample { index, id: number(id), first }, id)
            }
            other => return other.to_string(),
        };
        match self {
            Self::Numbers(_) => refusal.to_string(),
            Self::Texts(names) => {
                let name = names.get(id as usize).map(String::as_str).unwrap_or_default();
                format!("{refusal} ({id} stands for {name:?})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_anew_only_where_there_are_gaps() {
        let (mut epochs, mut rows) = (vec![vec![2, 0, 1]], vec![1, 2]);
        assert_eq!(count_anew(&mut epochs, &mut rows), None);
        let (mut epochs, mut rows) =
            (vec![vec![4_000_000_000, 7], vec![7, 12]], vec![12, u64::MAX]);
        let labels = count_anew(&mut epochs, &mut rows).unwrap();
        assert_eq!(labels, [7, 12, 4_000_000_000, u64::MAX]);
        assert_eq!((epochs, rows), (vec![vec![2, 0], vec![0, 1]], vec![1, 3]));
        let told = Labels::Numbers(labels).told(Refusal::DuplicateId { index: 5, id: 2, first: 1 });
        assert!(told.contains("order[5] is 4000000000 again"), "{told}");
        let names = Labels::Texts(vec!["a".to_owned(), "b".to_owned()]);
        let told = names.told(Refusal::DuplicateId { index: 5, id: 1, first: 0 });
        assert!(told.ends_with("(1 stands for \"b\")"), "{told}");
    }
}
