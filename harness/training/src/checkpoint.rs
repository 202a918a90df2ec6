//! The weights of a network in a file: safetensors, parameters by their names, buffers as
//! `buffer.0`, `buffer.1`, … Readable by any framework.

use std::path::Path;

use tch::{Kind, TchError, Tensor};

use lab::LabError;
use lab::ensemble;
use lab::network::Network;

/// Where a run folder holds its final weights.
pub const FINAL: &str = "checkpoints/final.safetensors";

/// Weights read from a file.
#[derive(Debug)]
pub struct Weights {
    /// Where they come from, for messages.
    file: String,
    tensors: Vec<(String, Tensor)>,
}

/// Writes parameters and buffers.
///
/// # Errors
/// When the file cannot be written.
pub fn save(network: &Network, path: &Path) -> Result<(), LabError> {
    let tensors = tch::no_grad(|| {
        let contiguous =
            |tensor: &Tensor| tensor.detach().f_to_device(tch::Device::Cpu)?.f_contiguous();
        named(network)
            .map(|(name, tensor)| Ok((name, contiguous(tensor)?)))
            .collect::<Result<Vec<_>, TchError>>()
    })?;
    Ok(Tensor::write_safetensors(&tensors, path)?)
}

/// Names of parameters and buffers in the order in which [`Network::digest`] takes them.
#[must_use]
pub fn names(network: &Network) -> Vec<String> {
    named(network).map(|(name, _)| name).collect()
}

/// Parameters and buffers with their names in a file.
fn named(network: &Network) -> impl Iterator<Item = (String, &Tensor)> {
    let parameters = network.parameters.iter().map(|p| (p.name.clone(), &p.tensor));
    let buffers = network.buffers.iter().enumerate();
    parameters.chain(buffers.map(|(index, tensor)| (format!("buffer.{index}"), tensor)))
}

impl Weights {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is missing or no safetensors file.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let file = path.display().to_string();
        let tensors = Tensor::read_safetensors(path).map_err(|error| LabError::Weights {
            file: file.clone(),
            reason: format!("not a safetensors file that can be read: {error}"),
        })?;
        Ok(Self { file, tensors })
    }

    /// A network like `network` with these weights, or an ensemble of such where they are of one.
    ///
    /// # Errors
    /// When they are those of another network.
    pub fn network(&self, network: &Network) -> Result<Network, LabError> {
        let members = ensemble::count(self.tensors.iter().map(|(name, _)| name.as_str()));
        let mut whole = match members {
            1 => network.duplicate(),
            _ => ensemble::like(network, members),
        };
        self.put_into(&mut whole)?;
        Ok(whole)
    }

    /// Puts the weights in place of the network's, bit for bit.
    ///
    /// # Errors
    /// When they are those of another network.
    pub fn put_into(&self, network: &mut Network) -> Result<(), LabError> {
        let refuse = |reason: String| LabError::Weights { file: self.file.clone(), reason };
        let wanted: Vec<(String, Vec<i64>, Kind)> =
            named(network).map(|(name, tensor)| (name, tensor.size(), tensor.kind())).collect();
        if let Some((extra, _)) =
            self.tensors.iter().find(|(name, _)| !wanted.iter().any(|(other, ..)| other == name))
        {
            return Err(refuse(format!("it has a tensor {extra}, which the network has not")));
        }
        let mut found = Vec::with_capacity(wanted.len());
        for (name, shape, kind) in &wanted {
            let tensor =
                self.tensors.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor);
            let tensor = tensor.ok_or_else(|| refuse(format!("it lacks the tensor {name}")))?;
            // Masks of a user's own module, say, are of other kinds than weights.
            let fits = matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Int64)
                || tensor.kind() == *kind;
            if tensor.size() != *shape || !fits {
                return Err(refuse(format!(
                    "{name} is {:?} of shape {:?}, but the network's has shape {shape:?}",
                    tensor.kind(),
                    tensor.size()
                )));
            }
            found.push(tensor.shallow_clone());
        }
        Ok(network.restore(&found)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp::mlp;
    use lab::trial;
    use tch::Device;

    #[test]
    fn weights_come_back_bit_for_bit_and_only_into_their_own_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let network = mlp(&[4, 5, 3], &trial::streams(), Device::Cpu).unwrap();
        save(&network, &path).unwrap();
        let mut other = mlp(&[4, 5, 3], &trial::streams(), Device::Cpu).unwrap();
        tch::no_grad(|| other.parameters.iter_mut().for_each(|p| drop(p.tensor.zero_())));
        assert_ne!(other.digest().unwrap(), network.digest().unwrap());
        let weights = Weights::read(&path).unwrap();
        weights.put_into(&mut other).unwrap();
        assert_eq!(other.digest().unwrap(), network.digest().unwrap());

        let mut wider = mlp(&[4, 6, 3], &trial::streams(), Device::Cpu).unwrap();
        let before = wider.digest().unwrap();
        let error = weights.put_into(&mut wider).unwrap_err().to_string();
        assert!(error.contains("shape [5, 4]"), "{error}");
        assert_eq!(wider.digest().unwrap(), before);
        let mut deeper = mlp(&[4, 5, 3, 3], &trial::streams(), Device::Cpu).unwrap();
        assert!(weights.put_into(&mut deeper).unwrap_err().to_string().contains("lacks"));
    }

    #[test]
    fn weights_of_an_ensemble_become_one_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let network = mlp(&[4, 5, 3], &trial::streams(), Device::Cpu).unwrap();
        for members in [1, 3] {
            let whole = ensemble::like(&network, members);
            let last = &whole.parameters[whole.parameters.len() - 1].tensor;
            let _ = tch::no_grad(|| last.shallow_clone().fill_(7.0));
            save(&whole, &path).unwrap();
            let found = Weights::read(&path).unwrap().network(&network).unwrap();
            assert_eq!(ensemble::members(&found).len(), members);
            assert_eq!(found.digest().unwrap(), whole.digest().unwrap());
        }
    }

    #[test]
    fn a_file_that_is_no_model_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, b"not a model").unwrap();
        let error = Weights::read(&path).unwrap_err().to_string();
        assert!(error.contains("w.safetensors"), "{error}");
    }
}
