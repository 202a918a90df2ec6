//! What workloads of verifiable puzzles have in common: layout, verifier, judge, and the start that
//! all methods share.
//!
//! Learning from reward needs some reward to begin with. The network is therefore first trained on
//! demonstrations, which no split holds, until its accuracy on prompts set aside for this, averaged
//! over difficulties, reaches a target; a number of steps instead of a target would leave one seed
//! at chance and another with nothing left to learn.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use data::Origin;
use data::puzzles::{self, Kind, Parts, Puzzle, Sizes};
use data::split::sample_id;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::Values;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use lab::LabError;
use lab::generate::{Choice, Generated, Options, Prompts, generate};
use lab::models::gpt::{Shape, gpt};
use lab::network::Network;
use lab::objectives::{DefaultLoss, IGNORED};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::rollout::{rows_of, verified};
use lab::seat::{Facts, Gradients, Objective, Optimizer, Outcome, StepInfo};
use lab::side_info::{SideInfo, Tokens, Verifier};
use lab::split::Split;
use training::artefacts::Artefacts;
use training::judge::{EvaluationRequest, Judge, Judged};
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

/// What puzzles declare alike.
pub const WORKLOAD: Workload = Workload {
    data: DataName::Generated,
    offers: &[
        offers::LOSS,
        offers::TOKENS,
        offers::RESPONSES,
        offers::GROUPS,
        offers::VERIFIER,
        offers::PROMPTS,
    ],
    metric: "accuracy",
    target_origin: "assumed",
    ..Workload::BLANK
};

/// The end of a response, as a token.
pub(crate) const END: i64 = puzzles::END as i64;

/// Part of the key of kept starts: to be raised when the recipe below changes.
const RECIPE: &[u8] = b"palimpsest/puzzles-start/v1";
/// Steps on demonstrations at most.
pub(crate) const MOST_STEPS: u64 = 2_000;
/// Steps between looks at the accuracy.
pub(crate) const LOOK_EVERY: u64 = 10;
/// Demonstrations per step.
pub(crate) const BATCH: usize = 64;
/// Test prompts of each difficulty that are also answered by sampling.
const SAMPLED_PROMPTS: usize = 40;
/// Sampled answers to each.
const SAMPLES: usize = 16;
/// k of pass@k.
const PASSES: usize = 8;
/// Prompts sampled at a time.
const AT_ONCE: usize = 64;
/// Halvings of the way back from a start that knows too much.
const HALVINGS: u32 = 10;

/// Puzzles of one kind at several difficulties.
#[derive(Debug, Clone)]
pub struct PuzzleSet {
    /// The kind.
    pub kind: Arc<dyn Kind>,
    /// Difficulties, ascending.
    pub difficulties: Vec<u32>,
    /// Puzzles of each difficulty.
    pub sizes: Sizes,
    /// Learning rate of AdamW on demonstrations.
    pub rate: f64,
}

impl PuzzleSet {
    /// Loads the puzzles onto `device`.
    ///
    /// # Errors
    /// When there are too few, or the device has no room.
    pub fn load(&self, device: Device) -> Result<Ready, LabError> {
        self.load_parts(self.generate()?, device)
    }

