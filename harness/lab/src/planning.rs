//! Planning by what was done before: tries at tasks go into a database, and later tries begin with the plan of a task that
//! is like theirs, by its goal and by its scene.
//!
//! Source: Xu et al., arXiv:2409.11279 (P-RAG), at second hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings::Range;
use ledger::streams::{Streams, unit_f64};
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use serde_json::json;
use tch::Tensor;

use crate::LabError;
use crate::house::{Action, Goal, House, KINDS, LONGEST, Visit};
use crate::index::{Index, hashed};
use crate::network::Network;
use crate::seat::{Batch, Facts, Learner, StepInfo};
use crate::state::State;

choice! {
    /// What is kept of tries.
    pub enum Database {
        /// Nothing.
        None = "none",
        /// Those of the first iteration.
        Static = "static",
        /// All.
        Growing = "growing",
    }
}

choice! {
    /// What tells how much a task is like another.
    pub enum Keys {
        /// Its goal and its scene.
        Both = "both",
        /// Its goal.
        Goal = "goal",
        /// Its scene.
        Scene = "scene",
        /// Goal and scene of another task, dealt out at random: a control.
        Shuffled = "shuffled",
    }
}

settings! {
    /// Settings of planning.
    pub struct PlanningSettings {
        /// What is kept of tries.
        database: Database = Database::Growing, from "paper";
        /// What tells how much a task is like another.
        keys: Keys = Keys::Both, from "paper";
        /// K: rows that are looked at; the first of them that was done is followed.
        rows: u32 = 3, range Range::of(1.0..=64.0), from "assumed: not in what was read";
        /// Probability that an action of a plan is replaced by a look around.
        repair: f64 = 0.02, range Range::of(0.0..=1.0), from "assumed";
    }
}

/// Dimensions of the vectors of goals and scenes.
const DIMENSIONS: usize = 64;

/// A try that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    goal: Goal,
    plan: Vec<Action>,
    done: bool,
}

/// Scores of rows: sums of cosines, highest first, of equals larger ids first, which are of newer tries.
///
/// # Errors
/// When an index is empty.
pub fn joint(indices: &[(&Index, Vec<f64>)], count: usize) -> Result<Vec<(u32, f64)>, LabError> {
    let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
    for (index, asked) in indices {
        for found in index.cosines(asked)? {
            *sums.entry(found.id).or_default() += found.cosine;
        }
    }
    let mut rows: Vec<(u32, f64)> = sums.into_iter().collect();
    rows.sort_by(|one, other| other.1.total_cmp(&one.1).then(other.0.cmp(&one.0)));
    rows.truncate(count);
    Ok(rows)
}

/// A plan for another goal: objects and containers of the one in the place of those of the other.
#[must_use]
pub fn edited(plan: &[Action], from: Goal, to: Goal) -> Vec<Action> {
    let object = |kind: u8| if kind == from.kind { to.kind } else { kind };
    let edit = |action: &Action| match *action {
        Action::Go(container) if container == from.into => Action::Go(to.into),
        Action::Go(container) => Action::Go(container),
        Action::Take(kind) => Action::Take(object(kind)),
        Action::Put(kind) => Action::Put(object(kind)),
    };
    plan.iter().map(edit).collect()
}

/// The actions of a try that did something: none that was not possible, and of several ways in a row the last.
#[must_use]
pub fn trimmed(tried: &[(Action, bool)]) -> Vec<Action> {
    let mut plan: Vec<Action> = Vec::new();
    for (action, _) in tried.iter().filter(|(_, possible)| *possible) {
        if matches!((plan.last(), action), (Some(Action::Go(_)), Action::Go(_))) {
            plan.pop();
        }
        plan.push(*action);
    }
    plan
}

/// Tries at a task: follows `plan` as far as it goes, then looks around for what the goal asks for.
fn tried(
    visit: &mut Visit,
    goal: Goal,
    plan: &[Action],
    repair: f64,
    random: &mut Pcg64,
) -> Vec<(Action, bool)> {
    let mut all = Vec::with_capacity(LONGEST);
    let mut ahead = plan.iter();
    let (mut holds, mut at, mut looked) = (false, None, true);
    while visit.is_open() {
        let follows = unit_f64(random) >= repair;
        let planned = if follows { ahead.next().copied() } else { None };
        let container = u8::try_from(bounded(random, KINDS as u64)).unwrap_or(0);
        let action = planned.unwrap_or(match (holds, at) {
            (true, Some(here)) if here == goal.into => Action::Put(goal.kind),
            (true, _) => Action::Go(goal.into),
            (false, _) if looked => Action::Go(container),
            (false, _) => Action::Take(goal.kind),
        });
        let seen = visit.act(action);
        match action {
            Action::Go(container) => {
                at = Some(container);
                looked = holds;
            }
            Action::Take(_) => {
                holds |= seen.possible;
                looked = true;
            }
            Action::Put(_) => {
                holds &= !seen.possible;
                looked = true;
            }
        }
        if planned.is_some() && !seen.possible {
            // The plan is of another house than this one.
            ahead = [].iter();
        }
        all.push((action, seen.possible));
    }
    all
}

