//! k-means, from which a mixture starts: seeded by greedy k-means++ (Arthur & Vassilvitskii 2007,
//! with 2 + ln k candidates per centre as in scikit-learn), then Lloyd's iterations.

use ledger::order::bounded;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

use super::Rows;

/// Most of Lloyd's iterations.
const ITERATIONS: usize = 300;

/// The cluster of each row, in 0..`clusters`.
pub(super) fn labels(rows: Rows<'_>, clusters: usize, random: &mut Pcg64) -> Vec<usize> {
    let mut centres = seeds(rows, clusters, random);
    let mut labels = Vec::new();
    for _ in 0..ITERATIONS {
        let assigned: Vec<_> = rows.iter().map(|row| nearest(row, &centres)).collect();
        let settled = labels.iter().eq(assigned.iter().map(|(label, _)| label));
        labels = assigned.iter().map(|(label, _)| *label).collect();
        if settled {
            break;
        }
        let mut far: Vec<usize> = (0..rows.len()).collect();
        far.sort_by(|&a, &b| assigned[a].1.total_cmp(&assigned[b].1));
        for (cluster, centre) in centres.iter_mut().enumerate() {
            let mut count = 0.0;
            let mut sum = vec![0.0; rows.dimensions];
            for (row, _) in rows.iter().zip(&labels).filter(|(_, label)| **label == cluster) {
                count += 1.0;
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            if count > 0.0 {
                *centre = sum.into_iter().map(|sum| sum / count).collect();
            } else if let Some(farthest) = far.pop() {
                // A cluster that lost its rows starts again where rows are served worst.
                *centre = rows.at(farthest).to_vec();
            }
        }
    }
    labels
}

/// Centres drawn among the rows by their squared distance to those already drawn; of a few
/// candidates the one that leaves the least.
fn seeds(rows: Rows<'_>, clusters: usize, random: &mut Pcg64) -> Vec<Vec<f64>> {
    let first = bounded(random, rows.len() as u64) as usize;
    let mut centres = vec![rows.at(first).to_vec()];
    let mut left: Vec<f64> = rows.iter().map(|row| squared(row, rows.at(first))).collect();
    let candidates = 2 + (clusters as f64).ln() as usize;
    while centres.len() < clusters {
        let total: f64 = left.iter().sum();
        let candidate = |random: &mut Pcg64| {
            let chosen = at_mass(&left, unit_f64(random) * total);
            let centre = rows.at(chosen);
            let left: Vec<f64> =
                rows.iter().zip(&left).map(|(row, left)| left.min(squared(row, centre))).collect();
            (left.iter().sum::<f64>(), chosen, left)
        };
        let drawn = (0..candidates).map(|_| candidate(random));
        let Some((_, chosen, better)) = drawn.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        centres.push(rows.at(chosen).to_vec());
        left = better;
    }
    centres
}

/// The first index at which the running sum passes `mass`; the last one when none does.
fn at_mass(masses: &[f64], mass: f64) -> usize {
    let mut reached = 0.0;
    let found = masses.iter().position(|each| {
        reached += each;
        reached > mass
    });
    found.unwrap_or(masses.len() - 1)
}

/// The nearest centre and its squared distance.
fn nearest(row: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (index, centre) in centres.iter().enumerate() {
        let distance = squared(row, centre);
        if distance < best.1 {
            best = (index, distance);
        }
    }
    best
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
