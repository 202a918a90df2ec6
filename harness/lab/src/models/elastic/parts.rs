//! The seats of an elastic network: its parts are trained together, or one alone, and each is judged.

use ledger::streams::Streams;

use super::{Choice, Elastic};
use crate::LabError;
use crate::network::{Network, Parameter};
use crate::seat::{Look, Looks, Parametrisation, StepInfo};
use crate::state::State;

/// The network with the matrices of its smaller kernels beside it, and its parts; or one part alone.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// The shape of the whole.
    pub elastic: Elastic,
    /// The part that is trained alone, if one is.
    pub alone: Option<Choice>,
    /// Number of training examples that statistics of a part are taken from before it is judged.
    pub recalibrate: u32,
}

impl Parametrisation for Parts {
    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        self.elastic.add_transforms(network)?;
        if let Some(choice) = &self.alone {
            *network = tch::no_grad(|| self.elastic.part(network, choice))?.duplicate();
        }
        Ok(())
    }

    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError> {
        // Only steps need the matrices; what is kept is a network as the workload has it.
        let own = match (now, self.alone) {
            (None, None) => self.elastic.parameters(),
            _ => trained.parameters.len(),
        };
        let seen = trained.parameters[..own].iter().map(|parameter| {
            let Parameter { name, tensor, .. } = parameter;
            Parameter { name: name.clone(), tensor: tensor.shallow_clone(), ..*parameter }
        });
        Ok(trained.over(seen.collect()))
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

impl Looks for Parts {
    fn recalibrate(&self) -> Option<u32> {
        Some(self.recalibrate)
    }

    fn mean(&self) -> bool {
        true
    }

    fn looks(&self, trained: &Network, _: &Network) -> Result<Vec<Look>, LabError> {
        let look = |choice: &Choice, network: Network| Look {
            name: choice.name(),
            // Statistics of its own, which are taken anew.
            network: network.duplicate(),
            recalibrate: Some(self.recalibrate),
        };
        if let Some(choice) = &self.alone {
            return Ok(vec![look(choice, trained.duplicate())]);
        }
        let corners = Choice::corners();
        corners.iter().map(|choice| Ok(look(choice, self.elastic.part(trained, choice)?))).collect()
    }
}
