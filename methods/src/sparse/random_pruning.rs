//! # Random Pruning
//!
//! ## Mechanism
//! Before the first step each weight is kept on its own with its layer's density d_l, then
//! training goes on as usual with `w ← w ⊙ m` after every update (weights only: neither momentum,
//! biases nor normalisation are masked). With n_l weights in layer l, N in all and density d:
//! `uniform` d_l = d; `er` d_l = ε·(out + in)/(out·in); `erk` d_l = ε·(Σ sides)/(Π sides), where
//! ε = (Σ_open d·n − Σ_dense (1−d)·n)/Σ_open raw·n, and layers with ε·raw > 1 become dense, largest
//! first, until none is left; `uniform-plus` keeps a first convolution dense and, for d < 0.2, the
//! last layer at 0.2; `erk-plus` keeps the last layer at `head_density`. `snip` takes |w·∂L/∂w| on
//! one batch with weights re-drawn from Xavier's normal; the int(d·N) largest of all set each
//! layer's share, the positions are then drawn at random.
//!
//! ## Claim
//! Random pruning at initialisation reaches the dense network's accuracy once the network is wide
//! or deep enough: the gap to dense shrinks with size at a fixed sparsity. CIFAR-10, sparsity 0.9,
//! ERK: ResNet-20 87.8 against 92.4 dense, ResNet-110 91.9 against 93.3 (read off the repository's
//! figure `depth_cf10-1.png`). The bench can see the gap shrink with `width`; at its scale it
//! cannot decide whether `erk` beats `uniform`.
//!
//! ## Sources
//! Liu et al., arXiv:2202.02643 (ICLR 2022); VITA-Group/Random_Pruning at 871077f1:
//! `CIFAR/sparselearning/core.py`, `snip.py`, `models/initializers.py`; `erk-plus` from
//! `ImageNet/core.py` at 2832e8af.
//!
//! ## Differences
//! - The code's `uniform_plus` divides what is left by all weights, not by the open ones, and for
//!   d ≥ 0.2 forgets that the first layer is dense, so it misses d; here d is met exactly.
//! - The code starts from Kaiming's normal in every layer. Networks here start from PyTorch's
//!   default unless `scaled_init`, which is the code's `--scaled`: standard deviation
//!   √(2/(1 + 0.01²))/√(fan_in·d) with the overall d, for weights. Random masks without
//!   normalisation or this scaling shrink the signal by √d per layer and do not train.
//! - The ImageNet half of the code keeps SNIP's own positions; here, as in its CIFAR half, they are
//!   re-drawn. SNIP's batch comes from the `probe` stream. GraSP is left out.
//! - The code prunes and regrows every 100 steps unless `--fix` is given; the paper's method, and
//!   this file, is the fixed mask.

use lab::method::Method;
use lab::network::{Network, Parameter};
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Facts, Gradients, Optimizer, StepInfo};
use lab::sparsity::masks::Masks;
use lab::sparsity::{self, SparsityError, densities};
use lab::state::State;
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use serde_json::{Map, json};

choice! {
    /// How layer densities are set.
    pub enum Distribution {
        /// The same density everywhere.
        Uniform = "uniform",
        /// Uniform but for the first convolution and the last layer.
        UniformPlus = "uniform-plus",
        /// Erdős–Rényi.
        Er = "er",
        /// Erdős–Rényi with kernel.
        Erk = "erk",
        /// Erdős–Rényi with kernel but for the last layer.
        ErkPlus = "erk-plus",
        /// Shares of SNIP's scores.
        Snip = "snip",
    }
}

