//! The problem that a recorded run is: its network, the items of a window, a held-out split.

use tch::{Kind, TchError, Tensor};

use super::Problem;
use crate::stacked::{self, Examples};
use lab::LabError;
use lab::models::gpt::Gpt;
use lab::network::{Body, Layer, Network};
use lab::objectives::DefaultLoss;
use lab::seat::{Batch, Parametrisation};
use lab::split::Split;

/// Examples that are evaluated at once.
const ROWS: i64 = 512;

/// Items of a training split under a network's natural loss.
///
/// Where weights are made of parts, as in LoRA, θ is the parts: what is trained.
pub struct TrainedProblem<'a> {
    /// What is trained.
    network: Network,
    /// How the weights that are seen are made of it, where they are.
    made: Option<Box<dyn Parametrisation>>,
    loss: DefaultLoss,
    batches: Vec<Batch>,
    held_out: &'a Split,
}

impl std::fmt::Debug for TrainedProblem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainedProblem")
            .field("items", &self.batches.len())
            .field("made", &self.made.is_some())
            .finish_non_exhaustive()
    }
}

impl<'a> TrainedProblem<'a> {
    /// The problem of `items` (ids of `train` each), on a copy of `network`.
    ///
    /// # Errors
    /// When an id is outside the split, or the network keeps statistics over batches.
    pub fn new(
        network: &Network,
        loss: DefaultLoss,
        train: &Split,
        items: &[Vec<u32>],
        held_out: &'a Split,
    ) -> Result<Self, LabError> {
        if !network.buffers.is_empty() {
            return Err(LabError::Order(
                "the network keeps running statistics (batch normalisation), which follow the \
                 order beside the gradients; estimates do not cover that"
                    .to_owned(),
            ));
        }
        let batches = items.iter().map(|ids| train.batch(ids)).collect::<Result<_, _>>()?;
        Ok(Self { network: network.duplicate(), made: None, loss, batches, held_out })
    }

    /// The same where the weights that are seen are `made` of the network's parameters by a function that is
    /// the same at every step ([`Parametrisation::is_fixed`]).
    #[must_use]
    pub fn seen_through(self, made: Option<Box<dyn Parametrisation>>) -> Self {
        Self { made, ..self }
    }

    /// Whether the weights that are seen are made of the parameters.
    #[must_use]
    pub fn is_parametrised(&self) -> bool {
        self.made.is_some()
    }

