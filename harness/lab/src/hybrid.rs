//! Reward and imitation in one loss, prompt by prompt: what is sampled decides which of the two a prompt is
//! learned by, and forward tokens are counted, so that what differs in sampling can be compared.
//!
//! Source: Lv, Zuo, Sun et al., arXiv:2509.04419; TsinghuaC3I/Unify-Post-Training@ae332f5 `mix_trainer.py`.

use ledger::settings::Range;
use ledger::{choice, settings};
use serde_json::json;
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::network::Network;
use crate::objectives::{DefaultLoss, IGNORED, token_losses};
use crate::policy::{PolicyGradient, PolicySettings};
use crate::seat::{Batch, Costs, Facts, Measures, Objective, Stage, StepInfo, TaskInfo};
use crate::split::Split;
use crate::state::State;

choice! {
    /// What a prompt is learned by.
    pub enum Rule {
        /// By reward above the gate, else by its demonstration.
        Hpt = "hpt",
        /// By its demonstration.
        Sft = "sft",
        /// By reward.
        Rl = "rl",
        /// By demonstrations first, by reward then.
        SftThenRl = "sft-then-rl",
        /// By both, at fixed weights.
        Mixture = "mixture",
    }
}

choice! {
    /// How losses of a demonstration's tokens become one number.
    pub enum Average {
        /// The mean of each.
        Demonstration = "demonstration",
        /// The mean over all tokens of a step's demonstrations, however few these are.
        Tokens = "tokens",
    }
}

settings! {
    /// Settings of the mixture.
    pub struct HybridSettings {
        /// What a prompt is learned by.
        rule: Rule = Rule::Hpt, from "arXiv:2509.04419, algorithm 1";
        /// Right responses up to which a prompt is learned by its demonstration.
        gate: u32 = 0, range Range::of(0.0..), from "exp_scripts/train.sh; train_llama.sh: 2";
        /// Share of the steps that imitate, of sft-then-rl.
        switch: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed";
        /// Weight of imitation in a mixture.
        share: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed: as much of both";
        /// Factor on the loss of demonstrations.
        imitation: f64 = 1.0, range Range::of(0.0..), from "exp_scripts/train.sh sft_loss_coef";
        /// How losses of a demonstration's tokens become one number.
        average: Average = Average::Demonstration, from "arXiv:2509.04419, eq. of L_SFT";
        /// Forward tokens that the run may take: once they are spent its steps neither sample nor learn; 0 for no end.
        tokens: f64 = 0.0, range Range::of(0.0..), from "none: arms of equal steps";
        use policy: PolicySettings;
    }
}

impl HybridSettings {
    /// Whether no prompt of the step is asked for responses.
    fn imitates(&self, now: &StepInfo) -> bool {
        let first = (now.step as f64) < self.switch * now.total_steps as f64;
        self.rule == Rule::Sft || (self.rule == Rule::SftThenRl && first)
    }

    /// α and β: weights of reward and imitation for a prompt of which so many responses were right.
    fn weights(&self, solved: usize, now: &StepInfo) -> [f64; 2] {
        match self.rule {
            Rule::Mixture => [1.0 - self.share, self.share],
            Rule::Hpt if solved <= self.gate as usize => [0.0, 1.0],
            _ if self.imitates(now) => [0.0, 1.0],
            _ => [1.0, 0.0],
        }
    }
}

/// Some prompts of a batch and the weights of their losses.
#[derive(Debug, Default)]
struct Branch {
    places: Vec<usize>,
    weights: Vec<f64>,
}

impl Branch {
    fn push(&mut self, place: usize, weight: f64) {
        self.places.push(place);
        self.weights.push(weight);
    }

    /// The same places on the device of `like`.
    fn rows(&self, like: &Tensor) -> Result<Tensor, TchError> {
        let rows: Vec<i64> = self.places.iter().map(|place| *place as i64).collect();
        Tensor::f_from_slice(&rows)?.f_to_device(like.device())
    }