settings! {
    /// Settings of `random-pruning`.
    pub struct Settings {
        /// Share of weights kept; 1 is dense training.
        density: f64 = 0.05, range Range::above_up_to(0.0, 1.0), from "core.py --density";
        /// How layer densities are set.
        distribution: Distribution = Distribution::Erk, from "core.py --sparse_init";
        /// Density of the last layer under `erk-plus`.
        head_density: f64 = 1.0, range Range::above_up_to(0.0, 1.0), from "ImageNet/core.py --fc_density";
        /// Re-draw weights from Kaiming's normal with fan-in times density.
        scaled_init: bool = false, from "main.py --scaled";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "main.py";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Step { at: vec![0.5, 0.75], factor: 0.1 }, from "main.py";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a fixed random mask from the start, by layer densities",
    paper: Paper {
        title: "The Unreasonable Effectiveness of Random Pruning: Return of the Most Naive Baseline for Sparse Training",
        authors: "Liu, Chen, Chen, Shen, Mocanu, Wang, Pechenizkiy",
        year: 2022,
        reference: "arXiv:2202.02643",
        code: "VITA-Group/Random_Pruning@871077f1",
    },
    claim: PaperClaim {
        statement: "the accuracy gap of random pruning to dense training shrinks with network size",
        number: "gap 4.6 points for ResNet-20, 1.4 for ResNet-110 (CIFAR-10, sparsity 0.9, ERK)",
        source: "repository, figure depth_cf10-1.png, read off",
    },
    baseline: Some("sgd"),
    needs: &[offers::CLASSES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let shapes = sparsity::shapes(&task.network.parameters);
        // Densities that cannot be had are refused before anything is committed to.
        layer_densities(&settings, &shapes)
            .map_err(|error| error.of(task.method, task.workload))?;
        let optimizer = settings.base.build(task.network)?;
        let schedule = settings.schedule.clone();
        let mut recipe = Recipe::plain(settings.batch_size, schedule, optimizer, task)?;
        let workload = task.workload.to_owned();
        let masks = Masks::default();
        recipe.constraint =
            Some(Box::new(RandomPruning { settings, workload, masks, facts: Facts::new() }));
        Ok(recipe)
    },
};

/// Densities per weight from their shapes; none yet for `snip`, which needs a batch.
fn layer_densities(
    settings: &Settings,
    shapes: &[Vec<i64>],
) -> Result<Option<Vec<f64>>, SparsityError> {
    let density = settings.density;
    Ok(Some(match settings.distribution {
        Distribution::Uniform => densities::uniform(shapes, density),
        Distribution::UniformPlus => densities::uniform_plus(shapes, density)?,
        Distribution::Er => densities::erdos_renyi(shapes, density),
        Distribution::Erk => densities::erdos_renyi_kernel(shapes, density),
        Distribution::ErkPlus => {
            densities::erdos_renyi_kernel_plus(shapes, density, settings.head_density)?
        }
        Distribution::Snip => return Ok(None),
    }))
}

struct RandomPruning {
    settings: Settings,
    workload: String,
    masks: Masks,
    facts: Facts,
}

impl RandomPruning {
    fn densities(
        &self,
        network: &mut Network,
        streams: &Streams,
        probe: &Batch,
    ) -> Result<Vec<f64>, SparsityError> {
        let shapes = sparsity::shapes(&network.parameters);
        if let Some(densities) = layer_densities(&self.settings, &shapes)? {
            return Ok(densities);
        }
        let mut stream = streams.generator("method/snip");
        sparsity::snip::shares(network, self.settings.density, probe, &mut stream)
    }
}

impl Constraint for RandomPruning {
    fn prepare(
        &mut self,
        network: &mut Network,
        streams: &Streams,
        probe: &Batch,
    ) -> Result<(), LabError> {
        let densities = self
            .densities(network, streams, probe)
            .map_err(|error| error.of("random-pruning", &self.workload))?;
        if self.settings.scaled_init {
            sparsity::scaled_init(network, self.settings.density, streams)?;
        }
        let mut stream = streams.generator("method");
        self.masks = Masks::bernoulli(&network.parameters, &densities, &mut stream)?;
        tch::no_grad(|| self.masks.apply(&mut network.parameters))?;

        let counts = self.masks.counts()?;
        let named = sparsity::weights(&network.parameters).zip(&densities).zip(counts);
        let layer = |((weight, target), (kept, n)): (((_, &Parameter), &f64), (u64, u64))| {
            let realised = kept as f64 / n as f64;
            (weight.1.name.clone(), json!({ "target": target, "realised": realised }))
        };
        let layers: Map<_, _> = named.map(layer).collect();
        self.facts.insert("density_target".to_owned(), json!(self.settings.density));
        self.facts.insert("density_realised".to_owned(), json!(self.masks.density()?));
        self.facts.insert("layer_densities".to_owned(), layers.into());
        Ok(())
    }

    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError> {
        Ok(self.masks.apply(parameters)?)
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(self.masks.apply(parameters)?)
    }

    fn facts(&self) -> Facts {
        self.facts.clone().into_iter().chain(self.masks.facts()).collect()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::{cnn, mlp};
    use lab::{network, trial};
    use tch::Device;
    use training::trial::train;

    #[test]
    fn realised_weights_lie_within_four_standard_deviations() {
        let network = mlp::mlp(&[784, 300, 100, 10], &trial::streams(), Device::Cpu).unwrap();
        let densities = densities::erdos_renyi_kernel(&sparsity::shapes(&network.parameters), 0.1);
        let mut stream = trial::streams().generator("method");
        let masks = Masks::bernoulli(&network.parameters, &densities, &mut stream).unwrap();
        let counts = masks.counts().unwrap();
        let kept: u64 = counts.iter().map(|(kept, _)| kept).sum();
        assert!(kept.abs_diff(26_620) <= 4 * 150, "{kept}");
        assert_eq!(counts[2], (1_000, 1_000));
    }

    fn small_mlp() -> Network {
        mlp::mlp(&[16, 32, 4], &trial::streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn pruned_weights_are_zero_after_a_hundred_steps_and_the_mask_has_not_moved() {
        let digest_after = |epochs| {
            let with = [("density", 0.2.into()), ("batch_size", 32.into()), ("lr", 0.05.into())];
            let (trained, facts) =
                train(&METHOD, &trial::with(with), small_mlp(), &[16], epochs).unwrap();
            let weights = sparsity::weights(&trained.parameters);
            let values = weights.flat_map(|(_, weight)| network::values(&weight.tensor).unwrap());
            let alive = values.filter(|value| *value != 0.0).count() as f64;
            assert_eq!(json!(alive / 640.0), facts["density_realised"]);
            facts["mask_digest"].clone()
        };
        assert_eq!(digest_after(1), digest_after(25));
    }

    #[test]
    fn density_one_is_dense_training_bit_for_bit() {
        let small_cnn = || {
            let shape =
                cnn::Shape { channels: 1, side: 8, widths: [2, 4, 4], classes: 4, norm: true };
            cnn::cnn(shape, &trial::streams(), Device::Cpu).unwrap()
        };
        let with = |more: &[(&str, serde_json::Value)]| {
            let schedule = json!({"step": {"at": [0.5, 0.75], "factor": 0.1}});
            let mut values = trial::with([("batch_size", 32.into()), ("schedule", schedule)]);
            values.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            values
        };
        let sgd = crate::find("sgd").unwrap().method;
        let run = |method, values: &_| train(method, values, small_cnn(), &[8, 8, 1], 4);
        let dense = run(sgd, &with(&[])).unwrap().0.digest().unwrap();
        for distribution in ["uniform", "uniform-plus", "er", "erk", "erk-plus", "snip"] {
            let values = with(&[("density", 1.into()), ("distribution", distribution.into())]);
            let masked = run(&METHOD, &values).unwrap().0.digest().unwrap();
            assert_eq!(masked, dense, "{distribution}");
        }
        let values = with(&[("density", 0.5.into()), ("distribution", "snip".into())]);
        assert_ne!(run(&METHOD, &values).unwrap().0.digest().unwrap(), dense);
    }
}
