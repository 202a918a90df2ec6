//! # Low-precision training
//!
//! ## Mechanism
//! Number formats (`palimpsest explain low-precision` lists them) at five places, each f32 unless a suite says otherwise:
//! - `weights`: what the forward and backward pass multiply with; masters stay as they are, gradients pass straight through;
//! - `activations`: what enters a product, in training and where the network is judged;
//! - `gradients`: what comes back to the output of a product, before it is multiplied with weights and inputs;
//! - `stored`: all parameters after every update, so that there is no master (Gupta), also at the start;
//! - `state`: the momentum after every update.
//!
//! `rounding` is that of `stored` and `state`: to nearest, or stochastic, ⌊x/δ + u⌋·δ. Weights and activations round to
//! nearest, gradients by `gradient_rounding`. `average_from` judges the f32 mean of the weights over the rest of the run
//! (SWALP). `lsq_bits` learns the step of each weight matrix: ŵ = round(clip(w/s, −Q_N, Q_P))·s with LSQ's gradients;
//! `pact_bits` clips what enters every product but the first at a learned height α and rounds it to 2^b − 1 steps, with
//! `pact_decay`·α added to α's gradient. Steps and heights train at the rate of the weights. `amax_history` takes the
//! scale of fp8 inputs from the largest magnitudes of as many steps before.
//!
//! ## Claim
//! Of the survey's methods: bf16, fp8 and int8 lose at most half a point against f32, and stochastic rounding keeps
//! weights of 8 bits training where rounding to nearest stalls, since updates below half a step vanish.
//!
//! ## Sources
//! Survey: arXiv:2505.01043. Gupta et al., arXiv:1502.02551 (fixed point, stochastic rounding); Micikevicius et al.,
//! arXiv:2209.05433 (fp8); SWALP, arXiv:1904.11943, stevenygd/SWALP at 99c1f4d9; microxcaling at 7bc41952 (MX); LSQ,
//! arXiv:1902.08153; PACT, arXiv:1805.06085.
//!
//! ## Differences
//! - Emulated in f32, also on a GPU: values lie on the format's grid, products are summed in f32, and nothing is faster or
//!   smaller. A GPU's own products of fp8 (`internal_scaled_mm`) are not called, and were not tried.
//! - Gradients take one rounding for both products of the backward pass; microxcaling rounds once along each reduced
//!   dimension. SWALP rounds inputs stochastically too and averages once an epoch; here after each update.
//! - LSQ's paper starts from a trained network and leaves first and last layers at 8 bits, PACT's leaves both alone; here
//!   only PACT's first. Formulas of LSQ and PACT and α = 10 at the start are from memory: `assumed`.
//! - Networks of a list of layers alone: the tap does not reach into a transformer.

use lab::formats::places::{Formats, Places};
use lab::formats::stored::Stored;
use lab::formats::tap::Rounding;
use lab::formats::{Format, Quantiser};
use lab::method::Method;
use lab::network::Body;
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::seat::Parametrisation;
use lab::{averaging::swa::Swa, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError, Values, refuse_idle};
use ledger::streams::Streams;

