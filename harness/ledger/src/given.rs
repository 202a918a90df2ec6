//! An order from a file: example ids in the order of consumption, all epochs one after another.
//!
//! What identifies it is SHA-256("palimpsest/given-order/v1" || ids as u32 LE); its file's name is
//! only for messages. A given order is deterministic: no analysis may take it for a random one.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::digest::Digest;

/// An order that an arm's runs are trained in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenOrder {
    /// The file, for messages.
    pub file: String,
    /// The ids; empty until the file has been read.
    pub ids: Arc<[u32]>,
    /// What identifies the ids.
    pub sha256: Digest,
}

/// In cell ids and commitments an order is its digest.
impl Serialize for GivenOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sha256.serialize(serializer)
    }
}

/// Why an order does not fit a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// There are more or fewer ids than the run consumes.
    #[error(
        "{file} holds {found} ids, but the run consumes {budget}; give one id per sample of the \
         budget, epoch after epoch, or change `epochs`"
    )]
    Length {
        /// The file.
        file: String,
        /// Ids in it.
        found: usize,
        /// Samples of the budget.
        budget: u64,
    },
    /// An id is no example.
    #[error(
        "{file}: value {index} (counted from 0) is example {id}, but the training split has {examples}; \
         give ids from 0 to {}",
        examples - 1
    )]
    Range {
        /// The file.
        file: String,
        /// Place of the id.
        index: usize,
        /// The id.
        id: u32,
        /// Number of examples.
        examples: u32,
    },
    /// An epoch has an example twice.
    #[error(
        "{file}: value {index} (counted from 0) is example {id}, which epoch {epoch} has at value \
         {first} already{}; give every example once per epoch",
        missing.map_or_else(String::new, |id| format!(", while example {id} is missing"))
    )]
    Repeat {
        /// The file.
        file: String,
        /// Place of the second one.
        index: usize,
        /// The id.
        id: u32,
        /// The epoch, from 0.
        epoch: usize,
        /// Place of the first one.
        first: usize,
        /// The smallest example that a whole epoch lacks.
        missing: Option<u32>,
    },
    /// What the order holds is not what the record says.
    #[error(
        "{file} holds other ids than the recorded order, {expected}; `palimpsest verify` says more"
    )]
    Changed {
        /// The file.
        file: String,
        /// Digest of the recorded ids.
        expected: Digest,
    },
}

impl GivenOrder {
    /// The order of these ids.
    #[must_use]
    pub fn new(file: String, ids: Vec<u32>) -> Self {
        Self { file, sha256: digest(&ids), ids: ids.into() }
    }

    /// The order in a file that is still to be read.
    #[must_use]
    pub fn unread(file: String) -> Self {
        Self::new(file, Vec::new())
    }

    /// A recorded order, known by its digest alone.
    #[must_use]
    pub fn recorded(sha256: Digest) -> Self {
        Self { file: "the recorded order".to_owned(), ids: Arc::from([]), sha256 }
    }

    /// The same recorded order with its ids, from `file`.
    ///
    /// # Errors
    /// When these are other ids.
    pub fn with_ids(&self, file: String, ids: Vec<u32>) -> Result<Self, GivenError> {
        let read = Self::new(file, ids);
        if read.sha256 == self.sha256 {
            return Ok(read);
        }
        Err(GivenError::Changed { file: read.file, expected: self.sha256 })
    }

