//! # Once-for-all
//!
//! ## Mechanism
//! One network whose parts (fewer blocks, smaller kernels, fewer channels) are trained to work by themselves, sharing
//! weights. Mode `progressive` goes through four stages: the whole network; then kernels become elastic; then depth;
//! then width, for which channels are first sorted by Σ|w| of the projection behind them. From the second stage on each
//! step draws `parts` networks, every dimension of every unit uniformly among what is elastic by then (1, 2 and 4 of
//! them), and descends the sum of their losses, CE with label smoothing + `kd_ratio`·CE with the soft labels of the whole
//! network as the first stage left it. A 3 × 3 kernel is the centre of the 5 × 5 one times a learned matrix. Each stage has
//! its own optimiser state and cosine; the later ones start at `shrink_lr` times the rate.
//!
//! Mode `joint` makes everything elastic from the first step on, two parts a step, without a teacher. Mode
//! `independent` trains the part `part` alone, from its own start: what sharing has to match.
//!
//! 16 parts are judged at the end, `accuracy@d12-k3-w50` for one block in the first unit and two in the second, kernels of
//! 3 and half of the channels, and their mean, `accuracy@mean`. Before a network is judged, and the whole on the way,
//! its statistics of batch normalisation are taken anew from `recalibrate` training images; that is on the clock.
//!
//! ## Claim
//! More than 10^19 networks at the accuracy of training each by itself; 80.0 % on ImageNet below 600 M multiplications
//! (README). Here: parts after progressive shrinking are as good as those of joint training, and as networks
//! trained alone.
//!
//! ## Sources
//! Cai et al., arXiv:1908.09791 (ICLR 2020); mit-han-lab/once-for-all at f03b2673, `train_ofa_net.py`.
//!
//! ## Differences
//! - Two choices a dimension, so one phase a stage where the code has two for depth and width; stages are equal quarters
//!   of the run (code: 180, 120, 145 and 145 epochs), without warm-up. No depthwise convolution, no squeeze-and-excitation,
//!   one resolution. `shrink_lr` for all later stages (code: 0.03, then 0.0025 and 0.0075 per GPU).
//! - A part alone starts from its cut of the whole's start; normalisation behind every convolution makes the scale of that immaterial.
//! - Weight decay also reaches normalisations and biases; momentum of what a step leaves out decays.
//! - Statistics are the mean over batches of 200, with Bessel's correction in the variance, as PyTorch's running one.

use lab::method::Method;
use lab::models::elastic::parts::Parts;
use lab::models::elastic::{Choice, Elastic, UNITS};
use lab::network::Network;
use lab::objectives::IGNORED;
use lab::optim::base::BaseSettings;
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Objective, Parametrisation, StepInfo};
use lab::stages::{Stage, Stages};
use lab::state::State;
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::uniform;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::{Kind, Reduction, Tensor};

/// Share of the target spread over all classes.
const SMOOTHING: f64 = 0.1;

choice! {
    /// How parts come to be trained.
    pub enum Mode {
        /// The whole first, then elastic kernels, depth, width.
        Progressive = "progressive",
        /// All elastic from the start.
        Joint = "joint",
        /// One part by itself.
        Independent = "independent",
    }
}

