//! Random access: the pairs of an example are told in an order of its own, new in every epoch, and every code is predicted. What
//! was extracted from the network as it was at the start stands among them as pairs of new codes.
//!
//! A sequence is as long with structures as without: what they take is taken from the pixels at its end.

use std::sync::Arc;

use ledger::digest::Digest;
use ledger::order;
use ledger::settings::Values;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use sha2::{Digest as _, Sha256};
use tch::{Kind, Tensor};

use super::{Tracing, end_point_error, predict};
use crate::LabError;
use crate::adapters::same;
use crate::models::pointers::{Pairs, Pointers};
use crate::network::Network;
use crate::seat::{Batch, Costs, Facts, Objective, Parametrisation, StepInfo, TaskInfo};
use crate::self_made::SelfMade;
use crate::side_info::Patches;
use crate::split::Split;
use crate::state::State;

ledger::choice! {
    /// The order in which patches are told.
    pub enum PatchOrder {
        /// One random order over both frames.
        Mixed = "mixed",
        /// The first frame before the second, each in a random order.
        InTurn = "in-turn",
        /// The first frame before the second, each row by row.
        Raster = "raster",
    }
}

ledger::choice! {
    /// What stands among the pixels.
    pub enum Structures {
        /// Nothing.
        None = "none",
        /// Flow that was traced.
        Extracted = "extracted",
        /// Flow that was traced, dealt anew over all places that have some.
        Shuffled = "shuffled",
        /// Flow as it is.
        True = "true",
    }
}

/// What is told, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The order of patches.
    pub order: PatchOrder,
    /// Pairs of a sequence.
    pub pairs: usize,
    /// What stands among the pixels.
    pub structures: Structures,
    /// Places of an example that are asked for their flow.
    pub queries: usize,
    /// Largest step along an axis that has a code.
    pub reach: i32,
    /// How flow is traced.
    pub tracing: Tracing,
}

impl Rules {
    /// Codes of structures.
    #[must_use]
    pub fn codes(&self) -> usize {
        let each = 2 * usize::try_from(self.reach).unwrap_or(0) + 1;
        each * each
    }

    /// The code of a flow; none where it reaches too far.
    fn code(&self, [down, right]: [i32; 2]) -> Option<usize> {
        let within = |step: i32| {
            usize::try_from(step + self.reach).ok().filter(|at| *at <= 2 * self.reach as usize)
        };
        Some(within(down)? * (2 * self.reach as usize + 1) + within(right)?)
    }
}

/// A structure: a place of the first frame, and its code.
type Mark = (usize, usize);

/// A pair as it is arranged: its pointer, and the token of a structure; −1 where a pixel says it.
type Told = (i64, i64);

/// The objective.
#[derive(Debug)]
pub struct RandomAccess {
    rules: Rules,
    /// Settings that structures hang on.
    settings: Values,
    patches: Arc<Patches>,
    streams: Streams,
    rehearsed: bool,
    /// Structures of each example.
    marks: Vec<Vec<Mark>>,
    made: Vec<SelfMade>,
    /// Mean end-point error of what was extracted.
    error: Option<f64>,
    orders: Sha256,
    evaluations: u64,
    updates: u64,
}

impl RandomAccess {
    /// Orders and places come from streams of their own.
    ///
    /// # Errors
    /// When there are no frames of patches, or fewer pixels than a mask reveals.
    pub fn new(
        rules: Rules,
        settings: Values,
        streams: &Streams,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let Some(patches) = task.side.patches.clone() else {
            return Err(task.unfit("its examples are no frames of patches"));
        };
        Ok(Self {
            rules,
            settings,
            patches,
            streams: streams.clone(),
            rehearsed: false,
            marks: Vec::new(),
            made: Vec::new(),
            error: None,
            orders: Sha256::new(),
            evaluations: 0,
            updates: 0,
        })
    }

    /// Places of each example that are asked: some of those that are not black.
    fn places(&self, train: &Split) -> Result<Vec<Vec<usize>>, LabError> {
        let count = self.patches.count();
        let first = train.stored.f_narrow(1, 0, count as i64)?.f_to_device(tch::Device::Cpu)?;
        let levels = Vec::<i64>::try_from(&first.f_reshape([-1])?)?;
        let of = |(id, levels): (u32, &[i64])| {
            let mut places: Vec<u32> =
                (0..count as u32).filter(|place| levels[*place as usize] > 0).collect();
            order::shuffle(&mut self.streams.keyed("queries", id, 0), &mut places);
            places.iter().take(self.rules.queries).map(|place| *place as usize).collect()
        };
        Ok((0..).zip(levels.chunks(count)).map(of).collect())
    }

