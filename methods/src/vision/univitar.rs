//! # UniViTAR
//!
//! ## Mechanism
//! Two towers, images and captions, learn to agree: the sigmoid loss of every pair of a batch,
//! `L = −(1/B) Σ_ij log σ(y_ij(t·u_i·v_j + b))`, y = 1 for an image and its own caption and −1 for all others, however
//! alike (t' = log 10, b = −10 at the start). The image tower reads images of any size side by side in packs (the
//! workload's network). Mode `curriculum` has two stages: images resized to 16 × 16, then images as they are; modes
//! `fixed` and `native` have one of these. Each stage has its own optimiser state and cosine, the second of a curriculum
//! `native_lr` times the rate, and may leave the captions' tower as it is.
//!
//! Image vectors are also drawn to features of a frozen teacher, `distil`·(1 − cos), by a linear map: a CNN trained
//! before the run on classes of the same images at 16 × 16, once for all runs of a seed that need it.
//!
//! **Budgets are equal in tokens**, not in images: every step has `packs` × 1,296 tokens, those of 81 images at 16 × 16
//! or of four of each of the sixteen sizes, and every mode has as many steps. `tokens` counts them.
//!
//! ## Claim
//! Zero-shot 81.5, 82.3 and 82.9 % on ImageNet at 0.3, 0.6 and 1 B parameters (README). Here: for equally many tokens a
//! curriculum is at least as good at native sizes as either stage alone, and distillation speeds up the start.
//!
//! ## Sources
//! Qiao et al., arXiv:2504.01792 (NeurIPS 2025); MM-MVR/UniViTAR at 88f4517c, `modeling_univitar.py`: inference alone, so
//! that the block, rotary positions before normalised queries and keys, packs and sizes are the code's, and training is
//! what the abstract says. Sigmoid loss: Zhai et al., arXiv:2303.15343.
//!
//! ## Differences
//! - Two of four stages, no video. Their lengths and rates, weight of distillation, pooling (mean over tokens, a linear
//!   head), teacher and optimiser are assumed.
//! - No temporal patch, no dropped paths; attention in packs of 144 tokens under a mask, where the code has a kernel for
//!   sequences of unequal length. Resized by PIL's bicubic kernel, as in the code, on numbers and not on bytes.
//! - Queries and keys are turned and then normalised, as in the code: with learned scales more than differences of
//!   places counts.

use lab::method::Method;
use lab::models::cnn::{Shape, cnn};
use lab::models::vit::TEXT;
use lab::native::Fixed;
use lab::network::Parameter;
use lab::objectives::DefaultLoss;
use lab::objectives::towers::{AsClasses, Towers};
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::Sources;
use lab::orders::equal_tokens::{Counts, EqualTokens};
use lab::recipe::{Recipe, Step};
use lab::seat::TaskInfo;
use lab::side_info::Captions;
use lab::stages::{Shares, Stage, Stages, Tutor};
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use ledger::{choice, settings};

/// Height and width of images of the fixed stage, and of the teacher's.
const RESOLUTION: i64 = 16;
/// Channels of the teacher.
const CHANNELS: [usize; 3] = [16, 32, 32];

choice! {
    /// Which stages there are.
    pub enum Mode {
        /// A fixed size, then native ones.
        Curriculum = "curriculum",
        /// A fixed size alone.
        Fixed = "fixed",
        /// Native sizes alone.
        Native = "native",
    }
}

