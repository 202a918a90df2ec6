//! Generated token sequences: what one is, and how splits without a common example are drawn.

use std::collections::BTreeSet;

use ledger::digest::Digest;
use ledger::sample::sample_id;

use crate::error::DataError;

/// One sequence: a prompt that is only read, then what is to be predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// All tokens.
    pub tokens: Vec<u16>,
    /// How many of them are the prompt.
    pub prompt: usize,
    /// Group of the example: its skill, depth or quality level.
    pub group: u32,
}

impl Sequence {
    /// The tokens after the prompt.
    #[must_use]
    pub fn response(&self) -> &[u16] {
        self.tokens.get(self.prompt..).unwrap_or(&[])
    }

    /// The sample id: tokens as u16 LE, no label. The group is left out, so that the same text
    /// cannot stand in two splits under two groups.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        sample_id(&bytes, &[])
    }
}

/// Sizes of the splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Examples to train on.
    pub train: u32,
    /// Examples that adaptive orders may look at.
    pub probe: u32,
    /// Examples to validate on.
    pub validation: u32,
    /// Examples to test on.
    pub test: u32,
}

/// Examples of each split with their sample ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<T> {
    /// Examples to train on.
    pub train: Part<T>,
    /// Examples that adaptive orders may look at.
    pub probe: Part<T>,
    /// Examples to validate on.
    pub validation: Part<T>,
    /// Examples to test on.
    pub test: Part<T>,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// Its examples.
    pub examples: Vec<T>,
    /// Their sample ids.
    pub ids: Vec<Digest>,
}

/// What an example is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number within its split, from 0.
    pub index: usize,
    /// Whether it is one to validate or test on.
    pub judged: bool,
}

/// How often an example that exists already is drawn again before the generator is called too
/// small.
const TRIES: u32 = 1000;

/// Draws the splits one after the other, held-out ones first, so that another number of training
/// examples leaves these as they are; an example that exists already is drawn again. `draw` is
/// told the example's place, from which it can take a group.
///
/// # Errors
/// [`DataError::Setting`] when the generator has fewer different examples than are asked for.
pub fn distinct<T>(
    sizes: Sizes,
    mut draw: impl FnMut(Place) -> T,
    id: impl Fn(&T) -> Digest,
) -> Result<Parts<T>, DataError> {
    let mut seen = BTreeSet::new();
    let mut part = |size: u32, judged: bool| {
        let size = size as usize;
        let mut part = Part { examples: Vec::with_capacity(size), ids: Vec::with_capacity(size) };
        for index in 0..size {
            let fresh = (0..TRIES).find_map(|_| {
                let example = draw(Place { index, judged });
                let id = id(&example);
                seen.insert(id).then_some((example, id))
            });
            let Some((example, id)) = fresh else {
                return Err(DataError::Setting {
                    setting: "number of examples",
                    found: (seen.len() + 1).to_string(),
                    expected: "fewer than the generator has different ones",
                });
            };
            part.examples.push(example);
            part.ids.push(id);
        }
        Ok(part)
    };
    let (test, validation) = (part(sizes.test, true)?, part(sizes.validation, true)?);
    let (probe, train) = (part(sizes.probe, false)?, part(sizes.train, false)?);
    Ok(Parts { train, probe, validation, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(train: u32, among: u16) -> Result<Parts<Sequence>, DataError> {
        let mut random = ledger::order::generator(&Digest::of(b"numbers"));
        let draw = |place: Place| Sequence {
            tokens: vec![u16::try_from(ledger::order::bounded(&mut random, among.into())).unwrap()],
            prompt: 0,
            group: u32::try_from(place.index % 3).unwrap(),
        };
        distinct(Sizes { train, probe: 3, validation: 4, test: 5 }, draw, Sequence::id)
    }

    #[test]
    fn no_example_is_in_two_splits_or_twice_in_one() {
        let parts = numbers(40, 60).unwrap();
        let Parts { train, probe, validation, test } = parts;
        let mut ids = [train.ids, probe.ids, validation.ids, test.ids].concat();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 52);
        assert_eq!(train.examples[4].group, 1);
    }

    #[test]
    fn more_training_examples_leave_the_held_out_ones_alone() {
        let (few, more) = (numbers(10, 60).unwrap(), numbers(30, 60).unwrap());
        assert_eq!((&few.test, &few.validation), (&more.test, &more.validation));
        assert_eq!(few.train.ids, more.train.ids[..10]);
    }

    #[test]
    fn a_generator_with_too_few_examples_is_named_and_does_not_hang() {
        let error = numbers(60, 60).unwrap_err().to_string();
        assert!(error.starts_with("number of examples is 61, expected fewer"), "{error}");
    }
}
