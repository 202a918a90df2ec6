//! Chosen values of all tensors, packed one behind the other, with a mask that is taken anew once in a run and a penalty on
//! the nuclear norm of masked matrices: progressive sparse low-rank adaptation (arXiv:2409.06633).

use std::cell::RefCell;
use std::rc::Rc;

use ledger::choice;
use ledger::digest::Digest;
use ledger::order::{bounded, shuffle};
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use serde_json::Value;
use tch::{Kind, TchError, Tensor};

use super::{Ground, values, zeros};
use crate::LabError;
use crate::network::{Network, Parameter, channels_last, values as numbers};
use crate::seat::{
    Batch, Constraint, Facts, Gradients, Optimizer, Parametrisation, StepInfo, TaskInfo,
};
use crate::state::State;

choice! {
    /// Which values are chosen.
    pub enum Select {
        /// Those of the smallest magnitude.
        Smallest = "smallest",
        /// As many by lot.
        Random = "random",
        /// Those of the largest magnitude.
        Largest = "largest",
    }
}

/// What trains, and how it is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Which values are chosen.
    pub select: Select,
    /// Share of all values that is chosen.
    pub share: f64,
    /// Share of the run behind which only those that are still small go on; 0 for none. Of [`Select::Smallest`] alone.
    pub again: f64,
    /// λ, the factor on the nuclear norm of a masked matrix.
    pub nuclear: f64,
    /// A matrix is penalised where its smaller side is above this.
    pub above: u32,
    /// As the published optimiser does it: the first step behind each masking sees magnitudes in the place of values.
    pub magnitudes: bool,
}

/// Which values of `parameters` are chosen, ⌊share·n⌉ of n and at least 1: flat positions of each tensor, ascending; and the
/// smallest magnitude that is left out of a choice by smallness.
fn chosen(
    rules: &Rules,
    parameters: &[Parameter],
    streams: &Streams,
) -> Result<(Vec<Vec<i64>>, f64), TchError> {
    let mut magnitudes = Vec::new();
    for parameter in parameters {
        magnitudes.extend(numbers(&parameter.tensor)?.into_iter().map(f32::abs));
    }
    let mut places: Vec<u32> = (0..u32::try_from(magnitudes.len()).unwrap_or(u32::MAX)).collect();
    let by = |place: &u32| magnitudes[*place as usize];
    match rules.select {
        Select::Smallest => places.sort_by(|a, b| by(a).total_cmp(&by(b))),
        Select::Largest => places.sort_by(|a, b| by(b).total_cmp(&by(a))),
        Select::Random => shuffle(&mut streams.generator("adapter mask"), &mut places),
    }
    let count = count(rules.share, magnitudes.len());
    let left_out = match rules.select {
        Select::Smallest => places.get(count).map_or(f64::INFINITY, |place| f64::from(by(place))),
        Select::Random | Select::Largest => f64::INFINITY,
    };
    places.truncate(count);
    places.sort_unstable();
    let mut rest = places.as_slice();
    let mut first = 0;
    let segments = parameters.iter().map(|parameter| {
        let end = first + parameter.tensor.numel() as i64;
        let (own, others) = rest.split_at(rest.partition_point(|place| i64::from(*place) < end));
        rest = others;
        let own = own.iter().map(|place| i64::from(*place) - first).collect();
        first = end;
        own
    });
    Ok((segments.collect(), left_out))
}

/// How many of n values a share is.
fn count(share: f64, all: usize) -> usize {
    ((share * all as f64).round() as usize).clamp(1, all.max(1))
}

/// The chosen values of one tensor.
#[derive(Debug)]
struct Segment {
    /// Index of the tensor.
    index: usize,
    /// Where its values begin among those that train, and how many they are.
    first: i64,
    length: i64,
    /// Flat positions in logical order, ascending.
    places: Tensor,
}

/// What the seats of a mask share.
#[derive(Debug, Default)]
struct Shared {
    segments: Vec<Segment>,
    /// 1 for each value that still trains, and what the others stay at.
    alive: Option<[Tensor; 2]>,
    /// Magnitude below which a value stays in the mask.
    threshold: f64,
    /// The step before which the mask was taken anew.
    again: Option<u64>,
    /// How many stayed.
    left: Option<u64>,
    digest: Option<Digest>,
}

/// The seat: what trains is one vector.
#[derive(Debug)]
pub struct Masked {
    rules: Rules,
    shared: Rc<RefCell<Shared>>,
    ground: Ground,
    /// Which matrix is penalised.
    turns: Pcg64,
}

/// A matrix whose masked values are penalised.
fn large(parameter: &Parameter, above: u32) -> bool {
    let size = parameter.tensor.size();
    size.len() == 2 && size.iter().all(|side| *side > i64::from(above))
}