settings! {
    /// Settings of `low-precision`.
    pub struct Settings {
        /// Format of weights in products.
        weights: Format = Format::Single, from "assumed: f32 unless asked for";
        /// Format of what enters products.
        activations: Format = Format::Single, from "assumed: f32 unless asked for";
        /// Format of gradients that enter products.
        gradients: Format = Format::Single, from "assumed: f32 unless asked for";
        /// Format of the parameters that are kept from step to step.
        stored: Format = Format::Single, from "assumed: f32 unless asked for";
        /// Format of the momentum.
        state: Format = Format::Single, from "assumed: f32 unless asked for";
        /// Rounding of `stored` and `state`.
        rounding: Rounding = Rounding::Stochastic, from "Gupta et al.; SWALP quantizer.py";
        /// Rounding of `gradients`.
        gradient_rounding: Rounding = Rounding::Nearest, from "fp8 and MX; SWALP: stochastic";
        /// Bits of a word of `fixed`, its sign included.
        word_bits: u32 = 16, range Range::of(2.0..=24.0), from "Gupta et al.: words of 16 bits";
        /// Of these, bits behind the point.
        fraction_bits: u32 = 14, range Range::of(0.0..=23.0), from "Gupta et al.: <2, 14>";
        /// Values per exponent of `bfp8`; 0 for a row.
        block: u32 = 0, from "SWALP quantizer.py: a row";
        /// Steps whose largest magnitudes scale fp8 inputs; 0 for the present one's own.
        amax_history: u32 = 0, range Range::of(0.0..=1024.0), from "assumed: 0; libraries keep 16 to 1024";
        /// Bits of weights with a learned step; 0 for none.
        lsq_bits: u32 = 0, range Range::of(0.0..=8.0), from "assumed: none unless asked for";
        /// Bits of activations with a learned height; 0 for none.
        pact_bits: u32 = 0, range Range::of(0.0..=8.0), from "assumed: none unless asked for";
        /// Decay of learned heights.
        pact_decay: f64 = 1e-4, range Range::of(0.0..), from "assumed: PACT decays α as weights";
        /// Share of the run from which weights are averaged; 1 for never.
        average_from: f64 = 1.0, range Range::of(0.0..=1.0), from "SWALP: epoch 200 of 300";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "as `sgd`";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "as `sgd`";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "trains in emulated number formats: fixed point, int8, fp8, bf16, block and MX formats, LSQ, PACT",
    paper: Paper {
        title: "Low-precision training of large language models: methods, challenges, and opportunities",
        authors: "Hao et al.",
        year: 2025,
        reference: "arXiv:2505.01043",
        code: "Hao840/Awesome-Low-Precision-Training@2597ffb3 (a list)",
    },
    claim: PaperClaim {
        statement: "8-bit formats train as f32 does; stochastic rounding rescues low-bit storage of weights",
        number: "CIFAR-10 error of VGG16: 6.81 in f32, 7.61 in 8 bits, 6.70 with averaging",
        source: "README of stevenygd/SWALP",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        if !matches!(task.network.body, Body::Layers(_)) {
            return Err(task.unfit("the network is no list of layers, which formats sit between"));
        }
        let mut rule = settings.formats(task.streams);
        let mut network = task.network.duplicate();
        rule.install(&mut network, task.streams)?;
        let optimizer = settings.base.build(&network)?;
        let plain = Recipe::plain(settings.batch_size, settings.schedule.clone(), optimizer, task)?;
        let noise = settings.rounding.noise(task.streams, "method/stored");
        let [weights, state] = [settings.stored, settings.state].map(|f| settings.quantiser(f));
        Ok(Recipe {
            parametrisation: Some(Box::new(rule)),
            constraint: Stored::seat(weights, state, noise),
            averaging: Swa::seat(settings.average_from),
            ..plain
        })
    },
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let settings = Settings::read(&resolved)?;
    let Settings { word_bits, fraction_bits, .. } = settings;
    let refuse = |reason: String| Err(SettingError::Joint(reason));
    if settings.lsq_bits == 1 {
        return refuse("\"lsq_bits\" is 1: a sign alone has no step; give 0 or 2 to 8".into());
    }
    if settings.lsq_bits > 0 && settings.weights != Format::Single {
        return refuse("\"lsq_bits\" and \"weights\" both round: leave one out".into());
    }
    if settings.pact_bits > 0 && settings.activations != Format::Single {
        return refuse("\"pact_bits\" and \"activations\" both round: leave one out".into());
    }
    if fraction_bits >= word_bits {
        return refuse(format!(
            "setting \"fraction_bits\" is {fraction_bits}, but a word has {word_bits} bits, its sign included (\"word_bits\")"
        ));
    }
    settings.idle().map(|()| resolved)
}

impl Settings {
    /// Refuses what was changed although nothing reads it.
    fn idle(&self) -> Result<(), SettingError> {
        let Self { weights, activations, gradients, stored, state, .. } = *self;
        let all = [weights, activations, gradients, stored, state];
        let (single, scaled) = (Format::Single, matches!(activations, Format::E4m3 | Format::E5m2));
        let idle = [
            ("rounding", [stored, state] == [single; 2], "\"stored\" or \"state\" below f32"),
            ("gradient_rounding", gradients == single, "\"gradients\" below f32"),
            ("word_bits", !all.contains(&Format::Fixed), "format \"fixed\""),
            ("fraction_bits", !all.contains(&Format::Fixed), "format \"fixed\""),
            ("block", !all.contains(&Format::Bfp8), "format \"bfp8\""),
            ("amax_history", !scaled, "\"activations\" in fp8"),
            ("pact_decay", self.pact_bits == 0, "\"pact_bits\""),
            ("state", self.base.keeps_no_momentum(), "a \"momentum\" above 0"),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    fn quantiser(&self, format: Format) -> Quantiser {
        let Self { word_bits, fraction_bits, block, .. } = *self;
        Quantiser { format, word_bits, fraction_bits, block }
    }

    fn formats(&self, streams: &Streams) -> Formats {
        Formats::new(Places {
            weights: self.quantiser(self.weights),
            activations: self.quantiser(self.activations),
            gradients: self.quantiser(self.gradients),
            noise: self.gradient_rounding.noise(streams, "method/gradient"),
            amax_history: self.amax_history as usize,
            lsq_bits: self.lsq_bits,
            pact_bits: self.pact_bits,
            pact_decay: self.pact_decay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;
    use training::trial::{Trace, Trial};

    const TRIAL: Trial = Trial { examples: 48, epochs: 2, seed: 0 };

    fn given(with: Value) -> Values {
        let plain = json!({"batch_size": 16});
        let mut values: Values = serde_json::from_value(plain).unwrap();
        values.extend(serde_json::from_value::<Values>(with).unwrap());
        values
    }

    fn trained(with: Value) -> Trace {
        TRIAL.run(&METHOD, &given(with)).unwrap()
    }

    #[test]
    fn in_single_precision_it_is_sgd_bit_for_bit() {
        let sgd = crate::find("sgd").unwrap().method;
        let plain = TRIAL.run(sgd, &given(json!({}))).unwrap();
        assert_eq!(trained(json!({})).digest, plain.digest);
        for place in ["weights", "activations", "gradients", "stored", "state"] {
            assert_ne!(trained(json!({place: "bf16"})).digest, plain.digest, "{place}");
        }
    }

    fn different(trace: &Trace) -> usize {
        let all = trace.network.parameters.iter().flat_map(|p| values(&p.tensor).unwrap());
        all.map(|x| (x + 0.0).to_bits()).collect::<BTreeSet<u32>>().len()
    }

    #[test]
    fn what_is_stored_has_no_more_values_than_its_word() {
        for rounding in ["nearest", "stochastic"] {
            let stored = json!({"stored": "fixed", "word_bits": 6, "fraction_bits": 5, "rounding": rounding});
            let found = different(&trained(stored));
            assert!(found <= 64 && found > 20, "{rounding}: {found}");
        }
        assert!(different(&trained(json!({}))) > 200);
    }

    #[test]
    fn what_is_judged_and_kept_lies_on_the_grid_of_the_weights_and_masters_do_not() {
        let bits = |trace: &Trace| {
            let weights = values(&trace.network.parameters[0].tensor).unwrap();
            weights.iter().filter(|w| w.to_bits() & 0xffff != 0).count()
        };
        assert_eq!(bits(&trained(json!({"weights": "bf16"}))), 0);
        assert!(bits(&trained(json!({"activations": "bf16"}))) > 0);
        // Learned steps: 2^2 values a matrix, and the steps themselves are not among the weights.
        let trace = trained(json!({"lsq_bits": 2}));
        let before = TRIAL.network().unwrap();
        assert_eq!(trace.network.parameters.len(), before.parameters.len());
        let weights = values(&trace.network.parameters[0].tensor).unwrap();
        assert!(weights.iter().map(|w| (w + 0.0).to_bits()).collect::<BTreeSet<u32>>().len() <= 4);
    }

    #[test]
    fn noise_is_that_of_the_seed_and_another_stream_than_that_of_gradients() {
        let stored = json!({"stored": "fixed", "word_bits": 8, "fraction_bits": 6});
        let both = json!({"stored": "fixed", "word_bits": 8, "fraction_bits": 6,
            "gradients": "bfp8", "gradient_rounding": "stochastic"});
        assert_eq!(trained(stored.clone()).digest, trained(stored.clone()).digest);
        assert_eq!(trained(both.clone()).digest, trained(both.clone()).digest);
        assert_ne!(trained(stored).digest, trained(both).digest);
    }

    #[test]
    fn learned_heights_and_averages_and_lagging_scales_train() {
        let different: BTreeSet<String> = [
            json!({}),
            json!({"pact_bits": 4}),
            json!({"average_from": 0.5}),
            json!({"activations": "fp8-e4m3"}),
            json!({"activations": "fp8-e4m3", "amax_history": 16}),
        ]
        .map(|with| format!("{:?}", trained(with).digest))
        .into();
        assert_eq!(different.len(), 5);
    }

    #[test]
    fn settings_that_cannot_hold_together_are_refused_with_their_names() {
        for (with, expected) in [
            (json!({"lsq_bits": 4, "weights": "int8"}), "\"lsq_bits\" and \"weights\""),
            (json!({"pact_bits": 4, "activations": "int8"}), "\"pact_bits\" and \"activations\""),
            (json!({"lsq_bits": 1}), "a sign alone has no step"),
            (json!({"word_bits": 8, "fraction_bits": 8}), "a word has 8 bits"),
            (json!({"weights": "fp16"}), "must be one of f32, bf16"),
            (json!({"word_bits": 40}), "word_bits"),
            (json!({"rounding": "nearest"}), "\"rounding\" is of \"stored\" or"),
            (json!({"gradient_rounding": "stochastic"}), "of \"gradients\" below f32 alone"),
            (json!({"weights": "mxfp4", "fraction_bits": 6}), "of format \"fixed\" alone"),
            (json!({"weights": "int8", "block": 16}), "of format \"bfp8\" alone"),
            (json!({"weights": "fp8-e4m3", "amax_history": 16}), "\"activations\" in fp8"),
            (json!({"pact_decay": 0.1}), "of \"pact_bits\" alone"),
            (json!({"state": "bf16", "momentum": 0}), "\"state\" is of a \"momentum\" above 0"),
            (json!({"beta1": 0.5}), "\"beta1\" is of \"optimizer\": \"adamw\" alone"),
        ] {
            let refused = resolve(&given(with)).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
