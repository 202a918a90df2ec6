//! The map checkpoint × segment: how well a run, at some of its steps, knew each part of what it
//! had consumed or was yet to consume. A part that was trained just before a checkpoint has a lower
//! loss there than before and after: temporary overfitting (Choi, Shavit & Duvenaud 2023,
//! arXiv:2307.00682). It looks into the run itself, and is no test of a suspect.

use serde::{Deserialize, Serialize};

/// The map of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImprintMap {
    /// Cell id of the run.
    pub run: String,
    /// Steps taken before each checkpoint.
    pub steps: Vec<u64>,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// First and one past the last place of each segment in the order as consumed.
    pub segments: Vec<[u64; 2]>,
    /// Mean loss of each segment's examples at each checkpoint, in nats: a row per checkpoint.
    pub losses: Vec<Vec<f64>>,
    /// The same less what its checkpoint and its segment account for: row mean and column mean
    /// taken off, the mean of all put back. Negative where a segment is known better than it is at
    /// other checkpoints.
    pub excess: Vec<Vec<f64>>,
    /// Standard error of an entry of `excess` that comes of which examples a segment happens to
    /// hold, in nats.
    pub standard_error: f64,
    /// Mean of `excess` where a segment was consumed within the steps that end at the checkpoint.
    pub just_trained: f64,
}

/// Averages losses over segments.
///
/// `order` are the ids as consumed, over all epochs; `losses` a row per checkpoint with the loss of
/// every example, and `consumed` how many ids were consumed before each.
///
/// # Errors
/// In words, when there are fewer ids than segments, no checkpoint, an id outside a row, or a loss
/// that is not finite.
pub fn imprint_map(
    run: &str,
    order: &[u32],
    losses: &[Vec<f64>],
    checkpoints: &[Checkpoint],
    segments: u32,
    total_steps: u64,
) -> Result<ImprintMap, String> {
    let count = segments as usize;
    if count < 2 || order.len() < count {
        return Err(format!(
            "{} consumed examples cannot be cut into {count} segments",
            order.len()
        ));
    }
    if checkpoints.is_empty() || checkpoints.len() != losses.len() {
        let (found, wanted) = (losses.len(), checkpoints.len());
        return Err(format!("{found} rows of losses for {wanted} checkpoints"));
    }
    let ends: Vec<[usize; 2]> =
        (0..count).map(|s| [s, s + 1].map(|at| at * order.len() / count)).collect();
    let mut means = Vec::with_capacity(losses.len());
    for (row, checkpoint) in losses.iter().zip(checkpoints) {
        if let Some((id, loss)) = row.iter().enumerate().find(|(_, loss)| !loss.is_finite()) {
            return Err(format!(
                "the loss of example {id} after step {} is {loss}",
                checkpoint.steps
            ));
        }
        let mut of_segments = Vec::with_capacity(count);
        for &[start, end] in &ends {
            let mut sum = 0.0;
            for id in &order[start..end] {
                let loss = row.get(*id as usize);
                sum += loss.ok_or_else(|| format!("example {id} of {}", row.len()))?;
            }
            of_segments.push(sum / (end - start) as f64);
        }
        means.push(of_segments);
    }
    let excess = centred(&means);
    let mut just = (0.0, 0.0);
    let mut before = 0;
    for (row, checkpoint) in excess.iter().zip(checkpoints) {
        for (value, &[start, end]) in row.iter().zip(&ends) {
            let middle = (start + end) as u64 / 2;
            if (before..checkpoint.consumed).contains(&middle) {
                just = (just.0 + value, just.1 + 1.0);
            }
        }
        before = checkpoint.consumed;
    }
    Ok(ImprintMap {
        run: run.to_owned(),
        steps: checkpoints.iter().map(|checkpoint| checkpoint.steps).collect(),
        total_steps,
        segments: ends.iter().map(|ends| ends.map(|end| end as u64)).collect(),
        standard_error: standard_error(losses, order.len() as f64 / f64::from(segments)),
        losses: means,
        excess,
        just_trained: just.0 / f64::max(just.1, 1.0),
    })
}

/// Where in its run a model was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps taken before.
    pub steps: u64,
    /// Ids consumed before.
    pub consumed: u64,
}

/// A table without its row means and column means, around 0.
fn centred(table: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let rows: Vec<f64> = table.iter().map(|row| mean(row)).collect();
    let width = table.first().map_or(0, Vec::len);
    let column = |at: usize| table.iter().map(|row| row[at]).sum::<f64>() / table.len() as f64;
    let columns: Vec<f64> = (0..width).map(column).collect();
    let all = mean(&rows);
    let each = table.iter().zip(&rows).map(|(row, own)| {
        row.iter().zip(&columns).map(|(value, column)| value - own - column + all).collect()
    });
    each.collect()
}

/// Deviation of single examples in the centred table, over the root of a segment's size.
fn standard_error(losses: &[Vec<f64>], size: f64) -> f64 {
    let excess = centred(losses);
    let squares: f64 = excess.iter().flatten().map(|value| value * value).sum();
    let count = excess.iter().map(Vec::len).sum::<usize>() as f64;
    (squares / count / size.max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINTS: [Checkpoint; 2] =
        [Checkpoint { steps: 1, consumed: 2 }, Checkpoint { steps: 2, consumed: 4 }];

    #[test]
    fn segments_follow_the_order_and_not_the_ids() {
        // Consumed 3, 1 and then 0, 2. At each checkpoint what came last has loss 1, the rest 2.
        let losses = [vec![2.0, 1.0, 2.0, 1.0], vec![1.0, 2.0, 1.0, 2.0]];
        let map = imprint_map("r", &[3, 1, 0, 2], &losses, &CHECKPOINTS, 2, 2).unwrap();
        assert_eq!(map.losses, [[1.0, 2.0], [2.0, 1.0]]);
        assert_eq!(map.excess, [[-0.5, 0.5], [0.5, -0.5]]);
        assert_eq!((map.just_trained, map.segments[1]), (-0.5, [2, 4]));
    }

    #[test]
    fn what_a_checkpoint_or_a_segment_accounts_for_is_taken_off() {
        // Loss falls by 3 between the checkpoints, and examples 0 and 2 are harder by 5.
        let losses = [vec![9.0, 4.0, 9.0, 4.0], vec![6.0, 1.0, 6.0, 1.0]];
        let map = imprint_map("r", &[3, 1, 0, 2], &losses, &CHECKPOINTS, 2, 2).unwrap();
        assert_eq!(map.excess, [[0.0, 0.0], [0.0, 0.0]]);
        assert_eq!(map.standard_error, 0.0);
    }

    #[test]
    fn what_cannot_be_mapped_is_named() {
        let losses = [vec![0.0, f64::NAN], vec![0.0, 0.0]];
        let refused = |order: &[u32], losses: &[Vec<f64>], segments| {
            imprint_map("r", order, losses, &CHECKPOINTS, segments, 2).unwrap_err()
        };
        assert!(refused(&[0, 1], &losses, 2).contains("example 1 after step 1 is NaN"));
        assert!(refused(&[0, 5], &[vec![0.0; 2], vec![0.0; 2]], 2).contains("example 5 of 2"));
        assert!(refused(&[0, 1], &losses, 3).contains("cannot be cut"));
        assert!(refused(&[0, 1], &losses[..1], 2).contains("1 rows of losses"));
    }
}
