//! A network by scales that learns to work with fewer layers at its finer ones, as VARiant (arXiv:2511.16546) does: which depth a step
//! trains, its loss, and the depths that are judged.

use std::collections::BTreeMap;

use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::{Streams, unit_f64};
use ledger::{choice, settings};
use serde_json::json;
use tch::Tensor;

use crate::LabError;
use crate::models::pyramid::Pyramid;
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::seat::{Batch, Costs, Facts, Look, Looks, Objective, StepInfo, TaskInfo};
use crate::state::State;

/// Chance of a part in the first epochs.
const FIRST: f64 = 0.2;

choice! {
    /// What decides whether a step trains a part.
    pub enum Coin {
        /// A chance that grows with the epoch.
        Progressive = "progressive",
        /// The same chance throughout.
        Fixed = "fixed",
        /// A depth among all, the whole included.
        Uniform = "uniform",
    }
}

settings! {
    /// Settings of what a step trains.
    pub struct SupernetSettings {
        /// What decides whether a step trains a part.
        coin: Coin = Coin::Progressive, from "paper";
        /// Chance of a part where the coin is fixed.
        p: f64 = 0.2, range Range::of(0.0..=1.0), from "paper: 0.1 to 1";
        /// Depths of the parts.
        depths: Vec<f64> = vec![4.0, 2.0], range Range::of(2.0..=64.0), from "assumed, of 8 layers: 16, 8, 4, 2 of 30 in the paper";
        /// Scales that go through all layers, coarse to fine.
        bridge: u32 = 2, range Range::of(0.0..), from "assumed, of 4 scales: 6 of 10 in the paper";
        /// E1: epochs at the first chance.
        joint: f64 = 5.0, range Range::of(0.0..), from "paper";
        /// E2: the epoch from which on every step trains a part.
        transition: f64 = 20.0, range Range::above(0.0), from "paper";
        /// Epochs of the run, whatever its samples are.
        epochs: f64 = 30.0, range Range::above(0.0), from "paper: 25 to 35; 30 assumed";
        refuse Self::check;
    }
}

impl SupernetSettings {
    /// Refuses what the coin does not read, and epochs that are not in their order.
    fn check(&self) -> Result<(), SettingError> {
        let Self { coin, joint, transition, epochs, .. } = *self;
        let (of, still) = ("coin \"progressive\"", coin != Coin::Progressive);
        let mut idle = vec![("p", coin != Coin::Fixed, "coin \"fixed\"")];
        idle.extend(["joint", "transition", "epochs"].map(|name| (name, still, of)));
        refuse_idle(&self.values(), &Self::default().values(), &idle)?;
        if self.depths.is_empty() {
            let reason = "setting \"depths\" is empty, but must name a depth";
            return Err(SettingError::Joint(reason.to_owned()));
        }
        if let Some(depth) = self.depths.iter().find(|depth| depth.fract() != 0.0) {
            let reason = format!("setting \"depths\" has {depth}, but must be of whole numbers");
            return Err(SettingError::Joint(reason));
        }
        if joint > transition || transition > epochs {
            return Err(SettingError::Joint(format!(
                "\"joint\" is {joint}, \"transition\" {transition} and \"epochs\" {epochs}, but none may be above the next"
            )));
        }
        Ok(())
    }

    /// Chance of a part at an epoch, which may be a fraction.
    #[must_use]
    pub fn chance(&self, epoch: f64) -> f64 {
        let Self { coin, p, joint, transition, .. } = *self;
        match coin {
            Coin::Fixed => p,
            Coin::Uniform => 1.0,
            Coin::Progressive if epoch < joint => FIRST,
            Coin::Progressive if epoch >= transition => 1.0,
            Coin::Progressive => FIRST + (1.0 - FIRST) * (epoch - joint) / (transition - joint),
        }
    }
}

/// The depths that a network is trained and judged at.
#[derive(Debug, Clone)]
pub struct Parts {
    layers: usize,
    depths: Vec<usize>,
    bridge: usize,
}

