//! # P-RAG: progressive retrieval-augmented planning
//!
//! ## Mechanism
//! A planner tries all tasks again and again. What it did goes into a database: goal, scene, actions and whether it was done, by the
//! environment's word. In the next iteration a task finds the K rows whose goal and scene are most like its own, by the sum of two
//! cosines, and begins with what was done there. Nothing is trained; within an iteration no row of it is found.
//!
//! ## Claim
//! ALFRED, unseen: 27.4 % after iterating on itself; 1.7 and 2.5 points above GPT-4 and GPT-3.5 alone; a few iterations are enough.
//!
//! ## Sources
//! Xu, Wang, Zhou, Li, arXiv:2409.11279 (ACM MM 2024), at second hand; no code was found.
//!
//! ## Differences
//! - The planner is no language model: it follows the first row of the K that was done, with objects and container of its own goal in
//!   the place of that row's, and looks around at random where the plan fails. So what a model knows of households plays no part.
//! - Goals and scenes are vectors of hashed words, in place of MiniLM's.
//! - K, the number of iterations and which rows are kept were not in what was read: all are kept. A row holds the actions that were
//!   possible, of several ways in a row the last.
//! - Of rows that are equally near the newest come first, where the plan of this bench had smaller ids first: else the failures of the
//!   first K iterations would hide a task's own later try that was done.
//! - `database: none` and `static` (the first iteration's alone), `keys: goal`, `scene` and `shuffled` (keys of other tasks) are controls.

use lab::method::Method;
use lab::offers;
use lab::planning::{Planner, PlanningSettings};
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;

settings! {
    /// Settings of `p-rag`.
    pub struct Settings {
        use planning: PlanningSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "tries at tasks, each begun with what was done at a task like it, by goal and scene",
    paper: Paper {
        title: "P-RAG: progressive retrieval augmented generation for planning on embodied everyday task",
        authors: "Xu, Wang, Zhou, Li",
        year: 2024,
        reference: "arXiv:2409.11279",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "a planner that retrieves its own earlier tries by goal and scene gets better from iteration to iteration",
        number: "ALFRED unseen 27.4 %; +1.7 and +2.5 points over GPT-4 and GPT-3.5",
        source: "arXiv:2409.11279, at second hand",
    },
    baseline: None,
    needs: &[offers::HOUSE],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { planning } = Settings::read(values)?;
        let house = task.side.house.as_ref().ok_or_else(|| task.unfit("it has no household"))?;
        let learner = Planner::new(planning, house, task.streams);
        Ok(Recipe::of(1, Schedule::Constant, Step::Learner(Box::new(learner))))
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
        workloads::fixture("house", &Values::new()).unwrap()
    }

    fn run<const N: usize>(fixture: &Fixture, iterations: u64, pairs: [(&str, Value); N]) -> Trace {
        fixture.run(&METHOD, &with(pairs), 200 * iterations, 5).unwrap()
    }

    /// Tasks done in each iteration.
    fn done(trace: &Trace) -> Vec<u64> {
        let all = trace.facts["done_and_tried"].as_array().unwrap();
        all.iter().map(|one| one[0].as_u64().unwrap()).collect()
    }

    #[test]
    fn an_empty_database_is_none_bit_for_bit() {
        let fixture = fixture();
        let one = |database: &str| run(&fixture, 1, [("database", json!(database))]);
        let (none, growing) = (one("none"), one("growing"));
        assert_eq!((none.digest, done(&none)), (growing.digest, done(&growing)));
        assert_eq!(growing.facts["plans_followed"], 0);
        assert_eq!((&growing.facts["rows"], &none.facts["rows"]), (&json!(200), &json!(0)));
    }

    #[test]
    fn what_was_done_helps_by_goal_and_scene_and_not_where_keys_are_shuffled() {
        let fixture = fixture();
        let arm = |database: &str, keys: &str| {
            done(&run(&fixture, 4, [("database", json!(database)), ("keys", json!(keys))]))
        };
        let none = arm("none", "both");
        let growing = arm("growing", "both");
        assert_eq!(growing[0], none[0]);
        assert!(growing[3] > growing[0] + 40, "{growing:?} {none:?}");
        let shuffled = arm("growing", "shuffled");
        assert!(shuffled[3] < growing[3] - 30, "{shuffled:?} {growing:?}");
        let fixed = arm("static", "both");
        assert_eq!(fixed[1], growing[1]);
        assert!(fixed[3] <= growing[3], "{fixed:?} {growing:?}");
    }
}
