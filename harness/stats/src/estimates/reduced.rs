//! Training in k dimensions: the reduced estimator.
//!
//! With θ = c + Qz for an orthonormal basis Q (p × k) and one quadratic model of every item's loss
//! around the centre c, a training step needs k numbers instead of p:
//! g(z) = g̃_i + H̃_i z with g̃_i = Qᵀ∇L_i(c) and H̃_i = Qᵀ∇²L_i(c)Q. A step over several items takes
//! their mean. The update rule is that of the optimiser that trains, in z; losses are read out from
//! quadratic models of their own.
//!
//! What it leaves out, by construction: the parts of gradients outside the basis.

mod rule;

pub use rule::{Adam, Rule, Sgd};

use serde::{Deserialize, Serialize};

use super::EstimateError;
use super::error::{check_finite, check_length};
use super::orders::ItemOrder;

/// Outputs of a product that are summed side by side: independent sums that stay in registers.
const LANES: usize = 8;

/// Called with the number of an order, a step, its items and the coordinates before it.
pub type Each<'a> = dyn FnMut(usize, usize, &[u32], &[f64]) + 'a;

/// Quadratic models of the items' losses in the basis.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduced {
    /// Size of the basis.
    k: usize,
    /// k rounded up to whole lanes; the rest is 0.
    padded: usize,
    /// `[item][a]`.
    gradients: Vec<f64>,
    /// `[item][b][a]`: column by column, so that a product adds whole columns.
    curvature: Vec<f64>,
}

/// A quadratic model of a loss: L(z) = value + b·(z − at) + ½ (z − at)ᵀ B (z − at).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadOut {
    /// The loss at `at`.
    pub value: f64,
    /// Where it is expanded, k numbers.
    pub at: Vec<f64>,
    /// b: the gradient there, k numbers.
    pub gradient: Vec<f64>,
    /// B: the curvature there, k × k numbers, row by row.
    pub curvature: Vec<f64>,
}

/// What every step of an order adds to a loss: `effects[step]` times the mean over its items of
/// `constant[item]` + `along[item]`·z.
#[derive(Debug, Clone, Copy)]
pub struct StepParts<'a> {
    /// A factor a step.
    pub effects: &'a [f64],
    /// A number an item.
    pub constant: &'a [f64],
    /// k numbers an item.
    pub along: &'a [f64],
}

/// a·b over the shorter of them, in sums side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let mut lanes = [0.0; LANES];
    let (heads, rest) = (a.chunks_exact(LANES), length - length % LANES);
    for (a, b) in heads.zip(b.chunks_exact(LANES)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let tail: f64 = a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + tail
}

impl ReadOut {
    /// A checked read-out.
    ///
    /// # Errors
    /// For parts of other sizes than k, and values that are not finite.
    pub fn check(&self, k: usize) -> Result<(), EstimateError> {
        check_length("the read-out's centre", self.at.len(), k)?;
        check_length("the read-out's gradient", self.gradient.len(), k)?;
        check_length("the read-out's curvature", self.curvature.len(), k * k)?;
        check_finite("the read-out's value", &[self.value])?;
        check_finite("the read-out's centre, value", &self.at)?;
        check_finite("the read-out's gradient, value", &self.gradient)?;
        check_finite("the read-out's curvature, value", &self.curvature)
    }

    /// The loss at `z`.
    #[must_use]
    pub fn loss(&self, z: &[f64]) -> f64 {
        let from: Vec<f64> = z.iter().zip(&self.at).map(|(z, at)| z - at).collect();
        let rows = self.curvature.chunks_exact(from.len().max(1));
        let bent: f64 = rows.zip(&from).map(|(row, z)| z * dot(row, &from)).sum();
        self.value + dot(&self.gradient, &from) + bent / 2.0
    }
}

impl Reduced {
    /// Models of `gradients.len() / k` items: `gradients[item][a]` and `curvature[item][a][b]`, row
    /// by row, which need not be symmetric.
    ///
    /// # Errors
    /// For k = 0, sizes that do not fit, and values that are not finite.
    pub fn new(k: usize, gradients: &[f64], curvature: &[f64]) -> Result<Self, EstimateError> {
        if k == 0 || gradients.is_empty() {
            let (what, unit) = ("the reduced estimator", "basis vector and item");
            return Err(EstimateError::TooFew { what, needed: 1, unit, found: 0 });
        }
        let items = gradients.len() / k;
        check_length("projected gradients", gradients.len(), items * k)?;
        check_length("projected curvature", curvature.len(), items * k * k)?;
        check_finite("projected gradient", gradients)?;
        check_finite("projected curvature", curvature)?;
        let padded = k.next_multiple_of(LANES);
        let mut reduced = Self {
            k,
            padded,
            gradients: vec![0.0; items * padded],
            curvature: vec![0.0; items * k * padded],
        };
        let rows = reduced.gradients.chunks_exact_mut(padded);
        for (row, given) in rows.zip(gradients.chunks_exact(k)) {
            row[..k].copy_from_slice(given);
        }
        let matrices = reduced.curvature.chunks_exact_mut(k * padded);
        for (matrix, given) in matrices.zip(curvature.chunks_exact(k * k)) {
            for (a, row) in given.chunks_exact(k).enumerate() {
                for (b, value) in row.iter().enumerate() {
                    matrix[b * padded + a] = *value;
                }
            }
        }
        Ok(reduced)
    }

    /// Size of the basis.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of items.
    #[must_use]
    pub fn items(&self) -> usize {
        self.gradients.len() / self.padded
    }

