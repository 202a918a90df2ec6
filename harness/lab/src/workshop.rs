//! What a method of several stages makes beside the loop, on the clock of its run: texts that networks write, and copies
//! of a network that learn from rows. All of it is told in the record ([`Workshop::facts`]), by digests.
//!
//! A text is drawn from a generator of its stage, prompt and number, so that it does not depend on what is written
//! beside it. Its id is a function of who wrote it, how, for which seed, and its number ([`text_id`]).

use ledger::digest::Digest;
use ledger::order::shuffle;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tch::Tensor;

use crate::LabError;
use crate::generate::{Choice, Options, Prompts, generate};
use crate::gradients::clip;
use crate::init::spread;
use crate::models::gpt::{Shape, gpt};
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::optim::lm::LmSettings;
use crate::orders::pool::{FromPool, Pool};
use crate::prompt::Prompt;
use crate::recipe::{Recipe, Step};
use crate::rendering::{Row, placed, read};
use crate::rollout::rows_of;
use crate::seat::{Batch, Facts, Gradients, Objective as _, Optimizer as _, StepInfo, TaskInfo};
use crate::split::Split;
use crate::stages::Tutor;
use crate::state::State;

/// Texts that are under way at once.
const AT_ONCE: usize = 512;

/// How texts are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner {
    /// Temperature of samples; 0 for the likeliest token each time.
    pub temperature: f64,
    /// Texts behind each prompt.
    pub samples: u32,
    /// Most tokens of a text, its end included.
    pub longest: usize,
    /// Ends a text.
    pub end: i64,
}

impl Manner {
    /// One text, of the likeliest tokens.
    #[must_use]
    pub fn greedy(longest: usize, end: i64) -> Self {
        Self { temperature: 0.0, samples: 1, longest, end }
    }

    fn digest(&self) -> Digest {
        let Self { temperature, samples, longest, end } = self;
        Digest::of_parts(&[
            &temperature.to_le_bytes(),
            &samples.to_le_bytes(),
            &(*longest as u64).to_le_bytes(),
            &end.to_le_bytes(),
        ])
    }
}

/// The id of the text of number `index` among those that the network of digest `writer` wrote in a stage.
#[must_use]
pub fn text_id(
    writer: &Digest,
    stage: &str,
    manner: &Manner,
    seed: &[u8; 32],
    index: u64,
) -> Digest {
    Digest::of_parts(&[
        b"palimpsest/text/v1",
        writer.as_bytes(),
        Digest::of(stage.as_bytes()).as_bytes(),
        manner.digest().as_bytes(),
        seed,
        &index.to_le_bytes(),
    ])
}

/// The error of a stage that leaves nothing to go on with.
#[must_use]
pub fn nothing(stage: &str, reason: &str) -> LabError {
    LabError::Method(format!("stage \"{stage}\" leaves nothing: {reason}"))
}

/// Makes texts and networks, and keeps account of them.
#[derive(Debug)]
pub struct Workshop {
    streams: Streams,
    seed: [u8; 32],
    made: Vec<Value>,
}

impl Workshop {
    /// For a run of these streams.
    #[must_use]
    pub fn new(streams: &Streams) -> Self {
        let mut seed = [0; 32];
        let mut random = streams.generator("texts");
        for part in seed.as_chunks_mut::<8>().0 {
            *part = random.next_u64().to_le_bytes();
        }
        Self { streams: streams.clone(), seed, made: Vec::new() }
    }

