//! Update rules that more than one method builds on.

pub mod adam;
pub mod adamw;
pub mod base;
pub mod lm;
pub mod muon;
pub mod radam;
pub mod sgd;

use tch::{TchError, Tensor};

/// M × p: every row all of `tensors`, flattened in their order.
fn repeated<'a>(tensors: impl Iterator<Item = &'a Tensor>, rows: i64) -> Tensor {
    let flat: Vec<_> = tensors.map(|tensor| tensor.detach().reshape([-1])).collect();
    tch::no_grad(|| Tensor::cat(&flat, 0).unsqueeze(0).repeat([rows, 1]))
}

/// Copies saved values into the tensors they were taken from.
fn put_back<'a>(
    tensors: impl Iterator<Item = &'a mut Tensor>,
    saved: &[Tensor],
) -> Result<(), TchError> {
    let tensors: Vec<_> = tensors.collect();
    if tensors.len() != saved.len() {
        let (wanted, found) = (tensors.len(), saved.len());
        return Err(TchError::Shape(format!("state of {found} tensors in place of {wanted}")));
    }
    tch::no_grad(|| {
        tensors.into_iter().zip(saved).try_for_each(|(tensor, saved)| tensor.f_copy_(saved))
    })
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::adamw::{Adamw, AdamwSettings};
    use super::lm::LmSettings;
    use super::muon::{Muon, MuonSettings};
    use super::sgd::{Sgd, SgdSettings};
    use crate::models::mlp::mlp;
    use crate::network::Network;
    use crate::seat::{Gradients, Optimizer};
    use crate::trial::{self, moment};

    fn network() -> Network {
        mlp(&[4, 5, 3], &trial::streams(), Device::Cpu).unwrap()
    }

    fn update(rule: &mut dyn Optimizer, network: &Network, size: f64) {
        let active: Vec<usize> = (0..network.parameters.len()).collect();
        let tensors = network.parameters.iter().map(|p| p.tensor.full_like(size).detach());
        let gradients = Gradients { active, tensors: tensors.collect() };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &moment(0, 9))).unwrap();
    }

    #[test]
    fn a_rule_goes_on_from_its_state_bit_for_bit() {
        type Make = fn(&Network) -> Box<dyn Optimizer>;
        let makers: [Make; 4] = [
            |network| Box::new(Muon::new(MuonSettings::default(), network).unwrap()),
            |network| Box::new(LmSettings::default().optimizer(network).unwrap()),
            |network| {
                let settings = AdamwSettings {
                    lr: 0.1,
                    beta1: 0.9,
                    beta2: 0.99,
                    eps: 1e-8,
                    weight_decay: 0.1,
                };
                Box::new(Adamw::new(settings, network, |_, _| true).unwrap())
            },
            |network| {
                let settings =
                    SgdSettings { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.1 };
                Box::new(Sgd::new(settings, network))
            },
        ];
        for make in makers {
            let whole = network();
            let mut rule = make(&whole);
            update(rule.as_mut(), &whole, 0.5);
            update(rule.as_mut(), &whole, -2.0);
            let (weights, state) = (whole.snapshot(), rule.state().unwrap());
            update(rule.as_mut(), &whole, 1.0);

            let mut resumed = network();
            let mut other = make(&resumed);
            resumed.restore(&weights).unwrap();
            other.restore(&state).unwrap();
            update(other.as_mut(), &resumed, 1.0);
            assert_eq!(resumed.digest().unwrap(), whole.digest().unwrap());

            // Without it the next step is another one.
            let mut forgetful = network();
            let mut fresh = make(&forgetful);
            forgetful.restore(&weights).unwrap();
            update(fresh.as_mut(), &forgetful, 1.0);
            assert_ne!(forgetful.digest().unwrap(), whole.digest().unwrap());
            assert!(fresh.restore(&state[1..]).is_err());
        }
    }
}
