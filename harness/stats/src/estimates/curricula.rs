//! Orders as people choose them: by a key, in phases, by mixtures of groups.
//!
//! A curriculum is a rule that leaves the rest to chance: easy examples first, in four phases, shuffled
//! within each; a group that comes ever more often. So it stands for many orders, and is judged by the
//! mean over draws of it and not by its luckiest one. Rules act within every epoch, since items stay
//! there.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::orders::{ItemOrder, OrderError, Window};
use ledger::digest::Digest;
use ledger::order::{generator, shuffle};

/// Groups of which every sequence of blocks is looked at.
const MOST_BLOCKS: usize = 5;
/// Numbers of phases that are looked at; as many as items, sorted outright, is added.
const PHASES: [usize; 3] = [2, 3, 4];

/// A rule that draws orders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curriculum {
    /// Phases of equal length by a key, shuffled within; as many phases as items sort outright.
    Sorted {
        /// Name of the key.
        key: String,
        /// Highest first.
        descending: bool,
        /// Phases; 0 for as many as there are items.
        phases: usize,
    },
    /// One group after another, shuffled within.
    Blocks {
        /// Groups, in their order.
        groups: Vec<u32>,
    },
    /// A group whose share of the mixture changes from phase to phase; the others fill up, shuffled.
    Mixture {
        /// The group.
        group: u32,
        /// How its items are shared among the phases, in parts.
        parts: Vec<u32>,
    },
}

/// What rules may ask of items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// A number an item, by key.
    pub keys: BTreeMap<String, Vec<f64>>,
    /// The group of each item; empty without groups.
    pub groups: Vec<u32>,
    /// Names of groups.
    pub group_names: Vec<String>,
}

impl Known {
    /// Every rule that these items allow.
    #[must_use]
    pub fn curricula(&self) -> Vec<Curriculum> {
        let mut all = Vec::new();
        for key in self.keys.keys() {
            for descending in [false, true] {
                for phases in PHASES.into_iter().chain([0]) {
                    all.push(Curriculum::Sorted { key: key.clone(), descending, phases });
                }
            }
        }
        let mut groups = self.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        if groups.len() < 2 {
            return all;
        }
        if groups.len() <= MOST_BLOCKS {
            let mut sequences = Vec::new();
            // Every exchange is taken back, so that the groups stay sorted.
            permutations(&mut groups, 0, &mut sequences);
            all.extend(sequences.into_iter().map(|groups| Curriculum::Blocks { groups }));
        }
        for group in groups {
            for phases in PHASES {
                let ramp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                let only = |at: usize| (0..phases).map(|one| u32::from(one == at)).collect();
                let rising: Vec<u32> = (1..=phases).map(ramp).collect();
                let falling = rising.iter().rev().copied().collect();
                for parts in [only(0), only(phases - 1), rising, falling] {
                    all.push(Curriculum::Mixture { group, parts });
                }
            }
        }
        all
    }

    /// A rule in words.
    #[must_use]
    pub fn name(&self, curriculum: &Curriculum) -> String {
        let group = |group: &u32| {
            let name = self.group_names.get(*group as usize);
            name.cloned().unwrap_or_else(|| format!("group {group}"))
        };
        match curriculum {
            Curriculum::Sorted { key, descending, phases } => {
                let first = if *descending { "high" } else { "low" };
                let how = match phases {
                    0 => "sorted".to_owned(),
                    phases => format!("in {phases} phases"),
                };
                format!("{key}, {first} first, {how}")
            }
            Curriculum::Blocks { groups } => {
                groups.iter().map(group).collect::<Vec<_>>().join(", then ")
            }
            Curriculum::Mixture { group: one, parts } => {
                let parts: Vec<String> = parts.iter().map(u32::to_string).collect();
                format!("{} in phases as {}", group(one), parts.join(":"))
            }
        }
    }

