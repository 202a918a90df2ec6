//! # RIAC: regions split where learning progress differs
//!
//! ## Mechanism
//! A tree of boxes over the task space; every box on the way to a task keeps it with its reward, at most
//! 201 of them. Progress of a box: |mean reward of the older half − of the newer half| of its last 200.
//! A leaf with more than 200 tasks is split: of 50 random cuts, each leaving at least 10 tasks and 1/15
//! of every side of the space to both parts, the one with the highest `n₁·n₂·|progress₁ − progress₂|`; when
//! no cut is valid, the oldest quarter of its tasks is dropped. The next task: with probability 0.7 a box in
//! proportion to progress (inner boxes included), then uniform in it; 0.2 uniform in the space; 0.1 the
//! worst task of such a box, moved by normal noise of deviation 0.1 and clipped to the box.
//!
//! ## Claim
//! Stump Tracks, 20 M steps: 32.1 % of 50 test tasks mastered, between ALP-GMM (39.6) and uniform tasks
//! (18.2); figures of ALP-GMM's paper at second hand.
//!
//! ## Sources
//! Baranes, Oudeyer, "R-IAC: robust intrinsically motivated exploration and active learning", IEEE TAMD
//! 1(3), 2009; Portelas et al., arXiv:1910.07224 (CoRL 2019); flowersteam/teachDeepRL@747cda2
//! `teachers/algos/riac.py`, and its successor flowersteam/TeachMyAgent `teachers/algos/riac.py`.
//!
//! ## Differences
//! - `variant: as-released` repeats two errors of the code: the score multiplies `len` of two pairs
//!   of lists, so that `n₁·n₂` is always 4, and the parts begin with the progress of the last cut that was
//!   tried, not of the best. `fixed` does what the paper describes.
//! - Rewards reach the teacher a round (50 tasks) at a time, not one by one.
//! - The student gets the point of the workload's lattice that is nearest to the proposal; the teacher
//!   remembers the proposal. Rewards are in 0..=1; the code rescales −150..350 to that.
//! - A cut that leaves either part fewer than 10 tasks is drawn again, as in the code, but at most 1,000
//!   times. A box whose oldest tasks were dropped keeps its bound of 201; the code loses it.

use std::collections::VecDeque;

use lab::method::Method;
use lab::mixture::proportional;
use lab::seat::Facts;
use lab::teaching::{Lattice, Teacher, TeachingSettings, Uniform, recipe};
use lab::workloads::offers;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::{OrderLaw, bounded};
use ledger::settings::Range;
use ledger::streams::{normal_f64, unit_f64};
use ledger::{choice, settings};
use rand_pcg::Pcg64;

choice! {
    /// Whether the released code's two errors are repeated.
    pub enum Variant {
        /// They are.
        AsReleased = "as-released",
        /// They are not.
        Fixed = "fixed",
    }
}

