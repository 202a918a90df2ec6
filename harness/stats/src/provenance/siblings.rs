//! The same-initialisation test between two checkpoints: a white-box companion that separates "same
//! order, other initialisation" from "same weights".
//!
//! Under the null the second model was initialised independently, so that its hidden units carry
//! labels in a uniformly random order relative to the first model's: initialisation and training
//! treat all units of a layer alike. Units are matched by similarity of their weights; if the
//! matching is associated with the labels, the models share their start. Source: Zhu et al. (2025),
//! Independence Tests for Language Models, arXiv:2502.12292.

mod assignment;

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

pub use assignment::assign;

use super::{Query, Refusal, Tail, combine};
use ledger::order::shuffle;
use ledger::seed::Seed;
use ledger::streams::Streams;

/// Units of a layer beyond which the cubic matching is not attempted.
const MOST_UNITS: usize = 8192;

/// The weights of one hidden layer in both models.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Hidden units: rows of both matrices.
    pub units: usize,
    /// Weights of the first model, row by row.
    pub left: &'a [f32],
    /// Weights of the second.
    pub right: &'a [f32],
}

/// The test of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerMatch {
    /// Its name.
    pub layer: String,
    /// Hidden units.
    pub units: u64,
    /// Units matched to the unit of the same label.
    pub same_label: u64,
    /// Spearman's rank correlation of matched labels.
    pub statistic: f64,
    /// p of a positive association; may underflow to 0.
    pub p: f64,
    /// log10 of it.
    pub log10_p: f64,
    /// Exact under the null.
    pub exact: bool,
}

/// The test of two checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Siblings {
    /// One row per layer.
    pub layers: Vec<LayerMatch>,
    /// Fisher's combination over layers; may underflow to 0.
    pub p: f64,
    /// log10 of it.
    pub log10_p: f64,
    /// The seed of the relabelling that breaks ties of the matching.
    pub seed: u64,
}

/// Tests whether two models share their initialisation.
///
/// Give each hidden layer once, by its incoming weights: an output layer's rows are classes with
/// fixed labels and prove nothing. The rows of the second model are relabelled at random (`seed`)
/// before the matching and back after it: otherwise dead or equal units, whose matching is
/// arbitrary, would keep their labels and look like a shared start.
///
/// # Errors
/// For no layers, for matrices that do not fit each other, for fewer than 5 or more than 8192 units,
/// and for weights that are not finite.
pub fn siblings(layers: &[Layer], seed: u64) -> Result<Siblings, Refusal> {
    let streams = Streams::new(Seed::from_integer(seed).bytes);
    let mut rows = Vec::with_capacity(layers.len());
    for (number, layer) in (0_u32..).zip(layers) {
        let mut labels: Vec<u32> = (0..layer.units.min(MOST_UNITS) as u32).collect();
        shuffle(&mut streams.keyed("provenance/siblings", number, 0), &mut labels);
        rows.push(match_layer(layer, &labels)?);
    }
    let log10_ps: Vec<f64> = rows.iter().map(|row| row.log10_p).collect();
    let log10_p = combine::fisher(&log10_ps)?;
    Ok(Siblings { layers: rows, p: (log10_p * LN_10).exp(), log10_p, seed })
}

fn match_layer(layer: &Layer, labels: &[u32]) -> Result<LayerMatch, Refusal> {
    let Layer { name, units, left, right } = *layer;
    if units > MOST_UNITS {
        let range = "at most 8192";
        return Err(Refusal::OutOfRange { what: "units of a layer", value: units as f64, range });
    }
    if units == 0
        || left.is_empty()
        || left.len() != right.len()
        || !left.len().is_multiple_of(units)
    {
        let (layer, rows) = (name.into(), units as u64);
        let (left, right) = (left.len() as u64, right.len() as u64);
        return Err(Refusal::Shape { layer, left, right, rows });
    }
    let left =
        directions(left, units, &format!("weights of the first model, layer {name}, entry "))?;
    let right =
        directions(right, units, &format!("weights of the second model, layer {name}, entry "))?;
    let width = left.len() / units;
    let row = |matrix: &[f32], unit: usize| matrix[unit * width..(unit + 1) * width].to_vec();
    let shuffled: Vec<f32> = labels.iter().flat_map(|&label| row(&right, label as usize)).collect();
    let mut cost = vec![0.0; units * units];
    for (costs, unit) in cost.chunks_exact_mut(units).zip(left.chunks_exact(width)) {
        for (cost, other) in costs.iter_mut().zip(shuffled.chunks_exact(width)) {
            let similarity: f32 = unit.iter().zip(other).map(|(a, b)| a * b).sum();
            *cost = -f64::from(similarity);
        }
    }
    let matched: Vec<u64> =
        assign(&cost, units).into_iter().map(|column| u64::from(labels[column])).collect();
    let own: Vec<f64> = (0..units as u32).map(f64::from).collect();
    let found = Query { tail: Tail::Greater, ..Query::new(&matched, &own) }.run()?;
    Ok(LayerMatch {
        layer: name.into(),
        units: units as u64,
        same_label: (0_u64..).zip(&matched).filter(|(own, other)| own == *other).count() as u64,
        statistic: found.statistic,
        p: found.p,
        log10_p: found.log10_p,
        exact: found.exact,
    })
}