    /// All parameters of `network` as a flat vector, shape p.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn flat(network: &Network) -> Result<Tensor, TchError> {
        let tensors = network.parameters.iter().map(|p| p.tensor.detach().f_reshape([-1]));
        Tensor::f_cat(&tensors.collect::<Result<Vec<_>, _>>()?, 0)
    }

    /// Whether copies of the network can be stacked: not where its weights are made of parts, which go one by
    /// one.
    fn stacks(&self) -> bool {
        self.made.is_none() && stacked::fits(&self.network)
    }

    /// Outputs of the network as it is seen, with the values it was last asked at.
    fn forward(&self, inputs: &Tensor, train: bool) -> Result<Tensor, LabError> {
        match &self.made {
            Some(made) => made.seen(&self.network, None)?.forward(inputs, train),
            None => self.network.forward(inputs, train),
        }
    }

    /// What is trained, with the values it was last asked at.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The loss.
    #[must_use]
    pub fn default_loss(&self) -> DefaultLoss {
        self.loss
    }

    /// The examples of an item.
    #[must_use]
    pub fn batch(&self, item: usize) -> &Batch {
        &self.batches[item]
    }

    /// The held-out split.
    #[must_use]
    pub fn split(&self) -> &Split {
        self.held_out
    }

    /// Leaves that hold `at` (p), one per parameter, of its kind.
    fn leaves(&self, at: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let mut offset = 0;
        let leaf = |like: &Tensor| {
            let length = like.numel() as i64;
            let values = at.detach().f_narrow(0, offset, length)?.f_reshape(like.size())?;
            offset += length;
            Ok(values.copy().set_requires_grad(true))
        };
        self.network.parameters.iter().map(|p| &p.tensor).map(leaf).collect()
    }

    /// Puts `at` into the network, for passes that need first derivatives at most.
    fn put(&self, at: &Tensor) -> Result<(), TchError> {
        let mut offset = 0;
        tch::no_grad(|| {
            for parameter in &self.network.parameters {
                let length = parameter.tensor.numel() as i64;
                let values = at.f_narrow(0, offset, length)?;
                let shape = parameter.tensor.size();
                parameter.tensor.shallow_clone().f_copy_(&values.f_reshape(shape)?)?;
                offset += length;
            }
            Ok(())
        })
    }

    /// The loss of rows, as training takes it: the mean over examples or tokens.
    fn mean(&self, outputs: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
        match self.loss {
            DefaultLoss::Tokens => {
                let (flat, labels) = (outputs.f_flatten(0, -2)?, labels.f_reshape([-1])?);
                flat.f_cross_entropy_loss::<Tensor>(
                    &labels,
                    None,
                    tch::Reduction::Mean,
                    lab::objectives::IGNORED,
                    0.0,
                )
            }
            loss => loss.of_outputs(outputs, labels)?.f_mean(None),
        }
    }

    /// Outputs with derivatives of every order, of a network whose parameters are `leaves`.
    fn outputs(&self, leaves: &[Tensor], inputs: &Tensor) -> Result<Tensor, LabError> {
        let mut network = self.network.duplicate();
        for (parameter, leaf) in network.parameters.iter_mut().zip(leaves) {
            parameter.tensor = leaf.shallow_clone();
        }
        if let Some(made) = &self.made {
            network = made.seen(&network, None)?;
        }
        match Gpt::of(&network) {
            Ok(gpt) => {
                let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
                let [weight, bias] = gpt.head();
                let hidden = gpt.smooth(&weights, inputs)?;
                Ok(hidden.f_linear(weights[weight], Some(weights[bias]))?)
            }
            Err(_) => network.forward(inputs, true),
        }
    }

    /// Whether the loss has kinks in its first derivative, at which differences of gradients are no
    /// curvature: a short step along a direction meets none or divides a jump by its length.
    fn has_kinks(&self) -> bool {
        fn any(layers: &[Layer]) -> bool {
            layers.iter().any(|layer| match layer {
                Layer::Relu | Layer::MaxPool | Layer::GlobalMaxPool => true,
                Layer::Residual(inner) | Layer::HalvedResidual { inner, .. } => any(inner),
                _ => false,
            })
        }
        matches!(&self.network.body, Body::Layers(layers) if any(layers))
    }

    /// (HQ)ᵀ, k × p, of a loss of leaves that hold `at` (p), for the columns of `basis` (p × k): exact, by
    /// differentiating its gradient once more for each.
    fn products(
        &self,
        at: &Tensor,
        basis: &Tensor,
        loss: impl FnOnce(&[Tensor]) -> Result<Tensor, LabError>,
    ) -> Result<Tensor, LabError> {
        let leaves = self.leaves(at)?;
        let slope = joined(&Tensor::f_run_backward(&[loss(&leaves)?], &leaves, true, true)?)?;
        let (_, k) = basis.size2()?;
        let mut rows = Vec::new();
        for column in 0..k {
            let along = slope.f_dot(&basis.f_select(1, column)?.detach())?;
            rows.push(joined(&Tensor::f_run_backward(&[along], &leaves, true, false)?)?);
        }
        Ok(Tensor::f_stack(&rows, 0)?)
    }

    /// Of the kind of `at`, where they are real numbers.
    fn inputs(batch: &Batch, at: &Tensor) -> Result<Tensor, TchError> {
        let inputs = &batch.inputs;
        if inputs.is_floating_point() {
            inputs.f_to_kind(at.kind())
        } else {
            Ok(inputs.shallow_clone())
        }
    }

    /// The batches of `items`, one per copy of a stacked network, or one for all where they are the
    /// same; `None` where the network has no stacked form or batches differ in shape.
    fn stacked(&self, items: &[usize]) -> Result<Option<Stack>, TchError> {
        let alike = items.windows(2).all(|pair| pair[0] == pair[1]);
        let chosen = if alike { &items[..items.len().min(1)] } else { items };
        let batches: Vec<_> = chosen.iter().map(|item| &self.batches[*item]).collect();
        let shape = batches.first().map(|batch| batch.inputs.size());
        if !self.stacks() || batches.iter().any(|batch| Some(batch.inputs.size()) != shape) {
            return Ok(None);
        }
        let inputs: Vec<_> = batches.iter().map(|batch| &batch.inputs).collect();
        let labels: Vec<_> = batches.iter().map(|batch| &batch.labels).collect();
        let (inputs, labels) = (Tensor::f_stack(&inputs, 0)?, Tensor::f_stack(&labels, 0)?);
        Ok(Some(Stack { inputs, labels }))
    }

    /// The examples of each row's items as one batch, E × B × …; `None` where the network has no
    /// stacked form or the rows have batches of different shapes.
    fn joined_steps(&self, items: &[&[u32]]) -> Result<Option<Stack>, TchError> {
        if !self.stacks() {
            return Ok(None);
        }
        let join = |row: &&[u32]| -> Result<(Tensor, Tensor), TchError> {
            let batches = || row.iter().map(|item| &self.batches[*item as usize]);
            let inputs: Vec<_> = batches().map(|batch| &batch.inputs).collect();
            let labels: Vec<_> = batches().map(|batch| &batch.labels).collect();
            Ok((Tensor::f_cat(&inputs, 0)?, Tensor::f_cat(&labels, 0)?))
        };
        // A step is the mean over its items; over their examples it is the same mean only where all
        // have as many.
        let sizes = items.iter().flat_map(|row| row.iter());
        let sizes: Vec<i64> =
            sizes.map(|item| self.batches[*item as usize].labels.size()[0]).collect();
        if sizes.windows(2).any(|pair| pair[0] != pair[1]) {
            return Ok(None);
        }
        let rows = items.iter().map(join).collect::<Result<Vec<_>, _>>()?;
        let shape = rows.first().map(|(inputs, _)| inputs.size());
        if rows.iter().any(|(inputs, _)| Some(inputs.size()) != shape) {
            return Ok(None);
        }
        let inputs: Vec<_> = rows.iter().map(|(inputs, _)| inputs).collect();
        let labels: Vec<_> = rows.iter().map(|(_, labels)| labels).collect();
        let (inputs, labels) = (Tensor::f_stack(&inputs, 0)?, Tensor::f_stack(&labels, 0)?);
        Ok(Some(Stack { inputs, labels }))
    }

    /// Every example's loss of `split` at each row of `at` (E × p), `[row][example]`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn each(&self, split: &Split, at: &Tensor) -> Result<Vec<Vec<f64>>, LabError> {
        let rows = at.size().first().copied().unwrap_or(0);
        let of_row = |row: i64| -> Result<Vec<f64>, LabError> {
            self.put(&at.f_get(row)?)?;
            let (mut all, mut start) = (Vec::new(), 0);
            while start < split.len() {
                let length = ROWS.min(split.len() - start);
                let (inputs, labels) = split.rows(start, length)?;
                let outputs = self.forward(&inputs, false)?;
                let losses = self.loss.of_outputs(&outputs, &labels)?.f_reshape([-1])?;
                all.extend(Vec::<f64>::try_from(&losses.f_to_kind(Kind::Double)?)?);
                start += length;
            }
            Ok(all)
        };
        tch::no_grad(|| (0..rows).map(of_row).collect())
    }

    /// The held-out split as one batch that all copies share.
    fn whole(&self) -> Result<Stack, LabError> {
        let (inputs, labels) = self.held_out.rows(0, self.held_out.len())?;
        Ok(Stack { inputs: inputs.f_unsqueeze(0)?, labels: labels.f_unsqueeze(0)? })
    }

    fn losses(&self, split: &Split, at: &Tensor) -> Result<f64, LabError> {
        self.put(at)?;
        let (mut sum, mut count) = (0.0, 0.0);
        let mut start = 0;
        while start < split.len() {
            let length = ROWS.min(split.len() - start);
            let (inputs, labels) = split.rows(start, length)?;
            let outputs = self.forward(&inputs, false)?;
            let losses = self.loss.of_outputs(&outputs, &labels)?;
            sum += losses.f_sum(Kind::Double)?.f_double_value(&[])?;
            #[expect(clippy::cast_precision_loss, reason = "splits are far smaller than 2^52")]
            {
                count += length as f64;
            }
            start += length;
        }
        Ok(sum / f64::max(count, 1.0))
    }
}