    /// Flow of every place that was asked.
    fn extract(
        &mut self,
        network: &Network,
        train: &Split,
        places: &[Vec<usize>],
    ) -> Result<Vec<Vec<Option<[i32; 2]>>>, LabError> {
        let Rules { tracing, .. } = self.rules;
        let streams = self.streams.clone();
        let mut random = |row: usize| streams.keyed("masks", row as u32, 0);
        let mut evaluations = 0;
        let maps = tracing.trace(&train.stored, places, &mut random, &mut |ask| {
            evaluations += ask.first.size()[0] as u64;
            predict(network, ask)
        })?;
        self.evaluations += evaluations;
        let each = places.iter().zip(&maps).map(|(places, maps)| {
            places.iter().zip(maps).map(|(place, map)| tracing.flow(map, *place)).collect()
        });
        let flows: Vec<Vec<Option<[i32; 2]>>> = each.collect();
        let said: Vec<f32> = flows
            .iter()
            .flatten()
            .map(|flow| {
                flow.and_then(|flow| self.rules.code(flow)).map_or(-1.0, |code| code as f32)
            })
            .collect();
        let errors = places.iter().zip(&flows).zip(&self.patches.flow);
        let errors: Vec<f64> = errors
            .flat_map(|((places, flows), truth)| {
                places.iter().zip(flows).filter_map(|(place, flow)| {
                    Some(end_point_error((*flow)?, truth.get(*place).copied().flatten()?))
                })
            })
            .collect();
        self.error = (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64);
        let counts = [said.len() as u64, evaluations];
        let seed = SelfMade::seed(&self.streams, "structures", 0);
        let digest = network.digest()?;
        let contents = Tensor::f_from_slice(&said)?;
        let made = SelfMade::new("structures", digest, &self.settings, seed, counts, &[&contents])?;
        self.made.push(made);
        Ok(flows)
    }

    /// An example's pairs in the order of an epoch.
    fn arranged(&self, id: u32, epoch: u32, model: &Pointers) -> Vec<Told> {
        let Rules { order, pairs, .. } = self.rules;
        let count = self.patches.count() as i64;
        let mut random = self.streams.keyed("patches", id, epoch);
        let pixels = |range: std::ops::Range<i64>| range.map(|pointer| (pointer, -1));
        let marks = self.marks.get(id as usize).into_iter().flatten();
        let marks =
            marks.map(|(place, code)| (model.shape.pointer(*place), model.shape.structure(*code)));
        let mut told: Vec<Told> = match order {
            PatchOrder::Raster => pixels(0..2 * count).collect(),
            PatchOrder::Mixed => shuffled(&mut random, pixels(0..2 * count).chain(marks).collect()),
            PatchOrder::InTurn => {
                let mut first = shuffled(&mut random, pixels(0..count).collect());
                first
                    .extend(shuffled(&mut random, pixels(count..2 * count).chain(marks).collect()));
                first
            }
        };
        told.truncate(pairs);
        told
    }
}

fn shuffled(random: &mut Pcg64, told: Vec<Told>) -> Vec<Told> {
    let mut places: Vec<u32> = (0..told.len() as u32).collect();
    order::shuffle(random, &mut places);
    places.iter().map(|place| told[*place as usize]).collect()
}

