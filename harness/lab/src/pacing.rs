//! Passes of examples that are not too hard for a learner, by a scale on which a crowd has put examples and the learner is put
//! again behind every pass (PUDF; Meng et al., arXiv:2408.05326; nd-ball/cl-irt@c828e810), or by a share that grows by itself
//! (Platanios et al., arXiv:1903.09848).
//!
//! An order and an objective share a [`Pacer`]: the order asks it for passes and says when one ends, the objective then looks at how
//! many of the examples that are held out the learner gets right.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ledger::choice;
use ledger::order::{OrderLaw, shuffle};
use ledger::streams::Streams;
use serde_json::json;
use tch::Tensor;

use crate::LabError;
use crate::crowd::{Cost, Crowd, answers};
use crate::easiness::{Growth, competence};
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::orders::paced::Selection;
use crate::responses::{Responses, Scale, ability};
use crate::seat::{Batch, Facts, Objective, StepInfo};
use crate::side_info::Apart;
use crate::split::Split;
use crate::state::State;

choice! {
    /// What passes are made of.
    pub enum Pace {
        /// What is not harder than the ability.
        Ability = "ability",
        /// A share that grows evenly.
        Linear = "linear",
        /// A share that grows less and less.
        Root = "root",
    }
}

choice! {
    /// How hard examples are.
    pub enum Difficulty {
        /// As the crowd says.
        Crowd = "crowd",
        /// The same numbers, dealt out at random.
        Shuffled = "shuffled",
        /// As deep as their group.
        Depth = "depth",
    }
}

choice! {
    /// The order within a pass.
    pub enum InPass {
        /// At random.
        Shuffled = "shuffled",
        /// From easy to hard.
        Sorted = "sorted",
    }
}

/// By how much the cap rises where the ability did not.
const RISE: f64 = 0.1;

/// How hard examples may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cap {
    /// The best ability so far.
    best: f64,
    /// The cap.
    pub at: f64,
}

impl Cap {
    /// Before any look.
    pub const START: Self = Self { best: -5.0, at: 0.0 };

    /// Behind a look: the ability where it is the best so far, else 0.1 more than it was.
    pub fn look(&mut self, theta: f64) {
        if theta > self.best {
            *self = Self { best: theta, at: theta };
        } else {
            self.at += RISE;
        }
    }
}

/// How passes are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// What of.
    pub pace: Pace,
    /// In which order.
    pub in_pass: InPass,
    /// How much harder than the cap examples may be.
    pub offset: f64,
    /// Fewest examples of a pass, at least a batch.
    pub least: u32,
    /// Passes until competence is whole.
    pub whole: u32,
    /// Competence at the start.
    pub start: f64,
}

/// What order and objective share.
#[derive(Debug)]
pub struct Pacer {
    rules: Rules,
    /// Ids that are looked at and not trained on, ascending.
    held_out: Vec<u32>,
    /// b of every example.
    difficulties: Vec<f64>,
    /// Whether these are stated by the data.
    stated: bool,
    cap: Cap,
    /// Whether the step to come is the last of a pass.
    due: bool,
    abilities: Vec<f64>,
    caps: Vec<f64>,
    sizes: Vec<usize>,
}

