//! Low-rank updates of weights that stay: LoRA (Hu et al., arXiv:2106.09685).

use ledger::streams::{self, Streams};
use tch::Tensor;

use super::{Ground, zeros};
use crate::LabError;
use crate::network::{Network, Parameter};
use crate::seat::{Facts, Parametrisation, StepInfo, TaskInfo};
use crate::sparsity::low_rank::{folded, sides};
use crate::sparsity::weights;
use crate::state::State;

/// W + s·B·A for every matrix and filter bank W, out × in: A (r × in) from N(0, 1/r), B (out × r) of zeros. A weight
/// that is thinner than r gets as many as its smaller side, which is all that a product can use. Filters are a matrix
/// out × (height, width, channels in).
#[derive(Debug)]
pub struct LowRankUpdate {
    scale: f64,
    /// Index of each weight, and its rank.
    places: Vec<(usize, i64)>,
    ground: Ground,
}

impl LowRankUpdate {
    /// The seat, and the network that trains, with zeros in it, as state is made for.
    ///
    /// # Errors
    /// When `rank`, a setting of that name, is more than any weight's smaller side, or libtorch cannot allocate.
    pub fn new(rank: u32, scale: f64, task: &TaskInfo<'_>) -> Result<(Self, Network), LabError> {
        let rank = i64::from(rank);
        let smaller =
            |parameter: &Parameter| sides(&parameter.tensor).into_iter().min().unwrap_or(0);
        let all: Vec<_> = weights(&task.network.parameters).collect();
        let room = all.iter().map(|(_, parameter)| smaller(parameter)).max().unwrap_or(0);
        if rank > room {
            return Err(task.unfit(format!(
                "setting \"rank\" is {rank}, but no weight of the network is of a rank above {room}: take at most {room}"
            )));
        }
        let places = all.iter().map(|(index, weight)| (*index, rank.min(smaller(weight))));
        let seat = Self { scale, places: places.collect(), ground: Ground::default() };
        let template = task.network.over(seat.parts(&task.network.parameters)?);
        Ok((seat, template))
    }

    /// A and B of every weight, of zeros.
    fn parts(&self, parameters: &[Parameter]) -> Result<Vec<Parameter>, LabError> {
        let mut parts = Vec::with_capacity(2 * self.places.len());
        for (index, rank) in &self.places {
            let weight = &parameters[*index];
            let [rows, columns] = sides(&weight.tensor);
            parts.push(zeros(format!("{}.A", weight.name), &[*rank, columns], weight)?);
            parts.push(zeros(format!("{}.B", weight.name), &[rows, *rank], weight)?);
        }
        Ok(parts)
    }
}

impl Parametrisation for LowRankUpdate {
    fn learn_from(&mut self, tutor: &Network) {
        self.ground.learn_from(tutor);
    }

    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError> {
        let mut random = streams.generator("adapter");
        let mut ground = std::mem::take(&mut self.ground);
        ground.install(network, |parameters| {
            let parts = self.parts(parameters)?;
            let _guard = tch::no_grad_guard();
            for a in parts.iter().step_by(2) {
                let rank = a.tensor.size().first().copied().unwrap_or(1).max(1);
                let drawn = Tensor::f_from_slice(&streams::normal(&mut random, a.tensor.numel()))?;
                let drawn = drawn.f_mul_scalar((1.0 / rank as f64).sqrt())?;
                a.tensor.shallow_clone().f_copy_(&drawn.f_view(a.tensor.size().as_slice())?)?;
            }
            Ok(parts)
        })?;
        self.ground = ground;
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        let parts = trained.parameters.as_chunks::<2>().0;
        let mut others = Vec::with_capacity(parts.len());
        for ((index, _), [a, b]) in self.places.iter().zip(parts) {
            let base = &self.ground.parameters[*index].tensor;
            let product = b.tensor.f_mm(&a.tensor.f_mul_scalar(self.scale)?)?;
            others.push((*index, base.f_add(&folded(&product, &base.size())?)?));
        }
        Ok(self.ground.seen(trained, others))
    }

