//! # Permutations learnt exactly by ensembles
//!
//! ## Mechanism
//! Two-layer ReLU networks without biases, `f(x) = W₂·relu(W₁x)/√(nk)` of width n with weights N(0, 1), are
//! trained to the end, under squared loss, on the k unit vectors and their permutations alone. The mean of
//! enough of them, thresholded at 0, permutes the bits of *every* input: the mean over all networks is
//! above 0 on the bits of the target and below on the others, and the noise of the start averages out.
//! `members: process` draws ensembles of networks of infinite width, exactly, from the Gaussian process of
//! their kernels; `networks` solves networks of width n in closed form, linearised at their start; `trained` takes steps of
//! gradient descent on them until the unit vectors are fitted. `regime: ntk` moves both layers, `last-layer` the last
//! alone; under `trained` it is the standard parametrisation with one rate, which moves the first as well. No step is
//! taken on batches.
//!
//! ## Claim
//! Networks needed: O(k log k) for an input, O(k²) for all (abstract); 90 % of tested inputs at 40 networks for
//! k = 8 (figure 1, results of the repository). Here: the share of ensembles right on all 255 inputs.
//!
//! ## Sources
//! Giapitzakis, Back de Luca, Fountoulakis, arXiv:2502.16763; opallab/permlearn@8e9957e5. Kernels are those of
//! infinite width (Jacot et al., arXiv:1806.07572), derived.
//!
//! ## Differences
//! - The repository trains in the standard parametrisation with one rate, biases and a width of 50,000: there the last
//!   layer's kernel outweighs the first's n/k times, so that its numbers are of `last-layer`; the theory is of `ntk`.
//! - It tests inputs with two ones and stops at the first accuracy that is high enough; here all inputs, no stopping.
//! - `networks` are solved as linear in their weights, which is exact for `last-layer` alone.
//! - `trained` networks have a rate that fits the kernel, no biases, and end when no error is above 1e-6, or, very narrow
//!   ones, after 1,000 steps (a fact says so); the repository's have 1e-3, biases, and 10,000 steps.

use lab::method::Method;
use lab::network::{Network, Parameter};
use lab::permutations::{Finite, Process, Regime, inputs};
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Facts, Gradients, Optimizer, StepInfo};
use lab::state::State;
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings::{Range, SettingError};
use ledger::streams::{self, Streams};
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

choice! {
    /// What ensembles are made of.
    pub enum Members {
        /// Draws of the Gaussian process.
        Process = "process",
        /// Networks of finite width, in closed form.
        Networks = "networks",
        /// Networks of finite width, by gradient descent.
        Trained = "trained",
    }
}

settings! {
    /// Settings of `permutations`.
    pub struct Settings {
        /// What ensembles are made of.
        members: Members = Members::Process, from "assumed";
        /// What of a network moves.
        regime: Regime = Regime::Ntk, from "paper";
        /// Networks of an ensemble.
        networks: u32 = 1_000, range Range::of(1.0..=1e7), from "assumed: enough for 8 bits";
        /// Ensembles that are judged.
        ensembles: u32 = 400, range Range::of(1.0..=1e5), from "assumed";
        /// n: width of finite networks.
        width: u32 = 4_096, range Range::of(1.0..=1e6), from "assumed; 50,000 in the repository";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "ensembles of two-layer networks, trained on unit vectors to the end; takes no step",
    paper: Paper {
        title: "Exact learning of permutations for nonzero binary inputs with logarithmic training size and quadratic ensemble complexity",
        authors: "Giapitzakis, Back de Luca, Fountoulakis",
        year: 2025,
        reference: "arXiv:2502.16763",
        code: "opallab/permlearn@8e9957e5",
    },
    claim: PaperClaim {
        statement: "ensembles learn permutations exactly from unit vectors",
        number: "90 % at 40 networks for k = 8",
        source: "figure 1, results of the repository",
    },
    baseline: None,
    needs: &[offers::PERMUTATION],
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { members, width, .. } = Settings::read(&resolved)?;
        if members == Members::Process && width != Settings::default().width {
            let reason =
                "setting \"width\" is of members \"networks\" and \"trained\": leave it out";
            return Err(SettingError::Joint(reason.to_owned()));
        }
        Ok(resolved)
    },
    build: |values, task| {
        let settings = Settings::read(values)?;
        let places = task.side.permutation.clone();
        let constraint = Ensembles { settings, places, levels: [0.0; 2], fit: 0.0 };
        Ok(Recipe { constraint: Some(Box::new(constraint)), ..Recipe::idle() })
    },
};

