//! # HiPA: high-frequency-promoting adaptation
//!
//! ## Mechanism
//! A trained diffusion model of many steps is adapted to one: x̂ = D(σ_max·z, σ_max) is to be the image y that its many
//! steps make of the same noise z. Only a low-rank product beside every weight trains. With P the features of a fixed
//! random network, H the components above a spatial frequency and S the length of Sobel's gradient,
//! `L = ‖P(x̂) − P(y)‖² + λ(‖P(Hx̂) − P(Hy)‖² + ‖P(Sx̂) − P(Sy)‖²)`. λ = 0 is the control: the same adaptation
//! without what promotes high frequencies.
//!
//! ## Claim
//! FID-5k on COCO 37.3 by progressive distillation against 23.8, with 3.3 M trained parameters of 860 M (abstract). It
//! rests on a premise: that images of one step lack high frequencies (`high_band` below 1). What is judged here is this
//! idea as it is operationalised below, not the paper's method.
//!
//! ## Sources
//! Zhang, Hooi, arXiv:2311.18158, abstract and summaries; no code was published, and no full text was read.
//!
//! ## Differences
//! - Not known of the paper: the cut-off, the edge operator, the perceptual network, λ, the rank, and whether targets are
//!   the teacher's images or real ones. All are assumed here; the perceptual network is one of random filters, since
//!   others need photographs.
//! - The teacher is trained beside the run by EDM's loss, on `teacher_budgets` budgets at `teacher_lr`, and named in the
//!   record; runs of a seed share it. Its pairs are on the run's clock and listed (`self_made`); example i of epoch e comes
//!   with pair (e·n + i) mod `pairs`.
//! - A weight thinner than `rank` has a product of its smaller side, so that Σ r(d_in + d_out) is over ranks of their own.
//! - `adapt: layers` trains whole layers, all where none is named: one-step distillation of all weights.
//! - No text, and no guidance.

use lab::LabError;
use lab::adapters::layers::Layers;
use lab::adapters::low_rank::LowRankUpdate;
use lab::averaging::ema::Ema;
use lab::diffusion::{Preconditioning, generation};
use lab::method::Method;
use lab::network::Network;
use lab::objectives::denoising::Denoising;
use lab::objectives::one_step::{Fine, OneStepPairs, Rules};
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::SamplerKind;
use lab::seat::{Objective, Parametrisation, TaskInfo};
use lab::stages::{Stage, Stages, Tutor};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::Streams;
use ledger::{choice, settings};

choice! {
    /// What is adapted.
    pub enum Adapt {
        /// A low-rank product beside every weight.
        LowRank = "low-rank",
        /// Whole layers; all where none is named.
        Layers = "layers",
    }
}

