//! # Orca: explanation tuning by one teacher after the other
//!
//! ## Mechanism
//! A student imitates what teachers say in full, and not their answers alone. First an intermediate teacher on all questions, θ₁ =
//! SFT(θ₀), then a stronger one, who says more, on one in five of them, θ₂ = SFT(θ₁); cross-entropy of the response's tokens only, four
//! epochs of each in the paper.
//!
//! ## Claim
//! Over 100 % better than Vicuna-13B, which imitates answers, on BBH and 42 % on AGIEval (abstract); AGIEval 41.7 with both teachers
//! against 37.18 with the stronger one alone (from memory).
//!
//! ## Sources
//! Mukherjee et al., arXiv:2306.02707, abstract and notes at second hand; no training code was published.
//!
//! ## Differences
//! - Teachers render the truth, at three lengths; the paper's are ChatGPT on 5 M and GPT-4 on 1 M questions.
//! - `lessons: progressive` is the paper's; `strong` hears the stronger teacher alone, on its part; `answer` the answers; `intermediate`
//!   the first teacher alone; `union` both at once in no order, which tells whether it is the order that helps; `joined` the stronger
//!   one in the order of both stages.
//! - Whether the update rule starts afresh with the second teacher is not stated: `optimizer: reset`, where each teacher has a warm-up
//!   and a cosine of its own, or `carried`, one schedule over both.
//! - Rows are not packed; the paper packs without saying whether attention is blocked. Rate and warm-up are not in what was read.

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::Recipe;
use lab::stages::{Stage, Stages};
use lab::teachers::{Lessons, Taught, Teacher};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// Who is listened to.
    pub enum Course {
        /// The intermediate teacher, then the strong one.
        Progressive = "progressive",
        /// The strong one, on its part.
        Strong = "strong",
        /// The intermediate one.
        Intermediate = "intermediate",
        /// Whoever gives the answers alone.
        Answer = "answer",
        /// Both teachers at once, in no order.
        Union = "union",
        /// The strong one, in the order of both stages.
        Joined = "joined",
    }
}

choice! {
    /// What becomes of the update rule's state with the second teacher.
    pub enum Carry {
        /// It starts afresh.
        Reset = "reset",
        /// It goes on.
        Carried = "carried",
    }
}

settings! {
    /// Settings of `explanation-tuning`.
    pub struct Settings {
        /// Who is listened to.
        lessons: Course = Course::Progressive, from "paper";
        /// Who speaks first, of progressive lessons.
        first: Teacher = Teacher::Intermediate, from "paper; strong: a check";
        /// Questions of the first teacher for each of the second.
        ratio: u32 = 5, range Range::of(1.0..=1000.0), from "paper: 5 M and 1 M";
        /// What becomes of the update rule's state with the second teacher.
        optimizer: Carry = Carry::Reset, from "assumed";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a student imitates explanations: an intermediate teacher's, then a stronger one's",
    paper: Paper {
        title: "Orca: progressive learning from complex explanation traces of GPT-4",
        authors: "Mukherjee et al.",
        year: 2023,
        reference: "arXiv:2306.02707",
        code: "none published",
    },
    claim: PaperClaim {
        statement: "explanations teach more than answers, and an intermediate teacher first more than the strong one alone",
        number: "AGIEval 41.7 against 37.18 without the intermediate teacher",
        source: "arXiv:2306.02707, from memory",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::TEACHERS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { lessons, first, ratio, optimizer, lm } = Settings::read(values)?;
        let Some(teachers) = &task.side.teachers else {
            return Err(task.unfit("its examples have no teachers"));
        };
        let (extent, samples, streams) =
            ((task.examples, ratio), task.budget_samples, task.streams);
        let alone = |teacher| Lessons::alone(teacher, extent, samples, streams);
        let staged = |first| Lessons::staged([first, Teacher::Strong], extent, samples, streams);
        let plan = match lessons {
            Course::Progressive => staged(first),
            Course::Joined => staged(Teacher::Strong),
            Course::Strong => alone(Teacher::Strong),
            Course::Intermediate => alone(Teacher::Intermediate),
            Course::Answer => alone(Teacher::Answer),
            Course::Union => Lessons::union(extent, samples, streams),
        };
        let [early, late] = plan.steps(lm.batch_size);
        let apart = lessons == Course::Progressive && optimizer == Carry::Reset && late > 0;
        let stages = apart.then(|| {
            let stages = [("first", early), ("strong", late)];
            let stage = |(name, steps)| Stage {
                schedule: lm.schedule.clone(),
                ..Stage::plain(name, steps)
            };
            Stages::new(stages.into_iter().map(stage).collect())
        });
        let view = Some(Box::new(Taught::new(teachers, &plan)) as _);
        // A schedule over the run would leave the second teacher its tail.
        let schedule = if apart { Schedule::Constant } else { lm.schedule.clone() };
        Ok(Recipe { order: Box::new(plan), view, stages, schedule, ..lm.recipe(task)? })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("slp-explained", &Values::new()).unwrap()
    }

    fn run<const N: usize>(fixture: &Fixture, pairs: [(&str, Value); N]) -> Trace {
        let mut settings = with([("batch_size", 16.into())]);
        settings.extend(with(pairs));
        fixture.run(&METHOD, &settings, 192, 5).unwrap()
    }

    #[test]
    fn answers_alone_are_plain_training_bit_for_bit() {
        let fixture = fixture();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(lm, &with([("batch_size", 16.into())]), 192, 5).unwrap();
        let answers = run(&fixture, [("lessons", json!("answer"))]);
        assert_eq!((answers.digest, answers.law), (plain.digest, plain.law));
        assert_eq!(answers.order, plain.order);
    }

    #[test]
    fn with_one_teacher_twice_stages_are_one_where_the_rule_goes_on_and_not_where_it_starts_afresh()
    {
        let fixture = fixture();
        let joined = run(&fixture, [("lessons", json!("joined"))]);
        let twice = |optimizer: &str| {
            run(&fixture, [("first", json!("strong")), ("optimizer", json!(optimizer))])
        };
        let (carried, reset) = (twice("carried"), twice("reset"));
        assert_eq!((carried.digest, &carried.order), (joined.digest, &joined.order));
        assert_ne!(reset.digest, joined.digest);
        assert_eq!(reset.order.ids, joined.order.ids);
        let stages = &reset.facts["stages"];
        // 160 samples of the first teacher in ten steps, 32 of the second in two.
        assert_eq!((&stages[0]["name"], &stages[1]["name"]), (&json!("first"), &json!("strong")));
        assert_eq!(reset.facts["taught_responses"], json!([0, 0, 192]));
    }

    #[test]
    fn every_course_is_another_run() {
        let fixture = fixture();
        let courses = ["progressive", "strong", "intermediate", "answer", "union", "joined"];
        let mut digests =
            courses.map(|lessons| run(&fixture, [("lessons", json!(lessons))]).digest);
        digests.sort_unstable();
        assert!(digests.windows(2).all(|pair| pair[0] != pair[1]));
        let trace = run(&fixture, []);
        assert_eq!(trace.facts["taught_responses"], json!([0, 160, 32]));
    }
}
