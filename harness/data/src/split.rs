//! Fixed splits, chosen by the samples' own ids: no seed, no library's shuffle, the same for ever.

use sha2::{Digest as _, Sha256};

use crate::error::DataError;

/// Positions in dataset order, each list ascending; together they cover every sample once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What methods train on; a transcript's example `t` is `train[t]`.
    pub train: Vec<u32>,
    /// What targets are selected on.
    pub validation: Vec<u32>,
    /// What is reported.
    pub test: Vec<u32>,
}

/// SHA-256("palimpsest/sample/v1" || input length as u64 LE || canonical input bytes || label).
#[must_use]
pub fn sample_id(input: &[u8], label: u8) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"palimpsest/sample/v1");
    hasher.update((input.len() as u64).to_le_bytes());
    hasher.update(input);
    hasher.update([label]);
    hasher.finalize().into()
}

impl Split {
    /// Ranks the samples by SHA-256("palimpsest/split/v1" || sample id), ties by position: the
    /// first `validation` of the ranking validate, the next `test` test, the others train.
    ///
    /// # Errors
    /// [`DataError::TooFew`] unless at least one sample is left to train on.
    pub fn by_rank(ids: &[[u8; 32]], validation: usize, test: usize) -> Result<Self, DataError> {
        let held_out = validation.saturating_add(test);
        if held_out >= ids.len() {
            return Err(DataError::TooFew { available: ids.len(), held_out });
        }
        let mut ranking: Vec<([u8; 32], u32)> =
            (0..).zip(ids).map(|(i, id)| (rank(id), i)).collect();
        ranking.sort_unstable();
        let positions = ranking.into_iter().map(|(_, i)| i);
        let mut split = Self { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for (place, position) in positions.enumerate() {
            let part = if place < validation {
                &mut split.validation
            } else if place < held_out {
                &mut split.test
            } else {
                &mut split.train
            };
            part.push(position);
        }
        for part in [&mut split.train, &mut split.validation, &mut split.test] {
            part.sort_unstable();
        }
        Ok(split)
    }

    /// As [`Split::by_rank`], by shares of all samples, at least one each; samples with one id stay together, in the
    /// earlier part.
    ///
    /// # Errors
    /// [`DataError::TooFew`] unless at least one sample is left to train on.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a number of samples"
    )]
    pub fn by_share(ids: &[[u8; 32]], validation: f64, test: f64) -> Result<Self, DataError> {
        let part = |share: f64| ((ids.len() as f64 * share).round() as usize).max(1);
        let mut ranks: Vec<[u8; 32]> = ids.iter().map(rank).collect();
        ranks.sort_unstable();
        let whole = |mut end: usize| {
            while end > 0 && end < ranks.len() && ranks[end] == ranks[end - 1] {
                end += 1;
            }
            end
        };
        let validation = whole(part(validation));
        let held_out = whole(validation + part(test));
        Self::by_rank(ids, validation, held_out.saturating_sub(validation))
    }

    /// For a set whose last `test` samples are its official test set: validation is carved out of
    /// the others by rank.
    ///
    /// # Errors
    /// [`DataError::TooFew`] unless at least one sample is left to train on.
    pub fn with_official_test(
        ids: &[[u8; 32]],
        validation: usize,
        test: usize,
    ) -> Result<Self, DataError> {
        let too_few = || DataError::TooFew {
            available: ids.len(),
            held_out: validation.saturating_add(test),
        };
        let first_test = ids.len().checked_sub(test).ok_or_else(too_few)?;
        let (others, tested) = ids.split_at(first_test);
        let mut split = Self::by_rank(others, validation, 0).map_err(|_| too_few())?;
        split.test = (0..).skip(first_test).take(tested.len()).collect();
        Ok(split)
    }

    /// Consecutive runs of `train`, `validation` and `test` samples, for generated data.
    #[must_use]
    pub fn consecutive(train: u32, validation: u32, test: u32) -> Self {
        let first_test = train.saturating_add(validation);
        Self {
            train: (0..train).collect(),
            validation: (train..first_test).collect(),
            test: (first_test..first_test.saturating_add(test)).collect(),
        }
    }
}

fn rank(id: &[u8; 32]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"palimpsest/split/v1");
    hasher.update(id);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(n: u32) -> Vec<[u8; 32]> {
        (0..n).map(|i| sample_id(&i.to_le_bytes(), 0)).collect()
    }

    #[test]
    fn sample_id_is_the_digest_of_the_documented_bytes() {
        let mut bytes = b"palimpsest/sample/v1".to_vec();
        bytes.extend([2, 0, 0, 0, 0, 0, 0, 0, 10, 20, 3]);
        assert_eq!(sample_id(&[10, 20], 3), <[u8; 32]>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn a_split_without_training_samples_is_refused() {
        let error = Split::by_rank(&ids(10), 6, 4).unwrap_err();
        assert!(matches!(error, DataError::TooFew { available: 10, held_out: 10 }));
        assert!(Split::with_official_test(&ids(10), 5, 5).is_err());
        assert!(Split::with_official_test(&ids(10), 0, 11).is_err());
    }

    #[test]
    fn official_test_samples_stay_the_last_ones() {
        let split = Split::with_official_test(&ids(20), 4, 5).unwrap();
        assert_eq!(split.test, [15, 16, 17, 18, 19]);
        assert_eq!((split.train.len(), split.validation.len()), (11, 4));
    }

    #[test]
    fn consecutive_splits_follow_each_other() {
        let split = Split::consecutive(2, 1, 2);
        assert_eq!((split.train, split.validation, split.test), (vec![0, 1], vec![2], vec![3, 4]));
    }

    proptest! {
        #[test]
        fn every_sample_lands_in_exactly_one_part(n in 1u32..200, a in 0usize..60, b in 0usize..60) {
            prop_assume!(a + b < n as usize);
            let split = Split::by_rank(&ids(n), a, b).unwrap();
            prop_assert_eq!((split.validation.len(), split.test.len()), (a, b));
            let mut all = [split.train, split.validation, split.test].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn samples_that_are_alike_stay_in_one_part(
            kinds in prop::collection::vec(0u32..12, 30..80), a in 0.0..0.4, b in 0.0..0.4,
        ) {
            let ids: Vec<_> = kinds.iter().map(|kind| sample_id(&kind.to_le_bytes(), 0)).collect();
            let Ok(split) = Split::by_share(&ids, a, b) else { return Ok(()) };
            let parts = [&split.train, &split.validation, &split.test];
            let kinds_of = |part: &Vec<u32>| -> Vec<u32> {
                part.iter().map(|&at| kinds[at as usize]).collect()
            };
            for kind in 0..12 {
                let holding = parts.iter().filter(|part| kinds_of(part).contains(&kind)).count();
                prop_assert!(holding <= 1, "{kind} is in {holding} parts");
            }
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            prop_assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), kinds.len());
        }

        #[test]
        fn a_sample_keeps_its_part_when_the_dataset_is_reordered(rotation in 0usize..50) {
            let mut ids = ids(50);
            let chosen = |ids: &[[u8; 32]]| {
                let split = Split::by_rank(ids, 10, 5).unwrap();
                let mut chosen: Vec<_> = split.validation.iter().map(|&i| ids[i as usize]).collect();
                chosen.sort_unstable();
                chosen
            };
            let before = chosen(&ids);
            ids.rotate_left(rotation);
            prop_assert_eq!(chosen(&ids), before);
        }
    }
}
