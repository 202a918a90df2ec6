//! A household in symbols: containers, objects in them, and goals of the form "put two of these in there".
//!
//! Scenes say where objects are. Who acts sees the words of a scene and what becomes of each action, and neither where
//! anything is nor that a hand holds one object at a time.

use ledger::digest::Digest;
use ledger::order::{bounded, shuffle};
use ledger::sample::sample_id;
use rand_pcg::Pcg64;

/// Containers, and kinds of objects.
pub const KINDS: usize = 8;
/// Scenes.
pub const SCENES: usize = 5;
/// Actions of a try at most.
pub const LONGEST: usize = 30;
/// Objects that a goal asks for.
pub const WANTED: u8 = 2;
/// Actions of the shortest way to a goal: go, take, go, put, and again.
pub const SHORTEST: usize = 8;

/// Words of all scenes.
const WORDS: u32 = 16;
/// Words of a scene, those of them that a task shows, and words beside them.
const OF_SCENE: usize = 8;
const SHOWN: usize = 5;
const BESIDE: usize = 1;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// To a container.
    Go(u8),
    /// An object of this kind, out of the container one stands at.
    Take(u8),
    /// An object of this kind, into it.
    Put(u8),
}

impl Action {
    /// Numbers from 0 to 23.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Go(container) => container,
            Self::Take(kind) => 8 + kind,
            Self::Put(kind) => 16 + kind,
        }
    }

    /// The action of a number.
    #[must_use]
    pub fn read(code: u8) -> Option<Self> {
        let kind = code % 8;
        [Self::Go(kind), Self::Take(kind), Self::Put(kind)].get(usize::from(code / 8)).copied()
    }
}

/// Two of `kind` in `into`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// Kind of the objects.
    pub kind: u8,
    /// The container.
    pub into: u8,
}

/// What is to be done, where, and what one sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The goal.
    pub goal: Goal,
    /// Words of the scene.
    pub words: Vec<u32>,
    scene: usize,
}

impl Task {
    /// Its sample id.
    #[must_use]
    pub fn id(&self) -> Digest {
        let mut bytes = vec![self.goal.kind, self.goal.into, u8::try_from(self.scene).unwrap_or(0)];
        self.words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        sample_id(&bytes, &[])
    }
}

/// What a word of the world says of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// It could be done.
    pub possible: bool,
    /// The goal is reached.
    pub done: bool,
}

/// A house of several scenes, with tasks.
#[derive(Debug, Clone)]
pub struct House {
    tasks: Vec<Task>,
    /// Container of each kind, by scene.
    places: Vec<[u8; KINDS]>,
}

impl House {
    /// A house of `count` tasks, no two alike.
    #[must_use]
    pub fn draw(count: usize, random: &mut Pcg64) -> Self {
        let below =
            |random: &mut Pcg64, n: usize| usize::try_from(bounded(random, n as u64)).unwrap_or(0);
        let place = |random: &mut Pcg64| u8::try_from(below(random, KINDS)).unwrap_or(0);
        let places: Vec<[u8; KINDS]> =
            (0..SCENES).map(|_| std::array::from_fn(|_| place(random))).collect();
        let some = |random: &mut Pcg64, words: &[u32], count: usize| -> Vec<u32> {
            let mut words = words.to_vec();
            shuffle(random, &mut words);
            words.truncate(count);
            words
        };
        let all: Vec<u32> = (0..WORDS).collect();
        let scenes: Vec<Vec<u32>> = (0..SCENES).map(|_| some(random, &all, OF_SCENE)).collect();
        let mut tasks: Vec<Task> = Vec::with_capacity(count);
        while tasks.len() < count {
            let scene = below(random, SCENES);
            let goal = Goal { kind: place(random), into: place(random) };
            let mut words = some(random, &scenes[scene], SHOWN);
            words.extend(some(random, &all, BESIDE));
            words.sort_unstable();
            let task = Task { goal, words, scene };
            // What is there already is no task.
            let there = places[scene][usize::from(goal.kind)] == goal.into;
            if !there && !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        Self { tasks, places }
    }

    /// The tasks.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// A try at a task, from its beginning; nothing where there is no such task.
    #[must_use]
    pub fn visit(&self, task: usize) -> Option<Visit> {
        let Task { goal, scene, .. } = self.tasks.get(task)?;
        let mut contents = [[0; KINDS]; KINDS];
        for (kind, place) in self.places[*scene].iter().enumerate() {
            contents[usize::from(*place)][kind] = WANTED;
        }
        Some(Visit { goal: *goal, contents, at: None, holds: None, actions: 0, done: false })
    }

    /// How many of the wanted objects a plan brings to their place, and whether it gets done within the actions that are allowed.
    #[must_use]
    pub fn outcome(&self, task: usize, plan: &[Action]) -> (u8, bool) {
        let Some(mut visit) = self.visit(task) else { return (0, false) };
        for action in plan {
            visit.act(*action);
        }
        (visit.brought(), visit.done)
    }
}

/// A try under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    goal: Goal,
    contents: [[u8; KINDS]; KINDS],
    at: Option<u8>,
    holds: Option<u8>,
    actions: usize,
    done: bool,
}

