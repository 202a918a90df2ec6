//! Weights as a low-rank product with a sparse part on a fixed support, W = s·B·A + S.
//!
//! A weight is a matrix out × in; filters are one too, in over height, width and channels, the
//! channels fastest. What is trained in its place: A (r × in), B (out × r) and, where there is a
//! support, the values v on it.

use std::cell::RefCell;
use std::rc::Rc;

use ledger::digest::Digest;
use ledger::order::shuffle;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, TchError, Tensor};

use super::weights;
use crate::LabError;
use crate::init::kaiming_uniform;
use crate::network::{Network, Parameter, Role};
use crate::seat::{Constraint, Facts, Gradients, Optimizer, Parametrisation, StepInfo};
use crate::state::State;

/// How large the parts are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// r; `None` for a quarter of each weight's smaller side.
    pub rank: Option<i64>,
    /// s, the factor on the product.
    pub scale: f64,
    /// δ, the share of values that the support has; 0 for no sparse part.
    pub density: f64,
    /// Whether the weight as initialised stays under the product, untrained.
    pub frozen: bool,
    /// Whether B is drawn too, from U(−1/√r, 1/√r), and not 0.
    pub drawn_b: bool,
}

impl Parts {
    /// Rank of an out × in weight.
    #[must_use]
    pub fn rank_of(&self, [rows, columns]: [i64; 2]) -> i64 {
        self.rank.unwrap_or_else(|| (rows.min(columns) / 4).max(1))
    }

    /// Size of its support, ⌊δ·out·in⌋.
    #[must_use]
    pub fn support_of(&self, [rows, columns]: [i64; 2]) -> i64 {
        (self.density * (rows * columns) as f64) as i64
    }

    /// Trained values in its place, (out + in)·r + ⌊δ·out·in⌋.
    #[must_use]
    pub fn count_of(&self, sides: [i64; 2]) -> i64 {
        sides.iter().sum::<i64>() * self.rank_of(sides) + self.support_of(sides)
    }
}

/// Sides of a weight as a matrix.
#[must_use]
pub fn sides(weight: &Tensor) -> [i64; 2] {
    let rows = weight.size().first().copied().unwrap_or(1);
    [rows, weight.numel() as i64 / rows.max(1)]
}

/// The weights that are made of parts, by index: all but those of the last layer.
pub fn chosen(network: &Network) -> impl Iterator<Item = (usize, &Parameter)> {
    let last = network.depth().saturating_sub(1);
    weights(&network.parameters).filter(move |(_, parameter)| parameter.layer < last)
}

/// A weight made of parts.
#[derive(Debug)]
struct Made {
    /// Its index among the parameters that are seen.
    seen: usize,
    /// Index of A among the trained ones; B and v follow.
    trained: usize,
    size: Vec<i64>,
    rank: i64,
    /// Flat positions of the sparse part, ascending; `None` without one.
    support: Option<Tensor>,
    digest: Digest,
    /// What stays under the product.
    base: Option<Tensor>,
}

/// The seat of a network whose weights, but those of the last layer, are made of parts.
#[derive(Debug)]
pub struct LowRank {
    parts: Parts,
    made: Rc<RefCell<Vec<Made>>>,
    facts: Facts,
}

impl LowRank {
    /// The seat, and the network that it trains in place of `network`: with parts of zeros, as state is
    /// made for. Ranks are at most the smaller side of every weight.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(parts: Parts, network: &Network) -> Result<(Self, Network), LabError> {
        let mut made = Vec::new();
        let mut trained = Vec::new();
        let chosen: Vec<_> = chosen(network).map(|(index, _)| index).collect();
        for (index, parameter) in network.parameters.iter().enumerate() {
            let Parameter { name, layer, role, tensor } = parameter;
            let mut push = |name: String, tensor: Tensor| {
                trained.push(Parameter { name, layer: *layer, role: *role, tensor });
            };
            if chosen.binary_search(&index).is_err() {
                push(name.clone(), tensor.shallow_clone());
                continue;
            }
            let [rows, columns] = sides(tensor);
            let rank = parts.rank_of([rows, columns]);
            let zeros = |size: &[i64]| Tensor::f_zeros(size, (Kind::Float, tensor.device()));
            push(format!("{name}.A"), zeros(&[rank, columns])?);
            push(format!("{name}.B"), zeros(&[rows, rank])?);
            let support = parts.support_of([rows, columns]);
            if support > 0 {
                push(format!("{name}.S"), zeros(&[support])?);
            }
            let trained = trained.len() - if support > 0 { 3 } else { 2 };
            let (size, digest) = (tensor.size(), Digest([0; 32]));
            made.push(Made { seen: index, trained, size, rank, support: None, digest, base: None });
        }
        let made = Rc::new(RefCell::new(made));
        let trained = network.over(trained);
        Ok((Self { parts, made, facts: Facts::new() }, trained))
    }

    /// Notes what is trained and what the update rule keeps for it.
    pub fn note(&mut self, plain: &Network, trained: &Network, state_bytes: u64) {
        let count = |network: &Network| -> u64 {
            network.parameters.iter().map(|p| p.tensor.numel() as u64).sum()
        };
        let ranks: Vec<i64> = self.made.borrow().iter().map(|made| made.rank).collect();
        let facts = [
            ("plain_parameters", count(plain).into()),
            ("trained_parameters", count(trained).into()),
            ("optimizer_state_bytes", state_bytes.into()),
            ("ranks", ranks.into()),
        ];
        self.facts = facts.map(|(name, fact)| (name.to_owned(), fact)).into();
    }

    /// The seat that merges the product into what stays under it and starts it afresh, `times` in a run.
    #[must_use]
    pub fn restarts(&self, times: u32, streams: &Streams) -> Restarts {
        let (scale, made) = (self.parts.scale, Rc::clone(&self.made));
        let stream = streams.generator("method/restart");
        Restarts { times, scale, made, stream, taken: Vec::new() }
    }
}

