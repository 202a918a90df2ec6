//! A discriminator of what a student makes, which learns beside it: the logistic loss that does not saturate, and a penalty
//! on how much its word changes where real examples are stirred a little (Lin et al., arXiv:2501.08316).

use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, Kind, Tensor};

use crate::LabError;
use crate::diffusion::{generation, noise_like};
use crate::models::mlp::mlp;
use crate::network::Network;
use crate::optim::adamw::{Adamw, AdamwSettings};
use crate::seat::{Gradients, Optimizer as _, StepInfo, TaskInfo};
use crate::state::State;

/// Hidden units of each of two layers.
const WIDTH: usize = 64;

settings! {
    /// Whether there is one, and how it learns.
    pub struct AdversarySettings {
        /// Factor on what the student loses by a discriminator in the last stage; 0 for none.
        adversary: f64 = 0.0, range Range::of(0.0..), from "assumed";
        /// Learning rate of the discriminator.
        adversary_lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        /// Factor on its penalty.
        penalty: f64 = 1.0, range Range::of(0.0..), from "assumed; arXiv:2501.08316: 100";
        /// Deviation of what examples are stirred by in the penalty.
        stir: f64 = 0.1, range Range::above(0.0), from "arXiv:2501.08316, of video";
    }
}

/// A perceptron that tells real examples from others.
#[derive(Debug)]
pub struct Adversary {
    settings: AdversarySettings,
    network: Network,
    rule: Adamw,
    random: Pcg64,
}

impl Adversary {
    /// For examples of so many coordinates; its weights and what it stirs by come from streams of its own.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(
        settings: AdversarySettings,
        coordinates: usize,
        streams: &Streams,
        device: Device,
    ) -> Result<Self, LabError> {
        let mut random = streams.generator("adversary");
        let seed: Vec<u8> = (0..4)
            .flat_map(|_| ledger::order::bounded(&mut random, u64::MAX).to_le_bytes())
            .collect();
        let own = Streams::new(ledger::digest::Digest::of(&seed).0);
        let network = mlp(&[coordinates, WIDTH, WIDTH, 1], &own, device)?;
        let lr = settings.adversary_lr;
        let adamw = AdamwSettings { lr, weight_decay: 0.0, ..AdamwSettings::default() };
        let rule = Adamw::new(adamw, &network, |_, _| true)?;
        Ok(Self { settings, network, rule, random })
    }

    /// One, where it counts for something.
    ///
    /// # Errors
    /// When there is nothing to generate, or libtorch cannot allocate.
    pub fn wanted(
        settings: &AdversarySettings,
        task: &TaskInfo<'_>,
    ) -> Result<Option<Self>, LabError> {
        if settings.adversary == 0.0 {
            return Ok(None);
        }
        let coordinates = generation(task)?.shape.iter().product::<i64>();
        let coordinates = usize::try_from(coordinates).unwrap_or(0);
        Self::new(settings.clone(), coordinates, task.streams, task.device()).map(Some)
    }

    /// Its word on each row: above 0 for real.
    fn says(&self, rows: &Tensor) -> Result<Tensor, LabError> {
        Ok(self.network.forward(&rows.f_contiguous()?, true)?.f_view([-1])?)
    }

    /// What the student loses by each row, shape B: ln(1 + e^{−D}), times its factor.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn losses(&self, made: &Tensor) -> Result<Tensor, LabError> {
        Ok(self.says(made)?.f_neg()?.f_softplus()?.f_mul_scalar(self.settings.adversary)?)
    }

    /// One update on ln(1 + e^{−D(real)}) + ln(1 + e^{D(made)}) + λ(D(real) − D(real + stir·z))².
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn learn(&mut self, real: &Tensor, made: &Tensor, now: &StepInfo) -> Result<(), LabError> {
        let AdversarySettings { penalty, stir, .. } = self.settings;
        let stirred = real.f_add(&noise_like(real, &mut self.random)?.f_mul_scalar(stir)?)?;
        let on_real = self.says(real)?;
        let change = on_real.f_sub(&self.says(&stirred)?)?.f_square()?.f_mul_scalar(penalty)?;
        let apart = on_real.f_neg()?.f_softplus()?.f_add(&change)?;
        let loss =
            apart.f_add(&self.says(&made.f_detach()?)?.f_softplus()?)?.f_mean(Kind::Float)?;
        let parameters = &self.network.parameters;
        let leaves: Vec<_> = parameters.iter().map(|p| &p.tensor).collect();
        let tensors = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
        let gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
        let now = StepInfo { lr_factor: 1.0, ..*now };
        tch::no_grad(|| self.rule.update(&self.network.parameters, &gradients, &now))
    }

    /// Its weights, the state of its rule, and where it draws.
    ///
    /// # Errors
    /// When what is read is another one's, or libtorch refuses an operation.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.weights("adversary", &self.network)?;
        self.rule.state(state)?;
        state.of("adversary noise", &mut self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial::{self, step_info};

    fn adversary(penalty: f64) -> Adversary {
        let settings = AdversarySettings { adversary: 1.0, adversary_lr: 3e-3, penalty, stir: 0.1 };
        Adversary::new(settings, 2, &trial::streams(), Device::Cpu).unwrap()
    }

    fn normal(name: &str) -> Tensor {
        let like = Tensor::zeros([256, 2], (Kind::Float, Device::Cpu));
        noise_like(&like, &mut trial::streams().generator(name)).unwrap()
    }

    fn mean(tensor: &Tensor) -> f64 {
        tensor.mean(Kind::Double).double_value(&[])
    }

    #[test]
    fn it_learns_to_tell_what_is_apart_and_the_student_loses_more_by_what_it_sees_through() {
        let mut adversary = adversary(0.0);
        let (real, made) = (normal("real") * 0.1 + 1.0, normal("made") * 0.1 - 1.0);
        let before = mean(&adversary.losses(&made).unwrap());
        for step in 0..60 {
            adversary.learn(&real, &made, &step_info(step, 60)).unwrap();
        }
        assert!(mean(&adversary.losses(&made).unwrap()) > before + 1.0);
        assert!(mean(&adversary.losses(&real).unwrap()) < 0.3);
    }

    #[test]
    fn a_penalty_keeps_its_word_from_changing_and_only_it_moves() {
        let (real, made) = (normal("real"), normal("made").set_requires_grad(true));
        let change = |penalty: f64| {
            let mut adversary = adversary(penalty);
            for step in 0..60 {
                adversary.learn(&real, &made, &step_info(step, 60)).unwrap();
            }
            let apart = adversary.says(&real).unwrap() - adversary.says(&(&real + 0.1)).unwrap();
            mean(&apart.square())
        };
        assert!(change(100.0) < 0.2 * change(0.0));
        assert!(!made.grad().defined());
    }

    #[test]
    fn the_students_loss_is_the_logistic_one_of_what_is_said() {
        let adversary = adversary(0.0);
        let rows = normal("rows").narrow(0, 0, 5);
        let said = values(&adversary.says(&rows).unwrap()).unwrap();
        for (said, loss) in said.into_iter().zip(values(&adversary.losses(&rows).unwrap()).unwrap())
        {
            assert!((f64::from(loss) - (-f64::from(said)).exp().ln_1p()).abs() < 1e-6);
        }
    }
}
