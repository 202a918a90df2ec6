//! Generation by a small GPT, in one thread, in branches and with interrupts, and a step of GRPO on what it generated.

use std::rc::Rc;

use lab::branches::{self, Branching, Tags};
use lab::budgets::{BudgetSettings, Stated};
use lab::generate::{Choice, Generated, Options, generate};
use lab::models::gpt::{Gpt, Shape, gpt};
use lab::network::Network;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::prompt::Prompt;
use lab::reflection::{Reflecting, ReflectionSettings};
use lab::seat::{Batch, Gradients, Optimizer as _, StepInfo, Texts, View as _, Writer as _};
use lab::side_info::{Budgets, ReflectionWords};
use lab::thoughts::{Thinking, Thoughts};
use tch::{Device, Kind, Tensor};
use training::clock::{Monotonic, Time as _};

use crate::task::Task;

const PROMPT: i64 = 12;
const RESPONSE: i64 = 16;
const GROUP: i64 = 8;

/// d = 64 with prompts of 12 and responses of 16 tokens, none of which ends early.
#[derive(Debug)]
pub struct Rollouts {
    network: Network,
    rule: Adamw,
    parameters: Vec<usize>,
    round: u64,
}

impl Rollouts {
    /// Before its first step.
    #[must_use]
    pub fn new() -> Self {
        let network = gpt(Shape::xs(32, 48), &Task::streams(), Device::Cpu).unwrap();
        let settings = AdamwSettings { lr: 1e-5, ..AdamwSettings::default() };
        let rule = Adamw::new(settings, &network, |_, _| true).unwrap();
        let parameters = (0..network.parameters.len()).collect();
        Self { network, rule, parameters, round: 0 }
    }

    /// Seconds that `times` generations for `rows` prompts take.
    #[must_use]
    pub fn generation(&mut self, rows: i64, times: u64) -> f64 {
        let prompts = self.prompts(rows);
        let clock = Monotonic::start();
        for _ in 0..times {
            let generated = self.generate(&prompts);
            assert_eq!(generated.tokens.size(), [rows, RESPONSE]);
        }
        clock.now().as_secs_f64()
    }

    /// Seconds that `times` steps of GRPO take: 8 responses to each of `rows` / 8 prompts and one
    /// update.
    #[must_use]
    pub fn grpo(&mut self, rows: i64, times: u64) -> f64 {
        let prompts = self.prompts(rows / GROUP).repeat_interleave_self_int(GROUP, 0, rows);
        let clock = Monotonic::start();
        for _ in 0..times {
            let generated = self.generate(&prompts);
            self.update(&prompts, &generated);
        }
        clock.now().as_secs_f64()
    }

    fn prompts(&self, rows: i64) -> Tensor {
        let ids = Tensor::arange(rows * PROMPT, (Kind::Int64, Device::Cpu));
        (&ids * &ids * 5 + &ids * 3 + self.round as i64).remainder(32).view([rows, PROMPT])
    }

    fn generate(&mut self, prompts: &Tensor) -> Generated {
        self.round += 1;
        let streams = Task::streams();
        let rows = 0..prompts.size()[0] as u32;
        let mut generators: Vec<_> =
            rows.map(|row| streams.keyed("sample", row, self.round as u32)).collect();
        let options = Options { longest: RESPONSE as usize, ..Options::default() };
        let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
        generate(&self.network, prompts.into(), &options, choice).unwrap()
    }

    /// The clipped surrogate with advantages within groups; the reward is the share of even tokens.
    fn update(&mut self, prompts: &Tensor, generated: &Generated) {
        let even = generated.tokens.remainder(2).eq(0).to_kind(Kind::Float);
        let rewards = even.mean_dim(1, false, None::<Kind>).view([-1, GROUP]);
        let centred = &rewards - rewards.mean_dim(1, true, None::<Kind>);
        let advantages = centred / (rewards.std_dim(1, false, true) + 1e-4);
        let advantages = advantages.view([-1, 1]);
        let tokens = generated.joined(prompts.into()).unwrap();
        let model = Gpt::of(&self.network).unwrap();
        let inputs = tokens.narrow(1, 0, PROMPT + RESPONSE - 1);
        let hidden = model.hidden(&self.network, &inputs).unwrap();
        let logits = model.logits(&self.network, &hidden.narrow(1, PROMPT - 1, RESPONSE)).unwrap();
        let chosen = generated.tokens.unsqueeze(-1);
        let now = logits.log_softmax(-1, None::<Kind>).gather(-1, &chosen, false).squeeze_dim(-1);
        let ratio = (now - &generated.log_probabilities).exp();
        let clipped = ratio.clamp(0.8, 1.2) * &advantages;
        let loss = -(ratio * &advantages).minimum(&clipped).mean(None::<Kind>);
        let leaves: Vec<_> = self.network.parameters.iter().map(|p| &p.tensor).collect();
        let tensors = Tensor::run_backward(&[loss], &leaves, false, false);
        let gradients = Gradients { active: self.parameters.clone(), tensors };
        let now = StepInfo {
            step: self.round,
            total_steps: u64::MAX,
            epoch: 0,
            total_epochs: 1,
            lr_factor: 1.0,
            pass: 0,
        };
        let parameters = &self.network.parameters;
        tch::no_grad(|| self.rule.update(parameters, &gradients, &now)).unwrap();
    }
}

