//! An index of vectors: entries are appended and never changed, what is appended is found from the next seal on, and the
//! nearest by cosine are found, of equals those of smaller ids, whatever the order of appending.

use std::collections::BTreeMap;

use ledger::digest::Digest;

use crate::LabError;
use crate::state::State;

/// The index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// Vectors of length 1 (or 0) by id, with the seal that they were appended under.
    entries: BTreeMap<u32, (u32, Vec<f64>)>,
    /// Digests of what was appended, by id.
    contents: BTreeMap<u32, Digest>,
    seals: u32,
}

/// An entry that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its id.
    pub id: u32,
    /// Cosine of its vector and the one that was asked for.
    pub cosine: f64,
}

impl Index {
    /// What was appended, for a run that goes on.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("entries", &mut self.entries)?;
        state.told("contents", &mut self.contents)?;
        state.of("seals", &mut self.seals)
    }

    /// Appends an entry: a vector, and the digest of what it stands for.
    ///
    /// # Errors
    /// When the id is there already, or the vector has another length than those there are or a value that is not finite.
    pub fn append(&mut self, id: u32, vector: &[f64], content: Digest) -> Result<(), LabError> {
        let refuse =
            |reason: String| Err(LabError::Method(format!("entry {id} of an index: {reason}")));
        let dimensions = self.entries.values().next().map_or(vector.len(), |(_, of)| of.len());
        if vector.len() != dimensions {
            return refuse(format!("{} values, where the others have {dimensions}", vector.len()));
        }
        if self.entries.contains_key(&id) {
            return refuse("it is there already, and entries never change".to_owned());
        }
        let Some(vector) = unit(vector) else {
            return refuse("a value is not finite".to_owned());
        };
        self.entries.insert(id, (self.seals, vector));
        self.contents.insert(id, content);
        Ok(())
    }

    /// Makes what was appended so far available to those who ask.
    pub fn seal(&mut self) {
        self.seals += 1;
    }

    /// Entries that are available.
    #[must_use]
    pub fn len(&self) -> usize {
        self.available().count()
    }

    /// True when none is available.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn available(&self) -> impl Iterator<Item = (u32, &[f64])> {
        let sealed = self.entries.iter().filter(|(_, (seal, _))| *seal < self.seals);
        sealed.map(|(id, (_, vector))| (*id, vector.as_slice()))
    }

    /// Digest of what is available, whatever the order in which it came.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for (id, vector) in self.available() {
            bytes.extend(id.to_le_bytes());
            bytes.extend(self.contents[&id].as_bytes());
            vector.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
        Digest::of_parts(&[b"palimpsest/index/v1", &bytes])
    }

    /// The `count` entries nearest to a vector, nearest first and without the one that is `own`; fewer where there are no
    /// more.
    ///
    /// # Errors
    /// When none is available, or the vector has another length.
    pub fn nearest(
        &self,
        vector: &[f64],
        count: usize,
        own: Option<u32>,
    ) -> Result<Vec<Found>, LabError> {
        let mut found = self.cosines(vector)?;
        found.retain(|found| Some(found.id) != own);
        // Ids ascend, and the sort is stable.
        found.sort_by(|one, other| other.cosine.total_cmp(&one.cosine));
        found.truncate(count);
        Ok(found)
    }

    /// The cosine of every entry that is available, ids ascending.
    ///
    /// # Errors
    /// As [`Index::nearest`].
    pub fn cosines(&self, vector: &[f64]) -> Result<Vec<Found>, LabError> {
        let Some(dimensions) = self.available().next().map(|(_, of)| of.len()) else {
            let reason = "the index is empty: append entries and seal it before it is asked";
            return Err(LabError::Method(reason.to_owned()));
        };
        let asked = unit(vector).filter(|asked| asked.len() == dimensions).ok_or_else(|| {
            let reason =
                format!("{} values are asked for in an index of {dimensions}", vector.len());
            LabError::Method(reason)
        })?;
        let found = self.available().map(|(id, own)| {
            let cosine = own.iter().zip(&asked).map(|(own, asked)| own * asked).sum();
            Found { id, cosine }
        });
        Ok(found.collect())
    }
}

/// The vector at length 1; at 0 where it has none. Nothing where a value is not finite.
fn unit(vector: &[f64]) -> Option<Vec<f64>> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    length.is_finite().then(|| vector.iter().map(|value| value * scale).collect())
}