settings! {
    /// Settings of `univitar`.
    pub struct Settings {
        /// Which stages there are.
        mode: Mode = Mode::Curriculum, from "abstract";
        /// Share of the steps at the fixed size, of mode curriculum.
        fixed_share: f64 = 0.5, range Range::of(0.001..=0.999), from "assumed";
        /// Factor on the learning rate at native sizes, of mode curriculum.
        native_lr: f64 = 0.5, range Range::above_up_to(0.0, 10.0), from "assumed";
        /// Whether the captions' tower stands still at native sizes, of mode curriculum.
        freeze_captions: bool = false, from "assumed";
        /// Weight of the distance to the teacher's features; 0 for no teacher.
        distil: f64 = 1.0, range Range::of(0.0..), from "assumed: the paper names no weight";
        /// Epochs of the teacher.
        teacher_epochs: u32 = 4, range Range::of(1.0..), from "assumed";
        /// Tokens of a step, in packs of 1,296.
        packs: u32 = 1, range Range::of(1.0..=64.0), from "assumed";
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "towers of images and captions: a fixed size, then native ones; a teacher's features",
    paper: Paper {
        title: "UniViTAR: unified vision transformer with native resolution",
        authors: "Qiao et al.",
        year: 2025,
        reference: "arXiv:2504.01792",
        code: "MM-MVR/UniViTAR@88f4517c",
    },
    claim: PaperClaim {
        statement: "training at a fixed size first and at native sizes then gives a better tower",
        number: "81.5 % zero-shot on ImageNet at 0.3 B parameters",
        source: "README",
    },
    baseline: None,
    needs: &[offers::CAPTIONS],
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        Settings::read(&resolved)?.check()?;
        Ok(resolved)
    },
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what would not be used.
    fn check(&self) -> Result<(), SettingError> {
        let Self { fixed_share, native_lr, freeze_captions, teacher_epochs, .. } = Self::default();
        let staged = (self.mode == Mode::Curriculum, "mode \"curriculum\"");
        let taught = (self.distil > 0.0, "a \"distil\" above 0");
        for (name, (used, of), kept) in [
            ("fixed_share", staged, self.fixed_share == fixed_share),
            ("native_lr", staged, self.native_lr == native_lr),
            ("freeze_captions", staged, self.freeze_captions == freeze_captions),
            ("teacher_epochs", taught, self.teacher_epochs == teacher_epochs),
        ] {
            if !used && !kept {
                let reason = format!("setting \"{name}\" is of {of} alone: leave it out");
                return Err(SettingError::Joint(reason));
            }
        }
        Ok(())
    }

    /// The stages, and which of them are native.
    fn stages(&self) -> (Vec<Stage>, Vec<bool>) {
        let schedule = || Schedule::Cosine { floor: 0.0 };
        let of = |name, share| Stage { schedule: schedule(), ..Stage::plain(name, share) };
        let view = || Some(Box::new(Fixed { to: RESOLUTION }) as _);
        let small = |share| Stage { view: view(), ..of("fixed", share) };
        let share = (1000.0 * self.fixed_share).round() as u32;
        match self.mode {
            Mode::Fixed => (vec![small(1)], vec![false]),
            Mode::Native => (vec![of("native", 1)], vec![true]),
            Mode::Curriculum => {
                let trains: fn(&Parameter) -> bool = match self.freeze_captions {
                    false => |_| true,
                    true => |parameter| !parameter.name.starts_with(TEXT),
                };
                let rest = of("native", 1000 - share);
                let rest = Stage { lr_factor: self.native_lr, trains, ..rest };
                (vec![small(share), rest], vec![false, true])
            }
        }
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        let Some(captions) = task.side.captions else {
            return Err(task.unfit("its images have no captions"));
        };
        let (list, native) = self.stages();
        let patches = |side: i64| side as u32 / captions.patch;
        let sizes = task.side.group_names.iter().map(|name| {
            let sides = name.split('x').map(|side| side.parse().map_or(0, patches));
            sides.product()
        });
        let sizes: Vec<u32> = sizes.collect();
        let order = EqualTokens {
            counts: Counts::of(patches(RESOLUTION).pow(2), &sizes, self.packs),
            sizes: Sources::new(&task.side.groups, task.examples),
            shares: Shares::new(list.iter().map(|stage| stage.share)),
            native,
            budget_samples: task.budget_samples,
        };
        let mut stages = Stages::new(list);
        if self.distil > 0.0 {
            stages.tutor = Some(self.teacher(captions, task)?);
        }
        let optimizer = Box::new(Adamw::new(self.adamw.clone(), task.network, |_, _| true)?);
        let objective = Box::new(Towers::new(captions, self.distil, RESOLUTION));
        let step = Step::Gradient { objective, optimizer };
        let plain = Recipe::of(order.largest(), Schedule::Constant, step);
        Ok(Recipe { order: Box::new(order), stages: Some(stages), ..plain })
    }

    /// A CNN for the classes of images of 16 × 16.
    fn teacher(&self, captions: Captions, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let classes = captions.classes as usize;
        let shape =
            Shape { channels: 1, side: RESOLUTION as usize, widths: CHANNELS, classes, norm: true };
        let network = cnn(shape, &Streams::new(seed), task.device())?;
        let optimizer = Box::new(Adamw::new(AdamwSettings::default(), &network, |_, _| true)?);
        let step = Step::Gradient { objective: Box::new(DefaultLoss::Classes), optimizer };
        let plain = Recipe::of(128, Schedule::Cosine { floor: 0.0 }, step);
        let view = Some(Box::new(AsClasses { captions, to: RESOLUTION }) as _);
        let recipe = Box::new(Recipe { view, ..plain });
        let samples = u64::from(self.teacher_epochs) * u64::from(task.examples);
        let settings = Values::from([("teacher_epochs".to_owned(), self.teacher_epochs.into())]);
        Ok(Tutor { name: "teacher", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, check, read};
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("native-blobs", &Values::new()).unwrap()
    }

    /// Six steps.
    fn run(fixture: &Fixture, with: Value) -> Trace {
        let mut values: Values = serde_json::from_value(with).unwrap();
        if values.get("distil") != Some(&json!(0)) {
            values.insert("teacher_epochs".to_owned(), 1.into());
        }
        fixture.run(&METHOD, &values, 81 * 6 + 5, 3).unwrap()
    }

    #[test]
    fn every_mode_has_as_many_steps_and_tokens_and_stages_follow_each_other() {
        let fixture = fixture();
        let lengths =
            |trace: &Trace| trace.rounds().iter().map(|ids| ids.len()).collect::<Vec<_>>();
        for (mode, expected) in
            [("curriculum", [81, 81, 81, 64, 64, 64]), ("fixed", [81; 6]), ("native", [64; 6])]
        {
            let trace = run(&fixture, json!({"mode": mode, "distil": 0}));
            assert_eq!(trace.facts["tokens"], 6 * 1296, "{mode}");
            assert_eq!(lengths(&trace), expected, "{mode}");
            let list = read(&trace.facts[STAGES]).unwrap();
            assert_eq!(check(&list, 6, Some(trace.digest)), Ok(()), "{mode}");
            assert_eq!(list.len(), if mode == "curriculum" { 2 } else { 1 });
            assert_eq!(list[0].from, fixture.network(3).unwrap().digest().unwrap());
        }
    }

    #[test]
    fn runs_of_a_seed_share_a_teacher_that_is_listed_before_their_stages() {
        let fixture = fixture();
        let teacher = |mode: &str| {
            let trace = run(&fixture, json!({"mode": mode}));
            let list = read(&trace.facts[STAGES]).unwrap();
            assert_eq!(check(&list, 6, Some(trace.digest)), Ok(()));
            (trace.digest, list[0].clone())
        };
        let ((fixed, one), (native, other)) = (teacher("fixed"), teacher("native"));
        assert!(one == other && fixed != native);
        let made = one.made.unwrap();
        assert_eq!((one.name.as_str(), made.samples, made.steps), ("teacher", 8192, 64));
        assert_ne!(one.from, one.parameters_sha256);
        // Made anew it is the same, and so is what it taught.
        let again = run(&self::fixture(), json!({"mode": "fixed"}));
        assert_eq!((again.digest, &read(&again.facts[STAGES]).unwrap()[0]), (fixed, &one));
        assert_ne!(run(&fixture, json!({"mode": "fixed", "distil": 0})).digest, fixed);
    }

    #[test]
    fn the_captions_tower_stands_still_at_native_sizes_where_it_is_frozen() {
        let fixture = fixture();
        let text = |with: Value| {
            let Trace { network, .. } = run(&fixture, with);
            let tower = network.parameters.iter().filter(|p| p.name.starts_with(TEXT));
            tower.map(|p| p.tensor.sum(tch::Kind::Double).double_value(&[])).collect::<Vec<_>>()
        };
        let of = |native_lr: f64, freeze: bool| {
            text(json!({"distil": 0, "native_lr": native_lr, "freeze_captions": freeze}))
        };
        assert_eq!(of(0.1, true), of(0.9, true));
        assert_ne!(of(0.1, false), of(0.9, false));
    }

    #[test]
    fn settings_of_stages_or_teachers_that_are_not_there_are_refused() {
        for (given, text) in [
            (
                with([("mode", "fixed".into()), ("native_lr", 0.1.into())]),
                "\"native_lr\" is of mode",
            ),
            (
                with([("mode", "native".into()), ("fixed_share", 0.1.into())]),
                "\"fixed_share\" is of",
            ),
            (with([("distil", 0.into()), ("teacher_epochs", 2.into())]), "\"distil\" above 0"),
            (with([("fixed_share", 1.into())]), "fixed_share"),
        ] {
            let refused = (METHOD.resolve)(&given).unwrap_err().to_string();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