#[derive(Debug)]
struct Ensembles {
    settings: Settings,
    /// Where each bit goes.
    places: Vec<u32>,
    /// Mean output, on inputs of two ones, of bits that are to be 1 and of the others.
    levels: [f64; 2],
    /// Largest error on what was trained on.
    fit: f64,
}

impl Ensembles {
    /// What an ensemble says, inputs × bits: output i is to follow bit i.
    fn of_networks(&self, random: &mut Pcg64) -> Result<Tensor, TchError> {
        let Settings { members, regime, networks, width, .. } = self.settings;
        let (k, n) = (self.places.len() as i64, i64::from(width));
        let units: Vec<i64> = (0..k).map(|bit| (1_i64 << bit) - 1).collect();
        let row = |input: u32| {
            let norm = f64::from(input.count_ones()).sqrt();
            (0..k).map(move |bit| f64::from(input >> bit & 1) / norm)
        };
        let all: Vec<f64> = inputs(k as u32).flat_map(row).collect();
        let (all, units) =
            (Tensor::f_from_slice(&all)?.f_view([-1, k])?, Tensor::f_from_slice(&units)?);
        let mut normal = |shape: [i64; 2]| {
            let drawn = streams::normal(random, (shape[0] * shape[1]) as usize);
            Tensor::f_from_slice(&drawn)?.f_to_kind(Kind::Double)?.f_view(shape)
        };
        let mut sum = Tensor::f_zeros([all.size2()?.0, k], (Kind::Double, all.device()))?;
        for _ in 0..networks {
            let (first, last) = (normal([n, k])?, normal([k, n])?);
            let start = Finite { regime, all: &all, units: &units, first, last };
            let outputs = match members {
                Members::Trained => start.descended()?,
                Members::Networks | Members::Process => start.trained()?,
            };
            let _ = sum.f_add_(&outputs)?;
        }
        sum.f_div_scalar(f64::from(networks))
    }
}

impl Constraint for Ensembles {
    fn prepare(
        &mut self,
        network: &mut Network,
        streams: &Streams,
        _: &Batch,
    ) -> Result<(), LabError> {
        let Settings { members, regime, networks, ensembles, .. } = self.settings;
        let bits = self.places.len();
        let rows = inputs(bits as u32).count();
        let mut random = streams.generator("method");
        let process = (members == Members::Process).then(|| Process::new(regime, bits as u32));
        let mut table = vec![0.0_f32; ensembles as usize * rows * bits];
        let (mut sums, mut counts) = ([0.0; 2], [0.0_f64; 2]);
        for ensemble in table.chunks_mut(rows * bits) {
            // By bit, then by input.
            let said: Vec<f64> = match &process {
                Some(process) => {
                    (0..bits).flat_map(|bit| process.draw(bit, networks, &mut random)).collect()
                }
                None => {
                    let outputs = self.of_networks(&mut random)?.f_tr()?.f_reshape([-1])?;
                    Vec::<f64>::try_from(&outputs)?
                }
            };
            for (bit, (place, column)) in self.places.iter().zip(said.chunks(rows)).enumerate() {
                for (input, value) in inputs(bits as u32).zip(column) {
                    let is_set = input >> bit & 1 == 1;
                    if input.count_ones() == 1 {
                        self.fit = self.fit.max((value - f64::from(u8::from(is_set))).abs());
                    } else if input.count_ones() == 2 {
                        sums[usize::from(!is_set)] += value;
                        counts[usize::from(!is_set)] += 1.0;
                    }
                    ensemble[(input as usize - 1) * bits + *place as usize] = *value as f32;
                }
            }
        }
        self.levels = [0, 1].map(|of| sums[of] / counts[of].max(1.0));
        let shape = [i64::from(ensembles), rows as i64, bits as i64];
        let table = Tensor::f_from_slice(&table)?.f_view(shape)?.f_to_device(network.device())?;
        network.buffers = vec![table];
        Ok(())
    }

