//! # PFNR
//!
//! ## Mechanism
//! Clips come one after the other, each a session that sees its own frames alone, and one network is to decode them
//! all. Every weight that they share has a score ρ. In a session the network sees `W ⊙ m`, where m is 1 on the
//! `1 − sparsity` largest scores of each layer (|ρ|; in the Fourier layer ρ itself, real and imaginary parts and both
//! corners each for themselves), and the gradient goes through m to ρ as if m were |ρ| (ρ). At the end of a session its
//! mask is kept and what it has taken is closed: `M ← M ∨ m`, and weights in M take no gradient from then on, though
//! later masks may use them. Since every session starts Adam anew, without weight decay, they never move again: a
//! clip is decoded by its mask as on the day it was learnt, bit for bit.
//!
//! The second block of the network is a Fourier layer, `K v = irfft(R · rfft(v))` with complex R on the `modes` lowest
//! frequencies; `fourier: false` leaves the convolution there, which is WSN. A head per clip is never masked.
//! Loss: 0.7·L1 + 0.3·(1 − SSIM). The rate goes from a tenth up during `warmup` of each session, then down a cosine.
//!
//! Modes beside `masks`: `fine-tune` trains everything in every session, `separate` a network of its own for each,
//! from the same start, and `joint` all clips at once, in shuffles of all frames.
//!
//! At every evaluation, sessions that are over are decoded anew, each by its mask: `psnr@session-2`. With evaluations at
//! the ends of sessions these make the forgetting matrix. The judged frames are those trained on (compression).
//!
//! ## Claim
//! "Lossless decoding" of earlier videos, and better quality than other continual learners (abstract, without a
//! number). Here: nothing is forgotten, to the bit; PFNR is above WSN at equal sparsity; later sessions train fewer
//! new weights.
//!
//! ## Sources
//! Kang et al., arXiv:2306.11305 (ICLR 2024); ihaeyong/PFNR at f27b7ead, `train_nerv.py`, `model_subnet_nerv.py`,
//! `neuralop/spectral_convolution.py`. WSN: Kang et al., ICML 2022.
//!
//! ## Differences
//! - The code never measures forgetting: it copies the last row of the matrix. Here every entry is decoded.
//! - It keeps the weights of the best epoch but the masks of the last. Here both are of the session's end.
//! - The paper adds a convolution to the Fourier layer; in the code that is commented out. Here as the code.
//! - The code extends the layer's spectrum behind its last row, which turns negative frequencies into high positive
//!   ones on the finer grid. Here they stay negative: with R the identity the layer is a low-pass.
//! - Scores go on from session to session (the code's default); the mask is `m + ρ − ρ` with the last term detached, so
//!   that training sees zeros and ones and not what is near them.
//! - The mean over a batch of losses of frames; batch 1 as the code.

use std::ops::Bound;

use lab::method::Method;
use lab::models::clips::FOURIER_GRID;
use lab::models::clips::sessions::{Sessions, Sharing};
use lab::objectives::frames::Decoding;
use lab::optim::adam::Adam;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::sessions::InSessions;
use lab::recipe::{Recipe, Step};
use lab::seat::{Parametrisation as _, TaskInfo};
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, Values};
use ledger::{choice, settings};

choice! {
    /// How clips share a network.
    pub enum Mode {
        /// By masks over weights that are trained once.
        Masks = "masks",
        /// All of it, one after the other.
        FineTune = "fine-tune",
        /// Not at all.
        Separate = "separate",
        /// All of it, at once.
        Joint = "joint",
    }
}

