//! # Distillation from another run's outputs
//!
//! ## Mechanism
//! A student learns what a teacher says of the workload's training data; their labels are not used.
//! `labels: soft`: `−T²·Σ_c p_c log q_c` with p = softmax(z_teacher/T) and q = softmax(z_student/T);
//! `labels: hard`: cross-entropy with the teacher's likeliest class. For tokens the mean runs over the
//! places that the workload asks for. The teacher is the trained network that the suite's `teacher`
//! names, read in evaluation mode; the student starts from its own initial values and is trained with
//! AdamW.
//!
//! ## Claim
//! None here: a derivative that tests of provenance must still find, though no weight is shared.
//!
//! ## Sources
//! Hinton, Vinyals & Dean, arXiv:1503.02531, section 2 (soft targets, T, the factor T²).
//!
//! ## Differences
//! Paper: soft targets beside true labels. Here the teacher's word alone.

use lab::LabError;
use lab::method::Method;
use lab::network::Network;
use lab::objectives::{DefaultLoss, IGNORED};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Objective, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::Range;
use ledger::{choice, settings};
use tch::{Kind, TchError, Tensor};

choice! {
    /// What is learnt of the teacher's outputs.
    pub enum Labels {
        /// Its probabilities.
        Soft = "soft",
        /// Its likeliest answer.
        Hard = "hard",
    }
}