    /// Loads these parts in place of the set's own.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn load_parts(&self, parts: Parts, device: Device) -> Result<Ready, LabError> {
        let Parts { rehearsal, train, validation, test, .. } = parts;
        let splits = Splits {
            train: self.place(&train, device)?,
            probe: Some(self.place(&rehearsal, device)?),
            validation: self.place(&validation, device)?,
            test: self.place(&test, device)?,
        };
        let [ids, validation_ids, test_ids] = [&train, &validation, &test].map(|part| ids(part));
        let identity =
            Arc::new(DataIdentity::new(ids, &validation_ids, &test_ids, Origin::Generated));
        let groups = train.iter().map(|puzzle| puzzle.group).collect();
        let kind = self.kind.clone();
        let verifier = Arc::new(Checker { kind: kind.clone(), puzzles: train });
        let names: Vec<String> =
            self.difficulties.iter().map(|difficulty| kind.label(*difficulty)).collect();
        let side = SideInfo {
            loss: Some(DefaultLoss::Tokens),
            group_names: names.clone(),
            groups,
            tokens: Some(Tokens {
                vocabulary: i64::from(kind.alphabet()),
                context: size(kind.prompt_length() + kind.longest_response()),
                end: Some(END),
                mask: None,
                first_ordinary: i64::from(puzzles::FIRST),
            }),
            verifier: Some(verifier),
            ..SideInfo::default()
        };
        let judge = Box::new(Solver {
            validation: Checker { kind: kind.clone(), puzzles: validation },
            test: Checker { kind, puzzles: test },
            difficulties: names,
        });
        Ok(Ready { splits, identity, side, judge })
    }

    /// A small GPT for these tokens.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn network(&self, streams: &Streams, device: Device) -> Result<Network, LabError> {
        let context = self.kind.prompt_length() + self.kind.longest_response();
        gpt(Shape::xs(self.kind.alphabet().into(), context), streams, device)
    }

    /// Trains `network` on demonstrations until its accuracy is at least the start of `wanted`, and
    /// takes it back some way where it then is beyond its end; or takes the kept result of the same
    /// training.
    ///
    /// # Errors
    /// When libtorch refuses an operation, or a kept result cannot be read or written.
    pub fn start(
        &self,
        network: &mut Network,
        wanted: RangeInclusive<f64>,
        values: &Values,
        streams: &Streams,
        artefacts: &dyn Artefacts,
    ) -> Result<Facts, LabError> {
        let key = self.key(network, values, streams)?;
        started(network, &key, artefacts, |network| self.imitate(network, &wanted, streams))
    }

    /// [`key`] of this kind's start.
    pub(crate) fn key(
        &self,
        network: &Network,
        values: &Values,
        streams: &Streams,
    ) -> Result<Digest, LabError> {
        key(self.kind.name(), network, values, streams)
    }

    /// Steps on demonstrations, and the accuracy reached.
    fn imitate(
        &self,
        network: &mut Network,
        wanted: &RangeInclusive<f64>,
        streams: &Streams,
    ) -> Result<(u64, f64), LabError> {
        let device = network.device();
        let Parts { demonstrations, rehearsal, .. } = self.generate()?;
        let demonstrated = self.place(&demonstrations, device)?;
        let rehearsed = self.place(&rehearsal, device)?;
        let rehearsal = Checker { kind: self.kind.clone(), puzzles: rehearsal };
        let settings = AdamwSettings { lr: self.rate, ..AdamwSettings::default() };
        let mut rule = Adamw::new(settings, network, |_, _| true)?;
        let mut random = streams.generator("start");
        let mut queue: Vec<u32> = Vec::new();
        let mut steps = 0;
        let look = |network: &Network| -> Result<f64, LabError> {
            let answers = rehearsal.answers(network, &rehearsed)?;
            Ok(mean(&by_group(&answers, self.difficulties.len())))
        };
        let mut before = network.snapshot();
        loop {
            if steps % LOOK_EVERY == 0 {
                let accuracy = look(network)?;
                if accuracy > *wanted.end() {
                    return Ok((steps, taken_back(network, &before, wanted, look)?));
                }
                if accuracy >= *wanted.start() || steps >= MOST_STEPS {
                    return Ok((steps, accuracy));
                }
                before = network.snapshot();
            }
            if queue.len() < BATCH {
                queue = (0..).take(demonstrations.len()).collect();
                ledger::order::shuffle(&mut random, &mut queue);
            }
            let batch = demonstrated.batch(&queue.split_off(queue.len() - BATCH))?;
            let now = moment(steps);
            let loss = DefaultLoss::Tokens.loss(network, &batch, &now)?;
            descend(network, &mut rule, &loss, &now)?;
            steps += 1;
        }
    }

    /// The puzzles.
    ///
    /// # Errors
    /// When there are too few.
    pub fn generate(&self) -> Result<Parts, LabError> {
        Ok(puzzles::generate(self.kind.as_ref(), &self.difficulties, &self.sizes)?)
    }

    /// Prompt, demonstration and end in a row of P + R − 1 tokens; labels are the tokens that
    /// follow, where these belong to the response. Nothing is asked for where nothing is demonstrated.
    pub(crate) fn place(&self, part: &[Puzzle], device: Device) -> Result<Split, TchError> {
        let prompt = self.kind.prompt_length();
        let length = prompt + self.kind.longest_response();
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for puzzle in part {
            let mut row: Vec<i64> =
                puzzle.prompt.iter().chain(&puzzle.demonstration).copied().map(i64::from).collect();
            row.push(END);
            let end = if puzzle.demonstration.is_empty() { prompt } else { row.len() };
            row.resize(length, END);
            inputs.extend_from_slice(&row[..length - 1]);
            labels.extend(
                (1..length).map(
                    |place| {
                        if (prompt..end).contains(&place) { row[place] } else { IGNORED }
                    },
                ),
            );
        }
        let shape = [size(part.len()), size(length - 1)];
        let tensor =
            |values: &[i64]| Tensor::f_from_slice(values)?.f_reshape(shape)?.f_to_device(device);
        let groups = part.iter().map(|puzzle| puzzle.group).collect();
        Ok(Split { stored: tensor(&inputs)?, labels: tensor(&labels)?, groups })
    }
}