    /// Draw `number` of a rule, seeded by SHA-256("palimpsest/curricula/v1" || seed u64 LE || number
    /// u64 LE).
    ///
    /// # Errors
    /// When a key is not known, or has another number of values than the window has items.
    pub fn draw(
        &self,
        window: &Window,
        curriculum: &Curriculum,
        seed: u64,
        number: u64,
    ) -> Result<ItemOrder, OrderError> {
        let mut rng = generator(&Digest::of_parts(&[
            b"palimpsest/curricula/v1",
            &seed.to_le_bytes(),
            &number.to_le_bytes(),
        ]));
        let mut flat = window.reference().flat();
        let items = window.items() as usize;
        for places in window.stretches() {
            let stretch = &mut flat[places];
            shuffle(&mut rng, stretch);
            match curriculum {
                Curriculum::Sorted { key, descending, phases } => {
                    let scores = self.keys.get(key).map_or(&[][..], Vec::as_slice);
                    if scores.len() != items {
                        return Err(OrderError::Scores { found: scores.len(), items });
                    }
                    // Stable on what was shuffled: equal scores come in any order.
                    let mut sorted = stretch.to_vec();
                    sorted.sort_by(|&a, &b| {
                        let (a, b) = (scores[a as usize] + 0.0, scores[b as usize] + 0.0);
                        if *descending { b.total_cmp(&a) } else { a.total_cmp(&b) }
                    });
                    if *phases > 0 {
                        for phase in stretches(sorted.len(), *phases) {
                            shuffle(&mut rng, &mut sorted[phase]);
                        }
                    }
                    stretch.copy_from_slice(&sorted);
                }
                Curriculum::Blocks { groups } => {
                    let place = |item: u32| {
                        let group = self.groups.get(item as usize);
                        groups.iter().position(|one| Some(one) == group).unwrap_or(groups.len())
                    };
                    stretch.sort_by_key(|item| place(*item));
                }
                Curriculum::Mixture { group, parts } => {
                    let of = |item: &u32| self.groups.get(*item as usize) == Some(group);
                    mix(stretch, &of, parts);
                    for phase in stretches(stretch.len(), parts.len()) {
                        shuffle(&mut rng, &mut stretch[phase]);
                    }
                }
            }
        }
        Ok(ItemOrder::dealt(&flat, window.sizes()))
    }
}

/// `length` places in `count` stretches of nearly equal length.
fn stretches(length: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    let count = count.clamp(1, length.max(1));
    (0..count).map(move |one| one * length / count..(one + 1) * length / count)
}

/// Deals the items that are `of` the group to the phases by `parts`, as far as there is room; the
/// others keep their order around them.
fn mix(items: &mut [u32], of: &dyn Fn(&u32) -> bool, parts: &[u32]) {
    let (chosen, rest): (Vec<u32>, Vec<u32>) = items.iter().copied().partition(of);
    let (mut chosen, mut rest) = (chosen.into_iter(), rest.into_iter());
    let (all, sum) = (chosen.len(), parts.iter().sum::<u32>().max(1) as usize);
    let (mut dealt, mut due) = (Vec::with_capacity(items.len()), 0);
    for (phase, part) in stretches(items.len(), parts.len()).zip(parts) {
        due += *part as usize;
        let before = all - chosen.len();
        // What is due by now, rounded; what a full phase has no room for moves on to the next.
        let wanted = ((2 * all * due + sum) / (2 * sum)).saturating_sub(before);
        let room = phase.len();
        // No fewer than what the others cannot fill.
        let least = room.saturating_sub(rest.len());
        let take = wanted.max(least).min(room).min(chosen.len());
        dealt.extend(chosen.by_ref().take(take));
        dealt.extend(rest.by_ref().take(room - take));
    }
    dealt.extend(chosen.chain(rest));
    items.copy_from_slice(&dealt);
}