impl Objective for RandomAccess {
    fn rehearse(&mut self) {
        self.rehearsed = true;
    }

    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let Rules { structures, .. } = self.rules;
        if structures == Structures::None || self.rehearsed {
            return Ok(None);
        }
        let places = self.places(train)?;
        let flows: Vec<Vec<Option<[i32; 2]>>> = match structures {
            Structures::True => {
                let of = |(places, truth): (&Vec<usize>, &Vec<Option<[i32; 2]>>)| {
                    places.iter().map(|place| truth[*place]).collect()
                };
                places.iter().zip(&self.patches.flow).map(of).collect()
            }
            _ => self.extract(network, train, &places)?,
        };
        let code = |flow: Option<[i32; 2]>| flow.and_then(|flow| self.rules.code(flow));
        let marks = places.iter().zip(flows).map(|(places, flows)| {
            let each = places.iter().zip(flows);
            each.filter_map(|(place, flow)| Some((*place, code(flow)?))).collect()
        });
        let mut marks: Vec<Vec<Mark>> = marks.collect();
        if structures == Structures::Shuffled {
            let codes: Vec<usize> = marks.iter().flatten().map(|(_, code)| *code).collect();
            let mut dealt: Vec<u32> = (0..codes.len() as u32).collect();
            order::shuffle(&mut self.streams.generator("dealt"), &mut dealt);
            let all = marks.iter_mut().flatten().zip(dealt);
            all.for_each(|((_, code), from)| *code = codes[from as usize]);
        }
        self.marks = marks;
        Ok(None)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let model = *Pointers::of(network)?;
        let rows: Vec<Vec<Told>> =
            batch.ids.iter().map(|id| self.arranged(*id, now.epoch, &model)).collect();
        for (id, row) in batch.ids.iter().zip(&rows) {
            self.orders.update(id.to_le_bytes());
            self.orders.update(now.epoch.to_le_bytes());
            row.iter().for_each(|(pointer, _)| self.orders.update((*pointer as u32).to_le_bytes()));
        }
        let shape = [rows.len() as i64, rows.first().map_or(0, Vec::len) as i64];
        let table = |of: fn(&Told) -> i64| {
            let values: Vec<i64> = rows.iter().flatten().map(of).collect();
            Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(batch.inputs.device())
        };
        let (pointers, structures) = (table(|told| told.0)?, table(|told| told.1)?);
        let last = 2 * self.patches.count() as i64 - 1;
        let levels = batch.inputs.f_gather(1, &pointers.f_clamp_max(last)?, false)?;
        let codes = levels.f_where_self(&structures.f_lt(0)?, &structures)?;
        let losses = model.losses(network, &Pairs { pointers, codes })?;
        self.evaluations += batch.ids.len() as u64;
        self.updates += (shape[0] * shape[1]) as u64;
        if let Some(made) = self.made.last_mut() {
            made.used(now.step);
        }
        Ok(losses.f_mean_dim(1, false, Kind::Float)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations), ("token_updates", self.updates)])
    }

    /// Orders are a function of seed, example and epoch; that these were the ones consumed, a hash says: of each example's
    /// number, epoch and pointers (u32 LE) in the order in which they were learned from.
    fn facts(&self) -> Facts {
        let orders = Digest(self.orders.clone().finalize().into());
        let mut facts = SelfMade::facts(&self.made);
        facts.insert("patch_orders_sha256".to_owned(), orders.to_string().into());
        if self.rules.structures != Structures::None {
            let marks: usize = self.marks.iter().map(Vec::len).sum();
            facts.insert("structures".to_owned(), marks.into());
        }
        facts.extend(self.error.map(|error| ("structures_epe".to_owned(), error.into())));
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("orders", &mut self.orders)?;
        state.told("made", &mut self.made)?;
        state.of("evaluations", &mut self.evaluations)?;
        state.of("updates", &mut self.updates)
    }
}

/// A run that goes on from a network trained before, with rows for the codes of structures where there are some.
#[derive(Debug)]
pub struct Grown {
    /// Codes of structures; 0 for none.
    pub codes: usize,
    tutor: Option<Vec<Tensor>>,
}

impl Grown {
    /// Grows by so many codes.
    #[must_use]
    pub fn new(codes: usize) -> Self {
        Self { codes, tutor: None }
    }

    /// The network as it will be trained, from what it is now.
    ///
    /// # Errors
    /// When it has no pointers.
    pub fn template(&self, network: &Network, streams: &Streams) -> Result<Network, LabError> {
        match self.codes {
            0 => Ok(network.duplicate()),
            codes => Pointers::grown(network, codes, streams),
        }
    }
}

