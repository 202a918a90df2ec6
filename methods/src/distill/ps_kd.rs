//! # PS-KD: self-distillation with progressive refinement of targets
//!
//! ## Mechanism
//! In epoch `t = 1..T` example `i` is trained on `ỹ_i = (1−α_t)·onehot(y_i) + α_t·P(x_i)`, `α_t = α·t/T`, where
//! `P(x_i)` is what the network itself predicted for it in the epoch before: the softmax of that
//! step's logits, kept in a table by example id and written after the update. An example never
//! seen has no prediction: its target is one-hot, and so epoch 1 is plain cross-entropy whatever
//! `α` is. Loss: `−Σ_c ỹ_ic log softmax(z_i)_c`; its gradient by the logits is `p − ỹ`.
//!
//! ## Claim
//! Lower error and better calibration than cross-entropy: PreAct ResNet-18 on CIFAR-100, top-1 error
//! 24.18 → 20.82 %, NLL 1.10 → 0.76, ECE 11.84 → 1.77 % (README). Label smoothing alone gives 20.94 %,
//! so it belongs in every comparison; calibration is not better everywhere (ResNeXt-29: 4.17 → 9.18).
//! At this bench's scale NLL and ECE can decide, accuracy seldom.
//!
//! ## Sources
//! Kim, Ji, Yoon, Hwang, arXiv:2006.12000 (ICCV 2021); lgcnsai/PS-KD-Pytorch@9aa0828d `main.py`.
//!
//! ## Differences
//! - Predictions are those of the training forward pass, as in the code: train mode, weights before
//!   the update, the epoch's augmentation. The paper reads as the model at the end of the epoch.
//! - The code fills epoch 1's rows with one-hot labels; here α is 0 for an example not yet seen.
//! - The code reports the best checkpoint by *test* error; here the last, and targets on validation.
//! - No augmentation (the code: crop and flip). `T` is the budget of the suite, not 300.

use lab::LabError;
use lab::method::Method;
use lab::network::Network;
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Objective, StepInfo, TaskInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use tch::{Kind, TchError, Tensor};

