//! Responses of several teachers to the same questions, and lessons by one after the other.
//!
//! Source: Mukherjee et al., arXiv:2306.02707 (Orca): an intermediate teacher on many questions, then a stronger one on a part
//! of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::choice;
use ledger::order::{OrderLaw, shuffle};
use ledger::streams::{Streams, unit_f64};

use crate::LabError;
use crate::rendering::{Row, read, replace};
use crate::seat::{Batch, EpochPlan, Facts, Order, OrderSource, StepInfo, View};
use crate::state::State;

/// What each teacher says to each training example, by teacher; the first gives the answer alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Teachers {
    /// Responses with their ends: `responses[teacher][example]`.
    pub responses: Vec<Vec<Vec<i64>>>,
}

choice! {
    /// A teacher.
    pub enum Teacher {
        /// Says the answer.
        Answer = "answer",
        /// Says one line a step.
        Intermediate = "intermediate",
        /// Says what is done in each step.
        Strong = "strong",
    }
}

impl Teacher {
    /// Its place among [`Teachers`].
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Self::Answer => 0,
            Self::Intermediate => 1,
            Self::Strong => 2,
        }
    }
}

/// A pass, or a part of one, of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Whether it is over the part that the strong teacher answers.
    pub part: bool,
    /// Examples in it.
    pub examples: u32,
    /// Who is listened to; both where there is none.
    pub teacher: Option<Teacher>,
}

/// What is listened to, pass by pass.
#[derive(Debug, Clone)]
pub struct Lessons {
    /// The passes.
    pub passes: Vec<Pass>,
    /// The examples that the strong teacher answers, ascending.
    pub part: Vec<u32>,
}

/// Passes over `examples` until `samples` are used up.
fn passes(samples: u64, examples: u32, part: bool, teacher: Option<Teacher>) -> Vec<Pass> {
    let mut left = samples;
    let mut all = Vec::new();
    while left > 0 && examples > 0 {
        let examples = u32::try_from(left).map_or(examples, |left| left.min(examples));
        left -= u64::from(examples);
        all.push(Pass { part, examples, teacher });
    }
    all
}

impl Lessons {
    /// A part of one example in `ratio`, drawn by the run's stream.
    fn part(examples: u32, ratio: u32, streams: &Streams) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..examples).collect();
        shuffle(&mut streams.generator("part"), &mut ids);
        ids.truncate((examples / ratio.max(1)).max(1) as usize);
        ids.sort_unstable();
        ids
    }

    /// One teacher, over all examples or over the strong one's part.
    #[must_use]
    pub fn alone(
        teacher: Teacher,
        (examples, ratio): (u32, u32),
        samples: u64,
        streams: &Streams,
    ) -> Self {
        let part = Self::part(examples, ratio, streams);
        let strong = teacher == Teacher::Strong;
        let count = if strong { u32::try_from(part.len()).unwrap_or(1) } else { examples };
        Self { passes: passes(samples, count, strong, Some(teacher)), part }
    }

    /// The first teacher over all examples, then the second over a part: `ratio` to 1 in samples, too.
    #[must_use]
    pub fn staged(
        [first, second]: [Teacher; 2],
        (examples, ratio): (u32, u32),
        samples: u64,
        streams: &Streams,
    ) -> Self {
        let part = Self::part(examples, ratio, streams);
        let early = samples * u64::from(ratio) / u64::from(ratio + 1);
        let count = u32::try_from(part.len()).unwrap_or(1);
        let mut all = passes(early, examples, false, Some(first));
        all.extend(passes(samples - early, count, true, Some(second)));
        Self { passes: all, part }
    }

    /// What [`Lessons::staged`] shows, in no order: each pass has every example once, and those of the part once more.
    #[must_use]
    pub fn union((examples, ratio): (u32, u32), samples: u64, streams: &Streams) -> Self {
        let part = Self::part(examples, ratio, streams);
        let count = examples + u32::try_from(part.len()).unwrap_or(0);
        Self { passes: passes(samples, count, false, None), part }
    }

    /// Steps of `batch` examples with each of two teachers: those of the first pass' teacher and of the part, and the others.
    #[must_use]
    pub fn steps(&self, batch: u32) -> [u32; 2] {
        let of = |part: bool| {
            let passes = self.passes.iter().filter(move |pass| pass.part == part);
            passes.map(|pass| pass.examples.div_ceil(batch.max(1))).sum()
        };
        [of(false), of(true)]
    }
}

