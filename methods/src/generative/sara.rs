//! # SaRA: progressive sparse low-rank adaptation
//!
//! ## Mechanism
//! Of a trained network only those values train whose magnitude is below a threshold τ, packed one behind the other, so that
//! the update rule keeps nothing for the rest; `share` says how many these are, and so what τ is. Behind half of the run
//! the mask is taken anew: values that have grown above τ stay where they are, the others go on, by a rule that has
//! forgotten all. At every step one large matrix W_r, by lot, adds λ·‖W_r ⊙ M_r‖_*, whose slope is λ·UVᵀ ⊙ M_r.
//!
//! ## Claim
//! The 10 to 20 % of the smallest weights hardly contribute, and trained alone they fit a target better than LoRA of as
//! many parameters and keep more of what was there (abstract; no number that was read). Records tell `moved` (‖ΔW‖) and
//! `moved_rank` (of the largest matrix's change).
//!
//! ## Sources
//! arXiv:2409.06633 (ICLR 2025), abstract; sjtuplayer/SaRA@ea21192 `optim/adamw.py`, `optim/adamw2.py`, `finetune.sh`.
//!
//! ## Differences
//! - τ is 0.002 in the code, of a network of 860 million weights; `share` gives the same place in another network's
//!   magnitudes. As in the code all tensors are masked, biases and normalisations too.
//! - `released: true` is the code's default path: the first step behind each masking sees |w| for w, and the penalty
//!   reaches no packed value (its gradient goes to tensors that the rule does not move), so that λ must be 0 here.
//!   That path also leaves out the update at which it masks anew; here none is left out.
//! - A penalty needs matrices with both sides above 64, as in the code; filters are none.
//! - What the code's cosine falls to and the batch are of its examples; λ, rates and the place of the second mask are its.
//! - LoRA is beside every weight; a weight thinner than `rank` has a product of its smaller side.
//! - Here too: other choices of as many values (`select`), LoRA, whole layers, and the chosen values set to 0 without a
//!   step (`trains: zeroed`). All start from the weights that the run starts from.

use lab::LabError;
use lab::adapters::layers::Layers;
use lab::adapters::low_rank::LowRankUpdate;
use lab::adapters::masked::{Masked, Rules, Select, Zeroed};
use lab::adapters::moved::Moved;
use lab::diffusion::{Preconditioning, generation};
use lab::method::Method;
use lab::network::Network;
use lab::objectives::denoising::Denoising;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::SamplerKind;
use lab::seat::{Constraint, Parametrisation, TaskInfo};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::{choice, settings};

choice! {
    /// What trains.
    pub enum Trains {
        /// Chosen values of all tensors.
        Masked = "masked",
        /// A low-rank product beside every weight (LoRA).
        LowRank = "low-rank",
        /// Whole layers; all where none is named.
        Layers = "layers",
        /// Nothing: the chosen values are 0.
        Zeroed = "zeroed",
    }
}

settings! {
    /// Settings of `sara`.
    pub struct Settings {
        /// What trains.
        trains: Trains = Trains::Masked, from "arXiv:2409.06633; others: what it is compared with";
        /// Which values are chosen.
        select: Select = Select::Smallest, from "arXiv:2409.06633; others: controls";
        /// Share of all values that is chosen.
        share: f64 = 0.2, range Range::above_up_to(0.0, 1.0), from "arXiv:2409.06633: 10 to 20 %";
        /// Share of the run behind which the mask is taken anew; 0 for never.
        remask: f64 = 0.5, range Range::of(0.0..1.0), from "finetune.sh: step 2,500 of 5,005";
        /// λ, factor on the nuclear norm of a masked matrix.
        nuclear: f64 = 5e-4, range Range::of(0.0..), from "finetune.sh: --lambda_rank";
        /// Both sides of a matrix that is penalised are above this.
        nuclear_above: u32 = 64, range Range::of(0.0..), from "optim/adamw.py";
        /// As the code's default path does it.
        released: bool = false, from "optim/adamw.py";
        /// r of LoRA.
        rank: u32 = 4, range Range::of(1.0..), from "the repository's comparison";
        /// Factor on LoRA's product.
        scale: f64 = 8.0, range Range::above(0.0), from "the repository's comparison: alpha 32 over rank 4";
        /// Names of layers that train, with commas between them; empty for all.
        layers: String = String::new(), from "assumed";
        /// Mean of ln σ.
        p_mean: f64 = -1.2, range Range::ANY, from "arXiv:2206.00364, table 1";
        /// Standard deviation of ln σ.
        p_std: f64 = 1.2, range Range::above(0.0), from "arXiv:2206.00364, table 1";
        /// Evaluations of the network per sample, by Heun's method.
        evaluations: u32 = 35, range Range::of(1.0..=8192.0), from "EDM, CIFAR-10";
        /// Examples per step.
        batch_size: u32 = 64, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "finetune.sh: cosine";
        /// Peak learning rate.
        lr: f64 = 5e-4, range Range::above(0.0), from "optim/adamw.py: 0.001·exp(−350τ) at τ = 0.002";
        /// Decoupled weight decay.
        weight_decay: f64 = 0.01, range Range::of(0.0..), from "optim/adamw.py";
        refuse Self::used;
    }
}