    /// No step is taken.
    fn hold(&self, _: &mut [Parameter]) -> Result<(), LabError> {
        Ok(())
    }

    fn project(
        &mut self,
        _: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    fn facts(&self) -> Facts {
        let [set, unset] = self.levels;
        Facts::from([
            ("mean_of_set_bits_of_pairs".to_owned(), set.into()),
            ("mean_of_other_bits_of_pairs".to_owned(), unset.into()),
            ("largest_error_on_unit_vectors".to_owned(), self.fit.into()),
        ])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::Value;
    use training::judge::{EvaluationRequest, Judged, Model};

    /// Share of ensembles that are right on every input, and facts.
    fn share<const N: usize>(bits: u32, pairs: [(&str, Value); N]) -> (f64, Facts) {
        let stage = workloads::fixture("bit-permutations", &with([("bits", bits.into())])).unwrap();
        let trace = stage.run(&METHOD, &with(pairs), 8, 3).unwrap();
        let model = Model::plain(&trace.network);
        let split = &stage.ready().splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        (stage.ready().judge.metrics(&request).unwrap()["ensembles"], trace.facts)
    }

    #[test]
    fn ensembles_are_right_on_every_input_as_often_as_the_reference_ones() {
        for (bits, regime, networks, expected) in [
            (8, "ntk", 500, 0.70),
            (8, "ntk", 1_000, 0.99),
            (8, "ntk", 1_500, 1.00),
            (8, "last-layer", 50, 0.11),
            (8, "last-layer", 100, 0.87),
            (8, "last-layer", 200, 1.00),
            (4, "ntk", 500, 0.97),
            (4, "last-layer", 100, 1.00),
        ] {
            let (found, facts) =
                share(bits, [("regime", regime.into()), ("networks", networks.into())]);
            // Both are of 400 ensembles, the reference to two digits: 99 % of differences.
            let spread: f64 = 2.0 * f64::max(expected * (1.0 - expected), 0.005) / 400.0;
            assert!(
                (found - expected).abs() <= 2.576 * spread.sqrt() + 0.005,
                "{bits} {regime} {networks}: {found}"
            );
            let unset = facts["mean_of_other_bits_of_pairs"].as_f64().unwrap();
            if bits == 8 {
                let own = if regime == "ntk" { -0.01133 } else { -0.02785 };
                assert!((unset - own).abs() < 5e-4, "{regime}: {unset}");
            }
            assert!(facts["largest_error_on_unit_vectors"].as_f64().unwrap() < 1e-4);
        }
    }

    #[test]
    fn finite_networks_fit_their_data_and_say_on_average_what_the_process_says() {
        let (ntk, last_layer) = ([0.55906, -0.01622], [0.59522, -0.04598]);
        for (members, regime, [set, unset]) in [
            ("networks", "ntk", ntk),
            ("networks", "last-layer", last_layer),
            ("trained", "ntk", ntk),
            ("trained", "last-layer", last_layer),
        ] {
            let settings = [
                ("members", members.into()),
                ("regime", regime.into()),
                ("networks", 50.into()),
                ("ensembles", 2.into()),
                ("width", 1_024.into()),
            ];
            let (_, facts) = share(4, settings);
            let of = |fact: &str| facts[fact].as_f64().unwrap();
            assert!(of("largest_error_on_unit_vectors") < 1e-4, "{facts:?}");
            // 100 networks with four independent outputs, of a deviation of 0.13.
            assert!((of("mean_of_set_bits_of_pairs") - set).abs() < 0.02, "{facts:?}");
            assert!((of("mean_of_other_bits_of_pairs") - unset).abs() < 0.02, "{facts:?}");
        }
    }

    #[test]
    fn a_width_of_infinitely_wide_networks_is_refused() {
        let refused = (METHOD.resolve)(&with([("width", 512.into())])).unwrap_err().to_string();
        assert!(refused.contains("\"width\"") && refused.contains("leave it out"), "{refused}");
        assert!(
            (METHOD.resolve)(&with([("width", 512.into()), ("members", "trained".into())])).is_ok()
        );
    }
}