    /// `all`, one loss for each prompt of the batch, with `losses` of these added by their weights.
    fn add(&self, all: &Tensor, losses: &Tensor) -> Result<Tensor, TchError> {
        let weights = Tensor::f_from_slice(&self.weights)?.f_to_kind(losses.kind())?;
        let losses = losses.f_mul(&weights.f_to_device(losses.device())?)?;
        all.f_index_add(0, &self.rows(all)?, &losses)
    }
}

/// The share of prompts that imitated, of those and all.
fn share([imitated, all]: [u64; 2]) -> f64 {
    imitated as f64 / all.max(1) as f64
}

/// What a run has come to.
#[derive(Debug, Default)]
struct Counts {
    sampled: usize,
    trained: usize,
    /// Prompts with a share of imitation, and all, in each tenth of the run.
    tenths: [[u64; 2]; 10],
    /// The same since the last evaluation.
    since: [u64; 2],
    /// Prompts that were to be learned by a demonstration and have none.
    lacking: u64,
    /// Steps behind the last token.
    idle: u64,
}

crate::kept!(Counts { sampled, trained, tenths, since, lacking, idle });

/// A policy gradient on some prompts and the likelihood of a demonstration on others, or both.
#[derive(Debug)]
pub struct Hybrid {
    settings: HybridSettings,
    policy: PolicyGradient,
    /// Tokens of a prompt.
    prompt: usize,
    rewarded: Branch,
    imitated: Branch,
    counts: Counts,
}

impl Hybrid {
    /// For a task with a verifier, and with demonstrations as labels.
    ///
    /// # Errors
    /// When the workload verifies nothing.
    pub fn new(settings: HybridSettings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let policy = PolicyGradient::new(settings.policy.clone(), task)?;
        let prompt = task.side.verifier.as_ref().and_then(|verifier| verifier.prompt_length());
        Ok(Self {
            settings,
            policy,
            prompt: prompt.unwrap_or(0),
            rewarded: Branch::default(),
            imitated: Branch::default(),
            counts: Counts::default(),
        })
    }

    /// Whether all tokens of the run are taken.
    fn is_spent(&self) -> bool {
        let taken = (self.counts.sampled + self.counts.trained) as f64;
        self.settings.tokens > 0.0 && taken >= self.settings.tokens
    }

    /// How many responses to each of `prompts` prompts were right.
    fn solved(&self, prompts: usize) -> Vec<usize> {
        let Some(rollouts) = self.policy.rollouts() else { return vec![0; prompts] };
        let group = rollouts.outcomes.len() / prompts.max(1);
        let groups = rollouts.outcomes.chunks(group.max(1));
        groups.map(|group| group.iter().filter(|outcome| outcome.correct).count()).collect()
    }

    /// Tokens of what is sampled or kept, prompts included.
    fn rolled(&self) -> usize {
        let each = self.policy.rollouts().map(|rollouts| rollouts.lengths.iter());
        each.into_iter().flatten().map(|length| self.prompt + length).sum()
    }

    /// Losses of the demonstrations of the prompts that imitate.
    fn demonstrated(&self, network: &Network, batch: &Batch) -> Result<Tensor, LabError> {
        let rows = self.imitated.rows(&batch.labels)?;
        let labels = batch.labels.f_index_select(0, &rows)?;
        let outputs = network.forward(&batch.inputs.f_index_select(0, &rows)?, true)?;
        if self.settings.average == Average::Demonstration {
            return Ok(DefaultLoss::Tokens.of_outputs(&outputs, &labels)?);
        }
        let each = token_losses(&outputs, &labels)?;
        let asked = labels.f_ne(IGNORED)?.f_sum(each.kind())?.f_clamp_min(1.0)?;
        let sums = each.f_sum_dim_intlist(1, false, each.kind())?;
        // The mean over the batch, prompts without imitation included, is then that over tokens.
        Ok(sums.f_mul_scalar(batch.ids.len() as f64)?.f_div(&asked)?)
    }
}