impl Settings {
    /// Refuses what would not be used, and what the mask cannot be.
    fn used(&self) -> Result<(), SettingError> {
        let Self { trains, select, remask, nuclear, released, .. } = *self;
        let masked = trains == Trains::Masked;
        let of = "trains \"masked\"";
        let idle = [
            ("select", !masked && trains != Trains::Zeroed, "trains \"masked\" and \"zeroed\""),
            ("share", !masked && trains != Trains::Zeroed, "trains \"masked\" and \"zeroed\""),
            ("remask", !masked, of),
            ("nuclear", !masked, of),
            ("nuclear_above", !masked, of),
            ("released", !masked, of),
            ("rank", trains != Trains::LowRank, "trains \"low-rank\""),
            ("scale", trains != Trains::LowRank, "trains \"low-rank\""),
            ("layers", trains != Trains::Layers, "trains \"layers\""),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)?;
        if masked && select != Select::Smallest && remask > 0.0 {
            let message = format!(
                "setting \"remask\" is {remask}, but a mask is taken anew by smallness: set it to 0 where \"select\" is another"
            );
            return Err(SettingError::Joint(message));
        }
        if released && nuclear > 0.0 {
            let message = format!(
                "setting \"nuclear\" is {nuclear}, but the released path moves nothing by it: set it to 0 with \"released\""
            );
            return Err(SettingError::Joint(message));
        }
        Ok(())
    }

    fn rules(&self) -> Rules {
        let Self { select, share, remask, nuclear, nuclear_above, released, .. } = *self;
        Rules { select, share, again: remask, nuclear, above: nuclear_above, magnitudes: released }
    }

    /// What trains, as seats and the network that state is made for.
    fn adapter(&self, task: &TaskInfo<'_>) -> Result<Adapted, LabError> {
        Ok(match self.trains {
            Trains::Masked | Trains::Zeroed => {
                let (seat, network, again) = Masked::new(self.rules(), task)?;
                (Box::new(seat), network, Some(Box::new(again)))
            }
            Trains::LowRank => {
                let (seat, network) = LowRankUpdate::new(self.rank, self.scale, task)?;
                (Box::new(seat), network, None)
            }
            Trains::Layers => {
                let (seat, network) = Layers::new(&self.layers, task)?;
                (Box::new(seat), network, None)
            }
        })
    }
}

type Adapted = (Box<dyn Parametrisation>, Network, Option<Box<dyn Constraint>>);