/// ⌊δ·n⌋ of n positions, ascending.
fn support(stream: &mut Pcg64, positions: i64, size: i64) -> Vec<u32> {
    let mut all: Vec<u32> = (0..u32::try_from(positions).unwrap_or(u32::MAX)).collect();
    shuffle(stream, &mut all);
    all.truncate(usize::try_from(size).unwrap_or(0));
    all.sort_unstable();
    all
}

/// A leaf of the values of `tensor` where `like` lives.
fn leaf(tensor: &Tensor, like: Device) -> Result<Tensor, TchError> {
    Ok(tensor.f_to_device(like)?.set_requires_grad(true))
}

impl Parametrisation for LowRank {
    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError> {
        let mut stream = streams.generator("method");
        let mut places = streams.generator("method/support");
        let mut values = streams.generator("method/values");
        let mut columns_of_b = streams.generator("method/b");
        let before = std::mem::take(&mut network.parameters);
        let mut trained: Vec<Parameter> = Vec::new();
        let mut made = self.made.borrow_mut();
        let mut next = made.iter_mut().peekable();
        for (index, parameter) in before.into_iter().enumerate() {
            let Some(made) = next.next_if(|made| made.seen == index) else {
                trained.push(parameter);
                continue;
            };
            let Parameter { name, layer, tensor, .. } = parameter;
            let device = tensor.device();
            let mut push = |part: &str, tensor: Tensor| {
                let name = format!("{name}.{part}");
                trained.push(Parameter { name, layer, role: Role::Weight, tensor });
            };
            let [rows, columns] = sides(&tensor);
            let inputs = usize::try_from(columns).unwrap_or(0);
            let drawn = kaiming_uniform(&mut stream, &[made.rank, columns], inputs)?;
            push("A", leaf(&drawn, device)?);
            let size = [rows, made.rank];
            let b = match self.parts.drawn_b {
                true => kaiming_uniform(&mut columns_of_b, &size, made.rank as usize)?,
                false => Tensor::f_zeros(size, (Kind::Float, device))?,
            };
            push("B", leaf(&b, device)?);
            let size = self.parts.support_of([rows, columns]);
            if size > 0 {
                let support = support(&mut places, rows * columns, size);
                made.digest = digest(&support);
                let positions: Vec<i64> = support.iter().copied().map(i64::from).collect();
                made.support = Some(Tensor::f_from_slice(&positions)?.f_to_device(device)?);
                push("S", leaf(&kaiming_uniform(&mut values, &[size], inputs)?, device)?);
            }
            if self.parts.frozen {
                made.base = Some(matrix(&tensor.detach())?.f_contiguous()?);
            }
        }
        drop(made);
        network.parameters = trained;
        if self.parts.density > 0.0 {
            let made = self.made.borrow();
            let digests: Vec<String> = made.iter().map(|made| made.digest.to_string()).collect();
            let sizes: Vec<i64> = made
                .iter()
                .map(|made| made.support.as_ref().map_or(0, |s| s.numel() as i64))
                .collect();
            self.facts.insert("support_digests".to_owned(), digests.into());
            self.facts.insert("support_sizes".to_owned(), sizes.into());
        }
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        let made = self.made.borrow();
        let mut next = made.iter().peekable();
        let (mut seen, mut at) = (Vec::new(), 0);
        while let Some(parameter) = trained.parameters.get(at) {
            let (name, tensor) = match next.next_if(|made| made.trained == at) {
                None => {
                    at += 1;
                    (parameter.name.clone(), parameter.tensor.shallow_clone())
                }
                Some(made) => {
                    at += if made.support.is_some() { 3 } else { 2 };
                    let name = parameter.name.trim_end_matches(".A").to_owned();
                    (name, made.weight(&trained.parameters, self.parts.scale)?)
                }
            };
            seen.push(Parameter { name, tensor, ..*parameter });
        }
        Ok(trained.over(seen))
    }

