//! Training on a selection of data that arrive in turn: the settings of Adapt-∞ (Maharana et al., arXiv:2410.10636) and what it is
//! compared with, and the loss that fills the pool of examples at every arrival.

use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::{choice, order, settings};
use serde_json::{Value, json};
use tch::Tensor;

use super::signals::{Signals, Vectors};
use super::{BySkill, Edges, Rule, Sources, by_skill, digest, drawn, stratified};
use crate::LabError;
use crate::arrivals::Arrivals;
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::orders::pool::Pool;
use crate::seat::{Batch, Facts, Objective, Stage, StepInfo, TaskInfo};
use crate::split::Split;
use crate::state::State;

choice! {
    /// What is trained on.
    pub enum Mode {
        /// A sample of each pseudo-skill by the score that tells most of it.
        Adaptive = "adaptive",
        /// What lies apart, drawn evenly.
        Dedup = "dedup",
        /// A sample by one score.
        Score = "score",
        /// Anything, drawn evenly.
        Random = "random",
        /// What is new, and some of what came before.
        Replay = "replay",
        /// What is new.
        Sequential = "sequential",
        /// Everything, from the start.
        Multitask = "multitask",
    }
}

choice! {
    /// The score of mode `score`.
    pub enum Score {
        /// exp(loss).
        Perplexity = "perplexity",
        /// |p − y|.
        El2n = "el2n",
    }
}

settings! {
    /// Settings of the selection.
    pub struct ArrivingSettings {
        /// What is trained on.
        mode: Mode = Mode::Adaptive, from "paper, section 3";
        /// Share of what has arrived that an arrival trains on; of what came before, in mode `replay`.
        budget: f64 = 0.2, range Range::above_up_to(0.0, 1.0), from "assumed";
        /// Share of the candidates that a pruning leaves.
        keep: f64 = 0.5, range Range::above_up_to(0.0, 1.0), from "assumed";
        /// Whether candidates are pruned.
        prune: bool = true, from "paper, section 3";
        /// Pseudo-skills.
        clusters: u32 = 10, range Range::of(1.0..=1_000.0), from "adapt-inf.py";
        /// What examples are clustered by.
        vectors: Vectors = Vectors::Gradient, from "paper, section 3; adapt-inf.py";
        /// Edges of the histograms.
        edges: Edges = Edges::Fixed, from "paper; adapt-inf.py has \"published\"";
        /// The score of mode `score`.
        score: Score = Score::El2n, from "assumed";
        refuse Self::idle;
    }
}

impl ArrivingSettings {
    /// Refuses what is set for a mode that is not taken.
    fn idle(&self) -> Result<(), SettingError> {
        let Self { mode, prune, .. } = *self;
        let adaptive = mode == Mode::Adaptive;
        let clustered = adaptive || mode == Mode::Dedup;
        let whole = matches!(mode, Mode::Sequential | Mode::Multitask);
        let both = "modes \"adaptive\" and \"dedup\"";
        let idle = [
            ("prune", !adaptive, "mode \"adaptive\""),
            ("edges", !adaptive, "mode \"adaptive\""),
            ("score", mode != Mode::Score, "mode \"score\""),
            ("budget", whole, "modes that train on a share of the data"),
            ("clusters", !clustered, both),
            ("vectors", !clustered, both),
            ("keep", !clustered || !prune, "modes \"adaptive\" and \"dedup\", where they prune,"),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }
}

/// Fills the pool at every arrival, and is the loss of classes on what is drawn from it.
#[derive(Debug)]
pub struct Arriving {
    settings: ArrivingSettings,
    arrivals: Arrivals,
    seed: u64,
    pool: Pool,
    /// The training split, once it is known; never on a rehearsal.
    train: Option<Split>,
    /// Arrivals so far.
    reached: usize,
    /// What prunings left of all that has arrived.
    candidates: Vec<u32>,
    /// What was selected at each arrival.
    told: Vec<Value>,
}

impl Arriving {
    /// The objective of a run whose order draws from `pool`.
    ///
    /// # Errors
    /// When examples do not arrive in turn.
    pub fn new(
        settings: ArrivingSettings,
        pool: &Pool,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let arrivals = task.side.arrivals.clone();
        let arrivals = arrivals.ok_or_else(|| task.unfit("its examples do not arrive in turn"))?;
        let seed = order::bounded(&mut task.streams.generator("method"), u64::MAX);
        let (pool, candidates, told) = (pool.clone(), Vec::new(), Vec::new());
        Ok(Self { settings, arrivals, seed, pool, train: None, reached: 0, candidates, told })
    }