/// Batches of a stacked network.
struct Stack {
    inputs: Tensor,
    labels: Tensor,
}

impl Stack {
    fn examples(&self, default_loss: DefaultLoss) -> Examples<'_> {
        Examples { default_loss, inputs: &self.inputs, labels: &self.labels }
    }
}

/// Derivatives, flattened and joined.
fn joined(derivatives: &[Tensor]) -> Result<Tensor, TchError> {
    let flat = derivatives.iter().map(|derivative| derivative.f_reshape([-1]));
    Tensor::f_cat(&flat.collect::<Result<Vec<_>, _>>()?, 0)
}

impl Problem for TrainedProblem<'_> {
    fn items(&self) -> usize {
        self.batches.len()
    }

    fn parameters(&self) -> i64 {
        self.network.parameters.iter().map(|p| p.tensor.numel() as i64).sum()
    }

    fn gradient(&self, item: usize, at: &Tensor) -> Result<Tensor, LabError> {
        let batch = &self.batches[item];
        if at.kind() != Kind::Float {
            let leaves = self.leaves(at)?;
            let outputs = self.outputs(&leaves, &Self::inputs(batch, at)?)?;
            let loss = self.mean(&outputs, &batch.labels)?;
            return Ok(joined(&Tensor::f_run_backward(&[loss], &leaves, false, false)?)?);
        }
        self.put(at)?;
        let loss = self.mean(&self.forward(&batch.inputs, true)?, &batch.labels)?;
        let leaves: Vec<_> = self.network.parameters.iter().map(|p| &p.tensor).collect();
        Ok(joined(&Tensor::f_run_backward(&[&loss], &leaves, false, false)?)?)
    }

    fn gradients(&self, items: &[usize], at: &Tensor) -> Result<Tensor, LabError> {
        if let Some(stacked) = self.stacked(items)?
            && let Some(all) = stacked::gradients(&self.network, at, stacked.examples(self.loss))?
        {
            return Ok(all);
        }
        let rows = (0_i64..).zip(items).map(|(row, item)| self.gradient(*item, &at.f_get(row)?));
        Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>, LabError>>()?, 0)?)
    }

    fn steps(&self, items: &[&[u32]], at: &Tensor) -> Result<Option<Tensor>, LabError> {
        let Some(stack) = self.joined_steps(items)? else { return Ok(None) };
        stacked::gradients(&self.network, at, stack.examples(self.loss))
    }

    fn columns(
        &self,
        item: usize,
        at: &Tensor,
        basis: &Tensor,
    ) -> Result<Option<Tensor>, LabError> {
        if let Some(stacked) = self.stacked(&[item])?
            && let Some(columns) =
                stacked::curvatures(&self.network, stacked.examples(self.loss), at, basis)?
        {
            return Ok(Some(columns.f_tr()?.f_contiguous()?));
        }
        if !self.has_kinks() {
            return Ok(None);
        }
        let batch = &self.batches[item];
        let products = self.products(at, basis, |leaves| {
            let outputs = self.outputs(leaves, &Self::inputs(batch, at)?)?;
            Ok(self.mean(&outputs, &batch.labels)?)
        });
        Ok(Some(products?))
    }

    fn curvature(&self, item: usize, at: &Tensor, along: &Tensor) -> Result<Tensor, LabError> {
        let batch = &self.batches[item];
        let leaves = self.leaves(at)?;
        let outputs = self.outputs(&leaves, &Self::inputs(batch, at)?)?;
        let loss = self.mean(&outputs, &batch.labels)?;
        let slope = joined(&Tensor::f_run_backward(&[loss], &leaves, true, true)?)?;
        let slope = slope.f_dot(&along.detach())?;
        Ok(joined(&Tensor::f_run_backward(&[slope], &leaves, false, false)?)?)
    }

    fn third(&self, item: usize, at: &Tensor, along: &Tensor) -> Result<Tensor, LabError> {
        let batch = &self.batches[item];
        let (leaves, along) = (self.leaves(at)?, along.detach());
        let outputs = self.outputs(&leaves, &Self::inputs(batch, at)?)?;
        let loss = self.mean(&outputs, &batch.labels)?;
        let first = joined(&Tensor::f_run_backward(&[loss], &leaves, true, true)?)?;
        let second = Tensor::f_run_backward(&[first.f_dot(&along)?], &leaves, true, true)?;
        let second = joined(&second)?.f_dot(&along)?;
        Ok(joined(&Tensor::f_run_backward(&[second], &leaves, false, false)?)?)
    }

    fn held_out(&self, at: &Tensor) -> Result<Vec<f64>, LabError> {
        let whole = self.whole()?;
        if self.stacks()
            && let Some(losses) = stacked::held_out(&self.network, at, whole.examples(self.loss))?
        {
            return Ok(losses);
        }
        let rows = at.size().first().copied().unwrap_or(0);
        tch::no_grad(|| (0..rows).map(|row| self.losses(self.held_out, &at.f_get(row)?)).collect())
    }

    fn held_out_gradient(&self, at: &Tensor) -> Result<Tensor, LabError> {
        self.put(at)?;
        let (inputs, labels) = self.held_out.rows(0, self.held_out.len())?;
        let outputs = self.forward(&inputs, false)?;
        let loss = self.loss.of_outputs(&outputs, &labels)?.f_mean(None)?;
        let leaves: Vec<_> = self.network.parameters.iter().map(|p| &p.tensor).collect();
        Ok(joined(&Tensor::f_run_backward(&[&loss], &leaves, false, false)?)?)
    }

    fn held_out_gradients(&self, at: &Tensor) -> Result<Tensor, LabError> {
        if self.stacks()
            && let Some(all) =
                stacked::gradients(&self.network, at, self.whole()?.examples(self.loss))?
        {
            return Ok(all);
        }
        let rows = at.size().first().copied().unwrap_or(0);
        let rows = (0..rows).map(|row| self.held_out_gradient(&at.f_get(row)?));
        Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>, LabError>>()?, 0)?)
    }

    fn held_out_columns(&self, at: &Tensor, basis: &Tensor) -> Result<Option<Tensor>, LabError> {
        if self.stacks() {
            let whole = self.whole()?;
            let examples = whole.examples(self.loss);
            if let Some(columns) = stacked::curvatures(&self.network, examples, at, basis)? {
                return Ok(Some(columns.f_tr()?.f_contiguous()?));
            }
        }
        if !self.has_kinks() {
            return Ok(None);
        }
        let length = self.held_out.len();
        let mut sum: Option<Tensor> = None;
        for start in (0..length).step_by(ROWS as usize) {
            let rows = ROWS.min(length - start);
            let part = self.products(at, basis, |leaves| {
                let (inputs, labels) = self.held_out.rows(start, rows)?;
                let outputs = self.outputs(leaves, &inputs)?;
                #[expect(clippy::cast_precision_loss, reason = "splits are far smaller than 2^52")]
                let share = 1.0 / length as f64;
                let losses = self.loss.of_outputs(&outputs, &labels)?;
                Ok(losses.f_sum(losses.kind())?.f_mul_scalar(share)?)
            })?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&part)?,
                None => part,
            });
        }
        Ok(sum)
    }

    fn own(&self, item: usize, at: &Tensor) -> Result<Vec<f64>, LabError> {
        if let Some(stacked) = self.stacked(&[item])?
            && let Some(all) = stacked::losses(&self.network, at, stacked.examples(self.loss))?
        {
            return Ok(Vec::try_from(&all.f_to_kind(Kind::Double)?)?);
        }
        let batch = &self.batches[item];
        let rows = at.size().first().copied().unwrap_or(0);
        tch::no_grad(|| {
            (0..rows)
                .map(|row| {
                    self.put(&at.f_get(row)?)?;
                    let outputs = self.forward(&batch.inputs, false)?;
                    let mean = self.mean(&outputs, &batch.labels)?;
                    Ok(mean.f_to_kind(Kind::Double)?.f_double_value(&[])?)
                })
                .collect()
        })
    }
}