impl Masked {
    /// The seat, the network that trains, and the seat that takes the mask anew.
    ///
    /// # Errors
    /// When there is a penalty (setting `nuclear`) and no matrix to put it on, or libtorch cannot allocate.
    pub fn new(rules: Rules, task: &TaskInfo<'_>) -> Result<(Self, Network, Again), LabError> {
        let parameters = &task.network.parameters;
        if rules.nuclear > 0.0 && !parameters.iter().any(|one| large(one, rules.above)) {
            return Err(task.unfit(format!(
                "setting \"nuclear\" is {}, but no matrix of the network has both sides above \"nuclear_above\", which \
                 is {}: set \"nuclear\" to 0, or lower the other",
                rules.nuclear, rules.above
            )));
        }
        let all = values(parameters);
        let Some(first) = parameters.first() else {
            return Err(task.unfit("the network has no parameter to choose values of"));
        };
        let packed = zeros("chosen".to_owned(), &[count(rules.share, all) as i64], first)?;
        let template = task.network.over(vec![packed]);
        let shared = Rc::new(RefCell::new(Shared::default()));
        let turns = task.streams.generator("adapter penalty");
        let again = Again { rules, shared: Rc::clone(&shared) };
        let seat = Self { rules, shared, ground: Ground::default(), turns };
        Ok((seat, template, again))
    }

    /// λ·UVᵀ of U·S·Vᵀ = W ⊙ M for the matrix whose turn it is, at the values that train: where in the vector they begin,
    /// and the gradient for each.
    fn penalty(&mut self, packed: &Tensor) -> Result<Option<(i64, Tensor)>, LabError> {
        let Rules { nuclear, above, .. } = self.rules;
        let shared = self.shared.borrow();
        let eligible: Vec<&Segment> = shared
            .segments
            .iter()
            .filter(|segment| large(&self.ground.parameters[segment.index], above))
            .collect();
        if nuclear == 0.0 || eligible.is_empty() {
            return Ok(None);
        }
        let turn = bounded(&mut self.turns, eligible.len() as u64) as usize;
        let Segment { index, first, length, places } = eligible[turn];
        let mut own = packed.f_narrow(0, *first, *length)?;
        if let Some([alive, _]) = &shared.alive {
            own = own.f_mul(&alive.f_narrow(0, *first, *length)?)?;
        }
        let matrix = &self.ground.parameters[*index].tensor;
        let masked = matrix.f_zeros_like()?.f_contiguous()?.f_put(places, &own, false)?;
        let slope = nuclear_slope(&masked)?.f_take(places)?;
        Ok(Some((*first, slope.f_mul_scalar(nuclear)?)))
    }
}

/// UVᵀ of the singular vectors whose values are not 0: the slope of the nuclear norm of least length.
///
/// # Errors
/// When libtorch finds no singular values.
pub fn nuclear_slope(matrix: &Tensor) -> Result<Tensor, TchError> {
    let (u, s, v) = matrix.f_svd(true, true)?;
    let largest = s.f_max()?;
    let counts = s.f_gt_tensor(&largest.f_mul_scalar(1e-6)?)?.f_to_kind(u.kind())?;
    u.f_mul(&counts)?.f_mm(&v.f_transpose(0, 1)?)
}

impl Parametrisation for Masked {
    fn learn_from(&mut self, tutor: &Network) {
        self.ground.learn_from(tutor);
    }

    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError> {
        let Self { rules, shared, ground, .. } = self;
        let mut shared = shared.borrow_mut();
        ground.install(network, |parameters| {
            let (places, threshold) = chosen(rules, parameters, streams)?;
            let mut bytes = Vec::new();
            let (mut segments, mut packed, mut first) = (Vec::new(), Vec::new(), 0);
            for (index, (own, parameter)) in places.iter().zip(parameters).enumerate() {
                if own.is_empty() {
                    continue;
                }
                bytes.extend((index as u64).to_le_bytes());
                bytes.extend(own.iter().flat_map(|place| place.to_le_bytes()));
                let places = Tensor::f_from_slice(own)?.f_to_device(parameter.tensor.device())?;
                let flat = parameter.tensor.f_contiguous()?.f_flatten(0, -1)?;
                packed.push(flat.f_take(&places)?);
                let length = own.len() as i64;
                segments.push(Segment { index, first, length, places });
                first += length;
            }
            *shared = Shared {
                segments,
                threshold,
                digest: Some(Digest::of(&bytes)),
                ..Shared::default()
            };
            let tensor = Tensor::f_cat(&packed, 0)?.set_requires_grad(true);
            let like = parameters.first().ok_or_else(|| {
                LabError::Method("a mask over a network without parameters".to_owned())
            })?;
            Ok(vec![Parameter { name: "chosen".to_owned(), tensor, ..*like }])
        })
    }

    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError> {
        let shared = self.shared.borrow();
        let mut packed = trained.at(0).shallow_clone();
        let fresh = now.is_some_and(|now| now.step == 0 || shared.again == Some(now.step));
        if self.rules.magnitudes && fresh {
            // Seen is the magnitude, and the gradient is handed on as it is.
            packed = packed.f_add(&packed.f_abs()?.f_sub(&packed)?.f_detach()?)?;
        }
        let mut others = Vec::with_capacity(shared.segments.len());
        for Segment { index, first, length, places } in &shared.segments {
            let base = &self.ground.parameters[*index].tensor;
            let flat = base.f_contiguous()?.f_flatten(0, -1)?;
            let own = flat.f_put(places, &packed.f_narrow(0, *first, *length)?, false)?;
            others.push((*index, channels_last(&own.f_view(base.size().as_slice())?)?));
        }
        Ok(self.ground.seen(trained, others))
    }