    /// The ids by epoch, of `examples` each, the last one perhaps shorter.
    ///
    /// # Errors
    /// When there are not `budget` ids, an id is no example or an epoch has one twice.
    pub fn epochs(&self, examples: u32, budget: u64) -> Result<Vec<Vec<u32>>, GivenError> {
        let file = || self.file.clone();
        let out = self.ids.iter().position(|id| *id >= examples);
        if let Some((index, &id)) = out.and_then(|index| Some((index, self.ids.get(index)?))) {
            return Err(GivenError::Range { file: file(), index, id, examples });
        }
        if self.ids.len() as u64 != budget {
            return Err(GivenError::Length { file: file(), found: self.ids.len(), budget });
        }
        let length = (examples as usize).max(1);
        let mut epochs = Vec::new();
        for (epoch, ids) in self.ids.chunks(length).enumerate() {
            let mut places: Vec<Option<usize>> = vec![None; length];
            let mut repeat = None;
            for (index, &id) in (epoch * length..).zip(ids) {
                match places.get_mut(id as usize) {
                    Some(place @ None) => *place = Some(index),
                    Some(Some(first)) => repeat = repeat.or(Some((index, id, *first))),
                    None => {}
                }
            }
            if let Some((index, id, first)) = repeat {
                let absent = (0..examples).find(|id| places.get(*id as usize) == Some(&None));
                let missing = absent.filter(|_| ids.len() == length);
                return Err(GivenError::Repeat { file: file(), index, id, epoch, first, missing });
            }
            epochs.push(ids.to_vec());
        }
        Ok(epochs)
    }
}

/// What identifies an order.
#[must_use]
pub fn digest(ids: &[u32]) -> Digest {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    Digest::of_parts(&[b"palimpsest/given-order/v1", &bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(ids: &[u32]) -> GivenOrder {
        GivenOrder::new("o.npy".to_owned(), ids.to_vec())
    }

    fn refusal(ids: &[u32], examples: u32, budget: u64) -> String {
        order(ids).epochs(examples, budget).unwrap_err().to_string()
    }

    #[test]
    fn ids_are_cut_into_epochs_the_last_of_which_may_be_short() {
        let epochs = order(&[2, 0, 1, 1, 2, 0, 2]).epochs(3, 7).unwrap();
        assert_eq!(epochs, [vec![2, 0, 1], vec![1, 2, 0], vec![2]]);
    }

    #[test]
    fn what_is_no_order_of_the_examples_is_refused_with_place_and_remedy() {
        assert_eq!(
            refusal(&[0, 1, 3], 3, 3),
            "o.npy: value 2 (counted from 0) is example 3, but the training split has 3; give ids from 0 to 2"
        );
        assert_eq!(
            refusal(&[0, 1, 2, 2, 0, 2], 3, 6),
            "o.npy: value 5 (counted from 0) is example 2, which epoch 1 has at value 3 already, while \
             example 1 is missing; give every example once per epoch"
        );
        assert_eq!(
            refusal(&[0, 1, 2, 1, 1], 3, 5),
            "o.npy: value 4 (counted from 0) is example 1, which epoch 1 has at value 3 already; give \
             every example once per epoch"
        );
        for (ids, found) in [(&[0, 1][..], 2), (&[0, 1, 2, 0], 4), (&[], 0)] {
            assert_eq!(
                refusal(ids, 3, 3),
                format!(
                    "o.npy holds {found} ids, but the run consumes 3; give one id per sample of the budget, \
                     epoch after epoch, or change `epochs`"
                )
            );
        }
    }

    #[test]
    fn an_order_is_known_by_its_ids_and_not_by_its_file() {
        let [a, b] = ["a", "b"].map(|file| GivenOrder::new(file.to_owned(), vec![1, 0]));
        assert_eq!(serde_json::to_string(&a).unwrap(), serde_json::to_string(&b).unwrap());
        assert_ne!(a.sha256, order(&[0, 1]).sha256);
        // sha256(b"palimpsest/given-order/v1" + struct.pack("<2I", 1, 0)) by Python's hashlib.
        assert_eq!(
            a.sha256.to_string(),
            "61b6d1712467b0893d63990f678bd1a6d35aaaa918ebe3cb2dbae5b552958879"
        );
    }

    #[test]
    fn a_recorded_order_takes_its_own_ids_and_no_others() {
        let recorded = GivenOrder::recorded(order(&[1, 0]).sha256);
        assert_eq!(recorded.with_ids("o.npy".to_owned(), vec![1, 0]).unwrap(), order(&[1, 0]));
        let error = recorded.with_ids("o.npy".to_owned(), vec![0, 1]).unwrap_err().to_string();
        assert!(error.starts_with("o.npy holds other ids than the recorded order, "), "{error}");
    }
}