/// The method.
pub static METHOD: Method = Method {
    summary: "a trained denoiser is adapted by its smallest weights alone; LoRA and other choices beside it",
    paper: Paper {
        title: "SaRA: High-Efficient Diffusion Model Fine-tuning with Progressive Sparse Low-Rank Adaptation",
        authors: "Hu et al.",
        year: 2024,
        reference: "arXiv:2409.06633",
        code: "sjtuplayer/SaRA@ea21192",
    },
    claim: PaperClaim {
        statement: "the smallest weights, trained alone, fit a target better than LoRA and keep more of what was there",
        number: "none that was read",
        source: "abstract",
    },
    baseline: Some("edm"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { trains, p_mean, p_std, evaluations, batch_size, lr, weight_decay, .. } =
            settings;
        let sigma_data = generation(task)?.sigma_data;
        let heun = SamplerKind::Heun.build(Preconditioning::Diffusion, sigma_data, evaluations);
        let sampler = Some(heun);
        if trains == Trains::Zeroed {
            let zeroed = Zeroed { rules: settings.rules(), count: 0 };
            return Ok(Recipe { sampler, constraint: Some(Box::new(zeroed)), ..Recipe::idle() });
        }
        let (parametrisation, network, constraint) = settings.adapter(task)?;
        let rule = AdamwSettings { lr, weight_decay, ..AdamwSettings::default() };
        let optimizer = Box::new(Adamw::new(rule, &network, |_, _| true)?);
        let denoising = Denoising::new(p_mean, p_std, sigma_data, task.streams);
        let objective = Box::new(Moved::by(denoising));
        Ok(Recipe {
            parametrisation: Some(parametrisation),
            constraint,
            sampler,
            ..Recipe::of(batch_size, settings.schedule, Step::Gradient { objective, optimizer })
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp2d::mlp2d;
    use lab::seat::Facts;
    use lab::trial::{self, with};
    use ledger::digest::Digest;
    use serde_json::Value;
    use tch::Device;

    /// Eight steps of 32 from the same network of width 16.
    fn run<const N: usize>(changed: [(&str, Value); N]) -> (Digest, Facts) {
        let mut settings = with([("batch_size", 32.into()), ("nuclear_above", 12.into())]);
        settings.extend(with(changed));
        if settings.contains_key("trains") {
            settings.remove("nuclear_above");
        }
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let (network, facts) =
            training::trial::generate(&METHOD, &settings, network, &[2], 2).unwrap();
        (network.digest().unwrap(), facts)
    }

    #[test]
    fn a_mask_of_everything_without_its_extras_is_full_training_bit_for_bit() {
        let whole = run([("share", 1.into()), ("remask", 0.into()), ("nuclear", 0.into())]);
        let layers = run([("trains", "layers".into())]);
        assert_eq!(whole.0, layers.0);
        assert_eq!(whole.1["trained_parameters"], whole.1["plain_parameters"]);
        // And both are plain denoising by the same rule.
        let settings = with([("batch_size", 32.into()), ("ema", 0.into()), ("lr", 5e-4.into())]);
        let settings = {
            let mut settings = settings;
            settings.insert("schedule".to_owned(), serde_json::json!({"cosine": {"floor": 0.0}}));
            settings
        };
        let edm = crate::find("edm").unwrap().method;
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let edm = training::trial::generate(edm, &settings, network, &[2], 2).unwrap();
        let plain = run([("trains", "layers".into()), ("weight_decay", 0.into())]);
        assert_eq!(plain.0, edm.0.digest().unwrap());
        assert_ne!(plain.0, layers.0);
    }

    #[test]
    fn every_part_of_it_makes_a_difference_and_a_fifth_of_the_values_trains() {
        let (whole, facts) = run([]);
        // 2·16 + 16, 32·16 + 16, twice 16·16 + 16, 16·2 + 2 values.
        let all = 48 + 528 + 544 + 34;
        assert_eq!(facts["plain_parameters"], all);
        assert_eq!(facts["trained_parameters"], (0.2 * f64::from(all)).round() as u64);
        assert_eq!(facts["masked_again_at"], 4);
        let (moved, rank) = (&facts["moved"], &facts["moved_rank"]);
        assert!(moved.as_f64().unwrap() > 0.0 && rank.as_f64().unwrap() > 0.0, "{facts:?}");
        let others = [
            run([("remask", 0.into())]),
            run([("nuclear", 0.into())]),
            run([("nuclear", 0.into()), ("released", true.into())]),
            run([("select", "random".into()), ("remask", 0.into())]),
            run([("select", "largest".into()), ("remask", 0.into())]),
            run([("trains", "low-rank".into())]),
            run([("trains", "zeroed".into())]),
        ];
        let digests: std::collections::BTreeSet<_> =
            others.iter().map(|(digest, _)| digest.to_string()).collect();
        assert!(digests.len() == others.len() && !digests.contains(&whole.to_string()));
        assert_eq!(others[3].1["trained_parameters"], facts["trained_parameters"]);
        assert_eq!(others[6].1["set_to_zero"], facts["trained_parameters"]);
        // Every weight of a product of rank 4: the change of the largest has no more.
        assert!(others[5].1["moved_rank"].as_f64().unwrap() <= 4.0);
    }

    #[test]
    fn what_would_not_be_used_or_cannot_be_is_refused_before_training() {
        for (values, words) in [
            (with([("rank", 8.into())]), ["rank", "low-rank"]),
            (with([("trains", "layers".into()), ("share", 0.1.into())]), ["share", "masked"]),
            (with([("select", "random".into())]), ["remask", "select"]),
            (with([("released", true.into())]), ["nuclear", "released"]),
            (with([("share", 0.into())]), ["share", "above 0"]),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        let refused = |settings| {
            let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
            training::trial::generate(&METHOD, &settings, network, &[2], 1).unwrap_err().to_string()
        };
        let rank = refused(with([("trains", "low-rank".into()), ("rank", 40.into())]));
        assert!(rank.contains("\"rank\" is 40") && rank.contains("at most 16"), "{rank}");
        let penalty = refused(with([]));
        assert!(penalty.contains("\"nuclear_above\""), "{penalty}");
    }

    #[test]
    fn on_a_trained_start_consistency_is_refused_and_this_is_not() {
        let small = [("width", 0.125.into()), ("pretraining", 2.into())];
        let stage = workloads::fixture("ring-shift", &with(small)).unwrap();
        let own = with([("nuclear", 0.into())]);
        assert!(stage.run(&METHOD, &own, 128, 3).is_ok());
        for other in ["ct", "ict", "rectified-flow", "score-matching"] {
            let method = crate::find(other).unwrap().method;
            let error = stage.run(method, &with([]), 128, 3).unwrap_err().to_string();
            assert!(error.contains("Diffusion preconditioning"), "{other}: {error}");
        }
    }
}