/// The learner: it trains nothing, and leaves the last plan of each task in the network's buffer.
#[derive(Debug)]
pub struct Planner {
    settings: PlanningSettings,
    house: Arc<House>,
    streams: Streams,
    goals: Index,
    scenes: Index,
    rows: BTreeMap<u32, Row>,
    iteration: u32,
    /// Tasks that were done and tried, by iteration.
    counts: Vec<[u32; 2]>,
    followed: u64,
}

impl Planner {
    /// For this house.
    #[must_use]
    pub fn new(settings: PlanningSettings, house: &Arc<House>, streams: &Streams) -> Self {
        Self {
            settings,
            house: house.clone(),
            streams: streams.clone(),
            goals: Index::default(),
            scenes: Index::default(),
            rows: BTreeMap::new(),
            iteration: 0,
            counts: Vec::new(),
            followed: 0,
        }
    }

    fn vectors(&self, task: usize) -> [Vec<f64>; 2] {
        let words = self.house.tasks().get(task).map(|task| (task.goal, task.words.as_slice()));
        let (goal, words) = words.unwrap_or((Goal { kind: 0, into: 0 }, &[]));
        let words: Vec<i64> = words.iter().copied().map(i64::from).collect();
        let goal = [i64::from(goal.kind), 100 + i64::from(goal.into)];
        [hashed(&goal, DIMENSIONS), hashed(&words, DIMENSIONS)]
    }

    /// The plan to begin with; none where nothing like the task was ever done.
    fn plan(&self, task: usize, goal: Goal) -> Result<Vec<Action>, LabError> {
        if self.goals.is_empty() {
            return Ok(Vec::new());
        }
        let [own, scene] = self.vectors(task);
        let indices = match self.settings.keys {
            Keys::Goal => vec![(&self.goals, own)],
            Keys::Scene => vec![(&self.scenes, scene)],
            Keys::Both | Keys::Shuffled => vec![(&self.goals, own), (&self.scenes, scene)],
        };
        let found = joint(&indices, self.settings.rows as usize)?;
        let row = found.iter().filter_map(|(id, _)| self.rows.get(id)).find(|row| row.done);
        Ok(row.map(|row| edited(&row.plan, row.goal, goal)).unwrap_or_default())
    }

    fn keep(&mut self, task: u32, row: Row) -> Result<(), LabError> {
        let keeps = match self.settings.database {
            Database::None => false,
            Database::Static => self.iteration == 0,
            Database::Growing => true,
        };
        if !keeps {
            return Ok(());
        }
        let count = u32::try_from(self.house.tasks().len()).unwrap_or(u32::MAX);
        let id = self.iteration * count + task;
        let shown = match self.settings.keys {
            Keys::Shuffled => {
                let mut random = self.streams.keyed("keys", task, self.iteration);
                u32::try_from(bounded(&mut random, u64::from(count))).unwrap_or(0)
            }
            _ => task,
        };
        let [goal, scene] = self.vectors(shown as usize);
        let codes: Vec<u8> = row.plan.iter().map(|action| action.code()).collect();
        let content = Digest::of_parts(&[b"palimpsest/plan/v1", &codes, &[u8::from(row.done)]]);
        self.goals.append(id, &goal, content)?;
        self.scenes.append(id, &scene, content)?;
        self.rows.insert(id, row);
        Ok(())
    }
}