/// Responses of 24 tokens to prompts of 11: with a block of two paths of six tokens, or without; to a budget that the
/// prompt states; and as thoughts that are cut off.
#[derive(Debug)]
pub struct Branches {
    network: Network,
    prompts: Tensor,
    round: u32,
}

impl Branches {
    const PROMPT: i64 = 11;
    const LONGEST: usize = 24;
    const TAGS: Tags =
        Tags { open: 22, path: 23, paths: 3, closed: 26, close: 27, summary: 28, summarised: 29 };

    const THOUGHTS: Thoughts =
        Thoughts { open: 20, close: 21, longest: 22, shortest: 1, prefix: 10 };

    /// A policy that opens a block at once, and ends neither a path, a thought nor a response.
    #[must_use]
    pub fn new(rows: i64) -> Self {
        let network = gpt(Shape::xs(32, 48), &Task::streams(), Device::Cpu).unwrap();
        let [_, bias] = Gpt::of(&network).unwrap().head();
        let bias = network.parameters[bias].tensor.detach();
        let _ = bias.get(Self::TAGS.open).fill_(30.0);
        for never in [0, Self::TAGS.closed, Self::THOUGHTS.close] {
            let _ = bias.get(never).fill_(-30.0);
        }
        let ids = Tensor::arange(rows * Self::PROMPT, (Kind::Int64, Device::Cpu));
        let prompts = (&ids * &ids * 5 + &ids * 3).remainder(20) + 1;
        Self { network, prompts: prompts.view([rows, Self::PROMPT]), round: 0 }
    }

    /// Seconds that `times` roll-outs with a block in every response take.
    #[must_use]
    pub fn branched(&mut self, times: u64) -> f64 {
        let (tags, longest_path) = (Self::TAGS, 6);
        let branching = Branching { tags, longest_path, blocks: 1, isolated: true };
        let (longest, end) = (Self::LONGEST, 0);
        let options = branches::Options { longest, end, branching, paths: 2, forbidden: false };
        let streams = Task::streams();
        let clock = Monotonic::start();
        for _ in 0..times {
            self.round += 1;
            let choice = branches::Choice::Sample { streams: &streams, step: self.round };
            let all = branches::respond(&self.network, &self.prompts, &options, choice).unwrap();
            let branched = |all: &branches::Response| {
                all.blocks == [[1..7, 7..13]] && all.tokens.len() == Self::LONGEST
            };
            assert!(all.iter().all(branched));
        }
        clock.now().as_secs_f64()
    }

    /// Seconds that `times` roll-outs of as many tokens in one thread take.
    #[must_use]
    pub fn plain(&mut self, times: u64) -> f64 {
        let prompts = self.prompts.shallow_clone();
        let clock = Monotonic::start();
        for _ in 0..times {
            self.thread(&prompts);
        }
        clock.now().as_secs_f64()
    }

    /// Seconds that `times` such roll-outs to prompts that state the budget of the step take.
    #[must_use]
    pub fn budgeted(&mut self, times: u64) -> f64 {
        let budgets = Budgets { place: 1, first: 8, largest: 12, shortest: 4 };
        let mut view = Stated { settings: BudgetSettings::default(), budgets };
        let streams = Task::streams();
        let ids: Vec<u32> = (0..self.prompts.size()[0] as u32).collect();
        let clock = Monotonic::start();
        for _ in 0..times {
            let mut batch = Batch {
                ids: ids.clone(),
                sample_ids: self.prompts.select(1, 0),
                inputs: self.prompts.shallow_clone(),
                labels: self.prompts.shallow_clone(),
            };
            let step = u64::from(self.round);
            let (total_steps, epoch, total_epochs) = (u64::MAX, 0, 1);
            let now = StepInfo { step, total_steps, epoch, total_epochs, lr_factor: 1.0, pass: 0 };
            view.render(&mut batch, &now, &streams).unwrap();
            self.thread(&batch.inputs);
        }
        clock.now().as_secs_f64()
    }

