//! The tutor of a recipe's stages: trained by the same loop before the run, or taken from where it is kept.

use ledger::digest::Digest;
use ledger::goal::{Budget, Target};
use ledger::record::stages::Made;
use ledger::transcript::Transcript;
use tch::Tensor;

use crate::artefacts::Artefacts;
use crate::clock::{Clock, Monotonic};
use crate::run::{Run, WHOLE};
use crate::splits::Splits;
use lab::LabError;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::recipe::{Recipe, Step};
use lab::seat::OrderSource;
use lab::stages::Tutor;
use ledger::streams::Streams;

/// Part of the key of kept tutors: to be raised when what follows changes.
const RECIPE: &[u8] = b"palimpsest/tutor/v1";

/// What a tutor is trained on, and where it is kept.
pub struct Class<'a> {
    /// The data; only the training split is looked at.
    pub splits: &'a Splits,
    /// The loss that probes are made with, where the workload has one.
    pub loss: Option<DefaultLoss>,
    /// Merkle root of the training split.
    pub train_root: Digest,
    /// Number of training examples.
    pub examples: u32,
    /// Digest of the code that decides the run.
    pub code: &'a str,
    /// What the run is to reach; a tutor is not judged.
    pub target: &'a Target,
    /// Where tutors are kept.
    pub artefacts: &'a dyn Artefacts,
}

/// Hands the objective and the parametrisation of `recipe` its tutor, if it has one, and lists it among the stages.
///
/// # Errors
/// When libtorch refuses an operation, or what is kept cannot be read or written.
pub fn bring(recipe: &mut Recipe, class: &Class<'_>) -> Result<(), LabError> {
    let Some(mut tutor) = recipe.stages.as_mut().and_then(|stages| stages.tutor.take()) else {
        return Ok(());
    };
    let initial = tutor.network.digest()?;
    let key = class.key(&tutor, &initial)?;
    let name = tutor.name;
    let (network, made) = match class.artefacts.load(&key)?.and_then(read) {
        Some((weights, made)) => {
            tutor.network.restore(&weights)?;
            (tutor.network, made)
        }
        None => {
            let (network, made) = class.train(tutor)?;
            let mut tensors = network.snapshot();
            let figures = [made.steps, made.samples].map(|figure| figure as i64);
            tensors.push(Tensor::f_from_slice(&figures)?);
            class.artefacts.save(&key, &tensors)?;
            (network, made)
        }
    };
    let left = network.digest()?;
    if let Some(stages) = &mut recipe.stages {
        stages.made(name, made, [initial, left]);
    }
    hand_over(recipe, network);
    Ok(())
}

/// Tells the objective that nobody keeps the steps to come, and hands it an untrained tutor: enough for these.
pub fn pretend(recipe: &mut Recipe) {
    if let Step::Gradient { objective, .. } | Step::Forward { objective, .. } = &mut recipe.step {
        objective.rehearse();
    }
    if let Some(tutor) = recipe.stages.as_mut().and_then(|stages| stages.tutor.take()) {
        hand_over(recipe, tutor.network);
    }
}

/// Shows the tutor to what stands on it, and gives it to the objective.
fn hand_over(recipe: &mut Recipe, network: Network) {
    if let Some(parametrisation) = &mut recipe.parametrisation {
        parametrisation.learn_from(&network);
    }
    if let Step::Gradient { objective, .. } | Step::Forward { objective, .. } = &mut recipe.step {
        objective.learn_from(network);
    }
}

/// Weights, and what they took, from the kept tensors.
fn read(mut tensors: Vec<Tensor>) -> Option<(Vec<Tensor>, Made)> {
    let figures: Vec<i64> = Vec::try_from(&tensors.pop()?).ok()?;
    let &[steps, samples] = figures.as_slice() else { return None };
    let figure = |number: i64| u64::try_from(number).ok();
    Some((tensors, Made { steps: figure(steps)?, samples: figure(samples)? }))
}

impl Class<'_> {
    /// Digest of all that makes a tutor: code, settings, data, seed, budget and initial weights.
    fn key(&self, tutor: &Tutor, initial: &Digest) -> Result<Digest, LabError> {
        let settings = Digest::of_json(&tutor.settings).map_err(std::io::Error::from)?;
        Ok(Digest::of_parts(&[
            RECIPE,
            Digest::of(self.code.as_bytes()).as_bytes(),
            Digest::of(tutor.name.as_bytes()).as_bytes(),
            settings.as_bytes(),
            self.train_root.as_bytes(),
            &tutor.seed,
            &tutor.samples.to_le_bytes(),
            initial.as_bytes(),
        ]))
    }

    fn train(&self, tutor: Tutor) -> Result<(Network, Made), LabError> {
        let Tutor { mut network, mut recipe, samples, seed, .. } = tutor;
        let streams = Streams::new(seed);
        let mut transcript = Transcript::start(Digest::of(RECIPE));
        Run {
            network: &mut network,
            recipe: &mut recipe,
            splits: self.splits,
            loss: self.loss,
            judge: None,
            source: OrderSource {
                effective_seed: &seed,
                streams: &streams,
                examples: self.examples,
                eligible: None,
            },
            budget: Budget { samples, evaluate_every: samples.max(1) },
            target: self.target,
            transcript: &mut transcript,
            // On no clock of the run: others may have paid for it.
            clock: &mut Clock::start(Monotonic::start(), self.splits.train.labels.device()),
            part: WHOLE,
            keeper: None,
        }
        .train(&mut |_| Ok(()))?;
        let steps = transcript.steps();
        Ok((recipe.kept(network)?, Made { steps, samples }))
    }
}