/// Digest of all that makes a start: recipe, kind, settings, seed and initial weights.
pub(crate) fn key(
    kind: &str,
    network: &Network,
    values: &Values,
    streams: &Streams,
) -> Result<Digest, LabError> {
    let settings = Digest::of_json(values).map_err(std::io::Error::from)?;
    let mut seeded = streams.generator("start");
    let seed = (0..4).flat_map(|_| ledger::order::bounded(&mut seeded, u64::MAX).to_le_bytes());
    let seed: Vec<u8> = seed.collect();
    let initial = network.digest()?;
    let parts = [RECIPE, kind.as_bytes(), settings.as_bytes(), &seed, initial.as_bytes()];
    Ok(Digest::of_parts(&parts))
}

/// Trains `network` until `reach` says after how many steps, and at what accuracy, it has; or takes the kept
/// result of the same training.
pub(crate) fn started(
    network: &mut Network,
    key: &Digest,
    artefacts: &dyn Artefacts,
    reach: impl FnOnce(&mut Network) -> Result<(u64, f64), LabError>,
) -> Result<Facts, LabError> {
    let (steps, accuracy) = match artefacts.load(key)?.and_then(Kept::read) {
        Some(Kept { steps, accuracy, weights }) => {
            network.restore(&weights)?;
            (steps, accuracy)
        }
        None => {
            let (steps, accuracy) = reach(network)?;
            let kept = Kept { steps, accuracy, weights: network.snapshot() };
            artefacts.save(key, &kept.write())?;
            (steps, accuracy)
        }
    };
    Ok(Facts::from([
        ("start_sha256".to_owned(), network.digest()?.to_string().into()),
        ("start_steps".to_owned(), steps.into()),
        ("start_samples".to_owned(), (steps * BATCH as u64).into()),
        ("start_accuracy".to_owned(), accuracy.into()),
    ]))
}

/// A step on demonstrations.
pub(crate) fn moment(step: u64) -> StepInfo {
    let total_steps = MOST_STEPS;
    StepInfo { step, total_steps, epoch: 0, total_epochs: 1, lr_factor: 1.0, pass: 0 }
}

/// Moves `network` by `rule` down the gradient of `loss`.
pub(crate) fn descend(
    network: &Network,
    rule: &mut Adamw,
    loss: &Tensor,
    now: &StepInfo,
) -> Result<(), LabError> {
    let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let tensors = Tensor::f_run_backward(&[loss], &leaves, false, false)?;
    let gradients = Gradients { active: (0..leaves.len()).collect(), tensors };
    tch::no_grad(|| rule.update(&network.parameters, &gradients, now))
}

