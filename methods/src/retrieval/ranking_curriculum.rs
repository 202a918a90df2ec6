//! # Training curricula for re-ranking: easy pairs first, by what the first stage says
//!
//! ## Mechanism
//! A first stage (BM25) lists documents of a query with scores `s`. How much a document looks like an answer to it is its easiness `D(d)`:
//! `1/rank` (`reciprank`); `(s − min)/(max − min)` over the list (`normscore`); the distribution function at `s` of a Gaussian
//! kernel density estimate of the list's scores (`kdescore`). Of a pair `D = (D(d⁺) − D(d⁻) + 1)/2`; of a single document `D` where
//! it answers, else `1 − D`. In iteration `e` (32 batches) a loss has the weight `W = D + (e/m)(1 − D)`, from iteration `m` on 1;
//! what is descended is the mean of `W_i L_i`. Order and number of examples stay as they are.
//!
//! ## Claim
//! Up to 4 % more MRR and 9 % more P@1 than without weights, for BERT and ConvKNRM on ANTIQUE, MS MARCO and TREC CAR (abstract). Here the ranker
//! has 31,000 parameters and documents are generated: effects may well be smaller than what a few seeds tell.
//!
//! ## Sources
//! MacAvaney, Nardini, Perego, Tonellotto, Goharian, Frieder, arXiv:2004.14269 (SIGIR 2020); Georgetown-IR-Lab/OpenNIR@8cfcb7bc
//! `onir/trainers/pairwise_cl.py`, `pointwise_cl.py` (Adam, rate 0.001, batches of 16: the repository's defaults).
//!
//! ## Differences
//! - `weights: batch-mean`: the code multiplies the *mean loss* of a batch by the *mean weight*, which in batches of more than one
//!   is a step size for the batch and no weight of an example. The paper's products, `example`, are the default.
//! - `weights: schedule` gives every example the mean weight of all at iteration `e`: the same schedule without a curriculum, a control;
//!   `difficulty: shuffled` deals the easiness of examples out at random: another.
//! - Pointwise losses see both documents of a pair, so that as many answer as do not; the code takes documents as they are listed. Its
//!   `cross_entropy_logits` of two outputs is here that of one.
//! - The code adds 1e-8 to weights, which single precision forgets where they count; left out. With `m = 0` its pairs keep their first weights
//!   for ever; here there are none.
//! - Pairs are of listed documents (the code's `intersect`), so that no rank is missing.

use lab::LabError;
use lab::easiness::Heuristic;
use lab::method::Method;
use lab::network::Network;
use lab::objectives::ranking::RankingLoss;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::scored::Scores;
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Facts, Objective, StepInfo, TaskInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::order::shuffle;
use ledger::settings::Range;
use ledger::{choice, settings};
use tch::{Kind, TchError, Tensor};

choice! {
    /// What weights are for.
    pub enum Weights {
        /// Each example's own.
        Example = "example",
        /// Their mean over a batch, for its mean loss.
        BatchMean = "batch-mean",
        /// The mean over all examples, for each.
        Schedule = "schedule",
    }
}

