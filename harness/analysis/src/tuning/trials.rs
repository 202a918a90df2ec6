//! Which settings are tried: points of a scrambled Sobol sequence, laid over an arm's spaces.

use std::collections::BTreeMap;

use ledger::digest::Digest;
use ledger::settings::Values;
use stats::sobol::Sobol;

use crate::suite::Space;

/// Points looked at for each trial that is wanted, before a space of few values counts as used up.
const PATIENCE: u32 = 64;

/// `wanted` settings from these spaces that differ from each other and from those `before`; fewer where
/// the spaces hold no more. The same suite and round give the same points of the unit cube, and fewer
/// trials are the first of more.
#[must_use]
pub fn draw(
    suite: &str,
    round: usize,
    spaces: &BTreeMap<String, Space>,
    wanted: usize,
    before: &[Values],
) -> Vec<Values> {
    let digest = Digest::of_parts(&[
        b"palimpsest/tune/v1".as_slice(),
        suite.as_bytes(),
        &(round as u64).to_le_bytes(),
    ]);
    let seed = digest.as_bytes().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let sobol = Sobol::scrambled(spaces.len(), seed);
    let most = u32::try_from(wanted).unwrap_or(u32::MAX).saturating_mul(PATIENCE);
    let mut found: Vec<Values> = Vec::with_capacity(wanted);
    for number in 0..most {
        if found.len() == wanted {
            break;
        }
        let point = sobol.point(number);
        let settings: Values = spaces
            .iter()
            .zip(point)
            .map(|((setting, space), u)| (setting.clone(), space.at(u)))
            .collect();
        if !found.contains(&settings) && !before.contains(&settings) {
            found.push(settings);
        }
    }
    found
}

/// The spaces that hold what all of these hold, setting by setting.
#[must_use]
pub fn union(rounds: &[BTreeMap<String, Space>]) -> BTreeMap<String, Space> {
    let mut whole: BTreeMap<String, Space> = BTreeMap::new();
    for (setting, space) in rounds.iter().flatten() {
        let joined = whole.get(setting).map_or_else(|| space.clone(), |known| known.with(space));
        whole.insert(setting.clone(), joined);
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spaces() -> BTreeMap<String, Space> {
        BTreeMap::from([
            ("lr".to_owned(), Space::Log([1e-3, 1.0])),
            ("schedule".to_owned(), Space::Choices(vec!["linear".into(), "cosine".into()])),
        ])
    }

    #[test]
    fn the_first_trials_of_many_are_those_of_few() {
        let many = draw("digits", 0, &spaces(), 32, &[]);
        assert_eq!(draw("digits", 0, &spaces(), 5, &[]), many[..5]);
        assert_ne!(draw("digits", 1, &spaces(), 5, &[]), many[..5]);
        assert_ne!(draw("blobs", 0, &spaces(), 5, &[]), many[..5]);
    }

    #[test]
    fn arms_with_equal_spaces_are_tried_at_equal_settings_and_names_do_not_matter() {
        let renamed: BTreeMap<String, Space> = [("a", "lr"), ("b", "schedule")]
            .map(|(new, old)| (new.to_owned(), spaces()[old].clone()))
            .into();
        let values = |trials: Vec<Values>| -> Vec<Vec<serde_json::Value>> {
            trials.into_iter().map(|trial| trial.into_values().collect()).collect()
        };
        assert_eq!(values(draw("x", 0, &renamed, 8, &[])), values(draw("x", 0, &spaces(), 8, &[])));
    }

    #[test]
    fn a_space_of_few_values_ends_and_none_is_tried_twice() {
        let few = BTreeMap::from([
            ("n".to_owned(), Space::Integers([1, 3])),
            ("head".to_owned(), Space::Choices(vec![true.into(), false.into()])),
        ]);
        let trials = draw("x", 0, &few, 16, &[]);
        assert_eq!(trials.len(), 6, "{trials:?}");
        assert_eq!(draw("x", 0, &few, 16, &trials[..4]).len(), 2);
    }

    proptest! {
        #[test]
        fn sixteen_trials_have_one_in_each_sixteenth_of_a_range(suite in "[a-z]{1,8}", round in 0usize..3) {
            let trials = draw(&suite, round, &spaces(), 16, &[]);
            let mut parts: Vec<i64> = trials
                .iter()
                .map(|trial| ((trial["lr"].as_f64().unwrap().ln() / 1e-3f64.ln() - 1.0) * -16.0).floor() as i64)
                .collect();
            parts.sort_unstable();
            // Four digits of a value may round it over a border between two parts.
            let near = parts.iter().zip(0..).filter(|(part, place)| *part == place).count();
            prop_assert!(near >= 15, "{parts:?}");
            let linear = trials.iter().filter(|trial| trial["schedule"] == "linear").count();
            prop_assert_eq!(linear, 8);
        }
    }
}
