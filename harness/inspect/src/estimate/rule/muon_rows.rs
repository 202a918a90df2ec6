//! Muon over many runs at once: Newton–Schulz of M matrices is a few batched products.
//!
//! Muon does not treat every value alike, so that its rows are cut into the weights that it moves, as
//! matrices, and all other values, which its auxiliary AdamW moves as one parameter.

use tch::{Kind, TchError, Tensor};

use super::Inspectable;
use lab::LabError;
use lab::network::Parameter;
use lab::optim::adamw::Adamw;
use lab::optim::muon::{COEFFICIENTS, Muon};
use lab::seat::{Gradients, Optimizer, StepInfo};
use lab::state::State;

/// A weight that Muon moves: where it lies in a row, and its momentum in every run.
struct Matrix {
    offset: i64,
    /// Sides as Muon sees it, out × rest.
    sides: [i64; 2],
    /// M × out × rest.
    momentum: Tensor,
}

/// Muon for one parameter of shape M × p, whose rows are M copies of all parameters.
pub(super) struct MuonRows {
    lr: f64,
    beta: f64,
    nesterov: bool,
    ns_steps: u32,
    weight_decay: f64,
    matrices: Vec<Matrix>,
    /// Where the other values lie in a row, and their number.
    others: Vec<[i64; 2]>,
    /// For the others as one parameter, M × q; `None` where Muon moves all.
    auxiliary: Option<Adamw>,
}

impl MuonRows {
    /// `rule` in its present state for `rows` runs; `None` where it has moved some parameters less often than
    /// others, or a parameter is moved by neither rule.
    pub(super) fn of(rule: &Muon, rows: i64) -> Option<Self> {
        let settings = rule.settings();
        let (mut matrices, mut others, mut moments) = (Vec::new(), Vec::new(), Vec::new());
        let mut offset = 0;
        for (momentum, auxiliary) in rule.momenta().iter().zip(rule.auxiliary().moments()) {
            let length = match (momentum, auxiliary) {
                (Some(momentum), None) => {
                    let length = momentum.numel() as i64;
                    let out = momentum.size().first().copied().filter(|out| *out > 0)?;
                    let sides = [out, length / out];
                    let momentum = tch::no_grad(|| {
                        momentum.detach().reshape(sides).unsqueeze(0).repeat([rows, 1, 1])
                    });
                    matrices.push(Matrix { offset, sides, momentum });
                    length
                }
                (None, Some(pair)) => {
                    let length = pair[0].numel() as i64;
                    others.push([offset, length]);
                    moments.push(pair);
                    length
                }
                _ => return None,
            };
            offset += length;
        }
        let auxiliary = if moments.is_empty() {
            None
        } else {
            let steps = rule.auxiliary().steps();
            let first = steps.f_get(0).ok()?;
            if steps.ne_tensor(&first).any().int64_value(&[]) != 0 {
                return None;
            }
            let all = |which: usize| super::repeated(moments.iter().map(|pair| &pair[which]), rows);
            let settings = rule.auxiliary().settings().clone();
            let steps = first.reshape([1]).copy();
            Some(Adamw::of(settings, vec![Some([all(0), all(1)])], steps).ok()?)
        };
        Some(Self {
            lr: settings.lr,
            beta: settings.momentum,
            nesterov: settings.nesterov,
            ns_steps: settings.ns_steps,
            weight_decay: settings.weight_decay,
            matrices,
            others,
            auxiliary,
        })
    }

    /// The other values of every row, M × q.
    fn gathered(&self, rows: &Tensor) -> Result<Tensor, TchError> {
        let parts = self.others.iter().map(|[offset, length]| rows.f_narrow(1, *offset, *length));
        Tensor::f_cat(&parts.collect::<Result<Vec<_>, _>>()?, 1)
    }
}

