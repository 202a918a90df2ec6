//! Who runs when: base and head take turns, so that what drifts in the machine meets both.
//!
//! Within a round the two runs of a cell are neighbours; who goes first alternates from round to
//! round (ABBA), from seed to seed of an arm, and from arm to arm, so that neither going first nor
//! coming after is one side's privilege. It balances for every cell with an even number of rounds,
//! and for every arm with an even number of rounds or of seeds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::CellName;

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What is compared with.
    Base,
    /// What is judged.
    Head,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The round, from 0; a round is one pair of every cell.
    pub round: u32,
    /// Which cell.
    pub cell: CellName,
    /// Which binary.
    pub side: Side,
}

/// The runs of `rounds` interleaved pairs of every cell, in the order in which to make them.
#[must_use]
pub fn interleave(cells: &[CellName], rounds: u32) -> Vec<Turn> {
    let mut turns = Vec::new();
    for round in 0..rounds {
        // Of each arm: its own number, and how many of its seeds came before.
        let mut arms: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for cell in cells {
            let known = arms.len();
            let arm = arms.entry((&cell.workload, &cell.arm)).or_insert((known, 0));
            let base_first = (round as usize + arm.0 + arm.1).is_multiple_of(2);
            arm.1 += 1;
            let sides =
                if base_first { [Side::Base, Side::Head] } else { [Side::Head, Side::Base] };
            turns.extend(sides.map(|side| Turn { round, cell: cell.clone(), side }));
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::Side::{Base, Head};
    use super::*;

    fn cells(n: usize) -> Vec<CellName> {
        let cell = |i| CellName {
            workload: "w".to_owned(),
            arm: format!("arm-{i}"),
            seed: "0".to_owned(),
        };
        (0..n).map(cell).collect()
    }

    #[test]
    fn one_cell_runs_a_b_b_a() {
        let sides: Vec<Side> = interleave(&cells(1), 4).iter().map(|turn| turn.side).collect();
        assert_eq!(sides, [Base, Head, Head, Base, Base, Head, Head, Base]);
    }

    #[test]
    fn every_cell_meets_both_sides_in_every_round_and_going_first_balances() {
        let cells = cells(3);
        let turns = interleave(&cells, 8);
        assert_eq!(turns.len(), 3 * 8 * 2);
        for cell in &cells {
            let first = turns.chunks(2).filter(|pair| pair[0].cell == *cell);
            assert_eq!(first.filter(|pair| pair[0].side == Base).count(), 4);
        }
        for pair in turns.chunks(2) {
            assert_eq!((pair[0].round, &pair[0].cell), (pair[1].round, &pair[1].cell));
            assert_ne!(pair[0].side, pair[1].side);
        }
    }

    #[test]
    fn an_even_number_of_seeds_balances_one_round() {
        let seeds = (0..4).flat_map(|seed| {
            let of_seed = move |cell: CellName| CellName { seed: seed.to_string(), ..cell };
            cells(2).into_iter().map(of_seed)
        });
        let cells: Vec<CellName> = seeds.collect();
        let turns = interleave(&cells, 1);
        for arm in ["arm-0", "arm-1"] {
            let pairs = turns.chunks(2).filter(|pair| pair[0].cell.arm == arm);
            assert_eq!(pairs.filter(|pair| pair[0].side == Base).count(), 2, "{arm}");
        }
    }

    #[test]
    fn no_rounds_are_no_turns() {
        assert!(interleave(&cells(2), 0).is_empty());
    }
}