/// Puts `network`, whose accuracy is above `wanted`, between `before`, when it was below, and now, by
/// bisection on the straight line between the weights, until the accuracy is in `wanted`, or as near
/// as that comes; returns it.
pub(crate) fn taken_back(
    network: &mut Network,
    before: &[Tensor],
    wanted: &RangeInclusive<f64>,
    look: impl Fn(&Network) -> Result<f64, LabError>,
) -> Result<f64, LabError> {
    let now = network.snapshot();
    let (mut low, mut high, mut accuracy) = (0.0, 1.0, f64::NAN);
    for _ in 0..HALVINGS {
        let share = f64::midpoint(low, high);
        let between = before.iter().zip(&now).map(|(before, now)| before.f_lerp(now, share));
        network.restore(&between.collect::<Result<Vec<_>, _>>()?)?;
        accuracy = look(network)?;
        if wanted.contains(&accuracy) {
            break;
        }
        if accuracy < *wanted.start() {
            low = share;
        } else {
            high = share;
        }
    }
    Ok(accuracy)
}

/// A start as it is kept: weights, then steps and accuracy in one more tensor.
pub(crate) struct Kept {
    /// Steps on demonstrations.
    pub steps: u64,
    /// The accuracy reached.
    pub accuracy: f64,
    /// Parameters.
    pub weights: Vec<Tensor>,
}

impl Kept {
    /// As tensors.
    pub fn write(self) -> Vec<Tensor> {
        let mut tensors = self.weights;
        tensors.push(Tensor::from_slice(&[self.steps as f64, self.accuracy]));
        tensors
    }

    /// From these tensors.
    pub fn read(mut tensors: Vec<Tensor>) -> Option<Self> {
        let figures: Vec<f64> = Vec::try_from(&tensors.pop()?).ok()?;
        let &[steps, accuracy] = figures.as_slice() else { return None };
        Some(Self { steps: steps as u64, accuracy, weights: tensors })
    }
}

/// Checks answers to the puzzles of one part, by position.
#[derive(Debug)]
pub(crate) struct Checker {
    /// The kind.
    pub kind: Arc<dyn Kind>,
    /// The puzzles.
    pub puzzles: Vec<Puzzle>,
}

/// One answer, judged.
#[derive(Debug, Clone, Copy)]
struct Answer {
    group: u32,
    correct: bool,
    /// Tokens, the end included.
    length: usize,
    /// Whether it ends.
    ended: bool,
    /// Tokens of the demonstration, the end included.
    demonstrated: usize,
    /// Tokens before the end that the prompt asks for, where it says so.
    budget: Option<usize>,
}

impl Answer {
    /// Tokens without the end.
    fn written(&self) -> usize {
        self.length - usize::from(self.ended)
    }
}

impl Checker {
    /// The most likely answers to all prompts of `split`, which holds the same puzzles.
    fn answers(&self, network: &Network, split: &Split) -> Result<Vec<Answer>, LabError> {
        let prompts = split.stored.f_narrow(1, 0, size(self.kind.prompt_length()))?;
        let longest = self.kind.longest_response();
        let options = Options { longest, end: Some(END), banned: Vec::new() };
        let Generated { tokens, lengths, .. } =
            generate(network, Prompts::from(&prompts), &options, Choice::Greedy)?;
        let responses = rows_of(&tokens, &lengths)?;
        let each = (0..).zip(&self.puzzles).zip(&responses);
        Ok(each
            .map(|((id, puzzle), response)| {
                let outcome = verified(self, id, response, END);
                Answer {
                    group: puzzle.group,
                    correct: outcome.correct,
                    length: response.len(),
                    ended: response.last() == Some(&END),
                    demonstrated: puzzle.demonstration.len() + 1,
                    budget: self.kind.budget(&puzzle.prompt),
                }
            })
            .collect())
    }

