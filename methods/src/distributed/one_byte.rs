//! # Just One Byte (per gradient)
//!
//! ## Mechanism
//! K workers hold the same weights θ. In step t worker a takes its share of the batch and the direction
//! z_{a,t} ~ N(0, I) that run, worker and step fix, looks at two losses, and says one scalar:
//! `g_a = (L(θ + εz_a) − L(θ − εz_a)) / 2ε`. The scalar crosses the wire in a `codec`; all workers draw all
//! directions again and move by what was received, in the workers' order: `θ ← θ − (γ/√K)·Σ_a ĝ_a z_a`, or
//! with γ/K under `average: mean`. No gradient is taken and none is sent: a step is 2K forward passes and
//! K messages, and θ_0 with the messages of all steps is the whole run.
//!
//! `codec: byte` is a sign and 7 bits of logarithm, round(8·ln|g|) within ±63, with 0 for zero: at most
//! 6.45 % from g, between 3.8e-4 and 2630.
//!
//! ## Claim
//! One byte per gradient suffices (abstract; no number). Here: the loss drop with a byte is that with 32
//! bits to within 1 % of it, and K·T messages are K·T bytes. SGD is the upper bound.
//!
//! ## Sources
//! Zelikman, Huang, Liang, Haber, Goodman, arXiv:2306.10015; ezelikman/justonebyte@19ba0897 `app.py`.
//! Spall 1992 (IEEE TAC 37) for the slope; Malladi et al., arXiv:2305.17333: MeZO is one worker and f32.
//!
//! ## Differences
//! - With `--one_byte` the code computes the rounded scalar and then sends the other one: its byte is
//!   never used, and scalars travel as JSON. Its rounding, round(16·ln|g|) within ±127 and a sign, has
//!   510 values and zero: nine bits. That is `codec: nine-bit`; `byte` is one that fits.
//! - The code perturbs in place, θ + εz − 2εz + εz, so that replicas drift; every 16 steps it restores a
//!   backup and applies the scalars again. Here perturbed values are tensors of their own, and θ is never
//!   touched but by the update. The code compares hashes every 64 steps; here a replay ends at the digest.
//! - The code's seed holds the time at which a machine joined; here a worker's number.
//! - The code repeats the two looks `gradient_acc_steps` = 30 times a machine before it sends; that is 30
//!   workers on one machine. It can learn ln ε; not here.
//! - The code evaluates the network in inference mode. Here networks with running statistics, which would
//!   move outside of the messages, are refused, and no network has dropout.

use lab::LabError;
use lab::messages::Messages;
use lab::method::Method;
use lab::network::Network;
use lab::offers;
use lab::recipe::{Recipe, Step};
use lab::seat::{LossAt, Search, StepInfo};
use lab::spsa::{self, Codec, direction, slope};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use tch::{TchError, Tensor};

choice! {
    /// What the rate is divided by.
    pub enum Average {
        /// √K.
        Root = "root",
        /// K.
        Mean = "mean",
    }
}