impl Order for Lessons {
    fn law(&self) -> OrderLaw {
        let plain = |pass: &Pass| !pass.part && pass.teacher.is_some();
        if self.passes.iter().all(plain) { OrderLaw::Uniform } else { OrderLaw::Blockwise }
    }

    fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
        self.passes.iter().map(|pass| pass.examples).collect()
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let mut ids = match self.passes.get(epoch as usize) {
            Some(Pass { part: true, .. }) => self.part.clone(),
            Some(Pass { teacher: None, .. }) => {
                (0..source.examples).chain(self.part.iter().copied()).collect()
            }
            _ => return EpochPlan { ids: source.uniform(epoch), block: epoch },
        };
        shuffle(&mut source.streams.keyed("lessons", 0, epoch), &mut ids);
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Puts a teacher's response in the place of an example's own.
#[derive(Debug)]
pub struct Taught {
    teachers: Arc<Teachers>,
    lessons: Lessons,
    /// How often an example came in the current pass.
    seen: (u32, BTreeMap<u32, u32>),
    /// Responses and their tokens, by teacher.
    counts: [[u64; 2]; 3],
}

impl Taught {
    /// By these teachers, in the passes of these lessons.
    #[must_use]
    pub fn new(teachers: &Arc<Teachers>, lessons: &Lessons) -> Self {
        let (teachers, lessons) = (teachers.clone(), lessons.clone());
        Self { teachers, lessons, seen: (0, BTreeMap::new()), counts: [[0; 2]; 3] }
    }

    /// Who is listened to for an example that comes for the `time`th time in its pass: where both teachers are, a coin says
    /// which comes first.
    fn teacher(&self, id: u32, time: u32, epoch: u32, streams: &Streams) -> Teacher {
        match self.lessons.passes.get(epoch as usize).and_then(|pass| pass.teacher) {
            Some(teacher) => teacher,
            None if self.lessons.part.binary_search(&id).is_err() => Teacher::Intermediate,
            None => {
                let first = unit_f64(&mut streams.keyed("union", id, epoch)) < 0.5;
                if first == (time == 0) { Teacher::Strong } else { Teacher::Intermediate }
            }
        }
    }
}

impl View for Taught {
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        if self.seen.0 != now.epoch {
            self.seen = (now.epoch, BTreeMap::new());
        }
        let mut rows = read(batch)?;
        for (row, &id) in rows.iter_mut().zip(&batch.ids) {
            let time = self.seen.1.entry(id).or_insert(0);
            *time += 1;
            let before = *time - 1;
            let place = self.teacher(id, before, now.epoch, streams).place();
            let said = self.teachers.responses.get(place).and_then(|all| all.get(id as usize));
            let Some(said) = said else {
                return Err(LabError::Method(format!(
                    "teacher {place} says nothing to example {id}"
                )));
            };
            *row = Row::of(&row.tokens[..row.prompt()], said);
            self.counts[place][0] += 1;
            self.counts[place][1] += said.len() as u64;
        }
        Ok(replace(batch, &rows)?)
    }