impl Learner for Planner {
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        if now.epoch != self.iteration {
            self.iteration = now.epoch;
            self.goals.seal();
            self.scenes.seal();
        }
        let Some(plans) = network.buffers.first() else {
            return Err(LabError::Network("the network has no place for plans".to_owned()));
        };
        for &id in &batch.ids {
            let task = id as usize;
            let (Some(goal), Some(mut visit)) =
                (self.house.tasks().get(task).map(|task| task.goal), self.house.visit(task))
            else {
                return Err(LabError::Order(format!("there is no task {id}")));
            };
            let plan = self.plan(task, goal)?;
            self.followed += u64::from(!plan.is_empty());
            let mut random = self.streams.keyed("tries", id, now.epoch);
            let tries = tried(&mut visit, goal, &plan, self.settings.repair, &mut random);
            let actions: Vec<Action> = tries.iter().map(|(action, _)| *action).collect();
            let (_, done) = self.house.outcome(task, &actions);
            let mut codes = vec![0.0_f32; LONGEST];
            for (place, action) in codes.iter_mut().zip(&actions) {
                *place = f32::from(action.code() + 1);
            }
            tch::no_grad(|| plans.f_get(i64::from(id))?.f_copy_(&Tensor::f_from_slice(&codes)?))?;
            self.counts.resize((now.epoch as usize + 1).max(self.counts.len()), [0; 2]);
            let counts = &mut self.counts[now.epoch as usize];
            counts[0] += u32::from(done);
            counts[1] += 1;
            self.keep(id, Row { goal, plan: trimmed(&tries), done })?;
        }
        Ok(None)
    }

    fn facts(&self) -> Facts {
        Facts::from([
            ("done_and_tried".to_owned(), json!(self.counts)),
            ("plans_followed".to_owned(), self.followed.into()),
            ("rows".to_owned(), self.rows.len().into()),
            ("goals_sha256".to_owned(), self.goals.digest().to_string().into()),
            ("scenes_sha256".to_owned(), self.scenes.digest().to_string().into()),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.goals.state(state)?;
        self.scenes.state(state)?;
        let rows = self.rows.iter().map(|(id, Row { goal, plan, done })| {
            let codes: Vec<u8> = plan.iter().map(|action| action.code()).collect();
            (*id, ([goal.kind, goal.into, u8::from(*done)], codes))
        });
        let mut rows: BTreeMap<u32, ([u8; 3], Vec<u8>)> = rows.collect();
        state.of("rows", &mut rows)?;
        let row = |(id, ([kind, into, done], codes)): (u32, ([u8; 3], Vec<u8>))| {
            let plan = codes.into_iter().map(Action::read).collect::<Option<_>>()?;
            Some((id, Row { goal: Goal { kind, into }, plan, done: done != 0 }))
        };
        let rows = rows.into_iter().map(row).collect::<Option<_>>();
        self.rows = rows.ok_or_else(|| LabError::State("a plan has no such action".to_owned()))?;
        state.of("iteration", &mut self.iteration)?;
        state.of("counts", &mut self.counts)?;
        state.of("followed", &mut self.followed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::streams;

    fn index(vectors: &[&[f64]]) -> Index {
        let mut index = Index::default();
        for (id, vector) in (1..).zip(vectors) {
            index.append(id, vector, Digest::of(&[0])).unwrap();
        }
        index.seal();
        index
    }

    #[test]
    fn goal_and_scene_together_find_another_row_than_the_goal_alone() {
        let goals = index(&[&[1.0, 0.0, 1.0, 0.0], &[1.0, 1.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 1.0]]);
        let scenes = index(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 1.0], &[0.0, 1.0, 0.0]]);
        let goal = (&goals, vec![1.0, 0.0, 1.0, 0.0]);
        let scene = (&scenes, vec![0.0, 1.0, 1.0]);
        let both = joint(&[goal.clone(), scene], 3).unwrap();
        for (found, expected) in both.iter().zip([(2, 1.5), (1, 1.0), (3, 0.5_f64.sqrt())]) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-4, "{both:?}");
        }
        let alone: Vec<u32> = joint(&[goal], 3).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(alone, [1, 2, 3]);
    }

    #[test]
    fn a_plan_is_edited_for_another_goal_and_trimmed_to_what_was_possible() {
        use Action::{Go, Put, Take};
        let (from, to) = (Goal { kind: 1, into: 5 }, Goal { kind: 2, into: 6 });
        let plan = [Go(3), Take(1), Go(5), Put(1)];
        assert_eq!(edited(&plan, from, to), [Go(3), Take(2), Go(6), Put(2)]);
        let tries = [
            (Go(0), true),
            (Take(1), false),
            (Go(3), true),
            (Take(1), true),
            (Go(5), true),
            (Put(1), true),
        ];
        assert_eq!(trimmed(&tries), plan);
    }

    #[test]
    fn a_task_that_was_first_done_in_its_fourth_try_finds_that_one() {
        let mut random = ledger::order::generator(&Digest::of(b"planning"));
        let house = Arc::new(House::draw(20, &mut random));
        let goal = house.tasks()[7].goal;
        let mut planner = Planner::new(PlanningSettings::default(), &house, &streams());
        for iteration in 0..4 {
            planner.iteration = iteration;
            let plan = vec![Action::Go(goal.into)];
            planner.keep(7, Row { goal, plan, done: iteration == 3 }).unwrap();
        }
        planner.goals.seal();
        planner.scenes.seal();
        assert_eq!(planner.plan(7, goal).unwrap(), [Action::Go(goal.into)]);
    }

    #[test]
    fn what_was_done_once_is_done_again_by_its_plan() {
        let house = House::draw(60, &mut ledger::order::generator(&Digest::of(b"planning")));
        let mut solved = 0;
        for (task, at) in house.tasks().iter().zip(0_u32..) {
            let mut random = streams().keyed("tries", at, 0);
            let tries =
                tried(&mut house.visit(at as usize).unwrap(), task.goal, &[], 0.0, &mut random);
            let actions: Vec<Action> = tries.iter().map(|(action, _)| *action).collect();
            if !house.outcome(at as usize, &actions).1 {
                continue;
            }
            solved += 1;
            let plan = trimmed(&tries);
            let again =
                tried(&mut house.visit(at as usize).unwrap(), task.goal, &plan, 0.0, &mut random);
            let actions: Vec<Action> = again.iter().map(|(action, _)| *action).collect();
            assert!(house.outcome(at as usize, &actions).1 && actions.len() <= plan.len());
        }
        // Who only looks around is sometimes done in time.
        assert!((3..50).contains(&solved), "{solved}");
    }
}