settings! {
    /// Settings of `ranking-curriculum`.
    pub struct Settings {
        /// D.
        heuristic: Heuristic = Heuristic::Reciprank, from "pairwise_cl.py: the first of its choices";
        /// m: iterations until all weights are 1; 0 for no weights.
        m: u32 = 20, from "pairwise_cl.py, eoc_epoch";
        /// Batches of an iteration.
        iteration: u32 = 32, range Range::of(1.0..), from "OpenNIR's default";
        /// What is lost.
        loss: RankingLoss = RankingLoss::Softmax, from "pairwise_cl.py: the first of its choices";
        /// What weights are for.
        weights: Weights = Weights::Example, from "paper; the code takes means of batches";
        /// Whether hard examples come first: 1 − D in the place of D.
        anti: bool = false, from "pairwise_cl.py";
        /// Whose easiness.
        difficulty: Scores = Scores::Given, from "paper; shuffled is a control";
        /// Examples per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "OpenNIR's default";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "OpenNIR has none";
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "training pairs weighted by how easy a first stage finds them, until weights are even",
    paper: Paper {
        title: "Training curricula for open domain answer re-ranking",
        authors: "MacAvaney, Nardini, Perego, Tonellotto, Goharian, Frieder",
        year: 2020,
        reference: "arXiv:2004.14269",
        code: "Georgetown-IR-Lab/OpenNIR@8cfcb7bc",
    },
    claim: PaperClaim {
        statement: "higher MRR and P@1 than the same ranker without weights",
        number: "up to +4 % MRR and +9 % P@1",
        source: "abstract",
    },
    baseline: Some("adamw"),
    needs: &[offers::LOSS, offers::PAIRS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let objective = Box::new(Weighted::new(&settings, task)?);
        let Settings { batch_size, schedule, adamw, .. } = settings;
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        Ok(Recipe::of(batch_size, schedule, Step::Gradient { objective, optimizer }))
    },
};

#[derive(Debug)]
struct Weighted {
    loss: RankingLoss,
    weights: Weights,
    m: u64,
    iteration: u64,
    /// D of each example, N × 1 for pairs and N × 2 for their documents.
    easiness: Tensor,
    /// Its mean.
    mean: f64,
}

impl Weighted {
    fn new(settings: &Settings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let (heuristic, one_by_one) = (settings.heuristic, settings.loss.is_pointwise());
        let pairs = task.side.pairs.as_ref();
        let mut rows = pairs.map_or_else(Vec::new, |pairs| pairs.easiness(heuristic, one_by_one));
        if rows.len() != task.examples as usize {
            let n = rows.len();
            return Err(task.unfit(format!("it has {} examples and {n} pairs", task.examples)));
        }
        if settings.difficulty == Scores::Shuffled {
            let mut places: Vec<u32> = (0..task.examples).collect();
            shuffle(&mut task.streams.generator("easiness"), &mut places);
            rows = places.into_iter().map(|place| rows[place as usize].clone()).collect();
        }
        let turned = |d: f64| if settings.anti { 1.0 - d } else { d };
        let flat: Vec<f64> = rows.concat().into_iter().map(turned).collect();
        let mean = flat.iter().sum::<f64>() / flat.len().max(1) as f64;
        let flat: Vec<f32> = flat.into_iter().map(|d| d as f32).collect();
        let easiness = Tensor::f_from_slice(&flat)?.f_view([i64::from(task.examples), -1])?;
        let Settings { loss, weights, m, iteration, .. } = *settings;
        let (m, iteration) = (m.into(), iteration.into());
        let easiness = easiness.f_to_device(task.device())?;
        Ok(Self { loss, weights, m, iteration, easiness, mean })
    }

    /// W of a batch, B × 1 or B × 2; none where all are 1.
    fn weights_of(&self, batch: &Batch, now: &StepInfo) -> Result<Option<Tensor>, TchError> {
        let e = now.step / self.iteration;
        if e >= self.m {
            return Ok(None);
        }
        let easiness = self.easiness.f_index_select(0, &batch.sample_ids)?;
        let easiness = match self.weights {
            Weights::Schedule => easiness.f_full_like(self.mean)?,
            Weights::Example | Weights::BatchMean => easiness,
        };
        let progress = e as f64 / self.m as f64;
        Ok(Some(easiness.f_mul_scalar(1.0 - progress)?.f_add_scalar(progress)?))
    }

    /// Losses B × 1 or B × 2 under their weights.
    fn weigh(&self, losses: Tensor, weights: Option<Tensor>) -> Result<Tensor, TchError> {
        match weights {
            Some(weights) if self.weights == Weights::BatchMean => {
                losses.f_mul(&weights.f_mean(None)?)
            }
            Some(weights) => losses.f_mul(&weights),
            None => Ok(losses),
        }
    }
}

impl Objective for Weighted {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let scores = network.forward(&batch.inputs, true)?;
        let losses = self.loss.of_scores(&scores, &batch.labels)?;
        let weighted = self.weigh(losses, self.weights_of(batch, now)?)?;
        Ok(weighted.f_mean_dim([1].as_slice(), false, Kind::Float)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn facts(&self) -> Facts {
        Facts::from([
            ("mean_easiness".to_owned(), self.mean.into()),
            ("weighted_steps".to_owned(), (self.m * self.iteration).into()),
        ])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::trial::{self, with};
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    /// Three iterations of weights that rise in two.
    fn run(method: &Method, fixture: &Fixture, pairs: &[(&str, Value)]) -> Trace {
        let mut settings = with([("batch_size", json!(16))]);
        if std::ptr::eq(method, &raw const METHOD) {
            settings.extend(with([("iteration", json!(4)), ("m", json!(2))]));
        }
        settings.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        fixture.run(method, &settings, 12 * 16, 5).unwrap()
    }

    fn weighted(weights: Weights) -> Weighted {
        let easiness = Tensor::from_slice(&[0.1_f32, 0.5]).view([2, 1]);
        Weighted { loss: RankingLoss::Softmax, weights, m: 20, iteration: 32, easiness, mean: 0.3 }
    }

    #[test]
    fn weights_rise_by_iterations_of_32_batches() {
        let batch = trial::split(&[1]).unwrap().batch(&[0, 1]).unwrap();
        let at = |kind, step| {
            let found = weighted(kind).weights_of(&batch, &trial::step_info(step, 9_999)).unwrap();
            found.map(|weights| values(&weights).unwrap())
        };
        for (e, low, high) in
            [(0, 0.1, 0.5), (5, 0.325, 0.625), (10, 0.55, 0.75), (19, 0.955, 0.975)]
        {
            for step in [32 * e, 32 * e + 31] {
                let found = at(Weights::Example, step).unwrap();
                assert!(
                    (found[0] - low).abs() < 1e-6 && (found[1] - high).abs() < 1e-6,
                    "{found:?}"
                );
                // The control's weights have the same mean.
                let even = at(Weights::Schedule, step).unwrap();
                assert!(
                    (2.0 * even[0] - low - high).abs() < 1e-6 && even[0] == even[1],
                    "{even:?}"
                );
            }
        }
        assert_eq!((at(Weights::Example, 640), at(Weights::Schedule, 640)), (None, None));
    }

    #[test]
    fn the_mean_of_products_is_not_the_product_of_means() {
        let mean = |kind| {
            let [losses, weights] =
                [[1.0_f32, 3.0], [0.65, 0.35]].map(|pair| Tensor::from_slice(&pair).view([2, 1]));
            weighted(kind)
                .weigh(losses, Some(weights))
                .unwrap()
                .mean(Kind::Double)
                .double_value(&[])
        };
        assert!((mean(Weights::Example) - 0.85).abs() < 1e-6);
        assert!((mean(Weights::BatchMean) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn without_weights_it_is_adamw_bit_for_bit() {
        let fixture = workloads::fixture("kvr-rank", &with([])).unwrap();
        let own = ("loss", json!("cross-entropy"));
        let plain =
            run(crate::find("adamw").unwrap().method, &fixture, &[("schedule", json!("constant"))]);
        for weights in ["example", "batch-mean", "schedule"] {
            let zero = [own.clone(), ("m", json!(0)), ("weights", json!(weights))];
            let neutral = run(&METHOD, &fixture, &zero);
            assert_eq!((neutral.digest, &neutral.order), (plain.digest, &plain.order), "{weights}");
        }
        let weighed = run(&METHOD, &fixture, &[own]);
        assert!(weighed.digest != plain.digest && weighed.order == plain.order);
        // Each control, heuristic and loss is another method on the same order.
        let others = [
            ("loss", json!("softmax")),
            ("heuristic", json!("normscore")),
            ("heuristic", json!("kdescore")),
            ("anti", json!(true)),
            ("difficulty", json!("shuffled")),
            ("weights", json!("schedule")),
            ("weights", json!("batch-mean")),
            ("loss", json!("squares")),
            ("loss", json!("logistic")),
        ];
        let digests = others.map(|pair| run(&METHOD, &fixture, &[pair]).digest);
        for (place, digest) in digests.iter().enumerate() {
            assert!(!digests[..place].contains(digest), "{place}");
        }
    }
}
