//! Weights kept in few bits: groups along the rows of matrices and filters are replaced, one by one, by
//! what a rule makes of them. The mathematics that methods after training share; no step is taken.
//!
//! A row is what makes one output: the weights of a unit, or the filters of a channel, in the order of
//! their memory. Only parameters with [`Role::Weight`] are replaced, never biases, normalisations and
//! tables of vectors.

use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use tch::Tensor;

use crate::LabError;
use crate::network::{Network, Parameter, Role, values};
use crate::recipe::Recipe;
use crate::seat::{Batch, Constraint, Facts, Gradients, Optimizer, StepInfo, TaskInfo};
use crate::state::State;

choice! {
    /// Which layers lose bits.
    pub enum Layers {
        /// All before the last, which makes the outputs.
        Hidden = "hidden",
        /// All.
        All = "all",
    }
}

settings! {
    /// How weights are grouped.
    pub struct Grouping {
        /// G: weights of a row that share their scales; the last group of a row may be shorter.
        group: u32 = 128, range Range::of(1.0..=65_536.0), from "PTQTP";
        /// Which layers lose bits.
        layers: Layers = Layers::Hidden, from "assumed: as heads of language models are kept";
    }
}

/// What becomes of a group of weights.
pub trait Rule {
    /// Replaces the weights of a group; all are finite and one at least is not 0.
    fn replace(&mut self, group: &mut [f32]);

    /// Bits in which a group of `length` weights can be kept, its scales counted at 16 bits.
    fn bits(&self, length: usize) -> f64;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}

/// The restriction that replaces weights by a rule, once, at the start.
#[derive(Debug)]
pub struct Grouped<R> {
    grouping: Grouping,
    rule: R,
    weights: usize,
    bits: f64,
    squared_error: f64,
    squared_norm: f64,
}

impl<R: Rule + 'static> Grouped<R> {
    /// The recipe that applies `rule` to the weights a run starts from, and takes no step.
    ///
    /// # Errors
    /// When every weight of the network is in a layer that is to be left as it is.
    pub fn recipe(rule: R, grouping: Grouping, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if !task.network.parameters.iter().any(|parameter| {
            parameter.role == Role::Weight && is_asked(parameter, &grouping, task.network.depth())
        }) {
            return Err(task.unfit("no layer before the last has weights; set layers to \"all\""));
        }
        let constraint =
            Self { grouping, rule, weights: 0, bits: 0.0, squared_error: 0.0, squared_norm: 0.0 };
        Ok(Recipe { constraint: Some(Box::new(constraint)), ..Recipe::idle() })
    }
}

fn is_asked(parameter: &Parameter, grouping: &Grouping, depth: usize) -> bool {
    grouping.layers == Layers::All || parameter.layer + 1 < depth
}

impl<R: Rule> Grouped<R> {
    /// Replaces the rows of one parameter, which have `columns` weights each.
    fn replace(&mut self, weights: &mut [f32], columns: usize) {
        let length = self.grouping.group as usize;
        for row in weights.chunks_mut(columns.max(1)) {
            for group in row.chunks_mut(length.max(1)) {
                self.weights += group.len();
                self.bits += self.rule.bits(group.len());
                // What is 0 throughout is exact as it is; of weights that are not finite no rule knows.
                if group.iter().all(|w| *w == 0.0) || !group.iter().all(|w| w.is_finite()) {
                    continue;
                }
                let before = group.to_vec();
                self.rule.replace(group);
                let pairs =
                    || before.iter().zip(group.iter()).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                self.squared_error += pairs().map(|(old, new)| (old - new).powi(2)).sum::<f64>();
                self.squared_norm += pairs().map(|(old, _)| old.powi(2)).sum::<f64>();
            }
        }
    }
}

impl<R: Rule> Constraint for Grouped<R> {
    fn prepare(&mut self, network: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        let _guard = tch::no_grad_guard();
        let depth = network.depth();
        for parameter in &mut network.parameters {
            if parameter.role == Role::Weight && is_asked(parameter, &self.grouping, depth) {
                let shape = parameter.tensor.size();
                let columns = shape.iter().skip(1).product::<i64>();
                let mut weights = values(&parameter.tensor)?;
                self.replace(&mut weights, usize::try_from(columns).unwrap_or(1));
                let weights = Tensor::f_from_slice(&weights)?.f_view(shape.as_slice())?;
                parameter.tensor.f_copy_(&weights)?;
            }
        }
        Ok(())
    }

    /// No step is taken.
    fn hold(&self, _: &mut [Parameter]) -> Result<(), LabError> {
        Ok(())
    }