impl Visit {
    /// Acts, unless the goal is reached or all actions are used up.
    pub fn act(&mut self, action: Action) -> Seen {
        if self.done || self.actions >= LONGEST {
            return Seen { possible: false, done: self.done };
        }
        self.actions += 1;
        let here = self.at.map(usize::from);
        let possible = match action {
            Action::Go(container) => {
                self.at = Some(container % 8);
                true
            }
            Action::Take(kind) => {
                let there = here.map(|here| &mut self.contents[here][usize::from(kind % 8)]);
                match there {
                    Some(count) if *count > 0 && self.holds.is_none() => {
                        *count -= 1;
                        self.holds = Some(kind % 8);
                        true
                    }
                    _ => false,
                }
            }
            Action::Put(kind) => match (here, self.holds) {
                (Some(here), Some(held)) if held == kind % 8 => {
                    self.contents[here][usize::from(held)] += 1;
                    self.holds = None;
                    true
                }
                _ => false,
            },
        };
        self.done = self.brought() >= WANTED;
        Seen { possible, done: self.done }
    }

    /// Whether another action can be taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.done && self.actions < LONGEST
    }

    fn brought(&self) -> u8 {
        self.contents[usize::from(self.goal.into)][usize::from(self.goal.kind)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house() -> House {
        House::draw(200, &mut ledger::order::generator(&Digest::of(b"house")))
    }

    #[test]
    fn the_shortest_way_brings_two_objects_one_at_a_time() {
        let house = house();
        for (at, task) in house.tasks().iter().enumerate() {
            let Goal { kind, into } = task.goal;
            let from = house.places[task.scene][usize::from(kind)];
            let once = [Action::Go(from), Action::Take(kind), Action::Go(into), Action::Put(kind)];
            let plan = [once, once].concat();
            assert_eq!((house.outcome(at, &plan), plan.len()), ((2, true), SHORTEST));
            assert_eq!(house.outcome(at, &once), (1, false));
            // A hand holds one object.
            let both = [once[0], once[1], once[1], once[2], once[3], once[3]];
            assert_eq!(house.outcome(at, &both), (1, false));
            assert_eq!(house.outcome(at, &[]), (0, false));
        }
    }

    #[test]
    fn what_comes_behind_the_last_action_counts_for_nothing() {
        let house = house();
        let Goal { kind, into } = house.tasks()[0].goal;
        let from = house.places[house.tasks()[0].scene][usize::from(kind)];
        let once = [Action::Go(from), Action::Take(kind), Action::Go(into), Action::Put(kind)];
        let idle = [Action::Go(0); LONGEST - 7];
        assert_eq!(house.outcome(0, &[&idle[..], &once, &once].concat()), (1, false));
        assert_eq!(house.outcome(0, &[&idle[1..], &once, &once].concat()), (2, true));
    }

    #[test]
    fn actions_are_read_back_and_tasks_of_a_scene_share_words() {
        for code in 0..24 {
            assert_eq!(Action::read(code).map(Action::code), Some(code));
        }
        assert_eq!(Action::read(24), None);
        let house = house();
        let shared =
            |a: &Task, b: &Task| a.words.iter().filter(|word| b.words.contains(word)).count();
        let (mut same, mut other) = ([0.0, 0.0], [0.0, 0.0]);
        for (at, a) in house.tasks().iter().enumerate() {
            for b in &house.tasks()[at + 1..] {
                let sums = if a.scene == b.scene { &mut same } else { &mut other };
                sums[0] += shared(a, b) as f64;
                sums[1] += 1.0;
            }
        }
        assert!(same[0] / same[1] > other[0] / other[1] + 0.3, "{same:?} {other:?}");
    }
}