    /// Bytes of the models.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.gradients.len() + self.curvature.len()) * size_of::<f64>()
    }

    /// Final coordinates of each order, `[order][a]`, from `start` (k numbers) under `rule`. An
    /// order that diverges ends with values that are not finite.
    ///
    /// # Errors
    /// For a start or a rule of another size, an order with more steps than the rule has learning
    /// rates, an empty step, and an item without a model.
    pub fn train(
        &self,
        rule: &Rule,
        start: &[f64],
        orders: &[ItemOrder],
    ) -> Result<Vec<Vec<f64>>, EstimateError> {
        self.follow(rule, start, orders, &mut |_, _, _, _| ())
    }

    /// The same; `each` sees the number of the order, the step, its items, and the k coordinates
    /// before it.
    ///
    /// # Errors
    /// As [`Reduced::train`].
    pub fn follow(
        &self,
        rule: &Rule,
        start: &[f64],
        orders: &[ItemOrder],
        each: &mut Each<'_>,
    ) -> Result<Vec<Vec<f64>>, EstimateError> {
        check_length("the start", start.len(), self.k)?;
        check_finite("the start, value", start)?;
        rule.check(self.k)?;
        for order in orders {
            self.check_order(rule, order)?;
        }
        let mut scratch = vec![0.0; self.padded];
        let mut run = |(number, order): (usize, &ItemOrder)| {
            let mut state = rule.begin(self.padded);
            let mut z = vec![0.0; self.padded];
            z[..self.k].copy_from_slice(start);
            for (step, items) in order.steps.iter().enumerate() {
                each(number, step, items, &z[..self.k]);
                self.gradient(items, &z, &mut scratch);
                rule.update(&mut state, step, &scratch, &mut z);
            }
            z.truncate(self.k);
            z
        };
        Ok(orders.iter().enumerate().map(&mut run).collect())
    }

    /// Losses of orders, of which every step adds its own part: `read_out` at the end, and the parts of
    /// `steps` on the way. No coordinates are kept.
    ///
    /// # Errors
    /// As [`Reduced::train`], and for parts of other sizes.
    pub fn score(
        &self,
        rule: &Rule,
        start: &[f64],
        orders: &[ItemOrder],
        steps: &StepParts<'_>,
        read_out: &ReadOut,
    ) -> Result<Vec<f64>, EstimateError> {
        check_length("the start", start.len(), self.k)?;
        check_finite("the start, value", start)?;
        rule.check(self.k)?;
        check_length("parts of items", steps.constant.len(), self.items())?;
        check_length("parts of items along the basis", steps.along.len(), self.items() * self.k)?;
        check_length("effects of steps", steps.effects.len(), rule.steps())?;
        let mut scratch = vec![0.0; self.padded];
        let mut z = vec![0.0; self.padded];
        let mut losses = Vec::with_capacity(orders.len());
        for order in orders {
            self.check_order(rule, order)?;
            let mut state = rule.begin(self.padded);
            z.fill(0.0);
            z[..self.k].copy_from_slice(start);
            let mut loss = 0.0;
            for (step, items) in order.steps.iter().enumerate() {
                let part = |item: &u32| {
                    let item = *item as usize;
                    steps.constant[item] + dot(&steps.along[item * self.k..][..self.k], &z)
                };
                let sum: f64 = items.iter().map(part).sum();
                loss += steps.effects[step] * sum / items.len() as f64;
                self.gradient(items, &z, &mut scratch);
                rule.update(&mut state, step, &scratch, &mut z);
            }
            losses.push(loss + read_out.loss(&z[..self.k]));
        }
        Ok(losses)
    }

    fn check_order(&self, rule: &Rule, order: &ItemOrder) -> Result<(), EstimateError> {
        if order.len() > rule.steps() {
            let (what, found, expected) = ("learning rates", rule.steps(), order.len());
            return Err(EstimateError::Length { what, found, expected });
        }
        for items in &order.steps {
            if items.is_empty() {
                let (what, unit) = ("a step", "items");
                return Err(EstimateError::TooFew { what, needed: 1, unit, found: 0 });
            }
            if let Some(&item) = items.iter().find(|&&item| item as usize >= self.items()) {
                let range = "an item with a gradient and a curvature";
                return Err(EstimateError::Range { what: "item", value: f64::from(item), range });
            }
        }
        Ok(())
    }

    /// The mean over `items` of g̃ + H̃z, into `sum`.
    fn gradient(&self, items: &[u32], z: &[f64], sum: &mut [f64]) {
        sum.fill(0.0);
        for &item in items {
            let item = item as usize;
            let size = self.k * self.padded;
            let gradient = &self.gradients[item * self.padded..(item + 1) * self.padded];
            let curvature = &self.curvature[item * size..(item + 1) * size];
            for (block, out) in sum.chunks_exact_mut(LANES).enumerate() {
                let from = block * LANES;
                let mut lanes = [0.0; LANES];
                lanes.copy_from_slice(&gradient[from..from + LANES]);
                for (column, z) in curvature.chunks_exact(self.padded).zip(z) {
                    for (lane, value) in lanes.iter_mut().zip(&column[from..from + LANES]) {
                        *lane += value * z;
                    }
                }
                for (out, lane) in out.iter_mut().zip(lanes) {
                    *out += lane;
                }
            }
        }
        if items.len() > 1 {
            let share = 1.0 / items.len() as f64;
            sum.iter_mut().for_each(|value| *value *= share);
        }
    }
}

#[cfg(test)]
mod tests;