    /// Group and number of right answers, of `SAMPLES`, of the first `SAMPLED_PROMPTS` prompts of each group
    /// in `split`, which holds the same puzzles. The random numbers of an answer go by its prompt and place
    /// alone: every policy has the same ones, and no other stream is touched.
    fn sampled(
        &self,
        network: &Network,
        split: &Split,
        groups: usize,
    ) -> Result<Vec<(u32, usize)>, LabError> {
        let mut left = vec![SAMPLED_PROMPTS; groups];
        let mut taken = |puzzle: &Puzzle| {
            let left = &mut left[puzzle.group as usize];
            let take = *left > 0;
            *left = left.saturating_sub(1);
            take
        };
        let ids: Vec<u32> = (0..)
            .zip(&self.puzzles)
            .filter(|(_, puzzle)| taken(puzzle))
            .map(|(id, _)| id)
            .collect();
        let streams = Streams::new(Digest::of(b"palimpsest/puzzles-sampled/v1").0);
        let longest = self.kind.longest_response();
        let options = Options { longest, end: Some(END), banned: Vec::new() };
        let mut counts = Vec::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let prompts =
                split.batch(ids)?.inputs.f_narrow(1, 0, size(self.kind.prompt_length()))?;
            let prompts = prompts.f_repeat_interleave_self_int(size(SAMPLES), 0, None)?;
            let places =
                ids.iter().flat_map(|id| (0..).take(SAMPLES).map(move |place| (*id, place)));
            let mut generators: Vec<Pcg64> =
                places.map(|(id, place)| streams.keyed("sampled", id, place)).collect();
            let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
            let Generated { tokens, lengths, .. } =
                generate(network, Prompts::from(&prompts), &options, choice)?;
            let responses = rows_of(&tokens, &lengths)?;
            for (id, responses) in ids.iter().zip(responses.chunks(SAMPLES)) {
                let right = |response: &&Vec<i64>| verified(self, *id, response, END).correct;
                let group = self.puzzles[*id as usize].group;
                counts.push((group, responses.iter().filter(right).count()));
            }
        }
        Ok(counts)
    }
}

impl Verifier for Checker {
    fn check(&self, id: u32, response: &[i64]) -> Outcome {
        let puzzle = &self.puzzles[id as usize];
        // No token is beyond a byte; if one were, it would be none of the alphabet either.
        let bytes: Vec<u8> =
            response.iter().map(|token| u8::try_from(*token).unwrap_or(u8::MAX)).collect();
        let verdict = self.kind.check(&puzzle.prompt, &bytes);
        Outcome { correct: verdict.correct, well_formed: verdict.well_formed }
    }

    fn prompt_length(&self) -> Option<usize> {
        Some(self.kind.prompt_length())
    }

    fn longest_response(&self) -> usize {
        self.kind.longest_response()
    }
}

/// The row of an accuracy, for lists of metrics.
pub const fn accuracy(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: true, best: Some(1.0), chance: None }
}

/// How much longer wrong answers are than their demonstrations, within each difficulty.
pub const WRONG_EXCESS: MetricInfo =
    MetricInfo { name: "wrong_excess", higher_is_better: false, best: None, chance: None };

/// Tokens of an answer before its end, where prompts state a budget.
pub const LENGTH: MetricInfo =
    MetricInfo { name: "length", higher_is_better: false, best: None, chance: None };
/// Share of answers within 5 % of the budget.
pub const ON_BUDGET: MetricInfo = accuracy("on_budget");
/// Share of answers that are right and no longer than the budget.
pub const IN_BUDGET: MetricInfo = accuracy("accuracy_in_budget");
/// Accuracy of answers sampled at temperature 1.
pub const SAMPLED: MetricInfo = accuracy("sampled");

/// Probability that one of eight sampled answers is right.
pub const PASS_AT_8: MetricInfo = accuracy("pass@8");

/// Judges a policy by its most likely answers: accuracy averaged over difficulties, accuracy of
/// each difficulty, and, where there are wrong answers, their mean length and their excess. The mean
/// length also tells which prompts are wrong, for those with long answers have long wrong ones. On the
/// test split, at the end of a run, also by sampled answers.
#[derive(Debug)]
struct Solver {
    validation: Checker,
    test: Checker,
    /// What difficulties are called.
    difficulties: Vec<String>,
}