    /// Seconds that `times` roll-outs of as many tokens as thoughts take, each cut off at the longest one and read.
    #[must_use]
    pub fn thinking(&mut self, times: u64) -> f64 {
        let flat = Vec::<i64>::try_from(&self.prompts.view([-1])).unwrap();
        // The mark that opens a thought is the last token of what would be the prompt.
        let rows = flat.chunks_exact(Self::PROMPT as usize);
        let prefixes: Vec<Vec<i64>> = rows.map(|row| row[..row.len() - 1].to_vec()).collect();
        let streams = Task::streams();
        let clock = Monotonic::start();
        for _ in 0..times {
            self.round += 1;
            let drawn = (&streams, self.round);
            let all =
                Thinking::sampled(&self.network, &Self::THOUGHTS, &prefixes, 1, drawn).unwrap();
            assert!(
                all.said.iter().all(|said| said.length == Self::LONGEST && said.token.is_none())
            );
        }
        clock.now().as_secs_f64()
    }

    fn thread(&mut self, prompts: &Tensor) {
        self.round += 1;
        let streams = Task::streams();
        let options = Options { longest: Self::LONGEST, ..Options::default() };
        let rows = 0..prompts.size()[0] as u32;
        let mut generators: Vec<_> =
            rows.map(|row| streams.keyed("sample", row, self.round)).collect();
        let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
        let all = generate(&self.network, prompts.into(), &options, choice).unwrap();
        assert!(all.lengths.iter().all(|length| *length == Self::LONGEST));
    }
}

/// Texts of 32 tokens behind prompts of 12, by a model that holds its first stretch of 8 for harmful once: 8 tokens are thrown
/// away and a question is asked, 41 in all; or in one go as many.
#[derive(Debug)]
pub struct Reflections {
    network: Network,
    prompts: Vec<Prompt>,
    tokens: Tensor,
    round: u32,
}

impl Reflections {
    const WORDS: ReflectionWords = ReflectionWords { ask: 29, harmful: 30, harmless: 31 };
    const LONGEST: usize = 32;
    const SPENT: usize = Self::LONGEST + 8 + 1;

    /// A model that always answers that it did harm.
    #[must_use]
    pub fn new(rows: u32) -> Self {
        let network = gpt(Shape::xs(32, 60), &Task::streams(), Device::Cpu).unwrap();
        let [_, bias] = Gpt::of(&network).unwrap().head();
        let _ = network.parameters[bias].tensor.detach().get(Self::WORDS.harmful).fill_(30.0);
        let one = |id: u32| -> Vec<i64> {
            (0..PROMPT).map(|place| (i64::from(id) * 7 + place * place * 5 + 3) % 29).collect()
        };
        let prompts: Vec<Prompt> = (0..rows).map(|id| Prompt { id, tokens: one(id) }).collect();
        let flat: Vec<i64> = prompts.iter().flat_map(|prompt| prompt.tokens.clone()).collect();
        let tokens = Tensor::from_slice(&flat).view([-1, PROMPT]);
        Self { network, prompts, tokens, round: 0 }
    }

    /// Seconds that `times` times all texts take with one interrupt and one roll-back each.
    #[must_use]
    pub fn reflected(&mut self, times: u64) -> f64 {
        let settings = ReflectionSettings { rounds: 1, interval: 8, ..Default::default() };
        let writer = Reflecting { settings, words: Self::WORDS, foresight: Rc::default() };
        let streams = Task::streams();
        let banned = [Self::WORDS.ask, Self::WORDS.harmful, Self::WORDS.harmless];
        let clock = Monotonic::start();
        for _ in 0..times {
            self.round += 1;
            let texts = Texts {
                prompts: &self.prompts,
                longest: Self::LONGEST,
                end: None,
                temperature: 1.0,
                banned: &banned,
                streams: &streams,
            };
            let all = writer.write(&self.network, &texts).unwrap();
            assert!(all.iter().all(|text| text.spent == Self::SPENT as u64));
            assert!(all.iter().all(|text| text.tokens.len() == Self::LONGEST));
        }
        clock.now().as_secs_f64()
    }

    /// Seconds that `times` times as many texts in one go take, of as many tokens as were spent.
    #[must_use]
    pub fn plain(&mut self, times: u64) -> f64 {
        let streams = Task::streams();
        let banned = vec![Self::WORDS.ask, Self::WORDS.harmful, Self::WORDS.harmless];
        let options = Options { longest: Self::SPENT, banned, end: None };
        let clock = Monotonic::start();
        for _ in 0..times {
            self.round += 1;
            let rows = (0..).take(self.prompts.len());
            let mut generators: Vec<_> =
                rows.map(|row| streams.keyed("sample", row, self.round)).collect();
            let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
            let all = generate(&self.network, (&self.tokens).into(), &options, choice).unwrap();
            assert!(all.lengths.iter().all(|length| *length == Self::SPENT));
        }
        clock.now().as_secs_f64()
    }
}