    fn project(
        &mut self,
        _: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    fn facts(&self) -> Facts {
        let error = (self.squared_error / self.squared_norm.max(f64::MIN_POSITIVE)).sqrt();
        let mut facts = self.rule.facts();
        facts.extend([
            ("weights_in_few_bits".to_owned(), self.weights.into()),
            ("bits_per_weight".to_owned(), (self.bits / self.weights.max(1) as f64).into()),
            ("relative_error".to_owned(), error.into()),
        ]);
        facts
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::side_info::SideInfo;
    use crate::trial;
    use tch::Device;

    /// Every weight of a group becomes its first, which is kept in 8 bits.
    struct First(Vec<usize>);

    impl Rule for First {
        fn replace(&mut self, group: &mut [f32]) {
            self.0.push(group.len());
            let first = group[0];
            group.fill(first);
        }

        fn bits(&self, _: usize) -> f64 {
            8.0
        }
    }

    fn grouped(group: u32, layers: Layers) -> Grouped<First> {
        Grouped {
            grouping: Grouping { group, layers },
            rule: First(Vec::new()),
            weights: 0,
            bits: 0.0,
            squared_error: 0.0,
            squared_norm: 0.0,
        }
    }

    fn batch() -> Batch {
        let empty = || Tensor::from_slice(&[0.0_f32]);
        Batch { ids: vec![], sample_ids: empty(), inputs: empty(), labels: empty() }
    }

    #[test]
    fn groups_lie_along_rows_and_the_last_of_a_row_may_be_shorter() {
        let mut grouped = grouped(3, Layers::All);
        let mut weights: Vec<f32> = (1..=8).map(|w| w as f32).collect();
        grouped.replace(&mut weights, 4);
        assert_eq!(weights, [1.0, 1.0, 1.0, 4.0, 5.0, 5.0, 5.0, 8.0]);
        assert_eq!(grouped.rule.0, [3, 1, 3, 1]);
        let facts = grouped.facts();
        assert_eq!(
            (&facts["weights_in_few_bits"], &facts["bits_per_weight"]),
            (&8.into(), &4.0.into())
        );
        // 0² + 1² + 2² twice, of 204.
        let error = facts["relative_error"].as_f64().unwrap();
        assert!((error - (10.0_f64 / 204.0).sqrt()).abs() < 1e-12, "{error}");
    }

    #[test]
    fn groups_of_zeros_and_of_weights_that_are_not_finite_stay_as_they_are() {
        let mut grouped = grouped(2, Layers::All);
        let mut weights = [0.0, 0.0, 1.0, f32::NAN, 2.0, 3.0];
        grouped.replace(&mut weights, 6);
        assert_eq!(grouped.rule.0, [2]);
        assert!(weights[3].is_nan());
        assert_eq!([weights[0], weights[2], weights[5]], [0.0, 1.0, 2.0]);
    }

    #[test]
    fn hidden_layers_are_all_but_the_last_and_nothing_but_weights_is_replaced() {
        for (layers, replaced) in [(Layers::Hidden, [true, true, false]), (Layers::All, [true; 3])]
        {
            let mut network = mlp(&[6, 5, 4, 3], &trial::streams(), Device::Cpu).unwrap();
            let before = network.duplicate();
            let mut grouped = grouped(128, layers);
            grouped.prepare(&mut network, &trial::streams(), &batch()).unwrap();
            for (old, new) in before.parameters.iter().zip(&network.parameters) {
                let moved = old.tensor.detach() != new.tensor.detach();
                let expected = old.role == Role::Weight && replaced[old.layer];
                assert_eq!(moved, expected, "{}", old.name);
            }
        }
    }

    #[test]
    fn a_network_without_hidden_layers_is_refused_with_the_setting_that_helps() {
        let network = mlp(&[6, 3], &trial::streams(), Device::Cpu).unwrap();
        let task = TaskInfo {
            method: "ptqtp",
            workload: "trial",
            network: &network,
            examples: 3,
            side: &SideInfo::default(),
            teacher: None,
            budget_samples: 3,
            streams: &trial::streams(),
        };
        let of = |layers| {
            let grouping = Grouping { layers, ..Grouping::default() };
            Grouped::recipe(First(Vec::new()), grouping, &task)
        };
        assert_eq!(
            of(Layers::Hidden).unwrap_err().to_string(),
            "ptqtp on trial: no layer before the last has weights; set layers to \"all\""
        );
        assert!(of(Layers::All).is_ok());
    }
}