settings! {
    /// Settings of `distil`.
    pub struct Settings {
        /// What is learnt of the teacher's outputs.
        labels: Labels = Labels::Soft, from "paper";
        /// T: divides the logits of both; not used with hard labels.
        temperature: f64 = 1.0, range Range::above_up_to(0.0, 100.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: as adamw";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed: as adamw";
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a student learns from the outputs of another run's network",
    paper: Paper {
        title: "Distilling the knowledge in a neural network",
        authors: "Hinton, Vinyals, Dean",
        year: 2015,
        reference: "arXiv:1503.02531",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "a derivative of another run, not a way to train",
        number: "none",
        source: "none",
    },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { labels, temperature, batch_size, schedule, adamw } = Settings::read(values)?;
        let Some(teacher) = task.teacher else {
            let reason = "learns from another run; name it in the arm, `teacher: WORKLOAD/ARM`";
            return Err(task.unfit(reason));
        };
        if !matches!(task.side.loss, Some(DefaultLoss::Classes | DefaultLoss::Tokens)) {
            return Err(task.unfit("the workload predicts neither classes nor tokens"));
        }
        let teacher = frozen(teacher);
        let objective = Box::new(Taught { teacher, labels, temperature, said: None });
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        Ok(Recipe::of(batch_size, schedule, Step::Gradient { objective, optimizer }))
    },
};

/// A copy that takes no gradients.
fn frozen(teacher: &Network) -> Network {
    let copy = teacher.duplicate();
    for parameter in &copy.parameters {
        let _ = parameter.tensor.set_requires_grad(false);
    }
    copy
}

#[derive(Debug)]
struct Taught {
    teacher: Network,
    labels: Labels,
    temperature: f64,
    /// Logits of the teacher for this step's batch.
    said: Option<Tensor>,
}

impl Taught {
    /// Loss of each place, in the shape of the labels.
    fn places(&self, said: &Tensor, logits: &Tensor) -> Result<Tensor, TchError> {
        match self.labels {
            Labels::Soft => {
                let cooled = |logits: &Tensor| logits.f_div_scalar(self.temperature);
                let target = cooled(said)?.f_softmax(-1, Kind::Float)?;
                let logs = cooled(logits)?.f_log_softmax(-1, Kind::Float)?;
                let scale = -self.temperature * self.temperature;
                target.f_mul(&logs)?.f_sum_dim_intlist(-1, false, Kind::Float)?.f_mul_scalar(scale)
            }
            Labels::Hard => {
                let target = said.f_argmax(-1, true)?;
                let logs = logits.f_log_softmax(-1, Kind::Float)?;
                logs.f_gather(-1, &target, false)?.f_squeeze_dim(-1)?.f_neg()
            }
        }
    }
}

impl Objective for Taught {
    fn before_step(&mut self, _: &Network, batch: &Batch, _: &StepInfo) -> Result<(), LabError> {
        self.said = Some(self.teacher.forward(&batch.inputs, false)?);
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let said = match self.said.take() {
            Some(said) => said,
            None => tch::no_grad(|| self.teacher.forward(&batch.inputs, false))?,
        };
        let each = self.places(&said, &network.forward(&batch.inputs, true)?)?;
        let rows = batch.labels.size().first().copied().unwrap_or(0);
        let each = each.f_reshape([rows, -1])?;
        let asked = batch.labels.f_reshape([rows, -1])?.f_ne(IGNORED)?.f_to_kind(Kind::Float)?;
        let counts = asked.f_sum_dim_intlist(1, false, Kind::Float)?.f_clamp_min(1.0)?;
        Ok(each.f_mul(&asked)?.f_sum_dim_intlist(1, false, Kind::Float)?.f_div(&counts)?)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::seat::TaskInfo;
    use lab::side_info::SideInfo;
    use lab::trial::{self, with};
    use serde_json::json;
    use training::trial::{Parents, Trial};

    fn taught(labels: Labels, temperature: f64) -> Taught {
        let teacher = Trial { examples: 3, epochs: 1, seed: 9 }.network().unwrap();
        Taught { teacher: frozen(&teacher), labels, temperature, said: None }
    }

    #[test]
    fn without_a_teacher_it_refuses_and_says_how_to_name_one() {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        let task = TaskInfo {
            method: "distil",
            workload: "trial",
            network: &network,
            examples: 3,
            side: &SideInfo { loss: Some(DefaultLoss::Classes), ..SideInfo::default() },
            teacher: None,
            budget_samples: 3,
            streams: &trial::streams(),
        };
        let error = (METHOD.build)(&with([]), &task).unwrap_err().to_string();
        assert_eq!(
            error,
            "distil on trial: learns from another run; name it in the arm, `teacher: WORKLOAD/ARM`"
        );
    }

    #[test]
    fn the_losses_are_those_of_the_formulas() {
        let said = Tensor::from_slice(&[2.0_f32, 0.0, -1.0]).view([1, 3]);
        let logits = Tensor::from_slice(&[0.5_f32, 1.0, 0.0]).view([1, 3]);
        let softmax = |z: [f64; 3]| {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            z.map(|z| z.exp() / sum)
        };
        let of = |labels, t| values(&taught(labels, t).places(&said, &logits).unwrap()).unwrap()[0];
        for t in [1.0, 2.0] {
            let (p, q) = (softmax([2.0 / t, 0.0, -1.0 / t]), softmax([0.5 / t, 1.0 / t, 0.0]));
            let by_hand: f64 = -t * t * p.iter().zip(&q).map(|(p, q)| p * q.ln()).sum::<f64>();
            assert!((f64::from(of(Labels::Soft, t)) - by_hand).abs() < 1e-6);
        }
        let by_hand = -softmax([0.5, 1.0, 0.0])[0].ln();
        assert!((f64::from(of(Labels::Hard, 1.0)) - by_hand).abs() < 1e-6);
    }

    #[test]
    fn a_student_comes_nearer_to_its_teacher_and_leaves_it_as_it_was() {
        let settings = with([("examples", 400.into()), ("hidden", 32.into())]);
        let stage = workloads::fixture("markov-mlp", &settings).unwrap();
        let adamw = crate::find("adamw").unwrap().method;
        let plain = with([("batch_size", 16.into()), ("lr", 0.01.into())]);
        let teacher = stage.run(adamw, &plain, 1_600, 1).unwrap().network;
        let before = teacher.digest().unwrap();
        let agreement = |student: &Network| {
            let inputs = &stage.ready().splits.train.stored;
            let [a, b] = [&teacher, student]
                .map(|network| network.forward(inputs, false).unwrap().argmax(-1, false));
            a.eq_tensor(&b).to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
        };
        let untaught = agreement(&stage.network(2).unwrap());
        for labels in ["soft", "hard"] {
            let mut settings = plain.clone();
            settings.insert("labels".to_owned(), json!(labels));
            let parents = Parents { start: None, teacher: Some(&teacher) };
            let student = stage.derive(&METHOD, &settings, 1_600, 2, parents).unwrap().network;
            let found = agreement(&student);
            assert!(found > untaught + 0.1, "{labels}: {found} against {untaught}");
        }
        assert_eq!(teacher.digest().unwrap(), before);
    }
}
