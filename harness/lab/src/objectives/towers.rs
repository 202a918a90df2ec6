//! Images and captions that learn to agree, by a sigmoid for every pair of a batch (Zhai et al., arXiv:2303.15343), and
//! beside it the features of a frozen teacher.

use tch::{Kind, Tensor};

use crate::LabError;
use crate::models::vit::{Vit, unit};
use crate::native;
use crate::network::{Body, Network};
use crate::seat::{Batch, Costs, Objective, StepInfo, View};
use crate::side_info::Captions;
use crate::state::State;
use ledger::streams::Streams;

/// Images resized to one size and their classes, as a teacher takes them.
#[derive(Debug, Clone, Copy)]
pub struct AsClasses {
    /// What labels are.
    pub captions: Captions,
    /// Height and width.
    pub to: i64,
}

impl View for AsClasses {
    fn render(&mut self, batch: &mut Batch, _: &StepInfo, _: &Streams) -> Result<(), LabError> {
        batch.inputs = native::resized(&batch.inputs, self.to)?.f_unsqueeze(1)?;
        let words = i64::from(self.captions.paraphrases);
        batch.labels = batch.labels.f_div_scalar_mode(words, "floor")?;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// The loss of two towers.
#[derive(Debug)]
pub struct Towers {
    /// Height and width of a patch: what tokens are counted by.
    patch: i64,
    /// Weight of the teacher.
    distil: f64,
    /// Height and width of the images that the teacher takes.
    to: i64,
    teacher: Option<Network>,
    /// What the teacher says of the step's images, each at length 1.
    features: Option<Tensor>,
    /// Tokens read so far.
    tokens: u64,
}

impl Towers {
    /// With this weight on 1 − cos to the last activations of a teacher, who takes images of `to` × `to`.
    #[must_use]
    pub fn new(captions: Captions, distil: f64, to: i64) -> Self {
        let patch = i64::from(captions.patch);
        Self { patch, distil, to, teacher: None, features: None, tokens: 0 }
    }
}

impl Objective for Towers {
    fn learn_from(&mut self, tutor: Network) {
        self.teacher = Some(tutor);
    }

    fn before_step(&mut self, _: &Network, batch: &Batch, _: &StepInfo) -> Result<(), LabError> {
        let tokens = |size: [i64; 2]| {
            size.map(|pixels| (pixels / self.patch) as u64).iter().product::<u64>()
        };
        self.tokens += native::sizes(&batch.inputs)?.into_iter().map(tokens).sum::<u64>();
        if let Some(teacher) = &self.teacher
            && let Body::Layers(layers) = &teacher.body
        {
            let images = native::resized(&batch.inputs, self.to)?.f_unsqueeze(1)?;
            // All but the head.
            let features = teacher.run(&layers[..layers.len() - 1], &images, false)?;
            self.features = Some(unit(&features)?);
        }
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let vit = Vit::of(network)?;
        let images = vit.images(network, &batch.inputs)?;
        let with_all = vit.similarities(network, &images)?;
        let pairs = sigmoid_losses(&with_all.f_index_select(1, &batch.labels)?)?;
        let Some(features) = &self.features else { return Ok(pairs) };
        let cosines = unit(&vit.features(network, &images)?)?.f_mul(features)?;
        let cosines = cosines.f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?;
        let apart = cosines.f_neg()?.f_add_scalar(1.0)?;
        Ok(pairs.f_add(&apart.f_mul_scalar(self.distil)?)?)
    }

    fn costs(&self) -> Costs {
        Costs::from([("tokens", self.tokens)])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("tokens", &mut self.tokens)
    }
}

/// Σ_j −log σ(y_ij·s_ij) of every image i, from its scaled similarities s with the captions of all; y is 1 for its own
/// and −1 for every other.
///
/// # Errors
/// When these are not as many captions as images.
pub fn sigmoid_losses(similarities: &Tensor) -> Result<Tensor, LabError> {
    let (images, _) = similarities.size2()?;
    let own = Tensor::f_eye(images, (Kind::Float, similarities.device()))?;
    let signs = own.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
    let losses = similarities.f_mul(&signs)?.f_log_sigmoid()?.f_neg()?;
    Ok(losses.f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cnn::{Shape, cnn};
    use crate::models::vit::vit;
    use crate::trial::{self, VIT, step_info};
    use tch::Device;

    const CAPTIONS: Captions = Captions { classes: 4, paraphrases: 2, patch: 4 };

    /// The mean loss of a batch whose cosines are these, at the scale and bias of the start.
    fn loss(cosines: &Tensor) -> f64 {
        sigmoid_losses(&(cosines * 10.0 - 10.0)).unwrap().mean(Kind::Double).double_value(&[])
    }

    fn eye(n: i64) -> Tensor {
        Tensor::eye(n, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn the_loss_starts_where_the_card_says() {
        for (batch, expected) in [(16, 10.00073), (256, 10.01162)] {
            let found = loss(&(eye(batch) * 0.0));
            assert!((found - expected).abs() < 5e-6, "{batch}: {found}");
        }
        let perfect = loss(&eye(16));
        assert!((perfect - 0.69383).abs() < 5e-6, "{perfect}");
    }

    #[test]
    fn an_item_that_comes_twice_raises_the_loss() {
        // Its copy is as near to its caption as it is itself, and counts as another's.
        let twice = |cosines: &Tensor, n: i64| {
            let index: Vec<i64> = (0..n).chain([0]).collect();
            let index = Tensor::from_slice(&index);
            cosines.index_select(0, &index).index_select(1, &index)
        };
        for n in [4, 16] {
            let (perfect, start) = (eye(n), eye(n) * 0.0);
            // The copy's pairs cost log 2 each way where they are perfect.
            let gap = loss(&twice(&perfect, n)) - loss(&perfect);
            let expected = 2.0 / (n + 1) as f64 * 2_f64.ln();
            assert!((gap - expected).abs() < 1e-3, "{n}: {gap}");
            assert!(loss(&twice(&start, n)) > loss(&start));
        }
    }

    fn batch() -> Batch {
        let inputs = native::sample(&[[12, 12], [16, 24], [20, 20]], 24).unwrap();
        let labels = Tensor::from_slice(&[0_i64, 5, 2]);
        Batch { ids: vec![0, 1, 2], sample_ids: labels.copy(), inputs, labels }
    }

    #[test]
    fn tokens_are_counted_and_every_image_is_held_against_the_captions_of_the_batch() {
        let network = vit(VIT, &trial::streams(), Device::Cpu).unwrap();
        let mut towers = Towers::new(CAPTIONS, 1.0, 8);
        let now = step_info(0, 1);
        towers.before_step(&network, &batch(), &now).unwrap();
        assert_eq!(towers.costs()["tokens"], 9 + 24 + 25);
        let losses = towers.losses(&network, &batch(), &now).unwrap();
        let all = network.forward(&batch().inputs, true).unwrap();
        let at = |image: i64, caption: i64| all.double_value(&[image, caption]);
        let softplus = |x: f64| x.exp().ln_1p();
        let expected = softplus(-at(1, 5)) + softplus(at(1, 0)) + softplus(at(1, 2));
        assert!((losses.double_value(&[1]) - expected).abs() < 1e-4);
    }

    #[test]
    fn a_teacher_adds_its_distance_and_its_weight_scales_it() {
        let network = vit(VIT, &trial::streams(), Device::Cpu).unwrap();
        let teacher = || {
            let shape = Shape { channels: 1, side: 8, widths: [2; 3], classes: 4, norm: true };
            cnn(shape, &trial::streams(), Device::Cpu).unwrap()
        };
        let losses = |distil: f64, taught: bool| {
            let mut towers = Towers::new(CAPTIONS, distil, 8);
            if taught {
                towers.learn_from(teacher());
            }
            tch::no_grad(|| towers.before_step(&network, &batch(), &step_info(0, 1))).unwrap();
            towers.losses(&network, &batch(), &step_info(0, 1)).unwrap()
        };
        let [none, one, two] = [(1.0, false), (1.0, true), (2.0, true)].map(|(d, t)| losses(d, t));
        let apart: Tensor = &one - &none;
        assert!(apart.min().double_value(&[]) > 0.0 && apart.max().double_value(&[]) < 2.0);
        assert!((two - &none - apart * 2.0).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_teacher_sees_images_of_one_size_and_their_classes() {
        let mut batch = batch();
        AsClasses { captions: CAPTIONS, to: 8 }
            .render(&mut batch, &step_info(0, 1), &trial::streams())
            .unwrap();
        assert_eq!(batch.inputs.size(), [3, 1, 8, 8]);
        assert!(batch.labels.equal(&Tensor::from_slice(&[0_i64, 2, 1])));
    }
}