    fn is_fixed(&self) -> bool {
        // Restarts, which change what stays under a product, are a constraint of their own.
        true
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // What restarts add to is theirs to keep.
        Ok(())
    }
}

impl Made {
    /// W, in the shape of the weight.
    fn weight(&self, trained: &[Parameter], scale: f64) -> Result<Tensor, TchError> {
        let [a, b] = [0, 1].map(|part| &trained[self.trained + part].tensor);
        let mut weight = b.f_mm(&a.f_mul_scalar(scale)?)?;
        if let Some(base) = &self.base {
            weight = weight.f_add_(base)?;
        }
        if let Some(support) = &self.support {
            // In place: the product's own derivatives do not need its value.
            weight = weight.f_put_(support, &trained[self.trained + 2].tensor, true)?;
        }
        folded(&weight, &self.size)
    }
}

/// A matrix out × in in the shape of the weight that it is one of.
///
/// # Errors
/// When it has another number of values.
pub fn folded(matrix: &Tensor, size: &[i64]) -> Result<Tensor, TchError> {
    match *size {
        [outputs, inputs, height, width] => {
            matrix.f_view([outputs, height, width, inputs])?.f_permute([0, 3, 1, 2])
        }
        [_, _] => Ok(matrix.shallow_clone()),
        // Filters over one axis or three, of a user's own module.
        _ => matrix.f_view(size),
    }
}

/// A weight as a matrix.
fn matrix(weight: &Tensor) -> Result<Tensor, TchError> {
    let rows =
        if weight.dim() == 4 { weight.f_permute([0, 2, 3, 1])? } else { weight.shallow_clone() };
    rows.f_reshape(sides(weight))
}

/// SHA-256 over the positions as u32, little-endian.
fn digest(support: &[u32]) -> Digest {
    let mut hasher = Sha256::new();
    for position in support {
        hasher.update(position.to_le_bytes());
    }
    Digest(hasher.finalize().into())
}

/// Merges W₀ ← W₀ + s·B·A, draws A anew, B = 0 and forgets the update rule's state.
#[derive(Debug)]
pub struct Restarts {
    times: u32,
    scale: f64,
    made: Rc<RefCell<Vec<Made>>>,
    stream: Pcg64,
    /// Steps taken before each.
    taken: Vec<u64>,
}

impl Constraint for Restarts {
    fn prepare(
        &mut self,
        _: &mut Network,
        _: &Streams,
        _: &crate::seat::Batch,
    ) -> Result<(), LabError> {
        Ok(())
    }

    fn hold(&self, _: &mut [Parameter]) -> Result<(), LabError> {
        Ok(())
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        _: &Gradients,
        optimizer: &mut dyn Optimizer,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let every = (now.total_steps / (u64::from(self.times) + 1)).max(1);
        let taken = now.step + 1;
        if !taken.is_multiple_of(every)
            || taken / every > u64::from(self.times)
            || taken == now.total_steps
        {
            return Ok(());
        }
        for made in self.made.borrow_mut().iter_mut() {
            let [a, b] = [0, 1].map(|part| parameters[made.trained + part].tensor.shallow_clone());
            let Some(base) = &mut made.base else { continue };
            let _ = base.f_add_(&b.f_mm(&a.f_mul_scalar(self.scale)?)?)?;
            let inputs = a.size().last().map_or(0, |&inputs| usize::try_from(inputs).unwrap_or(0));
            let drawn = kaiming_uniform(&mut self.stream, &a.size(), inputs)?;
            let (mut a, mut b) = (a, b);
            a.f_copy_(&drawn)?;
            let _ = b.f_zero_()?;
        }
        optimizer.reset()?;
        self.taken.push(taken);
        Ok(())
    }