impl Pacer {
    /// Of examples whose difficulties the data state, or that are all alike until the crowd is asked.
    #[must_use]
    pub fn new(rules: Rules, held_out: Vec<u32>, stated: Option<Vec<f64>>) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            rules,
            held_out,
            stated: stated.is_some(),
            difficulties: stated.unwrap_or_default(),
            cap: Cap::START,
            due: false,
            abilities: Vec::new(),
            caps: Vec::new(),
            sizes: Vec::new(),
        }))
    }

    fn difficulty(&self, id: u32) -> f64 {
        self.difficulties.get(id as usize).copied().unwrap_or(0.0)
    }

    /// How many of `n` examples, whose difficulties rise in `sorted`, a pass has.
    fn count(&self, pass: u32, sorted: &[f64]) -> usize {
        let Rules { pace, offset, least, whole, start, .. } = self.rules;
        let n = sorted.len();
        let grown = |growth| {
            let share = competence(growth, f64::from(pass), f64::from(whole), start);
            (share * n as f64).ceil() as usize
        };
        let count = match pace {
            Pace::Ability => sorted.partition_point(|b| *b <= self.cap.at + offset),
            Pace::Linear => grown(Growth::Linear),
            Pace::Root => grown(Growth::Root),
        };
        count.max(least as usize).min(n)
    }

    fn pass(&mut self, pass: u32, mut uniform: Vec<u32>) -> Vec<u32> {
        uniform.retain(|id| self.held_out.binary_search(id).is_err());
        let mut places: Vec<usize> = (0..uniform.len()).collect();
        // Of examples that are as hard the lower id: what is chosen must not hang on the order, or the order of what was
        // chosen would not be uniform.
        places.sort_by(|a, b| {
            let [a, b] = [uniform[*a], uniform[*b]];
            self.difficulty(a).total_cmp(&self.difficulty(b)).then(a.cmp(&b))
        });
        let sorted: Vec<f64> =
            places.iter().map(|place| self.difficulty(uniform[*place])).collect();
        places.truncate(self.count(pass, &sorted));
        places.sort_unstable();
        self.sizes.push(places.len());
        self.caps.push(self.cap.at);
        places.into_iter().map(|place| uniform[place]).collect()
    }

    /// What passes have moved; difficulties are measured before the first.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("best", &mut self.cap.best)?;
        state.of("cap", &mut self.cap.at)?;
        state.of("due", &mut self.due)?;
        state.of("abilities", &mut self.abilities)?;
        state.of("caps", &mut self.caps)?;
        state.of("sizes", &mut self.sizes)
    }
}

/// The order's side.
#[derive(Debug)]
pub struct Capped(pub Rc<RefCell<Pacer>>);

impl Selection for Capped {
    /// Blockwise only where seed and method alone decide an order, so that anybody can draw it again: what a crowd of
    /// trained networks says is a look at training.
    fn law(&self) -> OrderLaw {
        let Pacer { rules: Rules { pace, in_pass, .. }, stated, .. } = *self.0.borrow();
        match (in_pass, pace) {
            (InPass::Sorted, _) => OrderLaw::Sorted,
            (InPass::Shuffled, Pace::Linear | Pace::Root) if stated => OrderLaw::Blockwise,
            (InPass::Shuffled, _) => OrderLaw::Adaptive,
        }
    }

    fn pass(&mut self, pass: u32, uniform: Vec<u32>) -> Vec<u32> {
        self.0.borrow_mut().pass(pass, uniform)
    }

    fn arrange(&self, ids: &mut [u32]) {
        let pacer = self.0.borrow();
        if pacer.rules.in_pass == InPass::Sorted {
            ids.sort_by(|a, b| pacer.difficulty(*a).total_cmp(&pacer.difficulty(*b)));
        }
    }

    fn ends(&mut self) {
        self.0.borrow_mut().due = true;
    }

    fn facts(&self) -> Facts {
        let pacer = self.0.borrow();
        let mut facts = Facts::from([
            ("pass_sizes".to_owned(), json!(pacer.sizes)),
            ("held_out".to_owned(), json!(pacer.held_out.len())),
        ]);
        if pacer.rules.pace == Pace::Ability {
            facts.insert("abilities".to_owned(), json!(pacer.abilities));
            facts.insert("caps".to_owned(), json!(pacer.caps));
        }
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.0.borrow_mut().state(state)
    }
}

/// Where difficulties come from.
#[derive(Debug)]
pub struct Origin {
    /// Which.
    pub difficulty: Difficulty,
    /// The crowd, where it is asked.
    pub crowd: Crowd,
    /// What it learns from, and how many of them.
    pub apart: Option<(Arc<dyn Apart>, u32)>,
    /// s of [`Scale::of`].
    pub prior: f64,
    /// Streams of the run.
    pub streams: Streams,
}

