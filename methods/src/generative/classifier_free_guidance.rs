//! # Classifier-free guidance
//!
//! ## Mechanism
//! One network learns the score of x given y and, since y is left out with probability p, that of x alone. Samples
//! follow `(1 + w)·s(x, t, y) − w·s(x, t)`: a step takes two evaluations. w = 0 is the conditional sampler, w = −1 the one
//! without a condition. `guide_from` and `guide_until` bound the share of the backward process in which w counts.
//!
//! ## Claim
//! With w the class becomes more certain and samples of a class more alike (survey, section on guidance).
//!
//! ## Sources
//! Chen, Mei, Fan, Wang, arXiv:2404.07771, a survey without code; Ho, Salimans, arXiv:2207.12598.
//!
//! ## Differences
//! - The guided score at t → 0 is that of p(x|y)^{1+w}/p(x)^w; samples of the backward process need not follow this
//!   density, and no test says that they do.
//! - A condition that is left out is a row of zeros, which the network reads as nothing; no token of its own is learnt.
//! - Row i of a look is asked to be of class i mod the number of classes, or all rows of `class`; `confidence` and `spread`
//!   mean nothing with `class` other than 0.
//! - The rest is as in `score-matching`, with as many evaluations, of which guidance takes two a step.

use lab::LabError;
use lab::diffusion::generation;
use lab::method::Method;
use lab::offers;
use lab::score::guide::{Lead, ScoreSampler};
use lab::score::matching::{GuideSettings, Matching, ScoreSettings, Told};
use lab::seat::TaskInfo;
use lab::side_info::Conditions;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `classifier-free-guidance`.
    pub struct Settings {
        /// p, how often the class is left out.
        drop: f64 = 0.1, range Range::of(0.0..1.0), from "arXiv:2207.12598: 0.1 or 0.2";
        use guide: GuideSettings;
        use score: ScoreSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "samples led to their class by what one network says with and without it",
    paper: Paper {
        title: "Classifier-Free Diffusion Guidance",
        authors: "Ho, Salimans",
        year: 2022,
        reference: "arXiv:2207.12598, as in arXiv:2404.07771",
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
        let Settings { drop, guide, score } = Settings::read(values)?;
        let classes = classes(task)?;
        if drop == 0.0 && guide.guidance != 0.0 {
            let reason = "leads samples away from what the network says without a class, and with drop 0 it \
                          never learns to say it: set \"drop\" above 0, or \"guidance\" to 0";
            return Err(task.unfit(reason));
        }
        let told = Told::Classes(classes);
        let objective = Box::new(Matching::new(&score, told, drop, task.streams));
        let lead = match guide.guidance == 0.0 {
            true => Lead::Condition,
            false => Lead::Free(guide.weight()),
        };
        let sampler = ScoreSampler {
            span: score.span(),
            output: score.output,
            asked: guide.asked(classes, task)?,
            lead,
            evaluations: score.evaluations,
        };
        score.recipe(objective, Some(Box::new(sampler)), task.network)
    },
};

fn classes(task: &TaskInfo<'_>) -> Result<u32, LabError> {
    match generation(task)?.conditions {
        Some(Conditions::Classes(classes)) => Ok(classes),
        _ => Err(task.unfit("its samples cannot be asked to be of a class")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        workloads::fixture("ring-classes", &with([("width", 0.25.into())])).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, with: [(&str, Value); N]) -> Result<Trace, LabError> {
        let mut settings: Values = lab::trial::with(with);
        settings.insert("batch_size".to_owned(), 64.into());
        stage.run(&METHOD, &settings, 64 * 20, 3)
    }

    #[test]
    fn classes_are_left_out_as_often_as_asked_and_the_weight_does_not_touch_training() {
        let stage = stage();
        let plain = run(&stage, [("drop", 0.2.into())]).unwrap();
        let dropped = plain.facts["conditions_dropped"].as_f64().unwrap();
        // 1,280 coins: three deviations are 43.
        assert!((dropped - 256.0).abs() < 43.0, "{dropped}");
        assert_eq!(plain.facts["conditions"], 1_280);
        let each: [(&str, Value); 3] =
            [("guidance", 3.0.into()), ("guide_until", 0.5.into()), ("class", 3.into())];
        for changed in each {
            let trace = run(&stage, [("drop", 0.2.into()), changed.clone()]).unwrap();
            assert_eq!(trace.digest, plain.digest, "{changed:?}");
        }
        assert_ne!(run(&stage, [("drop", 0.1.into())]).unwrap().digest, plain.digest);
    }

    #[test]
    fn a_class_that_is_not_there_and_a_weight_without_its_null_are_refused_before_training() {
        let stage = stage();
        let error = |with: [(&str, Value); 2]| run(&stage, with).unwrap_err().to_string();
        let missing = error([("class", 9.into()), ("drop", 0.1.into())]);
        assert!(missing.contains("class 9") && missing.contains("1 to 8"), "{missing}");
        let never = error([("drop", 0.0.into()), ("guidance", 1.0.into())]);
        assert!(never.contains("\"drop\""), "{never}");
        assert!(run(&stage, [("drop", 0.0.into()), ("guidance", 0.0.into())]).is_ok());
        let much = with([("guidance", 1e300.into())]);
        assert!((METHOD.resolve)(&much).unwrap_err().to_string().contains("guidance"));
        let points = workloads::fixture("ring8", &Values::new()).unwrap();
        let unfit = points.run(&METHOD, &Values::new(), 64, 3).unwrap_err().to_string();
        assert!(unfit.contains("cannot be asked"), "{unfit}");
    }
}