impl Objective for Hybrid {
    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.policy.start(network, train)
    }

    /// What learns by reward after it has imitated is trained anew.
    fn stage(&self, now: &StepInfo) -> Stage {
        let second = self.settings.rule == Rule::SftThenRl && !self.settings.imitates(now);
        let lr_factor = if self.is_spent() { 0.0 } else { 1.0 };
        Stage { index: u32::from(second), lr_factor }
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        (self.rewarded, self.imitated) = (Branch::default(), Branch::default());
        if self.is_spent() {
            self.counts.idle += 1;
            return Ok(());
        }
        let alone = self.settings.imitates(now);
        if !alone {
            self.policy.before_step(network, batch, now)?;
            let looks = 1 + usize::from(self.settings.policy.beta > 0.0);
            self.counts.sampled += looks * self.rolled();
        }
        let asked = batch.labels.f_ne(IGNORED)?.f_sum_dim_intlist(1, false, Kind::Int64)?;
        let asked = Vec::<i64>::try_from(asked.f_to_device(Device::Cpu)?)?;
        let mut shown = 0;
        let n = batch.ids.len();
        let solved = if alone { vec![0; n] } else { self.solved(n) };
        for (place, (solved, asked)) in solved.into_iter().zip(asked).enumerate() {
            let [mut alpha, mut beta] = self.settings.weights(solved, now);
            if beta > 0.0 && asked == 0 {
                self.counts.lacking += 1;
                [alpha, beta] = [if alone { 0.0 } else { 1.0 }, 0.0];
            }
            if alpha > 0.0 {
                self.rewarded.push(place, alpha);
            }
            if beta > 0.0 {
                self.imitated.push(place, beta * self.settings.imitation);
                shown += self.prompt + asked as usize;
            }
        }
        if !alone {
            self.policy.keep(&self.rewarded.places)?;
            shown += self.rolled();
        }
        self.counts.trained += shown * self.passes() as usize;
        let tenth = 10 * now.step / now.total_steps.max(1);
        for [imitated, all] in
            [&mut self.counts.tenths[tenth.min(9) as usize], &mut self.counts.since]
        {
            *imitated += self.imitated.places.len() as u64;
            *all += batch.ids.len() as u64;
        }
        Ok(())
    }

    fn passes(&self) -> u32 {
        self.policy.passes()
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let n = batch.ids.len();
        let whole = self.rewarded.weights == vec![1.0; n] && self.imitated.places.is_empty();
        if whole {
            return self.policy.losses(network, batch, now);
        }
        // Held to the network, so that there is a gradient where nothing is learned.
        let first = &network.parameters[0].tensor;
        let mut losses = first.f_mul_scalar(0.0)?.f_sum(first.kind())?.f_repeat([n as i64])?;
        if !self.rewarded.places.is_empty() {
            let own = self.policy.losses(network, batch, now)?;
            losses = self.rewarded.add(&losses, &own)?;
        }
        if !self.imitated.places.is_empty() {
            losses = self.imitated.add(&losses, &self.demonstrated(network, batch)?)?;
        }
        Ok(losses)
    }

    fn scores(&self) -> Option<&[f64]> {
        self.policy.scores()
    }

    fn costs(&self) -> Costs {
        let Counts { sampled, trained, .. } = &self.counts;
        let mut costs = self.policy.costs();
        costs.insert("forward_tokens", (sampled + trained) as u64);
        costs
    }

    fn measures(&mut self) -> Measures {
        let since = std::mem::take(&mut self.counts.since);
        let imitated = (since[1] > 0).then(|| ("imitated", share(since)));
        imitated.into_iter().collect()
    }

    fn facts(&self) -> Facts {
        let Counts { sampled, trained, tenths, lacking, idle, since: _ } = &self.counts;
        let all = tenths.iter().fold([0, 0], |[a, b]: [u64; 2], [c, d]| [a + c, b + d]);
        let mut facts = self.policy.facts();
        facts.extend(
            [
                ("forward_tokens_sampled", json!(sampled)),
                ("forward_tokens_trained", json!(trained)),
                ("imitated", json!(share(all))),
                ("imitated_by_tenth", json!(tenths.map(share))),
                ("without_demonstration", json!(lacking)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if self.settings.tokens > 0.0 {
            let of_stated = (sampled + trained) as f64 / self.settings.tokens;
            facts.insert("forward_tokens_of_stated".to_owned(), json!(of_stated));
            let equal = (of_stated - 1.0).abs() <= 0.05;
            facts.insert("forward_tokens_within_5_percent".to_owned(), json!(equal));
            facts.insert("idle_steps".to_owned(), json!(idle));
        }
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.policy.state(state)?;
        state.of("counts", &mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::advantage::{Aggregate, Norm, surrogate};
    use crate::network::values;
    use crate::rollout::{RolloutSettings, Rollouts};
    use crate::trial::{self, Bandit, END, Never, prompt, step_info};

    /// A bandit whose prompts have demonstrations: a right token and an end, of prompt 4 two right tokens.
    fn bandit() -> Bandit {
        let mut bandit = trial::bandit().unwrap();
        let rows = (0..trial::PROMPTS).map(|id| {
            let token = prompt(id);
            if token == 4 { [4, 4, 4, END] } else { [token, token, END, END] }
        });
        let labels = (0..trial::PROMPTS).map(|id| {
            let token = prompt(id);
            if token == 4 { [4, 4, END, IGNORED] } else { [token, END, IGNORED, IGNORED] }
        });
        let table = |rows: Vec<[i64; 4]>| Tensor::from_slice(rows.as_flattened()).view([-1, 4]);
        bandit.prompts = Split {
            stored: table(rows.collect()),
            labels: table(labels.collect()),
            groups: bandit.prompts.groups.clone(),
        };
        bandit
    }

    fn hybrid(bandit: &Bandit, rule: Rule) -> Hybrid {
        Hybrid::new(HybridSettings { rule, ..HybridSettings::default() }, &bandit.task()).unwrap()
    }

    /// Gradients of all parameters, one after the other, of the step's loss on these prompts.
    fn gradient(bandit: &Bandit, hybrid: &mut Hybrid, ids: &[u32]) -> Vec<f32> {
        let batch = bandit.prompts.batch(ids).unwrap();
        let now = step_info(0, 10);
        tch::no_grad(|| hybrid.before_step(&bandit.network, &batch, &now)).unwrap();
        flat(bandit, &hybrid.loss(&bandit.network, &batch, &now).unwrap())
    }

    fn flat(bandit: &Bandit, loss: &Tensor) -> Vec<f32> {
        let leaves: Vec<_> = bandit.network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &leaves, false, false).unwrap();
        let known = gradients.iter().filter(|gradient| gradient.defined());
        known.flat_map(|gradient| values(gradient).unwrap()).collect()
    }

    fn largest(values: &[f32]) -> f32 {
        values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
    }

    #[test]
    fn the_number_solved_decides_the_branch_as_in_the_table() {
        let at = |gate, solved| {
            let settings = HybridSettings { gate, ..HybridSettings::default() };
            settings.weights(solved, &step_info(0, 10))
        };
        assert_eq!([at(0, 0), at(0, 1), at(0, 8)], [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]);
        assert_eq!([at(2, 0), at(2, 2), at(2, 3)], [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]);
        let of = |rule, step| {
            let settings = HybridSettings { rule, switch: 0.3, ..HybridSettings::default() };
            settings.weights(0, &step_info(step, 10))
        };
        assert_eq!([of(Rule::Sft, 9), of(Rule::Rl, 0)], [[0.0, 1.0], [1.0, 0.0]]);
        assert_eq!([of(Rule::SftThenRl, 2), of(Rule::SftThenRl, 3)], [[0.0, 1.0], [1.0, 0.0]]);
        assert_eq!(of(Rule::Mixture, 5), [0.5, 0.5]);
    }

    #[test]
    fn three_of_eight_right_have_the_advantages_of_the_text_and_of_the_scripts() {
        let rewards: Vec<f64> = (0..8).map(|place| f64::from(u8::from(place < 3))).collect();
        let text = HybridSettings::default().policy.advantage.norm().advantages(&rewards);
        let scripts = Norm::MeanOnly.advantages(&rewards);
        assert_eq!((scripts[0], scripts[7]), (0.625, -0.375));
        assert!((text[0] - 1.207_612).abs() < 2e-6 && (text[7] + 0.724_567).abs() < 2e-6);
    }

    #[test]
    fn where_nothing_is_solved_reward_has_no_gradient_and_demonstrations_have_one() {
        let mut bandit = bandit();
        bandit.side.verifier = Some(Arc::new(Never));
        let ids = [0, 1, 2, 5];
        let none = gradient(&bandit, &mut hybrid(&bandit, Rule::Rl), &ids);
        assert_eq!(largest(&none), 0.0);
        let mut own = hybrid(&bandit, Rule::Hpt);
        assert!(largest(&gradient(&bandit, &mut own, &ids)) > 0.01);
        let facts = own.facts();
        assert_eq!((&facts["imitated"], &facts["never_accepted"]), (&json!(1.0), &json!(true)));
        // Told once: what comes after the next evaluation is another share.
        assert_eq!(
            (own.measures(), own.measures()),
            (Measures::from([("imitated", 1.0)]), Measures::new())
        );
    }

    #[test]
    fn whether_a_run_came_within_a_twentieth_of_the_stated_tokens_is_said() {
        let bandit = bandit();
        let told = |tokens: f64| {
            let settings = HybridSettings { rule: Rule::Sft, tokens, ..HybridSettings::default() };
            let mut hybrid = Hybrid::new(settings, &bandit.task()).unwrap();
            // Two prompts of one token, shown two and three.
            gradient(&bandit, &mut hybrid, &[0, 2]);
            assert_eq!(hybrid.costs()["forward_tokens"], 7);
            hybrid.facts().get("forward_tokens_within_5_percent").cloned()
        };
        assert_eq!(
            [7.0, 6.7, 7.3].map(told),
            [Some(json!(true)), Some(json!(true)), Some(json!(true))]
        );
        assert_eq!([6.6, 7.4].map(told), [Some(json!(false)), Some(json!(false))]);
        assert_eq!(told(0.0), None);
    }

    #[test]
    fn once_its_tokens_are_spent_a_run_neither_samples_nor_learns() {
        let bandit = bandit();
        let ids = [0, 1, 2, 5];
        for rule in [Rule::Hpt, Rule::Sft] {
            let mut hybrid = hybrid(&bandit, rule);
            hybrid.settings.tokens = 1.0;
            assert_eq!(hybrid.stage(&step_info(0, 10)).lr_factor, 1.0);
            assert!(largest(&gradient(&bandit, &mut hybrid, &ids)) > 0.0);
            let taken = hybrid.costs();
            assert!(taken["forward_tokens"] > 1);
            assert_eq!(hybrid.stage(&step_info(1, 10)).lr_factor, 0.0);
            assert_eq!(largest(&gradient(&bandit, &mut hybrid, &ids)), 0.0);
            assert_eq!((hybrid.costs(), &hybrid.facts()["idle_steps"]), (taken, &json!(1)));
        }
    }

    #[test]
    fn with_every_part_at_its_value_for_imitation_the_estimator_has_the_gradient_of_the_likelihood()
    {
        let bandit = bandit();
        let ids = [0, 1, 2, 4];
        // π_ref = π_θ, Â = 1, nothing clipped: the surrogate on demonstrations as if they had been sampled.
        let prompts = Tensor::from_slice(&ids.map(prompt)).view([4, 1]);
        let shown = |id| match prompt(id) {
            4 => vec![4, 4, END],
            token => vec![token, END],
        };
        let rollouts = Rollouts::new(&prompts, &ids.map(shown)).unwrap();
        let own = rollouts.log_probabilities(&bandit.network).unwrap();
        let losses = surrogate(&own, &own.detach(), &Tensor::from(1.0_f32), None).unwrap();
        let weights = Aggregate::SequenceMean.weights(&rollouts.mask, 4).unwrap();
        let unified = losses.f_mul(&weights).unwrap().sum_dim_intlist(1, false, Kind::Float);
        let unified = flat(&bandit, &unified.mean(Kind::Float));
        let imitation = gradient(&bandit, &mut hybrid(&bandit, Rule::Sft), &ids);
        assert!(largest(&imitation) > 0.01);
        assert_eq!(unified.len(), imitation.len());
        for (found, expected) in unified.iter().zip(&imitation) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn a_batch_of_both_branches_has_the_sum_of_their_gradients_each_by_its_share() {
        let bandit = bandit();
        let ids = [0, 1, 2, 3, 4, 5, 6, 7];
        let mut both = hybrid(&bandit, Rule::Hpt);
        // A single response a prompt is right or wrong: some of either.
        let rollouts = RolloutSettings { responses: 2, ..RolloutSettings::default() };
        let mut policy = PolicySettings { rollouts, ..PolicySettings::default() };
        policy.advantage.aggregate = Aggregate::SequenceMean;
        both.settings.policy = policy.clone();
        both.policy = PolicyGradient::new(policy, &bandit.task()).unwrap();
        let found = gradient(&bandit, &mut both, &ids);
        let (rewarded, imitated) = (&both.rewarded.places, &both.imitated.places);
        assert!(!rewarded.is_empty() && !imitated.is_empty(), "{rewarded:?} {imitated:?}");
        assert_eq!(rewarded.len() + imitated.len(), 8);
        let batch = bandit.prompts.batch(&ids).unwrap();
        let now = step_info(0, 10);
        let reward = both.policy.losses(&bandit.network, &batch, &now).unwrap().sum(Kind::Float);
        let reward = flat(&bandit, &reward);
        let shown: Vec<u32> = imitated.iter().map(|place| ids[*place]).collect();
        let shown = gradient(&bandit, &mut hybrid(&bandit, Rule::Sft), &shown);
        let n = imitated.len() as f32;
        for ((found, reward), shown) in found.iter().zip(reward).zip(shown) {
            let expected = (reward + n * shown) / 8.0;
            assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
        }
    }

    #[test]
    fn by_tokens_every_token_of_the_demonstrations_weighs_the_same() {
        let bandit = bandit();
        let loss = |average, ids: &[u32]| {
            let settings = HybridSettings { rule: Rule::Sft, average, ..Default::default() };
            let mut hybrid = Hybrid::new(settings, &bandit.task()).unwrap();
            let batch = bandit.prompts.batch(ids).unwrap();
            let now = step_info(0, 10);
            tch::no_grad(|| hybrid.before_step(&bandit.network, &batch, &now)).unwrap();
            hybrid.loss(&bandit.network, &batch, &now).unwrap().double_value(&[])
        };
        // Prompt 0 is shown two tokens, prompt 2 three.
        let [short, long] = [[0], [2]].map(|id| loss(Average::Demonstration, &id));
        assert!((loss(Average::Demonstration, &[0, 2]) - f64::midpoint(short, long)).abs() < 1e-6);
        let expected = (2.0 * short + 3.0 * long) / 5.0;
        assert!((loss(Average::Tokens, &[0, 2]) - expected).abs() < 1e-6);
        assert!((short - long).abs() > 1e-4);
    }
}