    fn facts(&self) -> Facts {
        let [responses, tokens] = [0, 1].map(|of| self.counts.map(|count| count[of]).to_vec());
        Facts::from([
            ("taught_responses".to_owned(), responses.into()),
            ("taught_tokens".to_owned(), tokens.into()),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("seen", &mut self.seen)?;
        state.of("counts", &mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{step_info, streams};
    use crate::workshop::batch_of;
    use tch::Device;

    fn order(lessons: &Lessons) -> Vec<Vec<u32>> {
        let (streams, effective_seed) = (streams(), [4; 32]);
        let (effective_seed, eligible) = (&effective_seed, None);
        let source = OrderSource { effective_seed, streams: &streams, examples: 50, eligible };
        let mut lessons = lessons.clone();
        let rounds = lessons.rounds(50, 0);
        let plans = (0..).zip(rounds).map(|(epoch, n)| {
            let mut ids = lessons.epoch(epoch, &source).ids;
            ids.truncate(n as usize);
            ids
        });
        plans.collect()
    }

    #[test]
    fn the_first_teacher_comes_before_the_second_and_each_says_everything_four_times() {
        let lessons =
            Lessons::staged([Teacher::Intermediate, Teacher::Strong], (50, 5), 4 * 60, &streams());
        assert_eq!((lessons.passes.len(), lessons.part.len()), (8, 10));
        let teachers: Vec<_> = lessons.passes.iter().map(|pass| pass.teacher.unwrap()).collect();
        assert!(teachers[..4].iter().all(|teacher| *teacher == Teacher::Intermediate));
        assert!(teachers[4..].iter().all(|teacher| *teacher == Teacher::Strong));
        let rounds = order(&lessons);
        let count =
            |rounds: &[Vec<u32>], id: u32| rounds.iter().flatten().filter(|i| **i == id).count();
        for id in 0..50 {
            assert_eq!(count(&rounds[..4], id), 4);
            let again = if lessons.part.contains(&id) { 4 } else { 0 };
            assert_eq!(count(&rounds[4..], id), again);
        }
        assert_ne!(rounds[4], rounds[5]);
        assert_eq!((lessons.steps(16), lessons.law()), ([16, 4], OrderLaw::Blockwise));
    }

    #[test]
    fn the_union_shows_as_much_of_each_in_no_order() {
        let lessons = Lessons::union((50, 5), 60, &streams());
        let rounds = order(&lessons);
        assert_eq!((rounds.len(), rounds[0].len()), (1, 60));
        let teachers =
            Teachers { responses: [1_usize, 2, 3].map(|n| vec![vec![9; n]; 50]).to_vec() };
        let mut view = Taught::new(&Arc::new(teachers), &lessons);
        for ids in rounds[0].chunks(7) {
            let rows = vec![Row::of(&[1, 2], &[3]); ids.len()];
            let table = crate::rendering::placed(&rows, 0, Device::Cpu).unwrap();
            let mut batch = batch_of(ids, &table).unwrap();
            view.render(&mut batch, &step_info(0, 9), &streams()).unwrap();
        }
        assert_eq!(view.facts()["taught_responses"], serde_json::json!([0, 50, 10]));
        assert_eq!(view.facts()["taught_tokens"], serde_json::json!([0, 100, 30]));
    }

    #[test]
    fn a_budget_of_less_than_a_pass_still_has_both_teachers() {
        let both = [Teacher::Intermediate, Teacher::Strong];
        let lessons = Lessons::staged(both, (50, 5), 12, &streams());
        assert_eq!(lessons.rounds(50, 12), [10, 2]);
        let alone = Lessons::alone(Teacher::Answer, (50, 5), 60, &streams());
        assert_eq!((alone.rounds(50, 60), alone.law()), (vec![50, 10], OrderLaw::Uniform));
        let strong = Lessons::alone(Teacher::Strong, (50, 5), 25, &streams());
        assert_eq!((strong.rounds(50, 25), strong.law()), (vec![10, 10, 5], OrderLaw::Blockwise));
    }

    #[test]
    fn losses_are_asked_of_the_response_with_its_end_and_nowhere_else() {
        // A system message of 6, a query of 20, a response of 14 with its end.
        let prompt: Vec<i64> = (0..26).map(|place| place % 9).collect();
        let rows = [Row::of(&prompt, &[1, 9])];
        let teachers = Teachers { responses: vec![vec![vec![3; 14]]] };
        let lessons = Lessons::alone(Teacher::Answer, (1, 1), 1, &streams());
        let table = crate::rendering::placed(&rows, 0, Device::Cpu).unwrap();
        let mut batch = batch_of(&[0], &table).unwrap();
        let mut view = Taught::new(&Arc::new(teachers), &lessons);
        view.render(&mut batch, &step_info(0, 1), &streams()).unwrap();
        let labels = Vec::<i64>::try_from(&batch.labels.view([-1])).unwrap();
        assert_eq!(labels.iter().filter(|label| **label >= 0).count(), 14);
        assert!(labels[..25].iter().all(|label| *label < 0));
    }
}
