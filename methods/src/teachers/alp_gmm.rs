//! # ALP-GMM: tasks where reward changes most
//!
//! ## Mechanism
//! After an episode on task `p` with reward `r`, the absolute learning progress is `alp = |r − r'|`, `r'`
//! the reward of the nearest earlier task (0 for the first six). Every 250 tasks Gaussian mixtures
//! with 2 to 10 full covariances are fitted to the last 250 rows `[p, alp]`, and the one with the lowest
//! AIC is kept. The next task is uniform with probability 0.2 and before the first fit; otherwise a
//! Gaussian is chosen in proportion to its mean `alp`, a point drawn from it, its `alp` dropped and the
//! rest clipped to the box.
//!
//! `signal: shuffled` is a control: the progress of each window is permuted among its tasks before the
//! fit, so that everything is as before except that progress says nothing about place.
//!
//! ## Claim
//! Stump Tracks, 20 M steps: 39.6 ± 9.6 % of 50 test tasks mastered, Covar-GMM 33.3, RIAC 32.1, uniform
//! tasks 18.2 (figures of the paper at second hand). On the repository's toy, which this bench runs as
//! `task-grid`, cells open one after another, and uniform tasks open almost none.
//!
//! ## Sources
//! Portelas, Colas, Hofmann, Oudeyer, arXiv:1910.07224 (CoRL 2019); flowersteam/teachDeepRL@747cda2
//! `teachers/algos/alp_gmm.py`, `toy_env/toy_env.py`.
//!
//! ## Differences
//! - The student gets the point of the workload's lattice that is nearest to the proposal; the teacher
//!   remembers the proposal. On `task-grid` no reward depends on the difference.
//! - Rewards are in 0..=1 as the workload gives them; the code rescales −150..350 to that.
//! - In the code seed 0 counts as no seed. Here all randomness comes from the run's named streams.
//! - Of several earlier tasks at the same distance the latest counts; the code leaves that to a k-d
//!   tree. Its AICc option (with one dimension too few in the parameter count) is left out.
//! - One window serves as bootstrap, interval between fits and rows of a fit, as in the code.

use lab::method::Method;
use lab::seat::{Facts, Task};
use lab::teaching::history::History;
use lab::teaching::mixtures::{MixtureSettings, TaskMixture};
use lab::teaching::{Lattice, Teacher, TeachingSettings, recipe};
use lab::workloads::offers;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::{OrderLaw, shuffle};
use ledger::{choice, settings};
use rand_pcg::Pcg64;

choice! {
    /// What the mixture is fitted to.
    pub enum Signal {
        /// The progress of each task.
        Progress = "progress",
        /// The same numbers, permuted among the tasks of a window.
        Shuffled = "shuffled",
    }
}

settings! {
    /// Settings of `alp-gmm`.
    pub struct Settings {
        /// Whether tasks keep their own progress, or, as a control, get that of others.
        signal: Signal = Signal::Progress, from "the method; shuffled is this bench's control";
        use mixture: MixtureSettings;
        use teaching: TeachingSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "tasks from the Gaussian where absolute learning progress is highest",
    paper: Paper {
        title: "Teacher algorithms for curriculum learning of deep RL in continuously parameterized environments",
        authors: "Portelas, Colas, Hofmann, Oudeyer",
        year: 2019,
        reference: "arXiv:1910.07224",
        code: "flowersteam/teachDeepRL@747cda2",
    },
    claim: PaperClaim {
        statement: "masters more of the task space than uniformly drawn tasks",
        number: "Stump Tracks, 20 M steps: 39.6 against 18.2 % of test tasks",
        source: "paper, as reported by a third party",
    },
    baseline: Some("random-tasks"),
    needs: &[offers::TASKS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { signal, mixture, teaching } = Settings::read(values)?;
        let lattice = Lattice::of(task, "alp-gmm")?;
        let round = mixture.fit_rate;
        let teacher = AlpGmm::new(signal, mixture, lattice, task);
        recipe(&teaching, task, lattice, round, OrderLaw::Adaptive, teacher)
    },
};

#[derive(Debug)]
struct AlpGmm {
    signal: Signal,
    window: usize,
    history: History,
    /// Tasks of the window with their progress, row by row.
    rows: Vec<f64>,
    mixture: TaskMixture,
    control: Pcg64,
}

impl AlpGmm {
    fn new(signal: Signal, mixture: MixtureSettings, lattice: Lattice, task: &Task<'_>) -> Self {
        Self {
            signal,
            window: mixture.fit_rate as usize,
            history: History::default(),
            rows: Vec::new(),
            mixture: TaskMixture::new(mixture, lattice, task),
            control: task.streams.generator("control"),
        }
    }
}

impl Teacher for AlpGmm {
    fn propose(&mut self) -> Vec<f64> {
        self.mixture.propose(|gaussian| gaussian.mean.last().copied().unwrap_or(0.0))
    }

    fn observe(&mut self, task: &[f64], reward: f64) {
        self.rows.extend(task);
        self.rows.push(self.history.progress(task, reward));
        let dimensions = task.len() + 1;
        if self.rows.len() == self.window * dimensions {
            if self.signal == Signal::Shuffled {
                permute_last(&mut self.rows, dimensions, &mut self.control);
            }
            self.mixture.fit(&self.rows, dimensions);
            self.rows.clear();
        }
    }

    fn facts(&self) -> Facts {
        self.mixture.facts()
    }
}

/// Permutes the last value of each row among the rows.
fn permute_last(rows: &mut [f64], dimensions: usize, random: &mut Pcg64) {
    let last: Vec<f64> = rows.chunks_exact(dimensions).map(|row| row[dimensions - 1]).collect();
    let mut places: Vec<u32> = (0..).take(last.len()).collect();
    shuffle(random, &mut places);
    for (row, place) in rows.chunks_exact_mut(dimensions).zip(places) {
        row[dimensions - 1] = last[place as usize];
    }
}