settings! {
    /// Settings of `once-for-all`.
    pub struct Settings {
        /// How parts come to be trained.
        mode: Mode = Mode::Progressive, from "paper, section 3.3";
        /// The part of mode `independent`.
        part: String = "d11-k3-w50".to_owned(), from "assumed: the smallest";
        /// Weight of the loss against the teacher.
        kd_ratio: f64 = 1.0, range Range::of(0.0..), from "train_ofa_net.py";
        /// Factor on the learning rate from the second stage on.
        shrink_lr: f64 = 0.3, range Range::above_up_to(0.0, 1.0), from "assumed: the code has 0.03 and less of its full rate";
        /// Training images that statistics are taken from before a part is judged; 0 to leave them.
        recalibrate: u32 = 2000, from "train_ofa_net.py";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: 64 per GPU in the code";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "trains one network whose parts work by themselves: progressive shrinking, joint, or one part alone",
    paper: Paper {
        title: "Once-for-all: train one network and specialize it for efficient deployment",
        authors: "Cai, Gan, Wang, Zhang, Han",
        year: 2020,
        reference: "arXiv:1908.09791",
        code: "mit-han-lab/once-for-all@f03b2673",
    },
    claim: PaperClaim {
        statement: "parts of one network are as accurate as networks trained by themselves",
        number: "80.0 % top-1 at 595 M multiplications",
        source: "README (ImageNet)",
    },
    baseline: Some("sgd"),
    needs: &[offers::PARTS],
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { mode, part, .. } = Settings::read(&resolved)?;
        Choice::named(&part).map_err(|valid| {
            SettingError::Joint(format!("setting \"part\" is {part:?}, but must be one of {valid}"))
        })?;
        let (staged, of) = (mode == Mode::Progressive, "mode \"progressive\"");
        let alone = ("part", mode != Mode::Independent, "mode \"independent\"");
        let idle = [alone, ("kd_ratio", !staged, of), ("shrink_lr", !staged, of)];
        refuse_idle(&resolved, &Settings::default().values(), &idle)?;
        Ok(resolved)
    },
    build: |values, task| {
        let settings = Settings::read(values)?;
        let elastic = task.side.elastic.ok_or_else(|| task.unfit("its network has no parts"))?;
        let alone =
            Choice::named(&settings.part).ok().filter(|_| settings.mode == Mode::Independent);
        let parts = Parts { elastic, alone, recalibrate: settings.recalibrate };
        let mut network = task.network.duplicate();
        Parts { ..parts }.install(&mut network, task.streams)?;
        let optimizer = settings.base.build(&network)?;
        let (batch_size, stages) = (settings.batch_size, Some(stages(&settings)));
        let stream = task.streams.generator("method");
        let (reached, teacher, soft) = (0, None, None);
        let objective = OnceForAll { elastic, settings, stream, reached, teacher, soft };
        let objective = Box::new(objective);
        let plain =
            Recipe::of(batch_size, Schedule::Constant, Step::Gradient { objective, optimizer });
        let looks = Some(Box::new(parts) as _);
        Ok(Recipe { stages, parametrisation: Some(Box::new(parts)), looks, ..plain })
    },
};

/// The whole network, then one more dimension elastic in each stage; or all as one.
fn stages(settings: &Settings) -> Stages {
    let names: &[_] = match settings.mode {
        Mode::Progressive => &["whole", "kernel", "depth", "width"],
        Mode::Joint => &["joint"],
        Mode::Independent => &["part"],
    };
    let of = |(place, name): (usize, &&'static str)| {
        let lr_factor = if place == 0 { 1.0 } else { settings.shrink_lr };
        Stage { lr_factor, schedule: Schedule::Cosine { floor: 0.0 }, ..Stage::plain(name, 1) }
    };
    Stages::new(names.iter().enumerate().map(of).collect())
}

/// The loss of the parts that a step draws.
struct OnceForAll {
    elastic: Elastic,
    settings: Settings,
    stream: Pcg64,
    /// The stage that training is in: the whole, kernels, depth, width.
    reached: usize,
    /// The whole network as the first stage left it.
    teacher: Option<Network>,
    /// Its probabilities for this step's batch.
    soft: Option<Tensor>,
}

impl OnceForAll {
    /// A part, drawn uniformly among what is elastic.
    fn draw(&mut self) -> Choice {
        let elastic = if self.settings.mode == Mode::Joint { 3 } else { self.reached };
        let mut coins =
            |on: bool| [(); UNITS].map(|()| on && uniform(&mut self.stream, 1, 0.0, 1.0)[0] < 0.5);
        let small_kernel = coins(elastic >= 1);
        let depth = coins(elastic >= 2).map(|one| if one { 1 } else { 2 });
        Choice { depth, small_kernel, half_width: coins(elastic >= 3) }
    }

    /// Losses per example of one network, shape B.
    fn of(&self, network: &Network, batch: &Batch) -> Result<Tensor, LabError> {
        let logits = network.forward(&batch.inputs, true)?;
        let (labels, none) = (&batch.labels, Reduction::None);
        let hard = logits.f_cross_entropy_loss::<Tensor>(labels, None, none, IGNORED, SMOOTHING)?;
        let Some(soft) = &self.soft else { return Ok(hard) };
        let against = soft.f_mul(&logits.f_log_softmax(-1, Kind::Float)?)?;
        let against = against.f_sum_dim_intlist(-1, false, Kind::Float)?;
        Ok(hard.f_sub(&against.f_mul_scalar(self.settings.kd_ratio)?)?)
    }
}

impl Objective for OnceForAll {
    fn enter(&mut self, stage: usize, network: &Network) -> Result<(), LabError> {
        self.reached = stage;
        if stage > 0 && self.teacher.is_none() && self.settings.kd_ratio > 0.0 {
            self.teacher = Some(network.duplicate());
        }
        if stage == 3 {
            self.elastic.sort_channels(network)?;
        }
        Ok(())
    }