settings! {
    /// Settings of `hipa`.
    pub struct Settings {
        /// What is adapted.
        adapt: Adapt = Adapt::LowRank, from "arXiv:2311.18158; layers: what it is compared with";
        /// Rank of a product.
        rank: u32 = 4, range Range::of(1.0..), from "assumed";
        /// Factor on a product.
        scale: f64 = 1.0, range Range::above(0.0), from "assumed";
        /// Names of layers that train, with commas between them; empty for all.
        layers: String = String::new(), from "assumed";
        /// λ, the weight of what is fine; 0 leaves it out.
        fine_weight: f64 = 1.0, range Range::of(0.0..=1e6), from "assumed";
        /// Which of it is compared.
        fine: Fine = Fine::Both, from "arXiv:2311.18158, at second hand";
        /// Where high frequencies begin, as a share of half a cycle per pixel.
        cutoff: f64 = 0.25, range Range::of(0.0..=1.4), from "assumed";
        /// Pairs that the teacher makes.
        pairs: u32 = 1_024, range Range::of(1.0..=16_777_216.0), from "assumed";
        /// Evaluations of the network for each, by Heun's method.
        pair_evaluations: u32 = 25, range Range::of(1.0..=8192.0), from "assumed";
        /// Samples that the teacher is trained on, in budgets of the run.
        teacher_budgets: f64 = 3.0, range Range::above_up_to(0.0, 1000.0), from "assumed";
        /// Learning rate of the teacher.
        teacher_lr: f64 = 2e-3, range Range::above(0.0), from "assumed";
        /// Mean of ln σ in the teacher's training.
        p_mean: f64 = -1.2, range Range::ANY, from "arXiv:2206.00364, table 1";
        /// Standard deviation of ln σ in the teacher's training.
        p_std: f64 = 1.2, range Range::above(0.0), from "arXiv:2206.00364, table 1";
        /// Decay of the average of the weights; 0 is none.
        ema: f64 = 0.99, range Range::of(0.0..1.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 64, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "assumed";
        /// Peak learning rate.
        lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        use adaptive: AdaptiveSettings;
        refuse Self::used;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a diffusion model adapted to one step, with high frequencies compared beside the images",
    paper: Paper {
        title: "HiPA: Enabling One-Step Text-to-Image Diffusion Models via High-Frequency-Promoting Adaptation",
        authors: "Zhang, Hooi",
        year: 2023,
        reference: "arXiv:2311.18158",
        code: "none",
    },
    claim: PaperClaim {
        statement: "few adapted parameters make one step good, by what promotes high frequencies",
        number: "FID-5k on COCO 37.3 to 23.8, 0.04 % of the parameters",
        source: "abstract",
    },
    baseline: Some("progressive-distillation"),
    needs: &[offers::DENOISING, offers::IMAGES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what would not be used.
    fn used(&self) -> Result<(), SettingError> {
        let Self { adapt, fine_weight, fine, .. } = *self;
        let low_rank = adapt == Adapt::LowRank;
        let idle = [
            ("rank", !low_rank, "adapt \"low-rank\""),
            ("scale", !low_rank, "adapt \"low-rank\""),
            ("layers", low_rank, "adapt \"layers\""),
            ("fine", fine_weight == 0.0, "a fine_weight above 0"),
            ("cutoff", fine_weight == 0.0 || fine == Fine::Edges, "what compares the band"),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            return Err(task.unfit("trains its own teacher: name none in the arm"));
        }
        let Self { fine_weight, fine, cutoff, pairs, pair_evaluations, .. } = *self;
        let rules = Rules { fine_weight, fine, cutoff, pairs, pair_evaluations };
        let objective = Box::new(OneStepPairs::new(rules, task)?);
        let (parametrisation, network): (Box<dyn Parametrisation>, _) = match self.adapt {
            Adapt::LowRank => {
                let (seat, network) = LowRankUpdate::new(self.rank, self.scale, task)?;
                (Box::new(seat), network)
            }
            Adapt::Layers => {
                let (seat, network) = Layers::new(&self.layers, task)?;
                (Box::new(seat), network)
            }
        };
        let sigma_data = generation(task)?.sigma_data;
        let sampler = SamplerKind::OneStep.build(Preconditioning::Diffusion, sigma_data, 1);
        let mut stages = Stages::new(vec![Stage::plain("one-step", 1)]);
        stages.tutor = Some(self.teacher(sigma_data, task)?);
        Ok(Recipe {
            stages: Some(stages),
            parametrisation: Some(parametrisation),
            sampler: Some(sampler),
            ..self.steps(objective, self.lr, &network)?
        })
    }

    /// What teacher and adaptation have in common.
    fn steps(
        &self,
        objective: Box<dyn Objective>,
        lr: f64,
        network: &Network,
    ) -> Result<Recipe, LabError> {
        let optimizer = self.adaptive.build(self.optimizer, lr, network)?;
        let step = Step::Gradient { objective, optimizer };
        Ok(Recipe {
            averaging: Ema::seat(self.ema, &network.parameters),
            ..Recipe::of(self.batch_size, self.schedule.clone(), step)
        })
    }

    /// The model of many steps.
    fn teacher(&self, sigma_data: f64, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let streams = Streams::new(seed);
        let objective = Box::new(Denoising::new(self.p_mean, self.p_std, sigma_data, &streams));
        let recipe = Box::new(self.steps(objective, self.teacher_lr, task.network)?);
        let samples = (self.teacher_budgets * task.budget_samples as f64).round() as u64;
        let mut settings = self.values();
        // What it does not hang on: arms that differ in these share it.
        let others = [
            "adapt",
            "rank",
            "scale",
            "layers",
            "fine_weight",
            "fine",
            "cutoff",
            "pairs",
            "pair_evaluations",
            "lr",
        ];
        settings.retain(|name, _| !others.contains(&name.as_str()));
        let network = task.network.duplicate();
        Ok(Tutor { name: "teacher", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::self_made::SELF_MADE;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, StageEntry, check, read};
    use serde_json::Value;
    use training::trial::{Fixture, Parents, Trace};

    fn stage() -> Fixture {
        workloads::fixture("shapes16", &with([])).unwrap()
    }

    /// Four steps of 16.
    fn run<const N: usize>(stage: &Fixture, changed: [(&str, Value); N]) -> Trace {
        let mut settings = with([
            ("batch_size", 16.into()),
            ("pairs", 32.into()),
            ("pair_evaluations", 5.into()),
            ("teacher_budgets", 2.into()),
        ]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 16 * 4, 3).unwrap()
    }

    fn list(trace: &Trace) -> Vec<StageEntry> {
        let list = read(&trace.facts[STAGES]).unwrap();
        assert_eq!(check(&list, 4, Some(trace.digest)), Ok(()));
        list
    }

    #[test]
    fn only_products_beside_the_teachers_weights_train_and_all_that_is_made_is_counted() {
        let stage = stage();
        let trace = run(&stage, []);
        let list = list(&trace);
        let teacher = list[0].parameters_sha256;
        assert_eq!((list[0].name.as_str(), list[0].made.unwrap().samples), ("teacher", 128));
        // Where the adaptation begins is the teacher, to the bit.
        assert_eq!(
            (list[1].from, &trace.facts["adapted_sha256"]),
            (teacher, &teacher.to_string().into())
        );
        assert_eq!(trace.facts["network_evaluations"], 32 * 5 + 16 * 4);
        let made = &trace.facts[SELF_MADE][0];
        assert_eq!(
            (&made["kind"], &made["network"]),
            (&"pairs".into(), &teacher.to_string().into())
        );
        // Σ r(d_in + d_out), a thinner weight with its smaller side for r.
        let sides =
            |parameter: &lab::network::Parameter| lab::sparsity::low_rank::sides(&parameter.tensor);
        let network = stage.network(3).unwrap();
        let weights = network.parameters.iter().filter(|p| p.role == lab::network::Role::Weight);
        let expected: i64 = weights
            .map(|weight| {
                sides(weight).iter().sum::<i64>() * sides(weight)[0].min(sides(weight)[1]).min(4)
            })
            .sum();
        assert_eq!(trace.facts["trained_parameters"], expected);
        assert!(trace.facts["plain_parameters"].as_i64().unwrap() > 2 * expected);
    }

    #[test]
    fn arms_of_a_seed_share_the_teacher_and_every_choice_makes_a_difference() {
        let stage = stage();
        let plain = run(&stage, []);
        let others = [
            run(&stage, [("fine_weight", 0.into())]),
            run(&stage, [("fine", "edges".into())]),
            run(&stage, [("cutoff", 0.5.into())]),
            run(&stage, [("rank", 8.into())]),
            run(&stage, [("adapt", "layers".into())]),
            run(&stage, [("adapt", "layers".into()), ("layers", "out".into())]),
        ];
        for other in &others {
            assert_ne!(other.digest, plain.digest);
            assert_eq!(list(other)[0], list(&plain)[0]);
        }
        let trained = |trace: &Trace| trace.facts["trained_parameters"].as_u64().unwrap();
        assert_eq!(trained(&others[4]), others[4].facts["plain_parameters"].as_u64().unwrap());
        // 8 channels of 3 × 3, and a bias.
        assert_eq!(trained(&others[5]), 73);
    }

    #[test]
    fn what_would_not_be_used_or_does_not_fit_is_refused_before_training() {
        for (values, word) in [
            (with([("layers", "out".into())]), "layers"),
            (with([("adapt", "layers".into()), ("rank", 8.into())]), "rank"),
            (with([("fine_weight", 0.into()), ("cutoff", 0.5.into())]), "cutoff"),
            (with([("pairs", 0.into())]), "pairs"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let stage = stage();
        let error =
            stage.run(&METHOD, &with([("rank", 33.into())]), 64, 3).unwrap_err().to_string();
        assert!(error.contains("\"rank\" is 33") && error.contains("at most 32"), "{error}");
        let network = stage.network(9).unwrap();
        let parents = Parents { start: None, teacher: Some(&network) };
        let named = stage.derive(&METHOD, &with([]), 64, 3, parents).unwrap_err().to_string();
        assert!(named.contains("trains its own teacher"), "{named}");
    }
}