/// The objective's side: the workload's own loss, with looks at what the learner gets right.
#[derive(Debug)]
pub struct Measured {
    loss: DefaultLoss,
    origin: Origin,
    held_out: Option<Split>,
    pacer: Rc<RefCell<Pacer>>,
    facts: Facts,
}

impl Measured {
    /// Over a pacer.
    #[must_use]
    pub fn new(origin: Origin, pacer: Rc<RefCell<Pacer>>) -> Self {
        Self { loss: origin.crowd.loss, origin, held_out: None, pacer, facts: Facts::new() }
    }

    /// Difficulties of all training examples, by the crowd.
    fn difficulties(&mut self, network: &Network, train: &Split) -> Result<Vec<f64>, LabError> {
        let Origin { difficulty, crowd, apart, prior, streams } = &self.origin;
        let Some((apart, count)) = apart else {
            let reason = "a crowd learns from examples apart from all splits; there are none";
            return Err(LabError::Method(reason.to_owned()));
        };
        let apart = apart.draw(*count, network.device())?;
        let (responses, cost) = crowd.ask(network, &apart, train, streams)?;
        let Scale { mut difficulties, .. } = Scale::of(&responses, *prior);
        self.facts = told(&responses, cost);
        if *difficulty == Difficulty::Shuffled {
            let mut places: Vec<u32> = (0..).take(difficulties.len()).collect();
            shuffle(&mut streams.generator("difficulties"), &mut places);
            difficulties = places.iter().map(|place| difficulties[*place as usize]).collect();
        }
        Ok(difficulties)
    }

    /// A look at the ability, where passes go by it.
    fn look(&mut self, network: &Network) -> Result<(), LabError> {
        if self.pacer.borrow().rules.pace != Pace::Ability {
            return Ok(());
        }
        let right = match &self.held_out {
            Some(split) => answers(network, split, self.loss)?,
            None => Vec::new(),
        };
        let mut pacer = self.pacer.borrow_mut();
        let hard: Vec<f64> = pacer.held_out.iter().map(|id| pacer.difficulty(*id)).collect();
        let theta = ability(hard.iter().zip(&right));
        pacer.abilities.push(theta);
        pacer.cap.look(theta);
        Ok(())
    }
}

/// What is told of a crowd: shares of right answers learner by learner, and what it took.
fn told(responses: &Responses, cost: Cost) -> Facts {
    let share = |right: &Vec<bool>| {
        right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64
    };
    let shares: Vec<f64> = responses.right.iter().map(share).collect();
    Facts::from([
        ("crowd_right".to_owned(), json!(shares)),
        ("crowd_steps".to_owned(), json!(cost.steps)),
        ("crowd_samples".to_owned(), json!(cost.samples)),
        ("crowd_answers".to_owned(), json!(cost.answers)),
    ])
}