settings! {
    /// Settings of `riac`.
    pub struct Settings {
        /// Whether the released code's two errors are repeated.
        variant: Variant = Variant::AsReleased, from "riac.py";
        /// Tasks that a leaf holds before it is split.
        region_size: u32 = 200, range Range::of(8.0..), from "riac.py: max_region_size";
        /// Cuts that are tried.
        attempts: u32 = 50, range Range::of(1.0..), from "riac.py: nb_split_attempts";
        /// Shortest side of a box, as a share of the space's.
        smallest_side: f64 = 1.0 / 15.0, range Range::of(0.0..=0.5), from "riac.py: min_dims_range_ratio";
        /// Tasks between two looks at the rewards.
        round: u32 = 50, range Range::of(1.0..), from "assumed";
        use teaching: TeachingSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "tasks from boxes of high learning progress, split where progress differs",
    paper: Paper {
        title: "R-IAC: robust intrinsically motivated exploration and active learning",
        authors: "Baranes, Oudeyer",
        year: 2009,
        reference: "doi:10.1109/TAMD.2009.2037513",
        code: "flowersteam/teachDeepRL@747cda2",
    },
    claim: PaperClaim {
        statement: "masters more of the task space than uniformly drawn tasks",
        number: "Stump Tracks, 20 M steps: 32.1 against 18.2 % of test tasks",
        source: "arXiv:1910.07224, as reported by a third party",
    },
    baseline: Some("random-tasks"),
    needs: &[offers::TASKS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let lattice = Lattice::of(task, "riac")?;
        let uniform = Uniform::new(lattice, task);
        let (teaching, round) = (settings.teaching.clone(), settings.round);
        let random = task.streams.generator("teacher");
        let teacher = Riac::new(settings, uniform, random, lattice.dimensions);
        recipe(&teaching, task, lattice, round, OrderLaw::Adaptive, teacher)
    },
};

/// Share of proposals that move the worst task of a box.
const MOVED: f64 = 0.1;
/// Share of proposals that are uniform in the space.
const ANYWHERE: f64 = 0.2;
/// Deviation of that move.
const MOVE: f64 = 0.1;
/// How far inside its box a moved task stays.
const INSIDE: f64 = 1e-5;
/// Draws of a cut that leaves both parts enough tasks.
const DRAWS: u32 = 1_000;

/// A box with what was tried in it, oldest first.
#[derive(Debug, Clone)]
struct Region {
    low: Vec<f64>,
    high: Vec<f64>,
    tried: VecDeque<(Vec<f64>, f64)>,
    progress: f64,
    children: Option<[usize; 2]>,
}

impl Region {
    fn contains(&self, task: &[f64]) -> bool {
        task.iter()
            .zip(self.low.iter().zip(&self.high))
            .all(|(x, (low, high))| low <= x && x <= high)
    }

    /// |mean of the older half − mean of the newer half| of the last `window` rewards.
    fn measured(&self, window: usize) -> f64 {
        let window = window.min(self.tried.len());
        if self.tried.len() <= 2 {
            return 0.0;
        }
        let last = self.tried.iter().skip(self.tried.len() - window).map(|(_, reward)| *reward);
        let older = window - window / 2;
        let mean = |rewards: &mut dyn Iterator<Item = f64>, count: usize| {
            rewards.sum::<f64>() / count as f64
        };
        let first = mean(&mut last.clone().take(older), older);
        (first - mean(&mut last.skip(older), window / 2)).abs()
    }

    /// Two parts, cut at `threshold` of `dimension`, with the tasks in each.
    fn cut(&self, dimension: usize, threshold: f64) -> [Self; 2] {
        let empty =
            || Self { tried: VecDeque::new(), progress: 0.0, children: None, ..self.clone() };
        let mut parts = [empty(), empty()];
        parts[0].high[dimension] = threshold;
        parts[1].low[dimension] = threshold;
        for tried in &self.tried {
            let part = usize::from(!parts[0].contains(&tried.0));
            parts[part].tried.push_back(tried.clone());
        }
        parts
    }

    fn is_wide(&self, side: f64) -> bool {
        self.low.iter().zip(&self.high).all(|(low, high)| high - low >= side)
    }
}

#[derive(Debug)]
struct Riac {
    settings: Settings,
    uniform: Uniform,
    random: Pcg64,
    /// The tree; the whole space comes first.
    regions: Vec<Region>,
}

impl Riac {
    fn new(settings: Settings, uniform: Uniform, random: Pcg64, dimensions: usize) -> Self {
        let (low, high) = (vec![0.0; dimensions], vec![1.0; dimensions]);
        let root = Region { low, high, tried: VecDeque::new(), progress: 0.0, children: None };
        Self { settings, uniform, random, regions: vec![root] }
    }

    /// A box in proportion to progress.
    fn chosen(&mut self) -> usize {
        let progress: Vec<f64> = self.regions.iter().map(|region| region.progress).collect();
        proportional(&progress, &mut self.random)
    }

    /// A cut of `region` that leaves both parts enough tasks.
    fn drawn_cut(&mut self, region: usize) -> Option<[Region; 2]> {
        let Self { settings, random, regions, .. } = self;
        let region = &regions[region];
        let fewest = f64::from(settings.region_size) / 20.0;
        (0..DRAWS).find_map(|_| {
            let dimension = bounded(random, region.low.len() as u64) as usize;
            let (low, high) = (region.low[dimension], region.high[dimension]);
            let parts = region.cut(dimension, low + (high - low) * unit_f64(random));
            parts.iter().all(|part| part.tried.len() as f64 >= fewest).then_some(parts)
        })
    }

    /// Splits a full leaf, or drops the oldest quarter of its tasks.
    fn split(&mut self, index: usize) {
        let window = self.settings.region_size as usize;
        let mut best: Option<(f64, [Region; 2])> = None;
        let mut last = [0.0; 2];
        for _ in 0..self.settings.attempts {
            let Some(mut parts) = self.drawn_cut(index) else { break };
            for (part, last) in parts.iter_mut().zip(&mut last) {
                part.progress = part.measured(window);
                *last = part.progress;
            }
            let score = score(&parts, self.settings.variant);
            let wide = parts.iter().all(|part| part.is_wide(self.settings.smallest_side));
            if wide && best.as_ref().is_none_or(|(highest, _)| score >= *highest) {
                best = Some((score, parts));
            }
        }
        match best {
            Some((_, mut parts)) => {
                if self.settings.variant == Variant::AsReleased {
                    for (part, last) in parts.iter_mut().zip(last) {
                        part.progress = last;
                    }
                }
                let first = self.regions.len();
                self.regions.extend(parts);
                self.regions[index].children = Some([first, first + 1]);
            }
            None => drop(self.regions[index].tried.drain(..window / 4)),
        }
    }
}

/// How good a cut is.
fn score(parts: &[Region; 2], variant: Variant) -> f64 {
    let [first, second] = parts;
    let sizes = match variant {
        // Each part is a pair of lists, and the code takes the length of the pair.
        Variant::AsReleased => 2.0 * 2.0,
        Variant::Fixed => first.tried.len() as f64 * second.tried.len() as f64,
    };
    sizes * (first.progress - second.progress).abs()
}

impl Teacher for Riac {
    fn propose(&mut self) -> Vec<f64> {
        let mode = unit_f64(&mut self.random);
        if mode < MOVED {
            let chosen = self.chosen();
            let region = &self.regions[chosen];
            let worst = region.tried.iter().min_by(|a, b| a.1.total_cmp(&b.1));
            let Some((worst, _)) = worst else { return self.uniform.propose() };
            let moved = worst.iter().zip(region.low.iter().zip(&region.high));
            let random = &mut self.random;
            moved
                .map(|(x, (low, high))| {
                    (x + MOVE * normal_f64(random)).clamp(low + INSIDE, high - INSIDE)
                })
                .collect()
        } else if mode < MOVED + ANYWHERE {
            self.uniform.propose()
        } else {
            let chosen = self.chosen();
            let Self { regions, random, .. } = self;
            let Region { low, high, .. } = &regions[chosen];
            low.iter().zip(high).map(|(low, high)| low + (high - low) * unit_f64(random)).collect()
        }
    }

    fn observe(&mut self, task: &[f64], reward: f64) {
        let window = self.settings.region_size as usize;
        let (mut path, mut at) = (vec![0], 0);
        while let Some([first, second]) = self.regions[at].children {
            at = if self.regions[first].contains(task) { first } else { second };
            path.push(at);
        }
        for &index in &path {
            let tried = &mut self.regions[index].tried;
            tried.push_back((task.to_vec(), reward));
            if tried.len() > window + 1 {
                tried.pop_front();
            }
        }
        if self.regions[at].tried.len() > window {
            self.split(at);
        }
        for index in path {
            self.regions[index].progress = self.regions[index].measured(window);
        }
    }

    fn facts(&self) -> Facts {
        Facts::from([("regions".to_owned(), self.regions.len().into())])
    }
}