/// A bag of tokens as a vector: each adds 1 or −1 at a place, both by its hash.
#[must_use]
pub fn hashed(tokens: &[i64], dimensions: usize) -> Vec<f64> {
    let mut vector = vec![0.0; dimensions.max(1)];
    for token in tokens {
        let [low, high, sign, ..] =
            Digest::of_parts(&[b"palimpsest/token/v1", &token.to_le_bytes()]).0;
        let place = usize::from(u16::from_le_bytes([low, high])) % vector.len();
        vector[place] += if sign % 2 == 0 { 1.0 } else { -1.0 };
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(vectors: &[(u32, &[f64])]) -> Index {
        let mut index = Index::default();
        for (id, vector) in vectors {
            index.append(*id, vector, Digest::of(&id.to_le_bytes())).unwrap();
        }
        index.seal();
        index
    }

    fn ids(found: &[Found]) -> Vec<u32> {
        found.iter().map(|found| found.id).collect()
    }

    #[test]
    fn cosines_are_those_of_the_formula() {
        let goals = index(&[
            (1, &[1.0, 0.0, 1.0, 0.0]),
            (2, &[1.0, 1.0, 0.0, 0.0]),
            (3, &[0.0, 1.0, 0.0, 1.0]),
        ]);
        let found = goals.cosines(&[1.0, 0.0, 1.0, 0.0]).unwrap();
        for (found, expected) in found.iter().zip([1.0, 0.5, 0.0]) {
            assert!((found.cosine - expected).abs() < 1e-12);
        }
        let scenes = index(&[(1, &[1.0, 0.0, 0.0]), (2, &[0.0, 1.0, 1.0]), (3, &[0.0, 1.0, 0.0])]);
        let found = scenes.nearest(&[0.0, 2.0, 2.0], 9, None).unwrap();
        assert_eq!(ids(&found), [2, 3, 1]);
        assert!((found[1].cosine - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_own_entry_is_never_found_even_where_all_are_asked_for() {
        let entries = [(4, [1.0, 0.0]), (7, [1.0, 0.1]), (9, [0.0, 1.0])];
        let entries = entries.each_ref().map(|(id, vector)| (*id, vector.as_slice()));
        let index = index(&entries);
        assert_eq!(ids(&index.nearest(&[1.0, 0.0], 3, Some(4)).unwrap()), [7, 9]);
        assert_eq!(ids(&index.nearest(&[1.0, 0.0], 3, None).unwrap()), [4, 7, 9]);
    }

    #[test]
    fn the_order_of_appending_changes_neither_what_is_found_nor_the_digest() {
        let same: &[f64] = &[0.6, 0.8];
        let (forth, back) = (
            index(&[(1, same), (2, same), (3, &[1.0, 0.0])]),
            index(&[(3, &[1.0, 0.0]), (2, same), (1, same)]),
        );
        let of = |index: &Index| ids(&index.nearest(&[0.6, 0.8], 2, None).unwrap());
        assert_eq!((of(&forth), of(&back)), (vec![1, 2], vec![1, 2]));
        assert_eq!(forth.digest(), back.digest());
        assert_ne!(forth.digest(), index(&[(1, same), (2, same)]).digest());
    }

    #[test]
    fn what_is_appended_is_found_from_the_next_seal_on_and_never_changes() {
        let mut index = index(&[(1, &[1.0, 0.0])]);
        let before = index.digest();
        index.append(2, &[1.0, 0.0], Digest::of(b"two")).unwrap();
        assert_eq!((index.len(), index.digest()), (1, before));
        index.seal();
        assert!(index.len() == 2 && index.digest() != before);
        let refused = |index: &mut Index, id, vector: &[f64]| {
            index.append(id, vector, Digest::of(b"other")).unwrap_err().to_string()
        };
        assert!(
            refused(&mut index, 2, &[0.0, 1.0])
                .contains("entry 2 of an index: it is there already")
        );
        assert!(refused(&mut index, 3, &[0.0]).ends_with("1 values, where the others have 2"));
        assert!(refused(&mut index, 3, &[f64::NAN, 0.0]).ends_with("a value is not finite"));
    }

    #[test]
    fn an_empty_index_is_refused() {
        let mut index = Index::default();
        index.append(1, &[1.0], Digest::of(b"one")).unwrap();
        let refused = index.nearest(&[1.0], 1, None).unwrap_err().to_string();
        assert_eq!(refused, "the index is empty: append entries and seal it before it is asked");
        index.seal();
        let refused = index.nearest(&[1.0, 2.0], 1, None).unwrap_err().to_string();
        assert_eq!(refused, "2 values are asked for in an index of 1");
    }

    #[test]
    fn bags_of_the_same_tokens_are_the_same_and_others_are_further_away() {
        let cosine = |one: &[i64], other: &[i64]| {
            index(&[(0, &hashed(one, 64))]).cosines(&hashed(other, 64)).unwrap()[0].cosine
        };
        assert!((cosine(&[3, 9, 27], &[27, 3, 9]) - 1.0).abs() < 1e-12);
        assert!(cosine(&[3, 9, 27], &[3, 9, 31]) < 1.0 - 1e-6);
    }
}
