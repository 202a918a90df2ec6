//! Scores of examples as scores of the units that the order really moved.
//!
//! When packs of documents are shuffled, the documents of a pack share their position and much of
//! their difficulty: a test on documents has far too many small p-values under the null. The mean
//! score of each pack against the order of the packs is valid.

use super::exact_sum::ExactSum;
use super::{Refusal, adjust};

/// One row per unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    /// Identifier of each unit, increasing.
    pub units: Vec<u64>,
    /// Rank of each unit in the order, from 0; units of equal position are tied.
    pub positions: Vec<u64>,
    /// For each column given, the mean over the unit's examples.
    pub columns: Vec<Vec<f64>>,
}

/// Averages columns of scores within units.
///
/// `units[i]` is the unit of row i. The position of a unit is that of its first example. The order
/// must move units as a whole: no example of another unit may lie inside one.
///
/// # Errors
/// When columns differ in length, a score is not finite, or a unit is scattered over the order.
pub fn aggregate(units: &[u64], positions: &[u64], columns: &[&[f64]]) -> Result<Units, Refusal> {
    let rows = positions.len();
    let expected = rows as u64;
    if units.len() != rows {
        let found = units.len() as u64;
        return Err(Refusal::Length { what: "units".into(), expected, found });
    }
    for (number, column) in columns.iter().enumerate() {
        let what = if number == 0 { "scores".into() } else { format!("reference {}", number - 1) };
        if column.len() != rows {
            return Err(Refusal::Length { what, expected, found: column.len() as u64 });
        }
        adjust::check_finite(&what, column)?;
    }
    let mut by_unit: Vec<usize> = (0..rows).collect();
    by_unit.sort_by_key(|&row| (units[row], positions[row]));
    let mut found = Vec::new();
    let mut means = vec![Vec::new(); columns.len()];
    for members in by_unit.chunk_by(|&a, &b| units[a] == units[b]) {
        let (first, last) = (positions[members[0]], positions[members[members.len() - 1]]);
        found.push(Unit { id: units[members[0]], first, last });
        for (mean, column) in means.iter_mut().zip(columns) {
            let sum = ExactSum::of(members.iter().map(|&row| column[row]));
            mean.push(sum / members.len() as f64);
        }
    }
    let mut by_position: Vec<usize> = (0..found.len()).collect();
    by_position.sort_by_key(|&unit| (found[unit].first, found[unit].last));
    let mut ranks = vec![0; found.len()];
    let mut rank = 0;
    for pair in by_position.windows(2) {
        let (before, after) = (&found[pair[0]], &found[pair[1]]);
        // Units may share a step; then both lie in it completely.
        let tied = before.first == after.first && before.last == after.last;
        if after.first <= before.last && !(tied && before.first == before.last) {
            return Err(Refusal::ScatteredUnit {
                unit: before.id,
                other: after.id,
                position: after.first,
            });
        }
        rank += u64::from(!tied);
        ranks[pair[1]] = rank;
    }
    Ok(Units {
        units: found.iter().map(|unit| unit.id).collect(),
        positions: ranks,
        columns: means,
    })
}

/// A unit and the stretch of the order it takes.
struct Unit {
    id: u64,
    first: u64,
    last: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_get_their_place_in_the_order_and_the_mean_of_their_scores() {
        let units = [7, 7, 3, 3, 9];
        let positions = [3, 4, 0, 1, 2];
        let found = aggregate(&units, &positions, &[&[1.0, 2.0, 5.0, 7.0, 4.0]]).unwrap();
        assert_eq!(found.units, [3, 7, 9]);
        assert_eq!(found.positions, [0, 2, 1]);
        assert_eq!(found.columns, [vec![6.0, 1.5, 4.0]]);
    }

    #[test]
    fn packs_that_share_a_step_are_tied() {
        let found = aggregate(&[0, 0, 1, 2], &[5, 5, 5, 4], &[&[1.0; 4]]).unwrap();
        assert_eq!(found.positions, [1, 1, 0]);
    }

    #[test]
    fn a_unit_with_another_inside_is_refused_by_name() {
        let refusal = aggregate(&[0, 1, 0], &[0, 1, 2], &[&[1.0, 2.0, 3.0]]).unwrap_err();
        assert_eq!(refusal, Refusal::ScatteredUnit { unit: 0, other: 1, position: 1 });
    }

    #[test]
    fn columns_of_other_lengths_and_scores_that_are_none_are_refused() {
        assert!(matches!(aggregate(&[0], &[0, 1], &[]), Err(Refusal::Length { .. })));
        let refusal = aggregate(&[0, 1], &[0, 1], &[&[1.0, 2.0], &[1.0, f64::NAN]]).unwrap_err();
        assert!(refusal.to_string().starts_with("reference 0[1] is NaN"), "{refusal}");
    }
}
