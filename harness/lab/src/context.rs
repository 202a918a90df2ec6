//! A context that grows along a run: short rows first, longer ones then, and another base of the rotary positions each time.
//!
//! An example is a row of the longest context. In a stage of context ℓ it is read in parts of ℓ tokens that do not see each other, and
//! nothing is asked of a part that only another one tells. So every step has as many tokens as another, and fewer operations
//! where contexts are short.

use ledger::streams::Streams;
use tch::{Kind, Tensor};

use crate::LabError;
use crate::adapters::same;
use crate::models::rotary::Rotary;
use crate::network::Network;
use crate::objectives::{DefaultLoss, IGNORED};
use crate::seat::{Batch, Costs, Gradients, Objective, Parametrisation, StepInfo, View};
use crate::stages::Shares;
use crate::state::State;

/// A stage's context and base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Tokens that are read together.
    pub context: usize,
    /// The base of the turns.
    pub base: f64,
}

/// Contexts that grow to `longest`, `growth` times from stage to stage, with bases from the first to the last in equal ratios.
#[must_use]
pub fn spans(longest: usize, stages: u32, growth: usize, bases: [f64; 2]) -> Vec<Span> {
    let last = stages.saturating_sub(1);
    let of = |stage: u32| {
        let context = longest / growth.pow(last - stage);
        let share = if last == 0 { 1.0 } else { f64::from(stage) / f64::from(last) };
        Span { context, base: bases[0].powf(1.0 - share) * bases[1].powf(share) }
    };
    (0..stages).map(of).collect()
}

/// Rows in parts: no loss is taken where the token has not stood in its part before.
#[derive(Debug)]
pub struct Within(pub usize);