impl Judge for Solver {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let checker = request.judged.pick(&self.validation, &self.test);
        let answers = checker.answers(request.model.network, request.split)?;
        let accuracies = by_group(&answers, self.difficulties.len());
        let mut metrics = BTreeMap::from([("accuracy".to_owned(), mean(&accuracies))]);
        for (difficulty, accuracy) in self.difficulties.iter().zip(&accuracies) {
            metrics.insert(format!("accuracy/{difficulty}"), *accuracy);
        }
        let lengths = answers.iter().filter(|answer| !answer.correct).map(|a| a.length as f64);
        let lengths: Vec<f64> = lengths.collect();
        if !lengths.is_empty() {
            metrics.insert("wrong_length".to_owned(), mean(&lengths));
            metrics.insert("wrong_excess".to_owned(), excess(&answers, accuracies.len()));
        }
        metrics.extend(budgeted(&answers));
        if request.last && request.judged == Judged::Test {
            let counts = checker.sampled(request.model.network, request.split, accuracies.len())?;
            let over = |value: fn(usize) -> f64| grouped(&counts, accuracies.len(), value);
            metrics.insert("sampled".to_owned(), over(|right| right as f64 / SAMPLES as f64));
            metrics.insert("pass@8".to_owned(), over(|right| pass_at(SAMPLES, right, PASSES)));
        }
        Ok(metrics)
    }
}

/// Of answers to prompts that state a budget: their mean length, the share within 5 % of the budget, and the
/// share that is right and within it. Nothing where no prompt states one.
fn budgeted(answers: &[Answer]) -> BTreeMap<String, f64> {
    let asked: Vec<_> =
        answers.iter().filter_map(|answer| Some((answer, answer.budget? as f64))).collect();
    if asked.is_empty() {
        return BTreeMap::new();
    }
    let mean = |value: &dyn Fn(&Answer, f64) -> f64| {
        asked.iter().map(|(answer, budget)| value(answer, *budget)).sum::<f64>()
            / asked.len() as f64
    };
    let share = |holds: bool| f64::from(u8::from(holds));
    let on = |answer: &Answer, budget: f64| {
        share((answer.written() as f64 - budget).abs() <= 0.05 * budget)
    };
    let within =
        |answer: &Answer, budget: f64| share(answer.correct && answer.written() as f64 <= budget);
    BTreeMap::from([
        (LENGTH.name.to_owned(), mean(&|answer, _| answer.written() as f64)),
        (ON_BUDGET.name.to_owned(), mean(&on)),
        (IN_BUDGET.name.to_owned(), mean(&within)),
    ])
}

/// Share of right answers in each of `groups` groups.
fn by_group(answers: &[Answer], groups: usize) -> Vec<f64> {
    let mut counts = vec![(0.0, 0.0); groups];
    for answer in answers {
        let (right, all) = &mut counts[answer.group as usize];
        *right += f64::from(u8::from(answer.correct));
        *all += 1.0;
    }
    counts.into_iter().map(|(right, all)| right / f64::max(all, 1.0)).collect()
}

/// Tokens that wrong answers have beyond their demonstrations: the mean of each of `groups` groups,
/// then over those that have wrong answers.
fn excess(answers: &[Answer], groups: usize) -> f64 {
    let mut excesses = vec![Vec::new(); groups];
    for Answer { group, length, demonstrated, .. } in answers.iter().filter(|a| !a.correct) {
        excesses[*group as usize].push(*length as f64 - *demonstrated as f64);
    }
    let means: Vec<f64> =
        excesses.iter().filter(|group| !group.is_empty()).map(|group| mean(group)).collect();
    mean(&means)
}

/// Mean over the groups that there are of the mean of `value` of each one's counts.
fn grouped(counts: &[(u32, usize)], groups: usize, value: impl Fn(usize) -> f64) -> f64 {
    let mut values = vec![Vec::new(); groups];
    counts.iter().for_each(|(group, count)| values[*group as usize].push(value(*count)));
    let means: Vec<f64> =
        values.iter().filter(|group| !group.is_empty()).map(|group| mean(group)).collect();
    mean(&means)
}