impl Optimizer for MuonRows {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let ([parameter], [gradient]) = (parameters, gradients.tensors.as_slice()) else {
            return Err(LabError::Order("rows of runs are one parameter".to_owned()));
        };
        let (theta, lr) = (&parameter.tensor, self.lr * now.lr_factor);
        for Matrix { offset, sides: [out, rest], momentum } in &mut self.matrices {
            let size = [-1, *out, *rest];
            let part = |rows: &Tensor| rows.f_narrow(1, *offset, *out * *rest);
            let gradient = part(gradient)?.f_reshape(size)?;
            let _ = momentum.f_lerp_(&gradient, 1.0 - self.beta)?;
            let towards = if self.nesterov {
                gradient.f_lerp(momentum, self.beta)?
            } else {
                momentum.shallow_clone()
            };
            #[expect(clippy::cast_precision_loss, reason = "matrix sides are far below 2^52")]
            let scale = (*out as f64 / *rest as f64).max(1.0).sqrt();
            let direction = orthogonalised(&towards, self.ns_steps)?;
            let step = direction.f_reshape([-1, *out * *rest])?.f_mul_scalar(lr * scale)?;
            let mut weight = part(theta)?;
            if self.weight_decay != 0.0 {
                let _ = weight.f_mul_scalar_(1.0 - lr * self.weight_decay)?;
            }
            let _ = weight.f_sub_(&step)?;
        }
        let others = match &self.auxiliary {
            Some(_) => [self.gathered(theta)?, self.gathered(gradient)?],
            None => return Ok(()),
        };
        let [tensor, gradient] = others;
        let gathered = [Parameter { name: parameter.name.clone(), tensor, ..*parameter }];
        if let Some(rule) = &mut self.auxiliary {
            let gradients = Gradients { active: vec![0], tensors: vec![gradient] };
            rule.update(&gathered, &gradients, now)?;
        }
        let mut from = 0;
        for [offset, length] in &self.others {
            let moved = gathered[0].tensor.f_narrow(1, from, *length)?;
            theta.f_narrow(1, *offset, *length)?.f_copy_(&moved)?;
            from += length;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), LabError> {
        for matrix in &mut self.matrices {
            let _ = matrix.momentum.f_zero_()?;
        }
        self.auxiliary.as_mut().map_or(Ok(()), Optimizer::reset)
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        for matrix in &mut self.matrices {
            state.of("momentum", &mut matrix.momentum)?;
        }
        self.auxiliary.as_mut().map_or(Ok(()), |rule| Optimizer::state(rule, state))
    }
}