/// Rows scaled to length 1, so that products are cosines; a row of zeros stays.
fn directions(weights: &[f32], units: usize, what: &str) -> Result<Vec<f32>, Refusal> {
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        let (index, value) = (index as u64, f64::from(weights[index]));
        return Err(Refusal::NotFinite { what: what.trim_end().into(), index, value });
    }
    let width = weights.len() / units;
    let mut scaled = Vec::with_capacity(weights.len());
    for row in weights.chunks_exact(width) {
        let norm = row.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>().sqrt();
        let factor = if norm == 0.0 { 0.0 } else { 1.0 / norm };
        scaled.extend(row.iter().map(|weight| (f64::from(*weight) * factor) as f32));
    }
    Ok(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams::normal;

    fn weights(k: u64, units: usize) -> Vec<f32> {
        normal(&mut Streams::new(Seed::from_integer(k).bytes).generator("init"), units * 24)
    }

    fn layer<'a>(left: &'a [f32], right: &'a [f32], units: usize) -> Layer<'a> {
        Layer { name: "fc1", units, left, right }
    }

    #[test]
    fn two_trainings_of_one_initialisation_are_siblings() {
        let start = weights(0, 64);
        let moved = |k: u64| -> Vec<f32> {
            start.iter().zip(weights(k, 64)).map(|(start, step)| start + 0.7 * step).collect()
        };
        let (left, right) = (moved(1), moved(2));
        let found = siblings(&[layer(&left, &right, 64)], 0).unwrap();
        assert!(found.log10_p < -30.0 && found.layers[0].same_label > 50, "{found:?}");
    }

    #[test]
    fn independent_initialisations_are_not() {
        let pairs: Vec<(Vec<f32>, Vec<f32>)> =
            (0..40).map(|k| (weights(2 * k, 32), weights(2 * k + 1, 32))).collect();
        let ps: Vec<f64> = pairs
            .iter()
            .map(|(left, right)| siblings(&[layer(left, right, 32)], 0).unwrap().p)
            .collect();
        let found = super::super::calibration::calibrate(&ps).unwrap();
        assert!(found.ks_p > 0.01, "{found:?}");
    }

    #[test]
    fn dead_units_do_not_look_like_a_shared_start() {
        let dead = vec![0.0; 64 * 24];
        let found = siblings(&[layer(&dead, &dead, 64)], 0).unwrap();
        assert!(found.p > 1e-3, "{found:?}");
    }

    #[test]
    fn layers_combine_in_log_space() {
        let start = weights(0, 64);
        let one = siblings(&[layer(&start, &start, 64)], 0).unwrap();
        // A perfect matching of 64 units: 1/64!.
        assert!((one.log10_p + 89.10341695).abs() < 1e-6 && one.layers[0].exact, "{one:?}");
        let five = siblings(&[layer(&start, &start, 64); 5], 0).unwrap();
        assert!(five.log10_p < -400.0 && five.p == 0.0, "{five:?}");
    }

    #[test]
    fn matrices_that_do_not_fit_are_refused_by_layer() {
        let refusal = siblings(&[layer(&[1.0; 20], &[1.0; 21], 10)], 0).unwrap_err();
        assert!(refusal.to_string().contains("layer fc1"), "{refusal}");
        let nan = [1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0];
        let refusal = siblings(&[layer(&nan, &nan, 6)], 0).unwrap_err();
        assert!(matches!(refusal, Refusal::NotFinite { index: 1, .. }));
        assert!(matches!(siblings(&[], 0), Err(Refusal::TooFewOf { .. })));
        assert!(matches!(siblings(&[layer(&[1.0], &[1.0], 0)], 0), Err(Refusal::Shape { .. })));
    }
}
