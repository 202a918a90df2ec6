//! A flow after its training: a reward is maximised, then few steps are taught, segment by segment; each alone where the
//! other is left out.

use tch::Tensor;

use crate::LabError;
use crate::network::Network;
use crate::objectives::adversary::Adversary;
use crate::objectives::rewarded::Rewarded;
use crate::objectives::segments::Segments;
use crate::seat::{Batch, Costs, Facts, Objective, Stage, StepInfo};
use crate::state::State;

/// The objective of all stages: of the first one a reward, where there is one, then of segments that are halved.
#[derive(Debug)]
pub struct Pipeline {
    reward: Option<Rewarded>,
    segments: Option<Segments>,
    /// Of the last stage alone.
    adversary: Option<Adversary>,
    last: usize,
    tutor: Option<Network>,
    stage: u32,
    begun: u32,
}

impl Pipeline {
    /// Of `stages` stages of the run.
    #[must_use]
    pub fn new(
        reward: Option<Rewarded>,
        segments: Option<Segments>,
        adversary: Option<Adversary>,
        stages: usize,
    ) -> Self {
        let last = stages.saturating_sub(1);
        Self { reward, segments, adversary, last, tutor: None, stage: 0, begun: 0 }
    }

    fn taught(&self) -> Option<usize> {
        (self.stage as usize).checked_sub(usize::from(self.reward.is_some()))
    }
}

fn missing() -> LabError {
    LabError::Method("a stage with nothing to learn".to_owned())
}

impl Objective for Pipeline {
    fn learn_from(&mut self, tutor: Network) {
        self.tutor = Some(tutor);
    }

    /// The first stage begins with the tutor's weights; what is taught to go in few steps is the model as it is then.
    fn enter(&mut self, stage: usize, network: &Network) -> Result<(), LabError> {
        self.stage = u32::try_from(stage).unwrap_or(u32::MAX);
        self.begun += 1;
        if stage == 0 {
            let Some(tutor) = self.tutor.take() else {
                return Err(LabError::Method("nothing was trained to go on from".to_owned()));
            };
            for (own, trained) in network.parameters.iter().zip(&tutor.parameters) {
                own.tensor.shallow_clone().f_copy_(&trained.tensor)?;
            }
        }
        let taught = self.taught();
        let (Some(taught), Some(segments)) = (taught, &mut self.segments) else { return Ok(()) };
        if taught == 0 {
            segments.learn_from(network.duplicate());
        }
        segments.enter(taught, network)
    }

    /// Every stage starts afresh, its average too.
    fn stage(&self, _: &StepInfo) -> Stage {
        Stage { index: self.begun, lr_factor: 1.0 }
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        match (self.taught(), &mut self.reward) {
            (None, Some(reward)) => reward.before_step(network, batch, now),
            _ => Ok(()),
        }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if self.taught().is_none() {
            return self.reward.as_mut().ok_or_else(missing)?.losses(network, batch, now);
        }
        let segments = self.segments.as_mut().ok_or_else(missing)?;
        let [own, goal] = segments.jumps(network, batch, now)?;
        let losses = segments.compare(&own, &goal)?;
        match &mut self.adversary {
            Some(adversary) if self.stage as usize == self.last => {
                adversary.learn(&batch.inputs, &own, now)?;
                Ok(losses.f_add(&adversary.losses(&own)?)?)
            }
            _ => Ok(losses),
        }
    }

    fn costs(&self) -> Costs {
        let mut costs = Costs::from([("network_evaluations", 0)]);
        let parts = self.reward.iter().map(Rewarded::costs);
        for part in parts.chain(self.segments.iter().map(Segments::costs)) {
            for (name, count) in part {
                *costs.entry(name).or_insert(0) += count;
            }
        }
        costs
    }

    fn facts(&self) -> Facts {
        self.segments.iter().flat_map(Segments::facts).collect()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.network("tutor", &mut self.tutor)?;
        state.of("stage", &mut self.stage)?;
        state.of("begun", &mut self.begun)?;
        self.reward.as_mut().map_or(Ok(()), |reward| reward.state(state))?;
        self.segments.as_mut().map_or(Ok(()), |segments| segments.state(state))?;
        self.adversary.as_mut().map_or(Ok(()), |adversary| adversary.state(state))
    }
}