impl Parametrisation for Grown {
    fn learn_from(&mut self, tutor: &Network) {
        let tensors = tutor.parameters.iter().map(|parameter| &parameter.tensor);
        self.tutor = Some(tch::no_grad(|| tensors.map(|t| t.detach().copy()).collect()));
    }

    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError> {
        if let Some(tutor) = self.tutor.take() {
            network.exchange(&tutor)?;
        }
        *network = self.template(network, streams)?;
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        Ok(same(trained))
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::pointers::pointers;
    use crate::models::pointers::tests::SHAPE;
    use crate::network::values;
    use crate::optim::adamw::{Adamw, AdamwSettings};
    use crate::seat::{Gradients, Optimizer as _};
    use crate::side_info::SideInfo;
    use crate::trial::{self, step_info};
    use tch::Device;

    const TRACING: Tracing = Tracing {
        side: 4,
        levels: 4,
        amplitude: 255.0,
        sigma: 0.5,
        masks: 2,
        revealed: 4,
        threshold: 0.0,
    };

    fn rules(order: PatchOrder, structures: Structures) -> Rules {
        Rules { order, pairs: 32, structures, queries: 2, reach: 2, tracing: TRACING }
    }

    /// Examples whose second frame is the first one again; flow is 0 where a pixel is not black.
    fn examples(count: usize) -> (Split, SideInfo) {
        let mut random = trial::streams().generator("frames");
        let mut levels = Vec::new();
        for _ in 0..count {
            let frame: Vec<i64> = (0..16).map(|_| order::bounded(&mut random, 4) as i64).collect();
            levels.extend([frame.clone(), frame].concat());
        }
        let flow = levels.chunks(32).map(|frames| {
            frames[..16].iter().map(|level| (*level > 0).then_some([0, 0])).collect()
        });
        let patches = Patches { side: 4, levels: 4, flow: flow.collect() };
        let side = SideInfo { patches: Some(Arc::new(patches)), ..SideInfo::default() };
        let stored = Tensor::from_slice(&levels).view([-1, 32]);
        (Split { labels: stored.copy(), stored, groups: Vec::new() }, side)
    }

    fn objective(rules: Rules, side: &SideInfo, network: &Network) -> RandomAccess {
        let streams = trial::streams();
        RandomAccess::new(rules, Values::new(), &streams, &trial::task(network, side, &streams))
            .unwrap()
    }

    /// A network that learned frames in any order for a while.
    fn learned(split: &Split, side: &SideInfo) -> Network {
        let network = pointers(SHAPE, &trial::streams(), Device::Cpu).unwrap();
        let mut objective = objective(rules(PatchOrder::Mixed, Structures::None), side, &network);
        let settings = AdamwSettings { lr: 0.01, weight_decay: 0.0, ..AdamwSettings::default() };
        let mut rule = Adamw::new(settings, &network, |_, _| true).unwrap();
        for step in 0..300_u64 {
            let ids: Vec<u32> =
                (0..16).map(|at| ((step * 16 + at) % split.len() as u64) as u32).collect();
            let epoch = (step * 16 / split.len() as u64) as u32;
            let now = crate::seat::StepInfo { epoch, lr_factor: 1.0, ..step_info(step, 300) };
            let loss = objective.loss(&network, &split.batch(&ids).unwrap(), &now).unwrap();
            let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            let tensors = Tensor::run_backward(&[&loss], &leaves, false, false);
            let gradients = Gradients { active: (0..leaves.len()).collect(), tensors };
            tch::no_grad(|| rule.update(&network.parameters, &gradients, &now)).unwrap();
        }
        network
    }

    #[test]
    fn frames_cost_the_same_in_other_orders_and_a_subset_less_where_the_rest_is_told() {
        let (split, side) = examples(256);
        let network = learned(&split, &side);
        let model = *Pointers::of(&network).unwrap();
        // Losses of frames in orders that were not trained on, N × 32, each with its pointers.
        let of = |epochs: std::ops::Range<u32>| {
            let objective = objective(rules(PatchOrder::Mixed, Structures::None), &side, &network);
            let each = epochs.flat_map(|epoch| (0..64).map(move |id| (id, epoch)));
            let told: Vec<i64> = each
                .flat_map(|(id, epoch)| {
                    objective.arranged(id, epoch, &model).into_iter().map(|told| told.0)
                })
                .collect();
            let pointers = Tensor::from_slice(&told).view([-1, 32]);
            let rows = pointers.size()[0] / 64;
            let codes = split.stored.narrow(0, 0, 64).repeat([rows, 1]).gather(1, &pointers, false);
            tch::no_grad(|| model.losses(&network, &Pairs { pointers, codes })).unwrap()
        };
        let mean = |losses: &Tensor| {
            let sums = values(&losses.sum_dim_intlist(1, false, Kind::Float)).unwrap();
            let n = sums.len() as f64;
            let mean = sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() / n;
            let variance =
                sums.iter().map(|sum| (f64::from(*sum) - mean).powi(2)).sum::<f64>() / (n - 1.0);
            (mean, (variance / n).sqrt())
        };
        let (one, other) = (of(1_000..1_008), of(2_000..2_008));
        let ((a, sa), (b, sb)) = (mean(&one), mean(&other));
        assert!((a - b).abs() < 3.0 * sa.hypot(sb), "{a} ± {sa} and {b} ± {sb}");
        // Sixteen levels that nothing tells cost 16·ln 4; the last ones have been told elsewhere.
        let part = |from: i64| mean(&one.narrow(1, from, 8)).0;
        assert!(part(24) < 0.8 * part(0), "{} of {}", part(24), part(0));
        assert!(a < 32.0 * 4_f64.ln());
    }

    #[test]
    fn sequences_hold_every_pixel_once_but_for_what_structures_take() {
        let (_, side) = examples(8);
        let network = pointers(SHAPE, &trial::streams(), Device::Cpu).unwrap();
        let grown = Pointers::grown(&network, 25, &trial::streams()).unwrap();
        let model = *Pointers::of(&grown).unwrap();
        for order in [PatchOrder::Mixed, PatchOrder::InTurn, PatchOrder::Raster] {
            let plain = objective(rules(order, Structures::None), &side, &network);
            let told: Vec<i64> = plain.arranged(3, 1, &model).iter().map(|told| told.0).collect();
            let mut sorted = told.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..32).collect::<Vec<_>>());
            assert_eq!(told == sorted, order == PatchOrder::Raster);
            let first = told[..16].iter().all(|pointer| *pointer < 16);
            assert_eq!(first, order != PatchOrder::Mixed);
            let again: Vec<i64> = plain.arranged(3, 2, &model).iter().map(|told| told.0).collect();
            assert_eq!(told == again, order == PatchOrder::Raster);
        }
        let mut with = objective(rules(PatchOrder::InTurn, Structures::True), &side, &grown);
        with.marks = vec![vec![(5, 12), (9, 12)]; 8];
        let told = with.arranged(3, 1, &model);
        let marks: Vec<_> = told.iter().filter(|told| told.1 >= 0).collect();
        assert!(told.len() == 32 && marks.len() <= 2);
        assert!(marks.iter().all(|(pointer, token)| [37, 41].contains(pointer) && *token == 17));
        // Behind the first frame alone.
        assert!(told[..16].iter().all(|(pointer, token)| *pointer < 16 && *token < 0));
    }

    #[test]
    fn true_flow_has_its_code_and_shuffling_deals_the_codes_that_were_traced() {
        let (split, side) = examples(8);
        let network = pointers(SHAPE, &trial::streams(), Device::Cpu).unwrap();
        let marks = |structures: Structures| {
            let mut objective = objective(rules(PatchOrder::InTurn, structures), &side, &network);
            tch::no_grad(|| objective.start(&network, &split)).unwrap();
            objective.marks
        };
        // No motion is the middle of 5 × 5 codes.
        let truth = marks(Structures::True);
        assert!(
            truth.iter().all(|marks| marks.len() == 2 && marks.iter().all(|mark| mark.1 == 12))
        );
        let (own, dealt) = (marks(Structures::Extracted), marks(Structures::Shuffled));
        let places =
            |all: &[Vec<Mark>]| all.iter().flatten().map(|mark| mark.0).collect::<Vec<_>>();
        let codes = |all: &[Vec<Mark>]| {
            let mut codes: Vec<usize> = all.iter().flatten().map(|mark| mark.1).collect();
            codes.sort_unstable();
            codes
        };
        assert_eq!((places(&own), codes(&own)), (places(&dealt), codes(&dealt)));
        assert_ne!(own, dealt);
        // Nothing is made for steps that nobody keeps.
        let mut rehearsed =
            objective(rules(PatchOrder::InTurn, Structures::Extracted), &side, &network);
        rehearsed.rehearse();
        rehearsed.start(&network, &split).unwrap();
        assert!(rehearsed.marks.is_empty() && rehearsed.costs()["network_evaluations"] == 0);
    }
}
