//! # Oracle: a window that slides from easy to hard
//!
//! ## Mechanism
//! Tasks are uniform in a window a sixth of the space wide. It begins at the easy end of every coordinate, and after each
//! 50 tasks whose mean return is above 230 points it moves by a fixed step towards the hard end, until it is
//! there. Which end is easy is told to it: an expert's curriculum, the ceiling that teachers without such
//! knowledge are measured against, not one of them.
//!
//! `first_step` and `second_step` are the moves of the first two coordinates as shares of the space,
//! negative where the high end is easy. Further coordinates are drawn from all of their range: the expert
//! knows which count.
//!
//! ## Claim
//! A reference. An expert's window masters at least as many tasks as a teacher that has to find out; where it does
//! not, the window's steps are the wrong ones. No figure of the paper's is quoted: none was at hand.
//!
//! ## Sources
//! Portelas, Colas, Hofmann, Oudeyer, arXiv:1910.07224 (CoRL 2019); flowersteam/teachDeepRL@747cda2
//! `teachers/algos/oracle_teacher.py` (window, threshold, 50 tasks) and `run.py` (steps for Stump Tracks: 0.1 of a height
//! to 3, −0.2 of a spacing to 6).
//!
//! ## Differences
//! - Steps are shares of the space, 1/30 by default, as the code's are where heights go to 3; the code's 0.1 of
//!   a height is a smaller share of a larger box.
//! - The threshold is on rewards as the workload gives them, 0 to 1: 230 of −150 to 350 points is 0.76. The code
//!   gives this teacher alone the raw return.
//! - In the code, whose spaces have no irrelevant coordinates where it is used, every coordinate has a step. With no step the window
//!   stays as wide as the space there.
//! - The student gets the point of the workload's lattice nearest to the proposal.

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::seat::Facts;
use lab::state::State;
use lab::teaching::{Lattice, Teacher, TeachingSettings, recipe};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::OrderLaw;
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

settings! {
    /// Settings of `oracle`.
    pub struct Settings {
        /// Move of the first coordinate, as a share of its range; negative from high to low, 0 for no window.
        first_step: f64 = 1.0 / 30.0, range Range::of(-1.0..=1.0), from "run.py: 0.1 of 3";
        /// The same of the second.
        second_step: f64 = -1.0 / 30.0, range Range::of(-1.0..=1.0), from "run.py: -0.2 of 6";
        /// Side of the window as a share of the range.
        window: f64 = 1.0 / 6.0, range Range::of(0.0..=1.0), from "oracle_teacher.py";
        /// Mean reward above which the window moves.
        threshold: f64 = 0.76, range Range::of(0.0..=1.0), from "oracle_teacher.py: 230 of -150 to 350";
        /// Tasks between two looks.
        step_rate: u32 = 50, range Range::of(1.0..), from "oracle_teacher.py";
        use teaching: TeachingSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "tasks from a window that an expert has told where to slide: the ceiling of teachers",
    paper: Paper {
        title: "Teacher algorithms for curriculum learning of deep RL in continuously parameterized environments",
        authors: "Portelas, Colas, Hofmann, Oudeyer",
        year: 2019,
        reference: "arXiv:1910.07224",
        code: "flowersteam/teachDeepRL@747cda2",
    },
    claim: PaperClaim {
        statement: "an expert's curriculum masters at least as many tasks as a teacher's",
        number: "none at hand",
        source: "flowersteam/teachDeepRL@747cda2, oracle_teacher.py",
    },
    baseline: Some("random-tasks"),
    needs: &[offers::TASKS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let lattice = Lattice::of(task)?;
        let random = task.streams.generator("teacher");
        let teacher = Oracle::new(&settings, lattice.dimensions, random);
        let Settings { step_rate, teaching, .. } = settings;
        recipe(&teaching, task, lattice, step_rate, OrderLaw::Adaptive, teacher)
    },
};

#[derive(Debug)]
struct Oracle {
    threshold: f64,
    step_rate: usize,
    /// Of each coordinate.
    windows: Vec<Window>,
    rewards: Vec<f64>,
    moves: u32,
    random: Pcg64,
}

/// The window along a coordinate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    low: f64,
    side: f64,
    step: f64,
}

impl Window {
    /// At the end that a step leads away from.
    fn new(side: f64, step: f64) -> Self {
        if step == 0.0 {
            return Self { low: 0.0, side: 1.0, step };
        }
        Self { low: if step > 0.0 { 0.0 } else { 1.0 - side }, side, step }
    }

    fn slide(&mut self) {
        self.low = (self.low + self.step).clamp(0.0, 1.0 - self.side);
    }
}

impl Oracle {
    fn new(settings: &Settings, dimensions: usize, random: Pcg64) -> Self {
        let Settings { first_step, second_step, window, threshold, step_rate, .. } = *settings;
        let steps = [first_step, second_step].into_iter().chain(std::iter::repeat(0.0));
        Self {
            threshold,
            step_rate: step_rate as usize,
            windows: steps.take(dimensions).map(|step| Window::new(window, step)).collect(),
            rewards: Vec::new(),
            moves: 0,
            random,
        }
    }
}