impl Parts {
    /// Those of a run.
    ///
    /// # Errors
    /// When the network has no scales, fewer layers than a depth, or fewer scales than the bridge.
    pub fn new(settings: &SupernetSettings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let own = Pyramid::of(task.network)?;
        let (layers, scales) = (own.layers(), own.tokens().count());
        // Whole numbers of at most 64, as was checked.
        let depths: Vec<usize> = settings.depths.iter().map(|depth| *depth as usize).collect();
        if let Some(deep) = depths.iter().find(|depth| **depth > layers) {
            let reason = format!("a depth of \"depths\" is {deep}, but must be at most {layers}");
            return Err(task.unfit(reason));
        }
        let bridge = settings.bridge as usize;
        if bridge > scales {
            let reason = format!("\"bridge\" is {bridge}, but must be at most {scales} scales");
            return Err(task.unfit(reason));
        }
        Ok(Self { layers, depths, bridge })
    }
}

impl Looks for Parts {
    fn looks(&self, _: &Network, seen: &Network) -> Result<Vec<Look>, LabError> {
        let mut all = vec![self.layers];
        for depth in &self.depths {
            if !all.contains(depth) {
                all.push(*depth);
            }
        }
        let look = |depth: usize| {
            let network = Pyramid::part(seen, self.bridge, depth)?;
            Ok(Look { name: format!("d{depth}"), network, recalibrate: None })
        };
        all.into_iter().map(look).collect()
    }

    fn mean(&self) -> bool {
        true
    }
}

/// The loss of what a step draws.
#[derive(Debug)]
pub struct Supernet {
    settings: SupernetSettings,
    parts: Parts,
    streams: Streams,
    /// That of the step.
    depth: usize,
    /// Steps by depth.
    drawn: BTreeMap<usize, u64>,
    /// Digest of the depths so far, each chained to those before.
    coins: Digest,
    /// Tokens times the layers that they went through.
    spent: u64,
}

impl Supernet {
    /// The loss of a run.
    #[must_use]
    pub fn new(settings: SupernetSettings, parts: Parts, streams: &Streams) -> Self {
        let (drawn, coins) = (BTreeMap::new(), Digest::of(b"palimpsest/variant/v1"));
        let (depth, streams) = (parts.layers, streams.clone());
        Self { settings, parts, streams, depth, drawn, coins, spent: 0 }
    }

    /// The depth of a step.
    fn draw(&self, now: &StepInfo) -> usize {
        let Parts { layers, depths, .. } = &self.parts;
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let mut random = self.streams.keyed("coin", 0, step);
        let epoch = self.settings.epochs * now.step as f64 / now.total_steps.max(1) as f64;
        let partly = unit_f64(&mut random) < self.settings.chance(epoch);
        // Among all depths, the whole is the one behind the list.
        let among = depths.len() + usize::from(self.settings.coin == Coin::Uniform);
        let place = bounded(&mut random, among as u64) as usize;
        if partly { depths.get(place).copied().unwrap_or(*layers) } else { *layers }
    }
}

impl Objective for Supernet {
    fn before_step(&mut self, _: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        self.depth = self.draw(now);
        *self.drawn.entry(self.depth).or_default() += 1;
        let depth = (self.depth as u64).to_le_bytes();
        self.coins = Digest::of_parts(&[self.coins.as_bytes(), &depth]);
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let part = Pyramid::part(network, self.parts.bridge, self.depth)?;
        DefaultLoss::Tokens.losses(&part, batch, now)
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let part = Pyramid::part(network, self.parts.bridge, self.depth)?;
        self.spent += Pyramid::of(&part)?.passes() * batch.ids.len() as u64;
        DefaultLoss::Tokens.loss(&part, batch, now)
    }

    fn costs(&self) -> Costs {
        Costs::from([("layer_tokens", self.spent)])
    }

    fn facts(&self) -> Facts {
        let counts = self.drawn.iter().map(|(depth, steps)| (depth.to_string(), *steps));
        let counts: BTreeMap<String, u64> = counts.collect();
        Facts::from([
            ("steps_by_depth".to_owned(), json!(counts)),
            ("coins_sha256".to_owned(), json!(self.coins.to_string())),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("drawn", &mut self.drawn)?;
        state.told("coins", &mut self.coins)?;
        state.of("spent", &mut self.spent)
    }
}