    /// The streams of the run.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Texts behind prompts, `samples` of each in a row.
    ///
    /// # Errors
    /// When there is no prompt, or prompt and text exceed the context: with the stage.
    pub fn write(
        &mut self,
        stage: &str,
        network: &Network,
        prompts: &[Prompt],
        manner: &Manner,
    ) -> Result<Vec<Vec<Vec<i64>>>, LabError> {
        if prompts.is_empty() || manner.samples == 0 {
            return Err(nothing(stage, "there is no prompt to write behind"));
        }
        let samples = manner.samples as usize;
        let mut texts = Vec::with_capacity(prompts.len() * samples);
        for some in prompts.chunks((AT_ONCE / samples).max(1)) {
            let written = self.written(stage, network, some, manner);
            texts.extend(written.map_err(|error| match error {
                LabError::Network(reason) => {
                    LabError::Method(format!("stage \"{stage}\": {reason}"))
                }
                other => other,
            })?);
        }
        let (mut ids, mut bytes, mut tokens) = (Sha256::new(), Sha256::new(), 0);
        let writer = network.digest()?;
        for (index, text) in (0..).zip(&texts) {
            ids.update(text_id(&writer, stage, manner, &self.seed, index).as_bytes());
            bytes.update((text.len() as u64).to_le_bytes());
            text.iter().for_each(|token| bytes.update(token.to_le_bytes()));
            tokens += text.len();
        }
        let [ids, bytes] = [ids, bytes].map(|hash| Digest(hash.finalize().into()).to_string());
        self.made.push(json!({
            "stage": stage,
            "writer_sha256": writer.to_string(),
            "temperature": manner.temperature,
            "texts": texts.len(),
            "tokens": tokens,
            "ids_sha256": ids,
            "texts_sha256": bytes,
        }));
        let mut texts = texts.into_iter();
        Ok(prompts.iter().map(|_| texts.by_ref().take(samples).collect()).collect())
    }

    fn written(
        &self,
        stage: &str,
        network: &Network,
        prompts: &[Prompt],
        manner: &Manner,
    ) -> Result<Vec<Vec<i64>>, LabError> {
        let repeated =
            || prompts.iter().flat_map(|prompt| (0..manner.samples).map(move |n| (prompt, n)));
        let lengths: Vec<usize> = repeated().map(|(prompt, _)| prompt.tokens.len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(1).max(1);
        let mut table = vec![0_i64; lengths.len() * width];
        for (place, (prompt, _)) in table.chunks_mut(width).zip(repeated()) {
            place[..prompt.tokens.len()].copy_from_slice(&prompt.tokens);
        }
        let table = Tensor::f_from_slice(&table)?.f_view([-1, width as i64])?;
        let options =
            Options { longest: manner.longest, end: Some(manner.end), ..Options::default() };
        let name = format!("texts/{stage}");
        let generators = repeated().map(|(prompt, n)| self.streams.keyed(&name, prompt.id, n));
        let mut generators: Vec<Pcg64> = generators.collect();
        let choice = if manner.temperature > 0.0 {
            let temperature = manner.temperature;
            Choice::Sample { temperature, generators: &mut generators }
        } else {
            Choice::Greedy
        };
        let prompts = Prompts { tokens: &table, lengths: Some(&lengths) };
        let found = tch::no_grad(|| generate(network, prompts, &options, choice))?;
        Ok(rows_of(&found.tokens, &found.lengths)?)
    }

    /// A copy of `network` that has learned to predict what is asked of `rows`, in `steps` steps of shuffled passes.
    ///
    /// # Errors
    /// When there is no row, or libtorch refuses an operation.
    pub fn learn(
        &mut self,
        stage: &str,
        network: &Network,
        rows: &[Row],
        (settings, steps): (&LmSettings, u64),
    ) -> Result<Network, LabError> {
        if rows.is_empty() {
            return Err(nothing(stage, "there is no example to learn from"));
        }
        let (from, network) = (network.digest()?, network.duplicate());
        let mut rule = settings.optimizer(&network)?;
        let size = (settings.batch_size as usize).clamp(1, rows.len());
        let (name, mut pass, mut queue) = (format!("lesson/{stage}"), 0, Vec::<u32>::new());
        for step in 0..steps {
            if queue.len() < size {
                queue = (0..).take(rows.len()).collect();
                shuffle(&mut self.streams.keyed(&name, 0, pass), &mut queue);
                pass += 1;
            }
            let ids = queue.split_off(queue.len() - size);
            let chosen = ids.iter().map(|id| &rows[*id as usize]);
            let batch = batch_of(&ids, &placed(chosen, 0, network.device())?)?;
            let now = StepInfo {
                step,
                total_steps: steps,
                epoch: 0,
                total_epochs: 1,
                lr_factor: settings.schedule.factor(step, steps),
                pass: 0,
            };
            let mut tensors = tch::with_grad(|| {
                let loss = DefaultLoss::Tokens.loss(&network, &batch, &now)?;
                let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
                Ok::<_, LabError>(Tensor::f_run_backward(&[&loss], &leaves, false, false)?)
            })?;
            tch::no_grad(|| {
                if settings.clip > 0.0 {
                    clip(&mut tensors, settings.clip)?;
                }
                let gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
                rule.update(&network.parameters, &gradients, &now)
            })?;
        }
        self.made.push(json!({
            "stage": stage,
            "from_sha256": from.to_string(),
            "steps": steps,
            "samples": steps * size as u64,
            "parameters_sha256": network.digest()?.to_string(),
        }));
        Ok(network)
    }

    /// What was made, for a run that goes on.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.told("made", &mut self.made)
    }