settings! {
    /// Settings of `ps-kd`.
    pub struct Settings {
        /// α: weight of the network's own prediction in the last epoch.
        alpha: f64 = 0.8, range Range::of(0.0..=1.0), from "main.py";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "main.py";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Step { at: vec![0.5, 0.75], factor: 0.1 }, from "main.py";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "targets mixed with the network's own predictions of the last epoch",
    paper: Paper {
        title: "Self-knowledge distillation with progressive refinement of targets",
        authors: "Kim, Ji, Yoon, Hwang",
        year: 2021,
        reference: "arXiv:2006.12000",
        code: "lgcnsai/PS-KD-Pytorch@9aa0828d",
    },
    claim: PaperClaim {
        statement: "lower error, NLL and ECE than cross-entropy",
        number: "CIFAR-100, PreAct ResNet-18: error 24.18 → 20.82 %, NLL 1.10 → 0.76, ECE 11.84 → 1.77 %",
        source: "README, PS-KD-Pytorch",
    },
    baseline: Some("sgd"),
    needs: &[offers::CLASSES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { alpha, batch_size, schedule, base } = Settings::read(values)?;
        let objective = Box::new(OwnPredictions::new(alpha, task)?);
        let step = Step::Gradient { objective, optimizer: base.build(task.network)? };
        Ok(Recipe::of(batch_size, schedule, step))
    },
};

#[derive(Debug)]
struct OwnPredictions {
    alpha: f64,
    /// Last prediction by example id, N × C.
    table: Tensor,
    /// 1 where there is a prediction, else 0; N × 1.
    seen: Tensor,
    /// Logits of this step's forward pass, B × C.
    logits: Option<Tensor>,
}

impl OwnPredictions {
    fn new(alpha: f64, task: &TaskInfo<'_>) -> Result<Self, TchError> {
        let device = task.device();
        let zeros = |columns: u32| {
            Tensor::f_zeros([task.examples, columns].map(i64::from), (Kind::Float, device))
        };
        let classes = task.side.classes.unwrap_or(1);
        Ok(Self { alpha, table: zeros(classes)?, seen: zeros(1)?, logits: None })
    }

    /// α_t of this epoch.
    fn weight(&self, now: &StepInfo) -> f64 {
        self.alpha * f64::from(now.epoch + 1) / f64::from(now.total_epochs.max(1))
    }

    /// ỹ of a batch, B × C.
    fn targets(&self, batch: &Batch, now: &StepInfo) -> Result<Tensor, TchError> {
        let (_, classes) = self.table.size2()?;
        let labels = batch.labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?;
        let predicted = self.table.f_index_select(0, &batch.sample_ids)?;
        let seen = self.seen.f_index_select(0, &batch.sample_ids)?;
        labels.f_lerp_tensor(&predicted, &seen.f_mul_scalar(self.weight(now))?)
    }
}

impl OwnPredictions {
    /// −Σ_c ỹ_c log softmax(z)_c per example.
    fn against_targets(
        &self,
        batch: &Batch,
        logits: &Tensor,
        now: &StepInfo,
    ) -> Result<Tensor, TchError> {
        let likelihoods = logits.f_log_softmax(-1, Kind::Float)?;
        let weighted = self.targets(batch, now)?.f_mul(&likelihoods)?;
        weighted.f_sum_dim_intlist(-1, false, Kind::Float)?.f_neg()
    }

    /// Writes the predictions of a step's logits into the table.
    fn remember(&mut self, batch: &Batch, logits: &Tensor) -> Result<(), TchError> {
        let predicted = logits.f_softmax(-1, Kind::Float)?;
        let _ = self.table.f_index_copy_(0, &batch.sample_ids, &predicted)?;
        let _ = self.seen.f_index_fill_(0, &batch.sample_ids, 1.0)?;
        Ok(())
    }
}

impl Objective for OwnPredictions {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let logits = network.forward(&batch.inputs, true)?;
        let losses = self.against_targets(batch, &logits, now)?;
        self.logits = Some(logits.f_detach()?);
        Ok(losses)
    }

    fn after_step(&mut self, _: &Network, batch: &Batch, _: &StepInfo) -> Result<(), LabError> {
        match self.logits.take() {
            Some(logits) => Ok(self.remember(batch, &logits)?),
            None => Ok(()),
        }
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("table", &mut self.table)?;
        state.of("seen", &mut self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::trial::with;
    use serde_json::{Value, json};
    use tch::Device;
    use training::trial::{Trace, Trial};

    /// Trained by `method` on 90 examples in batches of 16, so that the last batch is short.
    fn trained(method: &Method, epochs: u32, alpha: Option<f64>) -> Trace {
        let mut settings = with([("batch_size", 16.into()), ("schedule", json!("linear"))]);
        settings.extend(alpha.map(|alpha| ("alpha".to_owned(), Value::from(alpha))));
        Trial { examples: 90, epochs, seed: 4 }.run(method, &settings).unwrap()
    }

    fn sgd() -> &'static Method {
        crate::find("sgd").unwrap().method
    }

    fn at(epoch: u32, total_epochs: u32) -> StepInfo {
        StepInfo { step: 0, total_steps: 1, epoch, total_epochs, lr_factor: 1.0, pass: 0 }
    }

    fn batch(ids: [i64; 3], labels: [i64; 3]) -> Batch {
        Batch {
            ids: ids.map(|id| u32::try_from(id).unwrap()).to_vec(),
            sample_ids: Tensor::from_slice(&ids),
            inputs: Tensor::zeros([3, 1], (Kind::Float, Device::Cpu)),
            labels: Tensor::from_slice(&labels),
        }
    }

    fn objective(alpha: f64) -> OwnPredictions {
        let zeros = |columns| Tensor::zeros([4, columns], (Kind::Float, Device::Cpu));
        OwnPredictions { alpha, table: zeros(3), seen: zeros(1), logits: None }
    }

    fn logits() -> Tensor {
        Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.0, 3.0, 0.1, 1.0, 1.0, -2.0]).view([3, 3])
    }

    #[test]
    fn the_weight_of_predictions_grows_linearly_to_alpha() {
        let objective = objective(0.8);
        for (t, alpha) in [(1, 0.002_667), (2, 0.005_333), (150, 0.4), (300, 0.8)] {
            assert!((objective.weight(&at(t - 1, 300)) - alpha).abs() < 5e-7, "epoch {t}");
        }
    }

    #[test]
    fn what_is_remembered_is_the_softmax_of_the_logits_given() {
        let mut objective = objective(0.8);
        objective.remember(&batch([0, 1, 2], [2, 0, 1]), &logits()).unwrap();
        let table = values(&objective.table).unwrap();
        let row = [0.5_f32, -1.0, 2.0].map(f32::exp);
        let sum: f32 = row.iter().sum();
        for (kept, power) in table.iter().zip(row) {
            assert!((kept - power / sum).abs() < 1e-6, "{table:?}");
        }
    }

    #[test]
    fn the_table_holds_what_the_weights_before_the_update_predict() {
        let network = Trial { examples: 3, epochs: 1, seed: 4 }.network().unwrap();
        let mut objective = objective(0.8);
        let inputs = Tensor::arange(192, (Kind::Float, Device::Cpu)).sin().view([3, 1, 8, 8]);
        let batch = Batch { inputs, ..batch([0, 1, 2], [2, 0, 1]) };
        let predicted = || network.forward(&batch.inputs, true).unwrap().softmax(-1, Kind::Float);
        let initial = predicted();
        let _ = objective.losses(&network, &batch, &at(0, 4)).unwrap();
        tch::no_grad(|| {
            for parameter in &network.parameters {
                let _ = parameter.tensor.shallow_clone().f_add_scalar_(0.1).unwrap();
            }
            objective.after_step(&network, &batch, &at(0, 4)).unwrap();
        });
        let gap =
            |other: Tensor| (objective.table.narrow(0, 0, 3) - other).abs().max().double_value(&[]);
        assert!(gap(initial) < 1e-6 && gap(predicted()) > 1e-3);
    }

    #[test]
    fn targets_are_distributions_that_keep_most_weight_on_the_label() {
        let mut objective = objective(0.8);
        let batch = batch([0, 1, 2], [2, 0, 1]);
        objective.remember(&batch, &logits()).unwrap();
        let rows = values(&objective.targets(&batch, &at(1, 4)).unwrap()).unwrap();
        for (row, label) in rows.chunks(3).zip([2, 0, 1]) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
            assert!(row[label] >= 1.0 - 0.4, "{row:?}");
            assert!(row.iter().all(|value| *value > 0.0), "{row:?}");
        }
    }

    #[test]
    fn predictions_are_found_again_by_example_and_not_by_place_in_the_batch() {
        let mut objective = objective(1.0);
        objective.remember(&batch([2, 0, 1], [2, 0, 1]), &logits()).unwrap();
        // In the last epoch, with α = 1, the target is the prediction itself.
        let again = batch([1, 2, 3], [1, 2, 0]);
        let targets = objective.targets(&again, &at(1, 2)).unwrap();
        let written = logits().softmax(-1, Kind::Float);
        assert_eq!(targets.get(0), written.get(2));
        assert_eq!(targets.get(1), written.get(0));
        // Example 3 was not seen: one-hot.
        assert_eq!(values(&targets.get(2)).unwrap(), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_gradient_is_prediction_minus_target() {
        let mut objective = objective(0.8);
        let batch = batch([0, 1, 2], [2, 0, 1]);
        objective.remember(&batch, &logits().neg()).unwrap();
        let leaf = logits().set_requires_grad(true);
        let loss = objective.against_targets(&batch, &leaf, &at(2, 4)).unwrap().sum(Kind::Float);
        let gradient = Tensor::run_backward(&[loss], &[&leaf], false, false).remove(0);
        let expected =
            logits().softmax(-1, Kind::Float) - objective.targets(&batch, &at(2, 4)).unwrap();
        assert!((gradient - expected).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn without_alpha_it_is_sgd_bit_for_bit() {
        let (plain, neutral) = (trained(sgd(), 3, None), trained(&METHOD, 3, Some(0.0)));
        assert_eq!((plain.digest, plain.order), (neutral.digest, neutral.order));
    }

    #[test]
    fn the_first_epoch_is_sgd_bit_for_bit_whatever_alpha_and_the_second_is_not() {
        let digests = |epochs| {
            let own = trained(&METHOD, epochs, Some(0.8));
            (trained(sgd(), epochs, None).digest, own.digest)
        };
        let (plain, own) = digests(1);
        assert_eq!(plain, own);
        let (plain, own) = digests(2);
        assert_ne!(plain, own);
    }
}