    fn facts(&self) -> Facts {
        [("restarts".to_owned(), self.taken.clone().into())].into()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        for made in self.made.borrow_mut().iter_mut() {
            state.of("base", &mut made.base)?;
        }
        state.of("stream", &mut self.stream)?;
        state.of("taken", &mut self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::network::values;
    use crate::objectives::DefaultLoss;
    use crate::seat::Objective as _;
    use crate::trial;

    const PARTS: Parts =
        Parts { rank: Some(4), scale: 0.25, density: 0.03, frozen: false, drawn_b: false };

    fn plain() -> Network {
        mlp(&[16, 64, 32, 4], &trial::streams(), Device::Cpu).unwrap()
    }

    /// The seat with what it trains.
    fn installed(parts: Parts) -> (LowRank, Network) {
        let mut network = plain();
        let (mut seat, template) = LowRank::new(parts, &network).unwrap();
        seat.install(&mut network, &trial::streams()).unwrap();
        let sizes = |network: &Network| -> Vec<_> {
            network.parameters.iter().map(|p| (p.name.clone(), p.layer, p.tensor.size())).collect()
        };
        assert_eq!(sizes(&network), sizes(&template));
        (seat, network)
    }

    fn loss(seat: &LowRank, trained: &Network) -> Tensor {
        let seen = seat.seen(trained, None).unwrap();
        let (batch, now) = (trial::batch(&[16]).unwrap(), trial::step_info(0, 10));
        DefaultLoss::Classes.loss(&seen, &batch, &now).unwrap()
    }

    fn positions(seat: &LowRank, index: usize) -> Vec<i64> {
        Vec::try_from(seat.made.borrow()[index].support.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn supports_have_exactly_their_share_of_positions_unique_sorted_and_they_stay() {
        let (seat, trained) = installed(PARTS);
        for (index, size) in [(0, 30), (1, 61)] {
            // ⌊0.03·1024⌋ and ⌊0.03·2048⌋.
            let support = positions(&seat, index);
            assert_eq!(support.len(), size);
            assert!(support.is_sorted_by(|a, b| a < b) && support[0] >= 0);
        }
        let (before, facts) = (positions(&seat, 1), seat.facts());
        for _ in 0..20 {
            trial::descend(&trained, &loss(&seat, &trained), 0.1).unwrap();
        }
        assert_eq!((positions(&seat, 1), seat.facts()), (before, facts.clone()));
        let bytes: Vec<u8> = positions(&seat, 0)
            .iter()
            .flat_map(|p| u32::try_from(*p).unwrap().to_le_bytes())
            .collect();
        assert_eq!(facts["support_digests"][0], Digest::of(&bytes).to_string());
        assert_eq!(facts["support_sizes"], serde_json::json!([30, 61]));
    }

    #[test]
    fn a_weight_is_its_sparse_part_at_the_start_and_at_most_rank_r_away_from_it_later() {
        let (seat, trained) = installed(PARTS);
        let sparse = |weight: &Tensor, index: usize| {
            let support = seat.made.borrow()[index].support.as_ref().unwrap().shallow_clone();
            let values = trained.at(seat.made.borrow()[index].trained + 2).detach();
            weight.zeros_like().put(&support, &values, false)
        };
        let seen = || tch::no_grad(|| seat.seen(&trained, None).unwrap());
        assert_eq!(seen().at(2), &sparse(seen().at(2), 1));
        for _ in 0..30 {
            trial::descend(&trained, &loss(&seat, &trained), 0.2).unwrap();
        }
        for (index, at) in [(0, 0), (1, 2)] {
            let weight = seen().at(at).shallow_clone();
            let rest = &weight - sparse(&weight, index);
            let (_, sigma, _) = rest.to_kind(Kind::Double).svd(true, true);
            let sigma: Vec<f64> = Vec::try_from(sigma).unwrap();
            assert!(sigma[0] > 1e-4 && sigma[4] < 1e-5 * sigma[0], "{sigma:?}");
        }
    }

    #[test]
    fn the_variance_of_a_weight_at_the_start_is_that_of_its_sparse_part() {
        let wide = mlp(&[256, 512, 4, 4], &trial::streams(), Device::Cpu).unwrap();
        let (mut seat, _) = LowRank::new(PARTS, &wide).unwrap();
        let mut network = wide;
        seat.install(&mut network, &trial::streams()).unwrap();
        let seen = tch::no_grad(|| seat.seen(&network, None).unwrap());
        let square = seen.at(0).square().mean(Kind::Double).double_value(&[]);
        // Of 3,932 squares of a uniform law, whose relative deviation is 0.894.
        let expected = 3_932.0 / 131_072.0 / (3.0 * 256.0);
        assert!((square / expected - 1.0).abs() < 4.0 * 0.894 / 3_932.0_f64.sqrt(), "{square}");
    }

    #[test]
    fn gradients_of_the_parts_are_the_closed_forms() {
        let (seat, trained) = installed(PARTS);
        trial::descend(&trained, &loss(&seat, &trained), 0.5).unwrap();
        let leaves: Vec<_> = trained.parameters.iter().map(|p| &p.tensor).collect();
        let found = Tensor::run_backward(&[loss(&seat, &trained)], &leaves, false, false);
        let seen = seat.seen(&trained, None).unwrap().duplicate();
        let (batch, now) = (trial::batch(&[16]).unwrap(), trial::step_info(0, 10));
        let loss = DefaultLoss::Classes.loss(&seen, &batch, &now).unwrap();
        let weights: Vec<_> = seen.parameters.iter().map(|p| &p.tensor).collect();
        let dense = Tensor::run_backward(&[loss], &weights, false, false);
        for (index, at, first) in [(0, 0, 0), (1, 2, 4)] {
            let [a, b] = [0, 1].map(|part| trained.at(first + part).detach());
            let g: &Tensor = &dense[at];
            let support = seat.made.borrow()[index].support.as_ref().unwrap().shallow_clone();
            let closed = [b.tr().mm(g) * 0.25, g.mm(&(a * 0.25).tr()), g.take(&support)];
            for (part, expected) in closed.iter().enumerate() {
                let error: Tensor = &found[first + part] - expected;
                let size = expected.abs().max().double_value(&[]);
                assert!(size > 0.0 && error.abs().max().double_value(&[]) <= 1e-5 * size, "{part}");
            }
        }
    }

    #[test]
    fn counts_are_those_of_the_formula_and_of_the_papers_60m_model() {
        let (_, trained) = installed(PARTS);
        let count: usize = trained.parameters.iter().map(|p| p.tensor.numel()).sum();
        // (16 + 64)·4 + 30, (64 + 32)·4 + 61, the head and biases.
        assert_eq!(count, 320 + 30 + 384 + 61 + 128 + 100);
        // 8 blocks of width 512 and 1376, vocabulary 32,000, head untied, 17 norms.
        let rest = 2 * 32_000 * 512 + 17 * 512;
        let of = |count: &dyn Fn([i64; 2]) -> i64| {
            rest + 8 * (4 * count([512, 512]) + 3 * count([1376, 512]))
        };
        let paper = |density| Parts { rank: Some(128), density, ..PARTS };
        let millions = [
            of(&|[rows, columns]| rows * columns),
            of(&|sides| paper(0.03).count_of(sides)),
            of(&|sides| paper(0.0).count_of(sides)),
        ]
        .map(|count| (count as f64 / 1e3).round() / 1e3);
        assert_eq!(millions, [58.074, 43.530, 42.771]);
    }

    #[test]
    fn filters_are_made_of_parts_too_and_what_is_merged_is_seen_as_before() {
        let network = crate::models::cnn::cnn(
            crate::models::cnn::Shape {
                channels: 1,
                side: 8,
                widths: [4; 3],
                classes: 3,
                norm: false,
            },
            &trial::streams(),
            Device::Cpu,
        );
        let mut network = network.unwrap();
        let start = network.duplicate();
        let parts = Parts { rank: None, density: 0.0, frozen: true, ..PARTS };
        let (mut seat, _) = LowRank::new(parts, &network).unwrap();
        seat.install(&mut network, &trial::streams()).unwrap();
        let _guard = tch::no_grad_guard();
        let seen = |network: &Network| seat.seen(network, None).unwrap();
        // B = 0: what is seen is what stays under it.
        assert_eq!(seen(&network).digest().unwrap(), start.digest().unwrap());
        for parameter in network.parameters.iter_mut().filter(|p| p.name.ends_with(".B")) {
            let _ = parameter.tensor.fill_(0.5);
        }
        let before = seen(&network);
        assert_ne!(before.digest().unwrap(), start.digest().unwrap());
        let settings = crate::optim::sgd::SgdSettings::default();
        let mut rule = crate::optim::sgd::Sgd::new(settings, &network);
        let mut restarts = seat.restarts(1, &trial::streams());
        let none = Gradients { active: Vec::new(), tensors: Vec::new() };
        for step in 0..10 {
            let now = trial::step_info(step, 10);
            restarts.project(&mut network.parameters, &none, &mut rule, &now).unwrap();
        }
        assert_eq!(restarts.facts()["restarts"], serde_json::json!([5]));
        assert_eq!(seen(&network).digest().unwrap(), before.digest().unwrap());
        assert!(values(network.at(1)).unwrap().iter().all(|b| *b == 0.0));
    }
}