settings! {
    /// Settings of `pfnr`.
    pub struct Settings {
        /// How clips share a network.
        mode: Mode = Mode::Masks, from "paper, section 3";
        /// Share of every layer that a mask leaves out.
        sparsity: f64 = 0.5, range Range::of((Bound::Excluded(0.0), Bound::Excluded(1.0))), from "train_nerv.py";
        /// A Fourier layer in place of the second convolution.
        fourier: bool = true, from "run_fso.sh: --freq 1";
        /// Frequencies that it keeps along each axis, half of them negative; at most as many as its input has rows.
        modes: u32 = FOURIER_GRID as u32, range Range::of(2.0..=FOURIER_GRID as f64), from "model_subnet_nerv.py: as many as rows and columns";
        /// Peak learning rate of a session.
        lr: f64 = 5e-4, range Range::above(0.0), from "run_fso.sh";
        /// Decay of Adam's first moment.
        beta1: f64 = 0.5, range Range::of(0.0..1.0), from "train_nerv.py";
        /// Decay of its second moment.
        beta2: f64 = 0.999, range Range::of(0.0..1.0), from "train_nerv.py";
        /// Added to the root of the second moment.
        eps: f64 = 1e-8, range Range::above(0.0), from "PyTorch default";
        /// Weight decay, in the gradient; it would move what earlier sessions are decoded by.
        weight_decay: f64 = 0.0, range Range::of(0.0..), from "train_nerv.py: none";
        /// Share of a session during which the rate grows.
        warmup: f64 = 0.2, range Range::of(0.0..1.0), from "run_fso.sh";
        /// Frames per step.
        batch_size: u32 = 1, range Range::of(1.0..), from "run_fso.sh";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "clips one after the other in one network, by masks over weights that are trained once",
    paper: Paper {
        title: "Progressive Fourier Neural Representation for Sequential Video Compilation",
        authors: "Kang, Yoon, Kim, Hwang, Yoo",
        year: 2024,
        reference: "arXiv:2306.11305",
        code: "ihaeyong/PFNR@f27b7ead",
    },
    claim: PaperClaim {
        statement: "earlier videos are decoded without any loss, and better than by other continual learners",
        number: "none in the abstract",
        source: "abstract",
    },
    baseline: Some("untrained"),
    needs: &[offers::CLIPS],
    settings: Settings::table,
    resolve,
    build,
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { mode, sparsity, fourier, modes, weight_decay, .. } = Settings::read(&resolved)?;
    let joint = |what: String| Err(SettingError::Joint(what));
    if matches!(mode, Mode::Masks | Mode::Separate) && weight_decay > 0.0 {
        return joint(format!(
            "setting \"weight_decay\" is {weight_decay}, but must be 0: what earlier sessions are decoded by would move"
        ));
    }
    let unused =
        |name: &str, of: &str| joint(format!("setting \"{name}\" is of {of} alone: leave it out"));
    if mode != Mode::Masks && sparsity != Settings::default().sparsity {
        return unused("sparsity", "mode \"masks\"");
    }
    if !fourier && modes != Settings::default().modes {
        return unused("modes", "the Fourier layer");
    }
    Ok(resolved)
}

fn build(values: &Values, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
    let settings = Settings::read(values)?;
    let Some(clips) = task.side.clips else { return Err(task.unfit("it has no clips")) };
    let least = u64::from(clips.sessions) * u64::from(clips.frames);
    if task.budget_samples < least || clips.sessions < 2 {
        return Err(task.unfit(format!(
            "there are {} sessions and a budget of {} frames, but there must be at least 2 and {least}, one pass over each",
            clips.sessions, task.budget_samples
        )));
    }
    let sharing = match settings.mode {
        Mode::Masks => Sharing::Masked(settings.sparsity),
        Mode::FineTune => Sharing::InTurn,
        Mode::Separate => Sharing::Apart,
        Mode::Joint => Sharing::AtOnce,
    };
    let mut sessions = Sessions::new(clips, sharing, settings.fourier.then_some(settings.modes));
    // The update rule has state for what is trained in place of the network.
    let mut network = task.network.duplicate();
    sessions.install(&mut network, task.streams)?;
    let Settings { lr, beta1, beta2, eps, weight_decay, warmup, batch_size, .. } = settings;
    let adamw = AdamwSettings { lr, beta1, beta2, eps, weight_decay: 0.0 };
    let optimizer = Box::new(Adam::new(Adamw::new(adamw, &network, |_, _| true)?, weight_decay));
    let in_turn = (settings.mode != Mode::Joint).then_some(clips);
    let step = Step::Gradient { objective: Box::new(Decoding { in_turn, warmup }), optimizer };
    let mut recipe = Recipe::of(batch_size, Schedule::Constant, step);
    if in_turn.is_some() {
        recipe.order = Box::new(InSessions::new(clips, task.budget_samples));
    }
    let looks = Some(Box::new(sessions.clone()) as _);
    Ok(Recipe { parametrisation: Some(Box::new(sessions)), looks, ..recipe })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::clips::Decoder;
    use lab::network::{Parameter, values};
    use lab::seat::{Gradients, Optimizer, StepInfo};
    use lab::state::State;
    use lab::trial::with;
    use ledger::goal::Budget;
    use serde_json::{Value, json};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use training::judge::{EvaluationRequest, Judge};
    use training::trial::Trace;

    /// Every session's frames as they were decoded at each evaluation.
    #[derive(Debug, Default)]
    struct Decoded(RefCell<BTreeMap<u32, Vec<Vec<f32>>>>);

    impl Judge for Decoded {
        fn metrics(&self, seen: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
            if let Some(session) = Decoder::of(seen.model.network)?.only {
                let inputs = seen.split.rows(16 * i64::from(session), 16)?.0;
                let frames = values(&seen.model.network.forward(&inputs, false)?)?;
                self.0.borrow_mut().entry(session).or_default().push(frames);
            }
            Ok(BTreeMap::new())
        }
    }

    /// A pass over each of four sessions, looked at behind each.
    fn run(method: &Method, settings: Value) -> (Trace, Vec<Vec<Vec<f32>>>) {
        let settings = serde_json::from_value(settings).unwrap();
        let fixture = workloads::fixture("clips", &with([])).unwrap();
        let (budget, decoded) = (Budget { samples: 64, evaluate_every: 16 }, Decoded::default());
        let trace = fixture.watch(method, &settings, budget, 3, &decoded).unwrap();
        (trace, decoded.0.into_inner().into_values().collect())
    }

    /// How far frames of each session have moved since the first look behind it.
    fn moved(method: &Method, settings: Value) -> f32 {
        let (_, decoded) = run(method, settings);
        // The last look is at both splits.
        assert_eq!(decoded.iter().map(Vec::len).collect::<Vec<_>>(), [5, 4, 3, 2]);
        let pairs = decoded.iter().flat_map(|looks| looks.iter().map(|frames| (frames, &looks[0])));
        let pixels = pairs.flat_map(|(now, then)| now.iter().zip(then));
        pixels.map(|(now, then)| (now - then).abs()).fold(0.0, f32::max)
    }

    /// Adam that goes on with its moments.
    struct Carried(Box<dyn Optimizer>);

    impl Optimizer for Carried {
        fn update(
            &mut self,
            parameters: &[Parameter],
            gradients: &Gradients,
            now: &StepInfo,
        ) -> Result<(), LabError> {
            self.0.update(parameters, gradients, now)
        }

        fn reset(&mut self) -> Result<(), LabError> {
            Ok(())
        }

        fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
            Ok(())
        }
    }

    #[test]
    fn earlier_sessions_are_decoded_bit_for_bit_as_on_their_day_but_with_moments_or_decay() {
        assert_eq!(moved(&METHOD, json!({})), 0.0);
        assert_eq!(moved(&METHOD, json!({"fourier": false, "sparsity": 0.3, "lr": 0.01})), 0.0);
        assert_eq!(moved(&METHOD, json!({"mode": "separate"})), 0.0);
        assert!(moved(&METHOD, json!({"mode": "fine-tune"})) > 0.0);
        let careless = Method { resolve: Settings::resolve, ..METHOD };
        assert!(moved(&careless, json!({"weight_decay": 0.01})) > 0.0);
        let build: fn(&Values, &TaskInfo<'_>) -> Result<Recipe, LabError> = |values, task| {
            let recipe = (METHOD.build)(values, task)?;
            let Step::Gradient { objective, optimizer } = recipe.step else { unreachable!() };
            let optimizer = Box::new(Carried(optimizer));
            Ok(Recipe { step: Step::Gradient { objective, optimizer }, ..recipe })
        };
        assert!(moved(&Method { build, ..METHOD }, json!({})) > 0.0);
    }

    #[test]
    fn weights_are_taken_once_and_counted_and_sessions_are_trained_in_turn() {
        let (trace, _) = run(&METHOD, json!({}));
        let counts =
            |name: &str| -> Vec<u64> { serde_json::from_value(trace.facts[name].clone()).unwrap() };
        let (taken, new, all) = (counts("taken_weights"), counts("new_weights"), 79_168);
        assert_eq!(trace.facts["shared_weights"], json!(all));
        assert!(taken.is_sorted() && taken[3] <= all, "{taken:?}");
        // Every layer keeps half, and one more where its count is odd.
        assert_eq!((taken[0], new.len()), (all / 2, 4));
        assert_eq!(new.iter().sum::<u64>(), taken[3]);
        let sessions: Vec<u32> = trace.order.ids.iter().map(|id| id / 16).collect();
        assert!(sessions.is_sorted() && sessions.len() == 64);
        assert!(!run(&METHOD, json!({"mode": "joint"})).0.facts.contains_key("new_weights"));
    }

    #[test]
    fn what_would_not_hold_or_is_not_used_is_refused_with_setting_and_range() {
        for (settings, expected) in [
            (
                json!({"sparsity": 0}),
                "setting \"sparsity\" is 0, but must be a number above 0 and below 1",
            ),
            (
                json!({"modes": 9}),
                "setting \"modes\" is 9, but must be a whole number at least 2 and at most 8",
            ),
            (json!({"weight_decay": 0.1}), "setting \"weight_decay\" is 0.1, but must be 0"),
            (
                json!({"mode": "joint", "sparsity": 0.3}),
                "setting \"sparsity\" is of mode \"masks\"",
            ),
            (json!({"fourier": false, "modes": 4}), "setting \"modes\" is of the Fourier layer"),
        ] {
            let refused = (METHOD.resolve)(&serde_json::from_value(settings).unwrap()).unwrap_err();
            assert!(refused.to_string().starts_with(expected), "{refused}");
        }
        let fixture = workloads::fixture("clips", &with([])).unwrap();
        let short = fixture.run(&METHOD, &with([]), 48, 1).unwrap_err().to_string();
        assert!(short.ends_with(
            "a budget of 48 frames, but there must be at least 2 and 64, one pass over each"
        ));
    }
}