    /// What was made, in order.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts::from([("made".to_owned(), json!(self.made))])
    }
}

/// A tutor of some 110,000 parameters: a small transformer that learns the first `examples` of the training split, for so many
/// epochs, by the next token. Its initial values are those of [`spread`].
///
/// # Errors
/// When libtorch cannot allocate.
pub fn small_tutor(
    name: &'static str,
    (examples, epochs): (u32, u32),
    lm: &LmSettings,
    task: &TaskInfo<'_>,
) -> Result<Tutor, LabError> {
    let seed = Tutor::seed(task.streams);
    let shape = Shape::xs(task.side.vocabulary(), task.side.context());
    let network = gpt(shape, &Streams::new(seed), task.device())?;
    spread(&network)?;
    let optimizer = Box::new(lm.optimizer(&network)?);
    let step = Step::Gradient { objective: Box::new(DefaultLoss::Tokens), optimizer };
    let recipe = Recipe {
        order: Box::new(FromPool::new(&Pool::of(0..examples), lm.batch_size)),
        clip_norm: (lm.clip > 0.0).then_some(lm.clip),
        ..Recipe::of(lm.batch_size, lm.schedule.clone(), step)
    };
    let mut settings = lm.values();
    settings.insert("tutored".to_owned(), examples.into());
    let samples = u64::from(epochs) * u64::from(examples);
    Ok(Tutor { name, network, recipe: Box::new(recipe), samples, settings, seed })
}

/// A batch of rows that stand for these ids.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn batch_of(ids: &[u32], (inputs, labels): &(Tensor, Tensor)) -> Result<Batch, LabError> {
    let uploaded: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    Ok(Batch {
        ids: ids.to_vec(),
        sample_ids: Tensor::f_from_slice(&uploaded)?.f_to_device(inputs.device())?,
        inputs: inputs.shallow_clone(),
        labels: labels.shallow_clone(),
    })
}

/// The examples of these ids as rows.
///
/// # Errors
/// When an id is outside the split, or its labels are no tokens.
pub fn rows(split: &Split, ids: &[u32]) -> Result<Vec<Row>, LabError> {
    Ok(read(&split.batch(ids)?)?)
}