impl Objective for Measured {
    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let ids = self.pacer.borrow().held_out.clone();
        if !ids.is_empty() {
            let Batch { inputs, labels, .. } = train.batch(&ids)?;
            self.held_out = Some(Split { stored: inputs, labels, groups: Vec::new() });
        }
        if !self.pacer.borrow().stated {
            let difficulties = self.difficulties(network, train)?;
            self.pacer.borrow_mut().difficulties = difficulties;
        }
        self.look(network)?;
        Ok(None)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.loss.losses(network, batch, now)
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.loss.loss(network, batch, now)
    }

    fn after_step(&mut self, network: &Network, _: &Batch, _: &StepInfo) -> Result<(), LabError> {
        if std::mem::take(&mut self.pacer.borrow_mut().due) {
            self.look(network)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // Its pacer is the order's, which keeps it.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        pace: Pace::Ability,
        in_pass: InPass::Shuffled,
        offset: 0.0,
        least: 2,
        whole: 5,
        start: 0.01,
    };

    /// Twenty examples, of which every second is held out; b is a tenth of the id, less 1.
    fn pacer(rules: Rules) -> Rc<RefCell<Pacer>> {
        let difficulties = (0..20).map(|id| f64::from(id) / 10.0 - 1.0).collect();
        Pacer::new(rules, (0..20).filter(|id| id % 2 == 1).collect(), Some(difficulties))
    }

    fn uniform() -> Vec<u32> {
        ledger::order::uniform_order(&[1; 32], 0, 20)
    }

    #[test]
    fn a_cap_is_the_best_ability_or_a_tenth_more_than_it_was() {
        let mut cap = Cap::START;
        let caps: Vec<f64> = [-0.5, 0.3, 0.2, 0.3, 0.9]
            .iter()
            .map(|theta| {
                cap.look(*theta);
                cap.at
            })
            .collect();
        for (found, expected) in caps.iter().zip([-0.5, 0.3, 0.4, 0.5, 0.9]) {
            assert!((found - expected).abs() < 1e-12, "{caps:?}");
        }
        // An ability that was estimated lower than ever leaves the first cap and raises it.
        let mut low = Cap::START;
        low.look(-6.0);
        assert_eq!(low.at, 0.1);
    }

    #[test]
    fn a_pass_has_what_is_not_harder_than_the_cap_and_never_what_is_held_out() {
        let passes = |rules: Rules, cap: f64| {
            let pacer = pacer(rules);
            pacer.borrow_mut().cap.at = cap;
            let mut ids = Capped(pacer).pass(0, uniform());
            ids.sort_unstable();
            ids
        };
        assert_eq!(passes(RULES, -0.35), [0, 2, 4, 6]);
        // At the cap is not harder; below all of them the easiest two are left.
        assert_eq!(passes(RULES, -0.6), [0, 2, 4]);
        assert_eq!(passes(RULES, -3.0), [0, 2]);
        assert_eq!(passes(Rules { offset: 0.4, ..RULES }, -0.75), [0, 2, 4, 6]);
        let all: Vec<u32> = (0..20).step_by(2).collect();
        assert_eq!(passes(Rules { offset: 1e9, ..RULES }, -3.0), all);
    }

    #[test]
    fn competence_takes_the_easiest_share_and_all_from_pass_e_on_in_the_uniform_order() {
        for (pace, sizes) in
            [(Pace::Linear, [2, 3, 5, 7, 9, 10]), (Pace::Root, [2, 5, 7, 8, 9, 10])]
        {
            let mut order = Capped(pacer(Rules { pace, ..RULES }));
            for (pass, size) in (0..).zip(sizes) {
                let mut ids = order.pass(pass, uniform());
                let found: Vec<u32> = ids.clone();
                ids.sort_unstable();
                let easiest: Vec<u32> = (0..20).step_by(2).take(size).collect();
                assert_eq!(ids, easiest, "{pace:?} {pass}");
                let kept: Vec<u32> = uniform().into_iter().filter(|id| ids.contains(id)).collect();
                assert_eq!(found, kept);
            }
            assert_eq!(order.law(), OrderLaw::Blockwise);
        }
    }

    #[test]
    fn sorted_passes_rise_and_laws_say_what_an_order_goes_by() {
        let law = |pace, in_pass| Capped(pacer(Rules { pace, in_pass, ..RULES })).law();
        assert_eq!(law(Pace::Ability, InPass::Shuffled), OrderLaw::Adaptive);
        assert_eq!(law(Pace::Ability, InPass::Sorted), OrderLaw::Sorted);
        assert_eq!(law(Pace::Root, InPass::Sorted), OrderLaw::Sorted);
        // By a crowd, whose answers nobody can draw again from the seed alone.
        let by_crowd = Pacer::new(Rules { pace: Pace::Root, ..RULES }, Vec::new(), None);
        assert_eq!(Capped(by_crowd).law(), OrderLaw::Adaptive);
        let order = Capped(pacer(Rules { in_pass: InPass::Sorted, ..RULES }));
        let mut ids = vec![8, 2, 18, 4];
        order.arrange(&mut ids);
        assert_eq!(ids, [2, 4, 8, 18]);
    }
}