impl View for Within {
    fn render(&mut self, batch: &mut Batch, _: &StepInfo, _: &Streams) -> Result<(), LabError> {
        let (rows, length) = batch.inputs.size2()?;
        let own = (self.0 as i64).clamp(1, length);
        let parts = batch.inputs.f_view([-1, own])?;
        let same = parts.f_unsqueeze(2)?.f_eq_tensor(&parts.f_unsqueeze(1)?)?;
        let seen = same.f_tril(-1)?.f_any_dim(2, false)?.f_view([rows, length])?;
        batch.labels = batch.labels.f_masked_fill(&seen.f_logical_not()?, IGNORED)?;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// The body of a step's network has the span of its stage; what is judged has the longest context and the base that training has come to.
#[derive(Debug)]
pub struct Growing {
    spans: Vec<Span>,
    shares: Shares,
    longest: usize,
    /// The stage of the last step.
    reached: usize,
}

impl Growing {
    /// Of stages with these shares of the steps.
    #[must_use]
    pub fn new(spans: Vec<Span>, shares: Shares) -> Self {
        let longest = spans.last().map_or(0, |span| span.context);
        Self { spans, shares, longest, reached: 0 }
    }

    fn stage(&self, now: &StepInfo) -> usize {
        self.shares.at(now.step, now.total_steps).0.min(self.spans.len().saturating_sub(1))
    }
}

impl Parametrisation for Growing {
    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        Rotary::of(network).map(|_| ())
    }

    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError> {
        let stage = now.map_or(self.reached, |now| self.stage(now));
        let mut network = same(trained);
        if let Some(Span { context, base }) = self.spans.get(stage).copied() {
            let context = if now.is_some() { context } else { self.longest };
            network.body = Rotary { base, context, ..*Rotary::of(trained)? }.body();
        }
        Ok(network)
    }

    fn amend(&mut self, _: &Network, _: &mut Gradients, now: &StepInfo) -> Result<(), LabError> {
        self.reached = self.stage(now);
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("reached", &mut self.reached)
    }
}

/// The loss of tokens, which counts tokens and operations.
#[derive(Debug, Default)]
pub struct Counted {
    tokens: u64,
    operations: u64,
}

impl Objective for Counted {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        DefaultLoss::Tokens.losses(network, batch, now)
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let decoder = Rotary::of(network)?;
        let tokens = batch.inputs.numel() as u64;
        self.tokens += tokens;
        self.operations += tokens * decoder.operations(decoder.context);
        // Parts that are short may ask for nothing at all, of which there is no mean.
        let parts = (decoder.context as i64) < batch.inputs.size2()?.1;
        if parts && batch.labels.f_ne(IGNORED)?.f_sum(Kind::Int64)?.f_int64_value(&[])? == 0 {
            return Ok(network
                .forward(&batch.inputs, true)?
                .f_sum(Kind::Float)?
                .f_mul_scalar(0.0)?);
        }
        DefaultLoss::Tokens.loss(network, batch, now)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn costs(&self) -> Costs {
        Costs::from([("forward_tokens", self.tokens), ("operations", self.operations)])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("tokens", &mut self.tokens)?;
        state.of("operations", &mut self.operations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::Shape;
    use crate::models::rotary::rotary;
    use crate::trial::{self, step_info};
    use tch::Device;

    #[test]
    fn contexts_grow_to_the_longest_and_bases_in_equal_ratios() {
        let three = spans(1_024, 3, 4, [1e4, 8e6]);
        assert_eq!(three.iter().map(|span| span.context).collect::<Vec<_>>(), [64, 256, 1_024]);
        assert!((three[0].base - 1e4).abs() < 1e-6 && (three[2].base - 8e6).abs() < 1e-3);
        assert!((three[1].base / three[0].base - three[2].base / three[1].base).abs() < 1e-9);
        let one = spans(1_024, 1, 4, [1e4, 8e6]);
        assert_eq!((one.len(), one[0].context), (1, 1_024));
        assert!((one[0].base - 8e6).abs() < 1e-3);
    }

    #[test]
    fn nothing_is_asked_of_a_part_that_only_another_one_tells() {
        let inputs = Tensor::from_slice(&[5_i64, 1, 6, 2, 5, 1, 6, 2, 5, 1, 6, 2]).view([1, 12]);
        let labels =
            Tensor::from_slice(&[-100_i64, -100, -100, -100, 1, -100, 2, -100, 1, -100, 2, -100]);
        let rendered = |length: usize| {
            let mut batch = Batch {
                ids: vec![0],
                sample_ids: Tensor::from_slice(&[0_i64]),
                inputs: inputs.copy(),
                labels: labels.view([1, 12]),
            };
            Within(length).render(&mut batch, &step_info(0, 1), &trial::streams()).unwrap();
            Vec::<i64>::try_from(batch.labels.view([-1])).unwrap()
        };
        assert_eq!(rendered(12), Vec::<i64>::try_from(&labels).unwrap());
        // Parts of six tokens: 5 1 6 2 5 1 and 6 2 5 1 6 2.
        let half = rendered(6);
        assert_eq!((half[4], half[6], half[8], half[10]), (1, -100, -100, 2));
        assert_eq!(rendered(4), [IGNORED; 12]);
    }

    #[test]
    fn a_step_sees_the_span_of_its_stage_and_what_is_judged_the_longest_context() {
        let shape = Shape { vocabulary: 8, context: 16, width: 8, depth: 1, heads: 2, hidden: 32 };
        let network = rotary(shape, 1e4, &trial::streams(), Device::Cpu).unwrap();
        let list = spans(16, 2, 4, [1e4, 8e6]);
        let mut growing = Growing::new(list, Shares::new([1, 1]));
        let of = |growing: &Growing, now: Option<u64>| {
            let now = now.map(|step| step_info(step, 10));
            let seen = growing.seen(&network, now.as_ref()).unwrap();
            let decoder = *Rotary::of(&seen).unwrap();
            (decoder.context, decoder.base.round())
        };
        assert_eq!([of(&growing, Some(4)), of(&growing, Some(5))], [(4, 1e4), (16, 8e6)]);
        assert_eq!(of(&growing, None), (16, 1e4));
        let mut none = Gradients { active: Vec::new(), tensors: Vec::new() };
        growing.amend(&network, &mut none, &step_info(5, 10)).unwrap();
        assert_eq!(of(&growing, None), (16, 8e6));
    }

    #[test]
    fn short_contexts_cost_as_many_tokens_and_fewer_operations() {
        let shape = Shape { vocabulary: 8, context: 16, width: 8, depth: 1, heads: 2, hidden: 32 };
        let network = rotary(shape, 1e4, &trial::streams(), Device::Cpu).unwrap();
        let inputs = Tensor::arange(32, (Kind::Int64, Device::Cpu)).remainder(8).view([2, 16]);
        let of = |context: usize| {
            let mut network = network.duplicate();
            network.body = Rotary { context, ..*Rotary::of(&network).unwrap() }.body();
            let batch = Batch {
                ids: vec![0, 1],
                sample_ids: Tensor::from_slice(&[0_i64, 1]),
                inputs: inputs.copy(),
                labels: inputs.full_like(if context < 16 { IGNORED } else { 3 }),
            };
            let mut counted = Counted::default();
            let loss = counted.loss(&network, &batch, &step_info(0, 1)).unwrap();
            // Parts that ask for nothing cost nothing, and move nothing.
            assert_eq!(loss.double_value(&[]) == 0.0, context < 16);
            let costs = counted.costs();
            (costs["forward_tokens"], costs["operations"])
        };
        let weights = 4 * 64 + 2 * 8 * 32 + 8 * 8;
        assert_eq!(of(16), (32, 32 * (6 * weights + 6 * 8 * 16)));
        assert_eq!(of(4), (32, 32 * (6 * weights + 6 * 8 * 4)));
    }
}
