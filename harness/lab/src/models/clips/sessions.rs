//! The seats of clips that are learnt one after the other: what a step trains, what each clip is decoded by, and what is
//! kept for it.

use std::cell::RefCell;
use std::rc::Rc;

use ledger::digest::Digest;
use ledger::streams::Streams;
use serde_json::json;
use tch::{Kind, Tensor};

use super::{Clips, Decoder, fourier, kaiming};
use crate::LabError;
use crate::network::{Network, Parameter, values};
use crate::seat::{Facts, Gradients, Look, Looks, Parametrisation, StepInfo};
use crate::sparsity::scores;
use crate::state;

/// What clips share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sharing {
    /// Weights, through a mask of each clip's own that leaves out this share of every layer; what an earlier clip's
    /// mask has taken is not trained again.
    Masked(f64),
    /// Everything, one clip after the other.
    InTurn,
    /// Everything, all clips at once.
    AtOnce,
    /// Nothing.
    Apart,
}

/// The seat. Its clones share their state.
#[derive(Debug, Clone)]
pub struct Sessions {
    clips: Clips,
    sharing: Sharing,
    /// Frequencies along each axis of a Fourier layer in place of the second convolution.
    modes: Option<u32>,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The clip of the last step, and whether that was its last; none before the first step.
    at: Option<(u32, bool)>,
    /// The mask of each clip that is over, one tensor per shared parameter.
    masks: Vec<Vec<Tensor>>,
    /// 1 where no mask has taken a weight, by shared parameter; empty before the first is kept.
    free: Vec<Tensor>,
}

impl Sessions {
    /// The seat of a run.
    #[must_use]
    pub fn new(clips: Clips, sharing: Sharing, modes: Option<u32>) -> Self {
        Self { clips, sharing, modes, state: Rc::default() }
    }

    /// The masks of the scores as they are.
    fn masks(&self, trained: &Network) -> Result<Vec<Tensor>, LabError> {
        let Sharing::Masked(sparsity) = self.sharing else { return Ok(Vec::new()) };
        let ranked = self.ranked(trained)?.into_iter();
        Ok(ranked.map(|scores| scores::mask(&scores, sparsity)).collect::<Result<_, _>>()?)
    }

    /// What weights are ranked by: |ρ|, and ρ itself in the Fourier layer.
    fn ranked(&self, trained: &Network) -> Result<Vec<Tensor>, LabError> {
        let decoder = Decoder::of(trained)?;
        let shared = decoder.shared();
        let first = shared + self.clips.sessions as usize;
        let ranked = trained.parameters[first..first + shared].iter().enumerate();
        let ranked = ranked.map(|(place, Parameter { tensor, .. })| {
            if decoder.is_spectral(place) { Ok(tensor.shallow_clone()) } else { tensor.f_abs() }
        });
        Ok(ranked.collect::<Result<_, _>>()?)
    }

    /// Keeps the masks of all clips before `session`.
    fn keep(&self, trained: &Network, session: u32) -> Result<(), LabError> {
        while self.state.borrow().masks.len() < session as usize {
            let masks = self.masks(trained)?;
            let mut state = self.state.borrow_mut();
            let State { masks: kept, free, .. } = &mut *state;
            let left = masks.iter().enumerate().map(|(place, mask)| {
                let open = mask.f_neg()?.f_add_scalar(1.0)?;
                free.get(place).map_or(Ok(open.shallow_clone()), |free| free.f_mul(&open))
            });
            *free = left.collect::<Result<_, _>>()?;
            kept.push(masks);
        }
        Ok(())
    }

    /// Clips whose training is over; all that have begun where they are trained at once.
    fn over(&self) -> u32 {
        match (self.sharing, self.state.borrow().at) {
            (_, None) => 0,
            (Sharing::AtOnce, _) => self.clips.sessions,
            (_, Some((session, last))) => session + u32::from(last),
        }
    }
}

/// `parameter` as it is, with another name and tensor.
fn named(parameter: &Parameter, name: String, tensor: Tensor) -> Parameter {
    Parameter { name, tensor, ..*parameter }
}

fn alike(parameters: &[Parameter]) -> impl Iterator<Item = Parameter> + '_ {
    parameters.iter().map(|one| named(one, one.name.clone(), one.tensor.shallow_clone()))
}

