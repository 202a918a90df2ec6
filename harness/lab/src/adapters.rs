//! Adapters: what trains in the place of a network that was trained before, while the rest of it stays as it is.
//!
//! | adapter | trains |
//! | --- | --- |
//! | [`LowRankUpdate`](low_rank::LowRankUpdate) | a product of two thin matrices beside every weight (LoRA) |
//! | [`Masked`](masked::Masked) | chosen values of all tensors, one by one, and fewer of them later |
//! | [`Layers`](layers::Layers) | the tensors of chosen layers |
//!
//! Each is a [`Parametrisation`](crate::seat::Parametrisation): the run's network holds what trains and nothing else, so that update rule,
//! average and counts are of it alone, and what is seen is the network that it stands on, with it. It stands on the
//! weights that the run starts from, or on those of the recipe's tutor.

pub mod layers;
pub mod low_rank;
pub mod masked;
pub mod moved;

use ledger::digest::Digest;
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::network::{Network, Parameter};
use crate::seat::Facts;

/// The network that an adapter stands on: it is never written to.
#[derive(Debug, Default)]
pub struct Ground {
    parameters: Vec<Parameter>,
    tutor: Option<Vec<Tensor>>,
    digest: Option<Digest>,
    trained: usize,
}

impl Ground {
    /// Copies the values of a tutor, to stand on them.
    fn learn_from(&mut self, tutor: &Network) {
        let tensors = tutor.parameters.iter().map(|parameter| &parameter.tensor);
        self.tutor = Some(tch::no_grad(|| tensors.map(|t| t.detach().copy()).collect()));
    }

    /// Takes the parameters of `network`, with the tutor's values where there is one, and puts `trained` of them in
    /// their place.
    fn install(
        &mut self,
        network: &mut Network,
        trained: impl FnOnce(&[Parameter]) -> Result<Vec<Parameter>, LabError>,
    ) -> Result<(), LabError> {
        if let Some(tutor) = self.tutor.take() {
            network.exchange(&tutor)?;
        }
        self.digest = Some(network.digest()?);
        let before = std::mem::take(&mut network.parameters).into_iter();
        let still = before.map(|Parameter { tensor, name, layer, role }| {
            Ok(Parameter { tensor: tensor.f_detach()?, name, layer, role })
        });
        self.parameters = still.collect::<Result<_, TchError>>()?;
        network.parameters = trained(&self.parameters)?;
        self.trained = values(&network.parameters);
        Ok(())
    }

    /// The network on which some tensors, by index, are others.
    fn seen(
        &self,
        trained: &Network,
        others: impl IntoIterator<Item = (usize, Tensor)>,
    ) -> Network {
        let mut parameters: Vec<Parameter> = self.parameters.iter().map(shared).collect();
        for (index, tensor) in others {
            parameters[index].tensor = tensor;
        }
        trained.over(parameters)
    }

    /// How much trains of how much, and what it stands on.
    fn facts(&self) -> Facts {
        let mut facts = Facts::from([
            ("plain_parameters".to_owned(), values(&self.parameters).into()),
            ("trained_parameters".to_owned(), self.trained.into()),
        ]);
        if let Some(digest) = self.digest {
            facts.insert("adapted_sha256".to_owned(), digest.to_string().into());
        }
        facts
    }
}

/// Number of values of all tensors.
#[must_use]
pub fn values(parameters: &[Parameter]) -> usize {
    parameters.iter().map(|parameter| parameter.tensor.numel()).sum()
}

/// The same parameter; its values are shared.
fn shared(parameter: &Parameter) -> Parameter {
    let tensor = parameter.tensor.shallow_clone();
    Parameter { name: parameter.name.clone(), tensor, ..*parameter }
}

/// A network over the same values, for what sees what is trained as it is.
#[must_use]
pub fn same(trained: &Network) -> Network {
    trained.over(trained.parameters.iter().map(shared).collect())
}

/// A parameter of zeros beside that of `like`, which trains.
fn zeros(name: String, size: &[i64], like: &Parameter) -> Result<Parameter, TchError> {
    let zeros = Tensor::f_zeros(size, (Kind::Float, like.tensor.device()))?;
    Ok(Parameter { name, tensor: zeros.set_requires_grad(true), ..*like })
}