/// Probability that at least one of `k` answers, drawn without replacement from `n` of which `right` are
/// right, is right: 1 − C(n − right, k)/C(n, k), an unbiased estimate of pass@k (Chen et al., arXiv:2107.03374).
fn pass_at(n: usize, right: usize, k: usize) -> f64 {
    if n - right < k {
        return 1.0;
    }
    let none = (n - right + 1..=n).map(|place| 1.0 - k as f64 / place as f64);
    1.0 - none.product::<f64>()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Ids of puzzles: digests of prompt, demonstration and difficulty.
pub(crate) fn ids(part: &[Puzzle]) -> Vec<Digest> {
    let id = |puzzle: &Puzzle| {
        let tokens = [puzzle.prompt.as_slice(), &puzzle.demonstration].concat();
        Digest(sample_id(&tokens, u8::try_from(puzzle.group).unwrap_or(u8::MAX)))
    };
    part.iter().map(id).collect()
}

fn size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::puzzles::chain_sum::ChainSum;
    use lab::trial;
    use training::artefacts::kept::Kept as Folder;

    fn set() -> PuzzleSet {
        let kind = Arc::new(ChainSum { modulus: 5, longest: 5, strict: false });
        let sizes = Sizes { demonstrations: 100, rehearsal: 20, train: 20, validation: 5, test: 5 };
        PuzzleSet { kind, difficulties: vec![4, 5], sizes, rate: 3e-3 }
    }

    /// Digest and facts of a start at an accuracy that ten or twenty steps give by luck.
    fn started(artefacts: &dyn Artefacts) -> (Digest, Facts) {
        let streams = trial::streams();
        let mut network = set().network(&streams, Device::Cpu).unwrap();
        let values = Values::new();
        let facts = set().start(&mut network, 0.1..=1.0, &values, &streams, artefacts).unwrap();
        (network.digest().unwrap(), facts)
    }

    #[test]
    fn a_start_beyond_what_is_wanted_is_taken_back_between_its_last_two_looks() {
        let unkept = training::artefacts::Unkept;
        let reached = |wanted: RangeInclusive<f64>| {
            let streams = trial::streams();
            let mut network = set().network(&streams, Device::Cpu).unwrap();
            let start = set().start(&mut network, wanted, &Values::new(), &streams, &unkept);
            let facts = start.unwrap();
            let accuracy = facts["start_accuracy"].as_f64().unwrap();
            (facts["start_steps"].clone(), accuracy, network.digest().unwrap())
        };
        let (steps, beyond, digest) = reached(0.05..=1.0);
        assert!(beyond > 0.11, "{beyond}");
        let (same, within, other) = reached(0.05..=0.11);
        assert_eq!(steps, same);
        assert!((0.05..=0.11).contains(&within), "{within}");
        assert_ne!(digest, other);
    }

    #[test]
    fn the_excess_of_wrong_answers_does_not_depend_on_which_difficulty_they_are_in() {
        let answer = |group: u32, correct, length| Answer {
            group,
            correct,
            length,
            ended: true,
            demonstrated: 5 + 4 * group as usize,
            budget: None,
        };
        // Two tokens more than four and an end, one more than eight and an end; a right one is not asked.
        let both = [answer(0, false, 7), answer(1, false, 10), answer(1, true, 15)];
        assert_eq!(excess(&both, 2), 1.5);
        let many = [answer(0, false, 7), answer(1, false, 10), answer(1, false, 10)];
        assert_eq!(excess(&many, 2), 1.5);
        assert_eq!(excess(&[answer(1, false, 6)], 2), -3.0);
    }

    #[test]
    fn answers_are_held_to_the_budget_without_their_end_and_only_where_there_is_one() {
        let answer = |length, ended, correct, budget| Answer {
            group: 0,
            correct,
            length,
            ended,
            demonstrated: 9,
            budget,
        };
        let four = Some(4);
        let answers = [
            answer(5, true, true, four),
            answer(5, true, false, four),
            answer(9, true, true, four),
            answer(4, true, true, four),
            answer(4, false, false, four),
        ];
        let found = budgeted(&answers);
        // 4, 4, 8, 3 and, without an end, 4 tokens.
        assert!((found["length"] - 4.6).abs() < 1e-12, "{found:?}");
        assert!((found["on_budget"] - 0.6).abs() < 1e-12, "{found:?}");
        assert!((found["accuracy_in_budget"] - 0.4).abs() < 1e-12, "{found:?}");
        assert!(budgeted(&[answer(5, true, true, None)]).is_empty());
    }

    #[test]
    fn a_prompt_without_a_demonstration_asks_for_nothing() {
        let mut parts = set().generate().unwrap();
        parts.train[1].demonstration.clear();
        let ready = set().load_parts(parts, Device::Cpu).unwrap();
        let asked = |id| {
            let labels = ready.splits.train.batch(&[id]).unwrap().labels;
            labels.ne(IGNORED).sum(tch::Kind::Int64).int64_value(&[])
        };
        assert_eq!([asked(0), asked(1)], [5, 0]);
    }

    #[test]
    fn pass_at_k_is_the_share_of_draws_without_replacement_that_hold_a_right_answer() {
        // 1 − C(3, 2)/C(5, 2), 1 − C(12, 8)/C(16, 8), and the share of right ones at k = 1.
        let cases = [(5, 2, 2, 0.7), (16, 4, 8, 1.0 - 495.0 / 12_870.0), (16, 3, 1, 3.0 / 16.0)];
        for (n, right, k, expected) in cases {
            assert!((pass_at(n, right, k) - expected).abs() < 1e-12, "{n} {right} {k}");
        }
        assert_eq!([pass_at(16, 0, 8), pass_at(16, 9, 8), pass_at(16, 16, 8)], [0.0, 1.0, 1.0]);
        assert_eq!(grouped(&[(0, 1), (0, 3), (2, 4)], 3, |count| count as f64), 3.0);
    }

    #[test]
    fn answers_are_sampled_at_the_end_on_the_test_split_and_always_the_same_ones() {
        let ready = set().load(Device::Cpu).unwrap();
        let network = set().network(&trial::streams(), Device::Cpu).unwrap();
        let look = |judged: Judged, last| {
            let split = judged.pick(&ready.splits.validation, &ready.splits.test);
            let model = training::judge::Model::plain(&network);
            let request = EvaluationRequest { model, split, judged, last };
            ready.judge.metrics(&request).unwrap()
        };
        let metrics = look(Judged::Test, true);
        assert_eq!(metrics, look(Judged::Test, true));
        // An untrained policy guesses a last digit now and then, and more often in eight attempts.
        let [sampled, passed] = ["sampled", "pass@8"].map(|name| metrics[name]);
        assert!(sampled > 0.02 && sampled < 0.4 && passed > 1.5 * sampled, "{metrics:?}");
        for metrics in [look(Judged::Test, false), look(Judged::Validation, true)] {
            assert!(!metrics.contains_key("sampled") && !metrics.contains_key("pass@8"));
        }
    }

    #[test]
    fn a_second_arm_of_the_same_seed_starts_from_the_same_bytes_without_training_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Folder::new(folder.path().to_owned(), Digest::of(b"code"));
        let (first, facts) = started(&kept);
        let fresh = set().network(&trial::streams(), Device::Cpu).unwrap().digest().unwrap();
        assert_ne!(first, fresh);
        assert_eq!((first, facts.clone()), started(&kept), "kept");
        assert_eq!((first, facts), started(&training::artefacts::Unkept), "made again");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn labels_are_the_response_and_its_end_and_nothing_else() {
        let ready = set().load(Device::Cpu).unwrap();
        let batch = ready.splits.train.batch(&[0]).unwrap();
        let labels = Vec::<i64>::try_from(&batch.labels.view([-1])).unwrap();
        let inputs = Vec::<i64>::try_from(&batch.inputs.view([-1])).unwrap();
        let asked: Vec<usize> = (0..labels.len()).filter(|at| labels[*at] != IGNORED).collect();
        // Four digits: the first label stands at the last token of the prompt of six.
        assert_eq!(asked, [5, 6, 7, 8, 9]);
        assert_eq!(inputs[5], i64::from(puzzles::ASK));
        assert_eq!(labels[9], END);
        assert_eq!(labels[5..9], inputs[6..10]);
        let verifier = ready.side.verifier.unwrap();
        assert!(verifier.check(0, &labels[5..9]).correct);
        assert!(!verifier.check(0, &[]).well_formed);
    }
}