impl Parametrisation for Sessions {
    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError> {
        let mut stream = streams.generator("method");
        if let Some(modes) = self.modes {
            fourier::install(network, modes, &mut stream)?;
        }
        let decoder = *Decoder::of(network)?;
        let (shared, device) = (decoder.shared(), network.device());
        match self.sharing {
            Sharing::InTurn | Sharing::AtOnce => {}
            Sharing::Masked(_) => {
                for place in 0..shared {
                    let weight = &network.parameters[place];
                    let scores = kaiming(&mut stream, &weight.tensor.size())?;
                    let scores = scores.f_to_device(device)?.set_requires_grad(true);
                    let name = format!("{}.scores", weight.name);
                    network.parameters.push(named(&network.parameters[place], name, scores));
                }
            }
            Sharing::Apart => {
                let heads = network.parameters.split_off(shared);
                let set = std::mem::take(&mut network.parameters);
                for session in 1..=self.clips.sessions {
                    network.parameters.extend(set.iter().map(|one| {
                        let copy = one.tensor.detach().copy().set_requires_grad(true);
                        named(one, format!("session{session}.{}", one.name), copy)
                    }));
                }
                network.parameters.extend(heads);
                network.body = Decoder { apart: true, ..decoder }.body();
            }
        }
        Ok(())
    }

    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError> {
        let decoder = *Decoder::of(trained)?;
        let (shared, own) = (decoder.shared(), &trained.parameters);
        let heads = &own[decoder.sets() * shared..][..self.clips.sessions as usize];
        let Some(now) = now else {
            let Sharing::Masked(_) = self.sharing else {
                return Ok(trained.over(alike(own).collect()));
            };
            self.keep(trained, self.over())?;
            // Every clip by its own mask; those that are not over by the one of now.
            let (state, open) = (self.state.borrow(), self.masks(trained)?);
            let mut seen = Vec::new();
            for session in 0..self.clips.sessions {
                let masks = state.masks.get(session as usize).unwrap_or(&open);
                for (weight, mask) in own[..shared].iter().zip(masks) {
                    let name = format!("session{}.{}", session + 1, weight.name);
                    seen.push(named(weight, name, weight.tensor.f_mul(mask)?));
                }
            }
            seen.extend(alike(heads));
            let body = Decoder { apart: true, ..decoder }.body();
            return Ok(Network { body, ..trained.over(seen) });
        };
        let (session, steps) = self.clips.steps(now);
        let mut seen = match self.sharing {
            Sharing::InTurn | Sharing::AtOnce => alike(&own[..shared]).collect(),
            Sharing::Apart => alike(&own[session as usize * shared..][..shared]).collect(),
            Sharing::Masked(sparsity) => {
                self.keep(trained, session)?;
                let mut seen = Vec::with_capacity(shared);
                for (weight, score) in own.iter().zip(self.ranked(trained)?) {
                    let masked = weight.tensor.f_mul(&scores::through(&score, sparsity)?)?;
                    seen.push(named(weight, weight.name.clone(), masked));
                }
                seen
            }
        };
        self.state.borrow_mut().at = Some((session, now.step + 1 >= steps.end));
        seen.extend(alike(heads));
        Ok(Network { body: Decoder { apart: false, ..decoder }.body(), ..trained.over(seen) })
    }

    fn amend(
        &mut self,
        _: &Network,
        gradients: &mut Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        for (place, free) in self.state.borrow().free.iter().enumerate() {
            if let Ok(at) = gradients.active.binary_search(&place) {
                let _ = gradients.tensors[at].f_mul_(free)?;
            }
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let State { masks, .. } = &*self.state.borrow();
        let Some(first) = masks.first() else { return Facts::new() };
        let count = |mask: &Tensor| mask.sum(Kind::Int64).int64_value(&[]);
        let mut taken: Vec<Tensor> = first.iter().map(Tensor::zeros_like).collect();
        let (mut capacity, mut digests) = (Vec::new(), Vec::new());
        for session in masks {
            let bits = session.iter().filter_map(|mask| values(mask).ok()).flatten();
            let bytes: Vec<u8> = bits.map(|bit| u8::from(bit > 0.5)).collect();
            digests.push(Digest::of(&bytes).to_string());
            let all = taken.iter().zip(session).map(|(taken, mask)| taken.maximum(mask));
            taken = all.collect();
            capacity.push(taken.iter().map(count).sum::<i64>());
        }
        let before = std::iter::once(0).chain(capacity.iter().copied());
        let new: Vec<i64> = capacity.iter().zip(before).map(|(now, then)| now - then).collect();
        let shared: usize = first.iter().map(Tensor::numel).sum();
        let facts = [
            ("shared_weights", json!(shared)),
            ("taken_weights", json!(capacity)),
            ("new_weights", json!(new)),
            ("masks_sha256", json!(digests)),
        ];
        facts.map(|(name, fact)| (name.to_owned(), fact)).into()
    }

    fn state(&mut self, state: &mut state::State<'_>) -> Result<(), LabError> {
        let mut own = self.state.borrow_mut();
        state.of("at", &mut own.at)?;
        state.of("masks", &mut own.masks)?;
        state.of("free", &mut own.free)
    }
}

impl Looks for Sessions {
    fn throughout(&self) -> bool {
        true
    }

    fn looks(&self, _: &Network, seen: &Network) -> Result<Vec<Look>, LabError> {
        let decoder = *Decoder::of(seen)?;
        let look = |session: u32| Look {
            name: format!("session-{}", session + 1),
            network: Network {
                body: Decoder { only: Some(session), ..decoder }.body(),
                ..seen.over(alike(&seen.parameters).collect())
            },
            recalibrate: None,
        };
        Ok((0..self.over()).map(look).collect())
    }
}