/// Momenta, then the state of the auxiliary rule.
impl Inspectable for MuonRows {
    fn state(&self) -> Vec<Tensor> {
        let momenta = self.matrices.iter().map(|matrix| matrix.momentum.copy());
        momenta.chain(self.auxiliary.iter().flat_map(Inspectable::state)).collect()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError> {
        let momenta = self.matrices.iter().map(|matrix| &matrix.momentum);
        super::put_back(momenta.chain(self.auxiliary.iter().flat_map(super::tensors)), state)
    }
}

/// As [`lab::optim::muon::orthogonalise`] of every matrix of a batch (M × a × b), in the kind that they
/// have: the same polynomial, with its sums inside the batched products.
fn orthogonalised(matrices: &Tensor, steps: u32) -> Result<Tensor, TchError> {
    let [a, b, c] = COEFFICIENTS;
    let (_, rows, columns) = matrices.size3()?;
    let norms =
        matrices.f_square()?.f_sum_dim_intlist([1_i64, 2].as_slice(), true, None::<Kind>)?;
    let scaled = matrices.f_div(&norms.f_sqrt()?.f_add_scalar(1e-7)?)?;
    let tall = rows > columns;
    let mut x = if tall { scaled.f_transpose(1, 2)?.f_contiguous()? } else { scaled };
    for _ in 0..steps {
        let gram = x.f_bmm(&x.f_transpose(1, 2)?)?;
        let polynomial = added(&gram, b, &gram, &gram, c)?;
        x = added(&x, a, &polynomial, &x, 1.0)?;
    }
    if tall { x.f_transpose(1, 2) } else { Ok(x) }
}

/// share·to + factor·(left × right), batched.
fn added(
    to: &Tensor,
    share: f64,
    left: &Tensor,
    right: &Tensor,
    factor: f64,
) -> Result<Tensor, TchError> {
    to.f_baddbmm(left, right, share, factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp::mlp;
    use lab::network::Network;
    use lab::optim::muon::{MovedBy, MuonSettings, orthogonalise};
    use lab::trial::{self, step_info};
    use tch::Device;

    /// Fixed numbers that look random.
    fn noise(size: &[i64], seed: f64) -> Tensor {
        let places = Tensor::arange(size.iter().product::<i64>(), (Kind::Float, Device::Cpu));
        (((places + seed) * 12.9898).sin() * 43.758).sin().view(size)
    }

    #[test]
    fn every_matrix_of_a_batch_is_orthogonalised_as_alone() {
        for sides in [[5, 9], [9, 5], [1, 7]] {
            let batch = noise(&[3, sides[0], sides[1]], 4.0);
            let all = orthogonalised(&batch, 5).unwrap();
            for row in 0..3 {
                let alone = orthogonalise(&batch.get(row), 5).unwrap();
                let far = (all.get(row) - &alone).abs().max().double_value(&[]);
                assert!(far < 2e-6 && alone.norm().double_value(&[]) > 0.5, "{sides:?} {far:e}");
            }
        }
    }

    fn step(rule: &mut dyn Optimizer, parameters: &[Parameter], seed: f64) {
        let active: Vec<usize> = (0..parameters.len()).collect();
        let mut at = 0;
        let flat = noise(&[30], seed);
        let tensors = parameters.iter().map(|p| {
            let length = p.tensor.numel() as i64;
            at += length;
            let places = Tensor::arange_start(at - length, at, (Kind::Int64, Device::Cpu));
            flat.take(&(places.remainder(30))).view(p.tensor.size().as_slice())
        });
        let gradients = Gradients { active, tensors: tensors.collect() };
        tch::no_grad(|| rule.update(parameters, &gradients, &step_info(0, 9))).unwrap();
    }

    fn flat(network: &Network) -> Tensor {
        crate::stacked::flat(network).unwrap()
    }

    #[test]
    fn a_row_goes_on_as_the_rule_does_from_its_state() {
        for (head, nesterov, weight_decay) in
            [(MovedBy::Adamw, true, 0.0), (MovedBy::Muon, false, 0.1)]
        {
            let settings = MuonSettings { head, nesterov, weight_decay, ..MuonSettings::default() };
            let network = mlp(&[4, 6, 5, 3], &trial::streams(), Device::Cpu).unwrap();
            let mut rule = Muon::new(settings, &network).unwrap();
            step(&mut rule, &network.parameters, 1.0);
            let mut rows = MuonRows::of(&rule, 2).unwrap();
            let theta = flat(&network).unsqueeze(0).repeat([2, 1]);
            let one = Parameter {
                name: "rows".to_owned(),
                layer: 0,
                role: lab::network::Role::Weight,
                tensor: theta,
            };
            for seed in [2.0, 3.0] {
                let before = flat(&network);
                step(&mut rule, &network.parameters, seed);
                let single = noise(&[30], seed);
                let p = one.tensor.size()[1];
                let places = Tensor::arange(p, (Kind::Int64, Device::Cpu)).remainder(30);
                let gradient = single.take(&places).unsqueeze(0).repeat([2, 1]);
                let gradients = Gradients { active: vec![0], tensors: vec![gradient] };
                let all = std::slice::from_ref(&one);
                tch::no_grad(|| rows.update(all, &gradients, &step_info(0, 9))).unwrap();
                assert!((flat(&network) - before).abs().max().double_value(&[]) > 1e-4);
            }
            for row in 0..2 {
                let far = (one.tensor.get(row) - flat(&network)).abs().max().double_value(&[]);
                assert!(far < 1e-6, "{far:e}");
            }
        }
    }
}