    fn amend(
        &mut self,
        trained: &Network,
        gradients: &mut Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        let penalty = self.penalty(&trained.at(0).f_detach()?)?;
        let Some(gradient) = gradients.tensors.first_mut() else { return Ok(()) };
        if let Some((first, slope)) = penalty {
            let _ = gradient.f_narrow(0, first, slope.numel() as i64)?.f_add_(&slope)?;
        }
        if let Some([alive, _]) = &self.shared.borrow().alive {
            let _ = gradient.f_mul_(alive)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let mut facts = self.ground.facts();
        let shared = self.shared.borrow();
        let told = [
            ("mask_digest", shared.digest.map(|digest| Value::from(digest.to_string()))),
            ("mask_threshold", shared.threshold.is_finite().then(|| shared.threshold.into())),
            ("masked_again_at", shared.again.map(Value::from)),
            ("still_masked", shared.left.map(Value::from)),
        ];
        let told = told.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?)));
        facts.extend(told);
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("turns", &mut self.turns)?;
        let Shared { alive, again, left, .. } = &mut *self.shared.borrow_mut();
        state.of("alive", alive)?;
        state.of("again", again)?;
        state.of("left", left)
    }
}

/// Takes the mask anew at its place in the run: of the values in it those go on whose magnitude is still below the
/// threshold, by an update rule that has forgotten all; the others stay, to the bit, where they are.
#[derive(Debug)]
pub struct Again {
    rules: Rules,
    shared: Rc<RefCell<Shared>>,
}

impl Again {
    /// The step behind which the mask is taken anew.
    fn place(&self, total: u64) -> Option<u64> {
        let step = (self.rules.again * total as f64).round() as u64;
        (self.rules.again > 0.0 && (1..total).contains(&step)).then_some(step)
    }
}

impl Constraint for Again {
    fn prepare(&mut self, _: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        Ok(())
    }

    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError> {
        let shared = self.shared.borrow();
        if let (Some([alive, still]), Some(packed)) = (&shared.alive, parameters.first_mut()) {
            let held = packed.tensor.f_where_self(&alive.f_gt(0.5)?, still)?;
            packed.tensor.f_copy_(&held)?;
        }
        Ok(())
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        _: &Gradients,
        optimizer: &mut dyn Optimizer,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        self.hold(parameters)?;
        let Some(packed) = parameters.first() else { return Ok(()) };
        if self.place(now.total_steps) != Some(now.step + 1) {
            return Ok(());
        }
        let mut shared = self.shared.borrow_mut();
        let values = packed.tensor.f_detach_copy()?;
        let small = values.f_abs()?.f_lt(shared.threshold)?.f_to_kind(Kind::Float)?;
        shared.left = Some(crate::sparsity::count(&small)?);
        shared.alive = Some([small, values]);
        shared.again = Some(now.step + 1);
        optimizer.reset()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // Said by the seat that shares it.
        Ok(())
    }
}

/// Sets the chosen values to 0 and takes no step: what they are worth.
#[derive(Debug)]
pub struct Zeroed {
    /// Which values these are.
    pub rules: Rules,
    /// How many were set to 0.
    pub count: usize,
}

impl Constraint for Zeroed {
    fn prepare(
        &mut self,
        network: &mut Network,
        streams: &Streams,
        _: &Batch,
    ) -> Result<(), LabError> {
        let _guard = tch::no_grad_guard();
        let (places, _) = chosen(&self.rules, &network.parameters, streams)?;
        for (own, parameter) in places.iter().zip(&mut network.parameters) {
            if own.is_empty() {
                continue;
            }
            let tensor = &mut parameter.tensor;
            let places = Tensor::f_from_slice(own)?.f_to_device(tensor.device())?;
            let flat = tensor.f_contiguous()?.f_flatten(0, -1)?;
            let zeros = Tensor::f_zeros([own.len() as i64], (tensor.kind(), tensor.device()))?;
            let rest = flat.f_put(&places, &zeros, false)?;
            tensor.f_copy_(&rest.f_view(tensor.size().as_slice())?)?;
            self.count += own.len();
        }
        Ok(())
    }

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
        Facts::from([("set_to_zero".to_owned(), self.count.into())])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
