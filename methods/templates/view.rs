//! # @NAME@
//!
//! ## Mechanism
//! x ← x + σ·ε, to begin with: how an example is rendered, in words and symbols.
//!
//! ## Claim
//! none yet: a testable sentence with its number.
//!
//! ## Sources
//! none yet: paper, and code with its commit.
//!
//! ## Differences
//! none yet: where paper, code and this file differ. Settings that the paper does not give are
//! `assumed`.

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::seat::{Batch, StepInfo, View};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::{self, Streams};
use tch::Tensor;

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
        /// σ: deviation of the noise on every input.
        noise: f64 = 0.1, range Range::of(0.0..), from "assumed";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "what it does, in one line",
    paper: Paper {
        title: "title",
        authors: "authors",
        year: 2026,
        reference: "arXiv:0000.00000",
        code: "none found",
    },
    claim: PaperClaim { statement: "none yet", number: "none yet", source: "none yet" },
    baseline: Some("sgd"),
    needs: &[offers::LOSS, offers::CLASSES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { noise, batch_size, schedule, base } = Settings::read(values)?;
        let plain = Recipe::plain(batch_size, schedule, base.build(task.network)?, task)?;
        Ok(Recipe { view: Some(Box::new(Noisy { noise })), ..plain })
    },
};

/// How an example is rendered before the network sees it.
struct Noisy {
    noise: f64,
}

impl View for Noisy {
    /// Random by (example, epoch), so that it does not depend on the batch.
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        if self.noise == 0.0 {
            return Ok(());
        }
        let shape = batch.inputs.size();
        let numbers = batch.inputs.numel() / batch.ids.len().max(1);
        let noise: Vec<f32> = batch
            .ids
            .iter()
            .flat_map(|&id| streams::normal(&mut streams.keyed("noise", id, now.epoch), numbers))
            .collect();
        let noise = Tensor::f_from_slice(&noise)?.f_view(shape.as_slice())?;
        let noise = noise.f_to_device(batch.inputs.device())?.f_mul_scalar(self.noise)?;
        batch.inputs = batch.inputs.f_add(&noise)?;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::trial::Trial;

    #[test]
    fn without_noise_it_is_sgd_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 2, seed: 0 };
        let mut settings = with([("batch_size", 32.into())]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &settings).unwrap();
        let moved = trial.run(&METHOD, &settings).unwrap();
        settings.insert("noise".to_owned(), 0.0.into());
        let neutral = trial.run(&METHOD, &settings).unwrap();
        assert_eq!((neutral.digest, neutral.order), (sgd.digest, sgd.order));
        assert_ne!(moved.digest, sgd.digest);
    }
}
