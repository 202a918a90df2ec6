//! # Classifier guidance
//!
//! ## Mechanism
//! A score s(x, t) without a condition, and a classifier c_t(y|x_t) that was trained on points as noisy as those that
//! it will see. Samples follow `s(x, t) + w·∇ₓ log c_t(y|x)`: w = 0 asks for nothing, w = 1 is the conditional score, were
//! both exact, and more exaggerates. `guide_from` and `guide_until` bound the share of the backward process in which w
//! counts.
//!
//! ## Claim
//! With w the class becomes more certain and samples of a class more alike (survey, section on guidance).
//!
//! ## Sources
//! Chen, Mei, Fan, Wang, arXiv:2404.07771, a survey without code; Dhariwal, Nichol, arXiv:2105.05233.
//!
//! ## Differences
//! - The classifier is a network of the same shape without columns for a condition, trained beside the run by the
//!   same loop and rule, at `classifier_lr`, on as many samples as `classifier_budgets` budgets, and named in the record;
//!   runs of a seed share it, whatever their `lr`. It is not kept with the run's network: who has that alone
//!   samples without a class.
//! - A step counts two evaluations, of score and classifier, though the second has a backward pass.
//! - Row i of a look is asked to be of class i mod the number of classes, or all rows of `class`; `confidence` and `spread`
//!   mean nothing with `class` other than 0.
//! - The rest is as in `score-matching`.

use std::rc::Rc;

use lab::LabError;
use lab::diffusion::generation;
use lab::method::Method;
use lab::models::given::{Shape, given};
use lab::offers;
use lab::recipe::Recipe;
use lab::score::guide::{Beside, Lead, ScoreSampler};
use lab::score::matching::{GuideSettings, Matching, NoisyClasses, ScoreSettings, Told};
use lab::seat::TaskInfo;
use lab::side_info::Conditions;
use lab::stages::{Stage, Stages, Tutor};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;

settings! {
    /// Settings of `classifier-guidance`.
    pub struct Settings {
        /// Samples that the classifier is trained on, in budgets of the run.
        classifier_budgets: f64 = 0.5, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Units of each of its hidden layers.
        classifier_width: u32 = 64, range Range::of(1.0..=4096.0), from "assumed";
        /// Its learning rate, so that it is the same whatever that of the score is.
        classifier_lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        use guide: GuideSettings;
        use score: ScoreSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "samples led to their class by the gradient of a classifier of noisy points",
    paper: Paper {
        title: "Diffusion Models Beat GANs on Image Synthesis",
        authors: "Dhariwal, Nichol",
        year: 2021,
        reference: "arXiv:2105.05233, as in arXiv:2404.07771",
        code: "none read",
    },
    claim: PaperClaim {
        statement: "with the weight confidence rises and diversity within a class falls",
        number: "none in the survey's experiments",
        source: "arXiv:2404.07771, guidance",
    },
    baseline: Some("score-matching"),
    needs: &[offers::DENOISING, offers::CLASSES_TO_ASK],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { ref guide, ref score, .. } = settings;
        let Some(Conditions::Classes(classes)) = generation(task)?.conditions else {
            return Err(task.unfit("its samples cannot be asked to be of a class"));
        };
        let beside = Beside::default();
        let matching = Matching::new(score, Told::Nothing, 0.0, task.streams);
        let sampler = ScoreSampler {
            span: score.span(),
            output: score.output,
            asked: guide.asked(classes, task)?,
            lead: Lead::Classifier(guide.weight(), Rc::clone(&beside)),
            evaluations: score.evaluations,
        };
        let objective = Box::new(matching.beside(beside));
        let mut stages = Stages::new(vec![Stage::plain("score", 1)]);
        stages.tutor = Some(settings.classifier(classes, task)?);
        let plain = score.recipe(objective, Some(Box::new(sampler)), task.network)?;
        Ok(Recipe { stages: Some(stages), ..plain })
    },
};

impl Settings {
    /// A classifier of points at every time of the process.
    fn classifier(&self, classes: u32, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let streams = Streams::new(seed);
        let generation = generation(task)?;
        let &[axes] = generation.shape.as_slice() else {
            return Err(
                task.unfit("its classifier takes points, and these have a shape of their own")
            );
        };
        let shape = Shape {
            axes: usize::try_from(axes).unwrap_or(0),
            columns: 0,
            width: self.classifier_width as usize,
            outputs: classes as usize,
            rank: None,
        };
        let network = given(shape, &streams, task.device())?;
        let score = ScoreSettings { lr: self.classifier_lr, ..self.score.clone() };
        let objective = Box::new(NoisyClasses::new(&score, &streams));
        let recipe = Box::new(score.recipe(objective, None, &network)?);
        let samples = (self.classifier_budgets * task.budget_samples as f64).round() as u64;
        let mut settings = score.values();
        // What it does not hang on.
        settings.retain(|name, _| !["output", "evaluations"].contains(&name.as_str()));
        settings.insert("classifier_width".to_owned(), self.classifier_width.into());
        Ok(Tutor { name: "classifier", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, check, read};
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        workloads::fixture("ring-classes", &with([("width", 0.25.into())])).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, with: [(&str, Value); N]) -> Result<Trace, LabError> {
        let mut settings = lab::trial::with(with);
        settings.insert("batch_size".to_owned(), 64.into());
        stage.run(&METHOD, &settings, 64 * 8, 3)
    }

    #[test]
    fn a_classifier_is_trained_beside_the_run_and_neither_it_nor_the_weight_touches_the_score() {
        let stage = stage();
        let plain = run(&stage, []).unwrap();
        let list = read(&plain.facts[STAGES]).unwrap();
        assert_eq!(check(&list, 8, Some(plain.digest)), Ok(()));
        assert_eq!((list[0].name.as_str(), list[0].made.unwrap().samples), ("classifier", 256));
        assert_ne!(list[0].from, list[0].parameters_sha256);
        let more = run(&stage, [("guidance", 3.0.into()), ("classifier_budgets", 1.0.into())]);
        assert_eq!(more.unwrap().digest, plain.digest);
        // The score is that of plain matching.
        let baseline = crate::find("score-matching").unwrap().method;
        let settings = with([("batch_size", 64.into())]);
        assert_eq!(stage.run(baseline, &settings, 64 * 8, 3).unwrap().digest, plain.digest);
    }

    #[test]
    fn the_classifier_is_the_same_whatever_the_rate_of_the_score_is() {
        let stage = stage();
        let made = |with: [(&str, Value); 1]| {
            let trace = run(&stage, with).unwrap();
            (read(&trace.facts[STAGES]).unwrap()[0].parameters_sha256, trace.digest)
        };
        let (slow, fast) = (made([("lr", 0.0005.into())]), made([("lr", 0.002.into())]));
        assert!(slow.0 == fast.0 && slow.1 != fast.1);
        assert_ne!(made([("classifier_lr", 0.002.into())]).0, slow.0);
    }

    #[test]
    fn a_class_that_is_not_there_is_refused_before_training() {
        let error = run(&stage(), [("class", 9.into())]).unwrap_err().to_string();
        assert!(error.contains("class 9") && error.contains("\"class\""), "{error}");
    }
}
