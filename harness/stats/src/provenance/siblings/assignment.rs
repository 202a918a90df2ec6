//! The assignment of least total cost.

/// Assigns each row of an n x n matrix of finite costs (row by row) a column of its own so that the
/// total cost is least; returns the column of each row.
///
/// Shortest augmenting paths with dual potentials (Kuhn 1955; Jonker and Volgenant 1987): O(n³), and
/// far less where the rows agree on whom they want. `cost` must have n² entries.
#[must_use]
pub fn assign(cost: &[f64], n: usize) -> Vec<usize> {
    /// No row holds this column.
    const FREE: usize = usize::MAX;
    let mut column_price = vec![0.0; n];
    let mut row_of = vec![FREE; n];
    let mut column_of = vec![FREE; n];
    // Column reduction and one greedy pass: most rows of similar models find their column here.
    for (column, price) in column_price.iter_mut().enumerate() {
        let mut best = 0;
        for row in 1..n {
            if cost[row * n + column] < cost[best * n + column] {
                best = row;
            }
        }
        *price = cost[best * n + column];
        if column_of[best] == FREE {
            column_of[best] = column;
            row_of[column] = best;
        }
    }
    let mut distance = vec![0.0; n];
    let mut before = vec![0; n];
    let mut done = vec![false; n];
    for start in 0..n {
        if column_of[start] != FREE {
            continue;
        }
        // Dijkstra over columns with reduced costs, from an unassigned row to a free column.
        for column in 0..n {
            distance[column] = cost[start * n + column] - column_price[column];
            before[column] = start;
            done[column] = false;
        }
        let (end, reached) = loop {
            let mut nearest = FREE;
            for column in 0..n {
                if !done[column] && (nearest == FREE || distance[column] < distance[nearest]) {
                    nearest = column;
                }
            }
            done[nearest] = true;
            let row = row_of[nearest];
            if row == FREE {
                break (nearest, distance[nearest]);
            }
            let own = cost[row * n + nearest] - column_price[nearest];
            for column in 0..n {
                let through =
                    distance[nearest] + cost[row * n + column] - column_price[column] - own;
                if !done[column] && through < distance[column] {
                    distance[column] = through;
                    before[column] = row;
                }
            }
        };
        for column in 0..n {
            if done[column] {
                column_price[column] += distance[column] - reached;
            }
        }
        let mut column = end;
        loop {
            let row = before[column];
            row_of[column] = row;
            std::mem::swap(&mut column_of[row], &mut column);
            if row == start {
                break;
            }
        }
    }
    column_of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(cost: &[f64], n: usize, columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, column)| cost[row * n + column]).sum()
    }

    /// The least total over all assignments, by trying them.
    fn least(cost: &[f64], n: usize, row: usize, used: usize) -> f64 {
        if row == n {
            return 0.0;
        }
        (0..n)
            .filter(|column| used & 1 << column == 0)
            .map(|column| cost[row * n + column] + least(cost, n, row + 1, used | 1 << column))
            .fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn no_assignment_costs_less(
            n in 1_usize..7,
            costs in prop::collection::vec(prop_oneof![-1.0..1.0, Just(0.0), Just(0.5)], 49),
        ) {
            let cost = &costs[..n * n];
            let found = assign(cost, n);
            let mut columns = found.clone();
            columns.sort_unstable();
            prop_assert!(columns.into_iter().eq(0..n));
            prop_assert!((total(cost, n, &found) - least(cost, n, 0, 0)).abs() < 1e-9);
        }
    }
}