/// The prompts of these examples, and nothing of what is behind them.
///
/// # Errors
/// When an id is outside the split, or its labels are no tokens.
pub fn prompts(split: &Split, ids: &[u32]) -> Result<Vec<Prompt>, LabError> {
    let rows = rows(split, ids)?;
    let of = |(&id, row): (&u32, Row)| {
        let tokens = row.tokens[..row.prompt()].to_vec();
        Prompt { id, tokens }
    };
    Ok(ids.iter().zip(rows).map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::streams;
    use tch::Device;

    fn network(context: usize) -> Network {
        let shape = Shape { vocabulary: 11, context, width: 32, depth: 1, heads: 2, hidden: 128 };
        gpt(shape, &streams(), Device::Cpu).unwrap()
    }

    fn prompts(count: u32) -> Vec<Prompt> {
        let tokens = |id: u32| (0..=id % 3).map(|place| i64::from((id * 5 + place) % 11)).collect();
        (0..count).map(|id| Prompt { id, tokens: tokens(id) }).collect()
    }

    const MANNER: Manner = Manner { temperature: 1.0, samples: 3, longest: 6, end: 4 };

    #[test]
    fn a_text_is_the_same_whatever_is_written_beside_it() {
        let (network, prompts) = (network(16), prompts(300));
        let mut workshop = Workshop::new(&streams());
        let all = workshop.write("draft", &network, &prompts, &MANNER).unwrap();
        assert!(all.len() == 300 && all.iter().all(|texts| texts.len() == 3));
        for place in [0, 7, 299] {
            let alone = std::slice::from_ref(&prompts[place]);
            assert_eq!(workshop.write("draft", &network, alone, &MANNER).unwrap()[0], all[place]);
        }
        let other = workshop.write("other", &network, &prompts, &MANNER).unwrap();
        assert_ne!(other, all);
        assert!(all.iter().flatten().any(|text| text.last() == Some(&4) && text.len() < 6));
    }

    #[test]
    fn an_id_follows_from_writer_stage_manner_seed_and_number_and_from_each() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let first = text_id(&one, "a", &MANNER, &[0; 32], 0);
        assert_eq!(first, text_id(&one, "a", &MANNER, &[0; 32], 0));
        let greedy = Manner { temperature: 0.0, ..MANNER };
        let others = [
            text_id(&other, "a", &MANNER, &[0; 32], 0),
            text_id(&one, "b", &MANNER, &[0; 32], 0),
            text_id(&one, "a", &greedy, &[0; 32], 0),
            text_id(&one, "a", &MANNER, &[1; 32], 0),
            text_id(&one, "a", &MANNER, &[0; 32], 1),
        ];
        assert!(!others.contains(&first));
    }

    #[test]
    fn a_copy_learns_its_rows_and_the_original_stays() {
        let network = network(16);
        let before = network.digest().unwrap();
        let rows: Vec<Row> = (0..8).map(|n| Row::of(&[n], &[(n + 3) % 11, 4])).collect();
        let settings = LmSettings { batch_size: 8, ..LmSettings::default() };
        let mut workshop = Workshop::new(&streams());
        let learned = workshop.learn("lesson", &network, &rows, (&settings, 150)).unwrap();
        assert_eq!(network.digest().unwrap(), before);
        let prompts: Vec<Prompt> =
            (0..8).map(|id| Prompt { id, tokens: vec![i64::from(id)] }).collect();
        let texts = workshop.write("recital", &learned, &prompts, &Manner::greedy(4, 4)).unwrap();
        let right = (0..).zip(&texts).filter(|(n, text)| text[0] == [(n + 3) % 11, 4]).count();
        assert!(right >= 7, "{right}: {texts:?}");
        let facts = workshop.facts();
        let made = facts["made"].as_array().unwrap();
        assert_eq!((made.len(), &made[0]["samples"]), (2, &json!(1200)));
        assert_eq!(made[0]["parameters_sha256"], made[1]["writer_sha256"]);
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_its_stage() {
        let mut workshop = Workshop::new(&streams());
        let short = workshop.write("draft", &network(4), &prompts(3), &MANNER).unwrap_err();
        let expected = "stage \"draft\": 6 tokens behind 3 in a context of 4";
        assert_eq!(short.to_string(), expected);
        let none = workshop.write("draft", &network(16), &[], &MANNER).unwrap_err().to_string();
        assert_eq!(none, "stage \"draft\" leaves nothing: there is no prompt to write behind");
        let settings = (&LmSettings::default(), 1);
        let none = workshop.learn("lesson", &network(16), &[], settings).unwrap_err().to_string();
        assert_eq!(none, "stage \"lesson\" leaves nothing: there is no example to learn from");
    }
}