settings! {
    /// Settings of `one-byte`.
    pub struct Settings {
        /// How a scalar crosses the wire.
        codec: Codec = Codec::Byte, from "abstract: one byte; app.py's own codec is nine-bit";
        /// K: workers among which a batch is shared.
        workers: u32 = 4, range Range::of(1.0..=1024.0), from "assumed; app.py --min_num_machines 2";
        /// What the learning rate is divided by.
        average: Average = Average::Root, from "app.py: math.sqrt(num_samples)";
        /// ε: how far either way a loss is looked at.
        epsilon: f64 = 1e-3, range Range::above_up_to(0.0, 1.0), from "app.py --epsilon";
        /// γ: learning rate.
        lr: f64 = 1e-3, range Range::of(0.0..), from "assumed: at app.py's 0.1, for GPT-2, the bench's networks diverge";
        /// Examples per step, all workers together.
        batch_size: u32 = 256, range Range::of(1.0..), from "app.py --batch_size 64, for each of 4 workers";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "app.py: cur_prop = 1";
        /// Each worker is a process of its own; they talk over 127.0.0.1, and come to the same bits.
        processes: bool = false, from "app.py: a machine each, over HTTP";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "fine-tuning by losses alone, workers that send each other one byte a step",
    paper: Paper {
        title: "Just One Byte (per gradient): A Note on Low-Bandwidth Decentralized Language Model Finetuning Using Shared Randomness",
        authors: "Zelikman, Huang, Liang, Haber, Goodman",
        year: 2023,
        reference: "arXiv:2306.10015",
        code: "ezelikman/justonebyte@19ba0897",
    },
    claim: PaperClaim {
        statement: "one byte per gradient suffices: it costs nothing against 32 bits",
        number: "none in the abstract",
        source: "abstract (GPT-2, SST-2)",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let loss = task.side.loss.ok_or_else(|| task.unfit("there is no loss to look at"))?;
        if !task.network.buffers.is_empty() {
            let reason = "every look at a loss would move its running statistics: take a network without them";
            return Err(task.unfit(reason));
        }
        let (batch_size, schedule) = (settings.batch_size, settings.schedule.clone());
        let messages = if settings.processes { Messages::apart() } else { Messages::default() };
        let search =
            Box::new(OneByte { settings, streams: task.streams.clone(), held: Vec::new() });
        let step = Step::Forward { objective: Box::new(loss), search, messages };
        Ok(Recipe::of(batch_size, schedule, step))
    },
};

struct OneByte {
    settings: Settings,
    streams: Streams,
    /// Directions drawn for looks of the present step, with step and worker, until the move: a worker
    /// need not draw its own twice.
    held: Vec<((u64, u32), Vec<Tensor>)>,
}

impl OneByte {
    /// The direction of a worker in a step; drawn, where it is not held.
    fn take(&mut self, network: &Network, worker: u32, step: u64) -> Result<Vec<Tensor>, TchError> {
        match self.held.iter().position(|(at, _)| *at == (step, worker)) {
            Some(index) => Ok(self.held.swap_remove(index).1),
            None => direction(network, &self.streams, worker, step),
        }
    }
}

impl Search for OneByte {
    fn workers(&self) -> u32 {
        self.settings.workers
    }

    fn width(&self) -> usize {
        self.settings.codec.width()
    }

    fn ask(
        &mut self,
        network: &mut Network,
        worker: u32,
        loss: &mut LossAt<'_>,
        now: &StepInfo,
    ) -> Result<Vec<u8>, LabError> {
        self.held.retain(|((step, _), _)| *step == now.step);
        let z = direction(network, &self.streams, worker, now.step)?;
        let scalar = slope(network, &z, self.settings.epsilon, loss)?;
        self.held.push(((now.step, worker), z));
        Ok(self.settings.codec.encode(scalar))
    }

    fn follow(
        &mut self,
        network: &mut Network,
        said: &[u8],
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let Settings { codec, workers, average, lr, .. } = self.settings;
        let shared = match average {
            Average::Root => f64::from(workers).sqrt(),
            Average::Mean => f64::from(workers),
        };
        for (worker, message) in (0..workers).zip(said.chunks(codec.width())) {
            let z = self.take(network, worker, now.step)?;
            let rate = lr * now.lr_factor / shared * f64::from(codec.decode(message)?);
            spsa::follow(network, &z, rate)?;
        }
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // Directions are held within a step.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp;
    use lab::objectives::DefaultLoss;
    use lab::seat::Objective;
    use lab::trial::{self, step_info, with};
    use ledger::digest::Digest;
    use serde_json::json;
    use tch::Device;
    use training::trial::Trial;

    const TRIAL: Trial = Trial { examples: 96, epochs: 4, seed: 3 };

    fn search(settings: Settings) -> OneByte {
        OneByte { settings, streams: trial::streams(), held: Vec::new() }
    }

    /// A machine: its own copy of the weights, and its own search.
    struct Replica(Network, OneByte);

    impl Replica {
        fn new(settings: &Settings) -> Self {
            let network = mlp::mlp(&[6, 5, 4], &trial::streams(), Device::Cpu).unwrap();
            Self(network, search(settings.clone()))
        }

        /// Takes a step by what all said; returns the digest of the weights after it.
        fn follow(&mut self, said: &[u8], step: u64) -> Digest {
            self.1.follow(&mut self.0, said, &step_info(step, 220)).unwrap();
            self.0.digest().unwrap()
        }
    }

    /// Check (b) of the card: each machine looks at its own share alone, with weights of its own. One that
    /// joins at step 200, from a copy of the weights or from the start and all messages, is the same.
    #[test]
    fn replicas_have_the_same_digest_after_every_step_and_a_late_one_catches_up() {
        let _guard = tch::no_grad_guard();
        let settings = Settings { lr: 0.05, workers: 4, ..Settings::default() };
        let mut replicas: Vec<_> = (0..4).map(|_| Replica::new(&settings)).collect();
        let (mut transcript, mut late) = (Vec::new(), None);
        let batch = trial::batch(&[6]).unwrap();
        for step in 0..220_u64 {
            let now = step_info(step, 220);
            let mut said = Vec::new();
            for (worker, Replica(network, search)) in (0..).zip(&mut replicas) {
                let share = batch.share(worker, 4).unwrap();
                let mut look = |network: &Network| {
                    let loss = DefaultLoss::Classes.loss(network, &share, &now)?;
                    Ok(f64::try_from(&loss)?)
                };
                said.extend(search.ask(network, worker, &mut look, &now).unwrap());
            }
            assert_eq!(said.len(), 4, "a byte each");
            transcript.extend(&said);
            let digests: Vec<_> = replicas.iter_mut().map(|r| r.follow(&said, step)).collect();
            assert!(digests.iter().all(|digest| *digest == digests[0]), "step {step}");
            if step == 199 {
                late = Some(Replica(replicas[0].0.duplicate(), search(settings.clone())));
            }
        }
        assert_eq!(transcript.len(), 4 * 220);
        let last = replicas[0].0.digest().unwrap();
        for (mut joining, from) in [(late.unwrap(), 200), (Replica::new(&settings), 0)] {
            assert_ne!(joining.0.digest().unwrap(), last);
            let steps = transcript.chunks(4).zip(0_u64..).skip(from);
            let digests: Vec<_> = steps.map(|(said, step)| joining.follow(said, step)).collect();
            assert_eq!(digests.last(), Some(&last));
        }
    }

    /// Check (a) of the card: K·T messages of the codec's bytes, and from them the digest of the run.
    #[test]
    fn a_replay_of_the_messages_looks_at_no_loss_and_ends_at_the_digest() {
        for (codec, bytes) in [("byte", 1), ("nine-bit", 2), ("f32", 4)] {
            let with = with([("codec", codec.into()), ("batch_size", 32.into())]);
            let run = TRIAL.run(&METHOD, &with).unwrap();
            let said = run.messages.unwrap();
            assert_eq!(said.len(), 4 * 12 * bytes, "{codec}");
            assert_eq!(run.facts["message_bytes"], json!(said.len()));
            assert_ne!(run.digest, TRIAL.network().unwrap().digest().unwrap());
            let again = TRIAL.follow(&METHOD, &with, said.clone()).unwrap();
            assert_eq!(again.digest, run.digest, "{codec}");
            // One bit of one message, the sign of the last: another end.
            let mut other = said.clone();
            *other.last_mut().unwrap() ^= if codec == "nine-bit" { 1 } else { 0x80 };
            assert_ne!(TRIAL.follow(&METHOD, &with, other).unwrap().digest, run.digest);
            assert!(TRIAL.follow(&METHOD, &with, said[1..].to_vec()).is_err());
        }
    }

    /// θ after one step of one and of four workers, by hand.
    #[test]
    fn the_move_is_the_sum_of_scalars_times_directions_over_the_root_or_the_number_of_workers() {
        let _guard = tch::no_grad_guard();
        for (average, shared) in [(Average::Root, 2.0), (Average::Mean, 4.0)] {
            let base = Settings { average, lr: 0.5, codec: Codec::F32, ..Settings::default() };
            let Replica(mut network, mut search) = Replica::new(&base);
            let scalars = [0.5_f32, -2.0, 0.0, 3.0];
            let sum = scalars.iter().zip(0..).map(|(scalar, worker)| {
                let z = direction(&network, &trial::streams(), worker, 9).unwrap();
                z[0].double_value(&[1, 2]) * f64::from(*scalar)
            });
            // The schedule is at a tenth of the rate.
            let before = network.parameters[0].tensor.double_value(&[1, 2]);
            let expected = before - 0.05 / shared * sum.sum::<f64>();
            let said: Vec<u8> = scalars.iter().flat_map(|g| Codec::F32.encode(*g)).collect();
            search.follow(&mut network, &said, &step_info(9, 300)).unwrap();
            let after = network.parameters[0].tensor.double_value(&[1, 2]);
            assert!((after - expected).abs() < 1e-6 && (after - before).abs() > 1e-3, "{after}");
        }
    }

    #[test]
    fn a_network_with_running_statistics_is_refused() {
        let mut network = TRIAL.network().unwrap();
        network.buffers.push(Tensor::zeros([4], (tch::Kind::Float, Device::Cpu)));
        let refused = training::trial::train(&METHOD, &with([]), network, &[8, 8, 1], 1);
        assert!(refused.unwrap_err().to_string().contains("running statistics"));
    }
}