    /// Takes in what is new up to `arrival`, selects, and prunes.
    fn arrive(&mut self, arrival: usize, network: &Network) -> Result<(), LabError> {
        let Some(train) = &self.train else { return Ok(()) };
        let news = self.arrivals.ids(self.reached).start..self.arrivals.ids(arrival).end;
        let before = self.candidates.len();
        self.candidates.extend(news.clone());
        self.reached = arrival + 1;
        let (snapshot, candidates) = (network.digest()?, digest(&self.candidates));
        let sources = Sources { snapshot, candidates, seed: self.seed };
        let selected = self.selected(network, train, before, news.end, &sources)?;
        let Selected { chosen, kept, clusters } = selected;
        self.told.push(json!({
            "arrival": arrival,
            "snapshot_sha256": snapshot.to_string(),
            "candidates": self.candidates.len(),
            "candidates_sha256": candidates.to_string(),
            "chosen": chosen.len(),
            "chosen_sha256": digest(&chosen).to_string(),
            "kept": kept.len(),
            "kept_sha256": digest(&kept).to_string(),
            "clusters": clusters,
        }));
        self.candidates = kept;
        self.pool.fill(chosen);
        Ok(())
    }

    /// What is made of the candidates, the first `before` of which were there before, when `arrived` examples have arrived in all.
    fn selected(
        &self,
        network: &Network,
        train: &Split,
        before: usize,
        arrived: u32,
        sources: &Sources,
    ) -> Result<Selected, LabError> {
        let (all, mut random) = (self.candidates.as_slice(), sources.random());
        let ArrivingSettings { mode, budget, keep, prune, clusters, vectors, edges, score } =
            self.settings;
        let budgeted = share(budget, arrived as usize);
        let look = || Signals::of(network, train, all, self.arrivals.image, vectors);
        let ids = |places: &[usize]| places.iter().map(|place| all[*place]).collect::<Vec<u32>>();
        let chosen = match mode {
            Mode::Sequential => all[before..].to_vec(),
            Mode::Multitask => (0..u32::try_from(train.len()).unwrap_or(0)).collect(),
            Mode::Random => drawn(all, budgeted, &mut random),
            Mode::Replay => {
                let (old, new) = all.split_at(before);
                let mut both = drawn(old, share(budget, old.len()), &mut random);
                both.extend(new);
                both
            }
            Mode::Score => {
                let signals = look()?;
                let of = match score {
                    Score::Perplexity => signals.perplexity(),
                    Score::El2n => signals.el2n(),
                };
                ids(&stratified(of, budgeted, &mut random))
            }
            Mode::Adaptive | Mode::Dedup => {
                let kept = if prune { share(keep, all.len()) } else { all.len() };
                let rule = Rule { clusters: clusters as usize, edges, chosen: budgeted, kept };
                let BySkill { clusters, chosen, selectors, kept } =
                    by_skill(&look()?, &rule, &mut random)?;
                let kept = ids(&kept);
                let chosen = match mode {
                    Mode::Adaptive => ids(&chosen),
                    _ => drawn(&kept, budgeted, &mut random),
                };
                let sizes = clusters.iter().map(Vec::len);
                let clusters = sizes.zip(selectors).map(|(size, name)| json!([size, name]));
                return Ok(Selected { chosen, kept, clusters: clusters.collect() });
            }
        };
        Ok(Selected { chosen, kept: all.to_vec(), clusters: Vec::new() })
    }

    fn in_turn(&self) -> bool {
        self.settings.mode != Mode::Multitask
    }
}

/// What an arrival trains on, and what stays a candidate.
struct Selected {
    chosen: Vec<u32>,
    kept: Vec<u32>,
    /// Size and score of each pseudo-skill.
    clusters: Vec<Value>,
}

/// A share of a count, rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is at most 1")]
fn share(of: f64, count: usize) -> usize {
    (of * count as f64).ceil() as usize
}

impl Objective for Arriving {
    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let all: u32 = self.arrivals.sizes.iter().sum();
        // A rehearsal has other examples, and fewer.
        if i64::from(all) <= train.len() {
            let Split { stored, labels, groups: _ } = train;
            let (stored, labels) = (stored.shallow_clone(), labels.shallow_clone());
            self.train = Some(Split { stored, labels, groups: Vec::new() });
        }
        self.arrive(0, network)?;
        Ok(None)
    }

    fn stage(&self, now: &StepInfo) -> Stage {
        let (step, total) = (now.step, now.total_steps);
        let (index, gone) = if self.in_turn() {
            (self.arrivals.at(step, total), self.arrivals.gone(step, total))
        } else {
            (0, step as f64 / total.max(1) as f64)
        };
        let lr_factor = 0.5 * (1.0 + (std::f64::consts::PI * gone).cos());
        Stage { index: u32::try_from(index).unwrap_or(u32::MAX), lr_factor }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        DefaultLoss::Classes.losses(network, batch, now)
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        DefaultLoss::Classes.loss(network, batch, now)
    }

    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        let next = self.arrivals.at(now.step + 1, now.total_steps);
        if self.in_turn() && next >= self.reached { self.arrive(next, network) } else { Ok(()) }
    }

    fn facts(&self) -> Facts {
        Facts::from([("selections".to_owned(), json!(self.told))])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("reached", &mut self.reached)?;
        state.of("candidates", &mut self.candidates)?;
        state.told("told", &mut self.told)
    }
}