    fn facts(&self) -> Facts {
        let mut facts = self.ground.facts();
        let ranks: Vec<i64> = self.places.iter().map(|(_, rank)| *rank).collect();
        facts.insert("ranks".to_owned(), ranks.into());
        facts
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // Steps change what trains alone, which is the run's network.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::models::unet_s::unet_s;
    use crate::network::values;
    use crate::side_info::SideInfo;
    use crate::trial;
    use tch::{Device, Kind};

    /// The seat on a network, what trains, and what is seen at first.
    fn installed(network: Network, rank: u32, scale: f64) -> (LowRankUpdate, Network) {
        let streams = trial::streams();
        let side = SideInfo::default();
        let task = trial::task(&network, &side, &streams);
        let (mut seat, template) = LowRankUpdate::new(rank, scale, &task).unwrap();
        let mut network = network;
        seat.install(&mut network, &streams).unwrap();
        let sizes = |network: &Network| -> Vec<_> {
            network.parameters.iter().map(|p| (p.name.clone(), p.tensor.size())).collect()
        };
        assert_eq!(sizes(&template), sizes(&network));
        (seat, network)
    }

    fn points() -> Network {
        mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn at_first_the_network_is_seen_bit_for_bit_and_it_stays_while_the_parts_train() {
        for network in [points(), unet_s(8, &trial::streams(), Device::Cpu).unwrap()] {
            let digest = network.digest().unwrap();
            let (seat, trained) = installed(network, 4, 1.0);
            let seen = || seat.seen(&trained, None).unwrap();
            assert_eq!(seen().digest().unwrap(), digest);
            let loss: Tensor =
                seen().parameters.iter().map(|p| p.tensor.sin().sum(Kind::Float)).sum();
            trial::descend(&trained, &loss, 0.1).unwrap();
            assert_ne!(seen().digest().unwrap(), digest);
            // B = 0: what trains is moved to where only B is another.
            let ground =
                trained.over(seat.ground.parameters.iter().map(super::super::shared).collect());
            assert_eq!(ground.digest().unwrap(), digest);
        }
    }

    #[test]
    fn what_trains_is_counted_by_the_sum_of_both_sides_times_the_rank() {
        // inputs 2 × 16 and outputs 16 × 2 have rank 2, noise 32 × 16 and the hidden ones 16 × 16 have 4.
        let (seat, trained) = installed(points(), 4, 1.0);
        let expected = 2 * (2 + 16) + 4 * (32 + 16) + 2 * 4 * (16 + 16) + 2 * (16 + 2);
        assert_eq!(super::super::values(&trained.parameters), expected);
        assert_eq!(seat.facts()["trained_parameters"], expected);
        assert_eq!(seat.facts()["ranks"], serde_json::json!([2, 4, 4, 4, 2]));
    }

    #[test]
    fn what_is_added_is_the_scaled_product_in_the_place_of_each_filter() {
        let network = unet_s(8, &trial::streams(), Device::Cpu).unwrap();
        let before = network.duplicate();
        let (seat, trained) = installed(network, 2, 0.5);
        let _guard = tch::no_grad_guard();
        for part in trained.parameters.iter().filter(|p| p.name.ends_with(".B")) {
            let _ = part.tensor.shallow_clone().fill_(0.25);
        }
        let seen = seat.seen(&trained, None).unwrap();
        let at = before.parameters.iter().position(|p| p.name == "down1.weight").unwrap();
        let place = seat.places.iter().position(|(index, _)| *index == at).unwrap();
        let a = &trained.parameters[2 * place].tensor;
        // Output 3, input 5, row 2, column 1 of a 3 × 3 filter: column (2·3 + 1)·8 + 5 of A.
        let column = (2 * 3 + 1) * 8 + 5;
        let expected: f64 = (0..2).map(|r| 0.5 * 0.25 * a.double_value(&[r, column])).sum();
        let change =
            seen.at(at).double_value(&[3, 5, 2, 1]) - before.at(at).double_value(&[3, 5, 2, 1]);
        assert!((change - expected).abs() < 1e-6 && expected.abs() > 1e-3, "{change} {expected}");
        // A's deviation is 1/√r.
        let all = values(a).unwrap();
        let square = all.iter().map(|x| f64::from(x * x)).sum::<f64>() / all.len() as f64;
        assert!((square - 0.5).abs() < 4.0 * 0.5 * (2.0 / all.len() as f64).sqrt(), "{square}");
    }

    #[test]
    fn a_tutor_is_stood_on_in_the_place_of_the_start() {
        let (tutor, mut network) =
            (mlp2d(2, 16, &Streams::new([1; 32]), Device::Cpu).unwrap(), points());
        let (streams, side) = (trial::streams(), SideInfo::default());
        let (mut seat, _) =
            LowRankUpdate::new(4, 1.0, &trial::task(&network, &side, &streams)).unwrap();
        seat.learn_from(&tutor);
        seat.install(&mut network, &streams).unwrap();
        let digest = tutor.digest().unwrap();
        assert_eq!(seat.seen(&network, None).unwrap().digest().unwrap(), digest);
        assert_eq!(seat.facts()["adapted_sha256"], digest.to_string());
    }

    #[test]
    fn a_rank_above_every_weight_is_refused_with_the_setting() {
        let (network, streams, side) = (points(), trial::streams(), SideInfo::default());
        let task = trial::task(&network, &side, &streams);
        let error = LowRankUpdate::new(17, 1.0, &task).unwrap_err().to_string();
        assert!(error.contains("\"rank\" is 17") && error.contains("at most 16"), "{error}");
        assert!(LowRankUpdate::new(16, 1.0, &task).is_ok());
    }
}
