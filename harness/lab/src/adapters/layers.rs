//! The tensors of chosen layers, as they are; the other layers stay.

use ledger::streams::Streams;

use super::{Ground, shared};
use crate::LabError;
use crate::network::{Network, Parameter};
use crate::seat::{Facts, Parametrisation, StepInfo, TaskInfo};
use crate::state::State;

/// Chosen layers; all of them is training as ever, from the weights that the adapter stands on.
#[derive(Debug)]
pub struct Layers {
    chosen: Vec<usize>,
    ground: Ground,
}

/// Name of the layer that a parameter belongs to: all of its own but the last part.
fn layer(parameter: &Parameter) -> &str {
    parameter.name.rsplit_once('.').map_or(parameter.name.as_str(), |(layer, _)| layer)
}

impl Layers {
    /// The seat, and the network that trains. `named` is the value of a setting `layers`: names with commas between
    /// them; all layers where it is empty.
    ///
    /// # Errors
    /// When the network has no layer of such a name.
    pub fn new(named: &str, task: &TaskInfo<'_>) -> Result<(Self, Network), LabError> {
        let parameters = &task.network.parameters;
        let asked: Vec<&str> =
            named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if let Some(unknown) =
            asked.iter().find(|name| !parameters.iter().any(|p| layer(p) == **name))
        {
            let mut known: Vec<&str> = parameters.iter().map(layer).collect();
            known.dedup();
            return Err(task.unfit(format!(
                "setting \"layers\" names {unknown:?}, but the network's layers are {}",
                known.join(", ")
            )));
        }
        let trains = |parameter: &Parameter| asked.is_empty() || asked.contains(&layer(parameter));
        let chosen: Vec<usize> =
            (0..parameters.len()).filter(|index| trains(&parameters[*index])).collect();
        let template = chosen.iter().map(|index| shared(&parameters[*index])).collect();
        Ok((Self { chosen, ground: Ground::default() }, task.network.over(template)))
    }
}

impl Parametrisation for Layers {
    fn learn_from(&mut self, tutor: &Network) {
        self.ground.learn_from(tutor);
    }

    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        let Self { chosen, ground } = self;
        ground.install(network, |parameters| {
            let leaf = |index: &usize| {
                let parameter = &parameters[*index];
                let tensor = parameter.tensor.copy().set_requires_grad(true);
                Parameter { name: parameter.name.clone(), tensor, ..*parameter }
            };
            Ok(tch::no_grad(|| chosen.iter().map(leaf).collect()))
        })
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        let tensors = trained.parameters.iter().map(|parameter| parameter.tensor.shallow_clone());
        Ok(self.ground.seen(trained, self.chosen.iter().copied().zip(tensors)))
    }

    fn facts(&self) -> Facts {
        self.ground.facts()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::side_info::SideInfo;
    use crate::trial;
    use tch::{Device, Kind, Tensor};

    fn network() -> Network {
        mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn named_layers_train_and_the_others_keep_every_bit() {
        let (mut network, streams, side) = (network(), trial::streams(), SideInfo::default());
        let before = network.duplicate();
        let (mut seat, template) =
            Layers::new("hidden2, outputs", &trial::task(&network, &side, &streams)).unwrap();
        seat.install(&mut network, &streams).unwrap();
        let names: Vec<_> = network.parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["hidden2.weight", "hidden2.bias", "outputs.weight", "outputs.bias"]);
        assert_eq!(template.parameters.len(), 4);
        let seen = || seat.seen(&network, None).unwrap();
        assert_eq!(seen().digest().unwrap(), before.digest().unwrap());
        let loss: Tensor =
            seen().parameters.iter().map(|p| p.tensor.square().sum(Kind::Float)).sum();
        trial::descend(&network, &loss, 0.1).unwrap();
        for (seen, before) in seen().parameters.iter().zip(&before.parameters) {
            let moved = (&seen.tensor - &before.tensor).abs().max().double_value(&[]) > 0.0;
            assert_eq!(moved, names.contains(&seen.name.as_str()), "{}", seen.name);
        }
        assert_eq!(seat.facts()["trained_parameters"], 16 * 16 + 16 + 16 * 2 + 2);
    }

    #[test]
    fn without_a_name_all_layers_train_and_an_unknown_one_is_refused_with_the_others() {
        let (network, streams, side) = (network(), trial::streams(), SideInfo::default());
        let task = trial::task(&network, &side, &streams);
        assert_eq!(Layers::new("", &task).unwrap().1.parameters.len(), 10);
        let error = Layers::new("hidden2,attention", &task).unwrap_err().to_string();
        assert!(error.contains("\"attention\"") && error.contains("hidden3"), "{error}");
    }
}