impl Teacher for Oracle {
    fn propose(&mut self) -> Vec<f64> {
        let random = &mut self.random;
        self.windows.iter().map(|window| window.low + window.side * unit_f64(random)).collect()
    }

    fn observe(&mut self, _: &[f64], reward: f64) {
        self.rewards.push(reward);
        if self.rewards.len() == self.step_rate {
            let mean = self.rewards.iter().sum::<f64>() / self.rewards.len() as f64;
            self.rewards.clear();
            if mean > self.threshold {
                self.windows.iter_mut().for_each(Window::slide);
                self.moves += 1;
            }
        }
    }

    fn facts(&self) -> Facts {
        Facts::from([("window_moves".to_owned(), self.moves.into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        for window in &mut self.windows {
            state.of("low", &mut window.low)?;
        }
        state.of("rewards", &mut self.rewards)?;
        state.of("moves", &mut self.moves)?;
        state.of("random", &mut self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;

    fn oracle(dimensions: usize) -> Oracle {
        let settings = Settings::read(&(METHOD.resolve)(&with([])).unwrap()).unwrap();
        Oracle::new(&settings, dimensions, lab::trial::streams().generator("teacher"))
    }

    fn lows(teacher: &Oracle) -> Vec<f64> {
        teacher.windows.iter().map(|window| window.low).collect()
    }

    #[test]
    fn the_window_moves_after_fifty_tasks_above_the_threshold_on_average_and_not_at_it() {
        let mut teacher = oracle(2);
        assert_eq!((teacher.threshold, lows(&teacher)), (0.76, vec![0.0, 1.0 - 1.0 / 6.0]));
        // One that sums are exact at.
        teacher.threshold = 0.75;
        let mut tell = |rewards: [f64; 50]| {
            rewards.iter().for_each(|reward| teacher.observe(&[0.0; 2], *reward));
            (teacher.moves, lows(&teacher))
        };
        assert_eq!(tell([0.75; 50]).0, 0);
        let mut half: [f64; 50] = std::array::from_fn(|at| if at % 2 == 0 { 1.0 } else { 0.5 });
        assert_eq!(tell(half).0, 0);
        half[1] = 0.625;
        let (moves, lows) = tell(half);
        assert_eq!(moves, 1);
        assert!((lows[0] - 1.0 / 30.0).abs() < 1e-12 && (lows[1] - 0.8).abs() < 1e-12, "{lows:?}");
    }

    #[test]
    fn the_window_stops_at_the_far_end_of_each_coordinate() {
        let mut teacher = oracle(2);
        for told in 0..50 * 60 {
            teacher.observe(&[0.0; 2], 1.0);
            let task = teacher.propose();
            assert!(task.iter().all(|place| (0.0..=1.0).contains(place)), "{told}: {task:?}");
        }
        // 25 steps of 1/30 are the five sixths that there are to go.
        let ends = lows(&teacher);
        assert!((ends[0] - 5.0 / 6.0).abs() < 1e-12 && ends[1].abs() < 1e-12, "{ends:?}");
        assert_eq!(teacher.moves, 60);
    }

    #[test]
    fn tasks_lie_in_the_window_and_coordinates_without_a_step_are_drawn_from_all_of_their_range() {
        let mut teacher = oracle(4);
        let tasks: Vec<_> = (0..2_000).map(|_| teacher.propose()).collect();
        assert!(tasks.iter().all(|task| task[0] <= 1.0 / 6.0 && task[1] >= 5.0 / 6.0));
        for coordinate in 2..4 {
            let low = tasks.iter().filter(|task| task[coordinate] < 0.5).count();
            // Four standard errors of 22.4.
            assert!((910..1_090).contains(&low), "{low}");
        }
    }

    #[test]
    fn a_student_that_learns_pulls_the_window_along_and_one_that_cannot_leaves_it_where_it_is() {
        let stage = workloads::fixture("task-grid", &with([])).unwrap();
        let moves = |second: f64| {
            let settings = with([("second_step", second.into())]);
            let trace = stage.run(&METHOD, &settings, 5_000, 1).unwrap();
            assert_eq!((trace.law, trace.rounds().len()), (OrderLaw::Adaptive, 100));
            trace.facts["window_moves"].as_u64().unwrap()
        };
        // Cells open from the origin; at the other end of the second coordinate all are locked.
        assert!(moves(1.0 / 30.0) >= 1);
        assert_eq!(moves(-1.0 / 30.0), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_policy_and_lessons_of_stumps_whatever_coordinates_say_nothing()
    {
        let trained = |irrelevant: u32, seed: u64| {
            let stage =
                workloads::fixture("stumps", &with([("irrelevant", irrelevant.into())])).unwrap();
            let trace = stage.run(&METHOD, &with([("step_rate", 10.into())]), 40, seed).unwrap();
            assert_eq!(trace.facts["environment_steps"], 2_000);
            (trace.digest, trace.order.ids)
        };
        let (digest, ids) = trained(0, 1);
        assert_eq!((digest, ids.clone()), trained(0, 1));
        assert_ne!(digest, trained(0, 2).0);
        // Low stumps far apart: the corner where the window begins, with ten coordinates more as without.
        for id in ids.iter().chain(&trained(10, 1).1) {
            assert!(id / 100 < 17 && id % 100 >= 83, "{id}");
        }
    }
}