    fn before_step(&mut self, _: &Network, batch: &Batch, _: &StepInfo) -> Result<(), LabError> {
        if let Some(teacher) = &self.teacher {
            // In training mode, as in the code.
            let logits = teacher.forward(&batch.inputs, true)?;
            self.soft = Some(logits.f_softmax(-1, Kind::Float)?);
        }
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let parts = match (self.settings.mode, self.reached) {
            (Mode::Independent, _) | (Mode::Progressive, 0) => return self.of(network, batch),
            (Mode::Joint, _) | (_, 2) => 2,
            (_, 1) => 1,
            _ => 4,
        };
        let mut each = Vec::new();
        for _ in 0..parts {
            let choice = self.draw();
            each.push(self.of(&self.elastic.part(network, &choice)?, batch)?);
        }
        Ok(Tensor::f_stack(&each, 0)?.f_sum_dim_intlist(0, false, Kind::Float)?)
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("stream", &mut self.stream)?;
        state.of("reached", &mut self.reached)?;
        state.network("teacher", &mut self.teacher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::{ELASTIC, step_info, streams};
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use tch::Device;
    use training::trial::train;

    fn whole() -> Network {
        ELASTIC.network(&streams(), Device::Cpu).unwrap()
    }

    fn trained(method: &Method, with: Value) -> Network {
        let mut values: Values = serde_json::from_value(with).unwrap();
        values.insert("batch_size".to_owned(), 16.into());
        train(method, &values, whole(), &[8, 8, 1], 1).unwrap().0
    }

    #[test]
    fn stages_are_quarters_with_a_cosine_each_and_joint_training_has_one() {
        let of = |mode: Mode, step: u64| {
            let now = step_info(step, 40);
            let stages = stages(&Settings { mode, ..Settings::default() });
            (stages.at(&now), stages.lr_factor(&now))
        };
        for (step, index, factor) in [(0, 0, 1.0), (5, 0, 0.5), (10, 1, 0.3), (25, 2, 0.15)] {
            let (found, at) = of(Mode::Progressive, step);
            assert!(found == index && (at - factor).abs() < 1e-12, "{step}: {found} {at}");
        }
        assert_eq!([of(Mode::Progressive, 39).0, of(Mode::Joint, 39).0], [3, 0]);
    }

    #[test]
    fn what_is_kept_is_the_whole_as_the_workload_has_it_or_the_part_alone() {
        let shapes = |network: &Network| -> Vec<Vec<i64>> {
            network.parameters.iter().map(|p| p.tensor.size()).collect()
        };
        assert_eq!(shapes(&trained(&METHOD, json!({}))), shapes(&whole()));
        let alone = trained(&METHOD, json!({"mode": "independent"}));
        assert!(alone.parameters.len() < whole().parameters.len());
    }

    #[test]
    fn the_whole_alone_trains_as_label_smoothing_does_bit_for_bit() {
        let whole = json!({"mode": "independent", "part": "d22-k5-w100", "recalibrate": 0});
        let ours = trained(&METHOD, whole);
        let smoothed = crate::find("label-smoothing").unwrap().method;
        let theirs = trained(smoothed, json!({"smoothing": SMOOTHING, "schedule": "cosine"}));
        assert_eq!(ours.digest().unwrap(), theirs.digest().unwrap());
        assert_ne!(trained(&METHOD, json!({})).digest().unwrap(), theirs.digest().unwrap());
    }

    #[test]
    fn parts_that_are_not_there_are_refused_with_those_that_are() {
        let refused = |with: Value| {
            (METHOD.resolve)(&serde_json::from_value(with).unwrap()).unwrap_err().to_string()
        };
        let unknown = refused(json!({"mode": "independent", "part": "d33-k3-w50"}));
        assert!(unknown.contains("d33-k3-w50") && unknown.contains("d22-k5-w100"), "{unknown}");
        for (mode, name) in [("joint", "kd_ratio"), ("independent", "shrink_lr")] {
            let unused = refused(json!({"mode": mode, name: 0.5}));
            assert!(unused.ends_with("of mode \"progressive\" alone: leave it out"), "{unused}");
        }
        assert!(refused(json!({"part": "d22-k5-w100"})).contains("\"independent\" alone"));
        assert!(refused(json!({"beta1": 0.5})).contains("\"optimizer\": \"adamw\" alone"));
    }
}