/// All permutations of `items` from place `from` on.
fn permutations(items: &mut [u32], from: usize, all: &mut Vec<Vec<u32>>) {
    if from + 1 >= items.len() {
        all.push(items.to_vec());
        return;
    }
    for place in from..items.len() {
        items.swap(from, place);
        permutations(items, from + 1, all);
        items.swap(from, place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Twelve batches in one epoch; key = item, groups 0 1 2 in turn.
    fn known() -> (Window, Known) {
        let keys = BTreeMap::from([("key".to_owned(), (0..12).map(f64::from).collect())]);
        let groups = (0..12).map(|item| item % 3).collect();
        let group_names = ["a", "b", "c"].map(str::to_owned).to_vec();
        (Window::batches(12).unwrap(), Known { keys, groups, group_names })
    }

    #[test]
    fn every_draw_of_every_rule_is_an_order_and_draws_differ_where_chance_is_left() {
        let (window, known) = known();
        let all = known.curricula();
        // A key: two directions, four numbers of phases; 3! blocks; 3 groups by 3 phases by 4 shapes.
        assert_eq!(all.len(), 8 + 6 + 36);
        let names: BTreeSet<String> = all.iter().map(|one| known.name(one)).collect();
        assert_eq!(names.len(), all.len());
        for one in &all {
            let draws: BTreeSet<ItemOrder> =
                (0..8).map(|number| known.draw(&window, one, 5, number).unwrap()).collect();
            assert!(draws.iter().all(|order| window.check(0, order) == Ok(())));
            let outright = matches!(one, Curriculum::Sorted { phases: 0, .. });
            assert_eq!(draws.len() == 1, outright, "{one:?}");
            assert_eq!(known.draw(&window, one, 5, 3), known.draw(&window, one, 5, 3));
        }
    }

    #[test]
    fn phases_hold_the_items_that_the_key_puts_there() {
        let (window, known) = known();
        let rule =
            |descending, phases| Curriculum::Sorted { key: "key".into(), descending, phases };
        let drawn = |rule: &Curriculum| known.draw(&window, rule, 0, 0).unwrap().flat();
        assert_eq!(drawn(&rule(false, 0)), (0..12).collect::<Vec<u32>>());
        assert_eq!(drawn(&rule(true, 0)), (0..12).rev().collect::<Vec<u32>>());
        let set = |items: &[u32]| items.iter().copied().collect::<BTreeSet<u32>>();
        let thirds = drawn(&rule(true, 3));
        assert_eq!(set(&thirds[..4]), (8..12).collect());
        assert_eq!(set(&thirds[8..]), (0..4).collect());
        let blocks = drawn(&Curriculum::Blocks { groups: vec![2, 0, 1] });
        assert_eq!(set(&blocks[..4]), BTreeSet::from([2, 5, 8, 11]));
        assert_eq!(set(&blocks[4..8]), BTreeSet::from([0, 3, 6, 9]));
        let unknown = Curriculum::Sorted { key: "none".into(), descending: false, phases: 2 };
        assert!(known.draw(&window, &unknown, 0, 0).is_err());
    }

    #[test]
    fn a_mixture_shares_a_groups_items_among_the_phases_in_the_parts_asked_for() {
        let (window, known) = known();
        let counts = |parts: &[u32]| {
            let rule = Curriculum::Mixture { group: 1, parts: parts.to_vec() };
            let flat = known.draw(&window, &rule, 7, 1).unwrap().flat();
            let of = |phase: Range<usize>| flat[phase].iter().filter(|item| *item % 3 == 1).count();
            stretches(12, parts.len()).map(of).collect::<Vec<_>>()
        };
        assert_eq!(counts(&[1, 0, 0]), [4, 0, 0]);
        assert_eq!(counts(&[0, 0, 1]), [0, 0, 4]);
        assert_eq!(counts(&[1, 3]), [1, 3]);
        // 4 items as 1 : 2 : 3 : 4, rounded: 0.4, 1.2, 2.4, 4 by the end of each phase.
        assert_eq!(counts(&[1, 2, 3, 4]), [0, 1, 1, 2]);
        // A phase holds no more than it has room for, and all of the group comes.
        let window = Window::batches(4).unwrap();
        let known = Known { groups: vec![0, 0, 0, 1], ..Known::default() };
        let rule = Curriculum::Mixture { group: 0, parts: vec![1, 0] };
        let flat = known.draw(&window, &rule, 0, 0).unwrap().flat();
        assert_eq!(flat[..2].iter().filter(|item| **item < 3).count(), 2);
        assert_eq!(flat.iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn rules_act_within_every_epoch() {
        let window =
            Window::new(ItemOrder::batches(&[0, 1, 2, 3, 4, 5]), vec![0..3, 3..6]).unwrap();
        let keys = BTreeMap::from([("key".to_owned(), vec![3.0, 1.0, 2.0, 0.0, 9.0, -1.0])]);
        let known = Known { keys, ..Known::default() };
        let rule = Curriculum::Sorted { key: "key".into(), descending: false, phases: 0 };
        let flat = known.draw(&window, &rule, 0, 0).unwrap().flat();
        assert_eq!(flat, [1, 2, 0, 5, 3, 4]);
    }
}
