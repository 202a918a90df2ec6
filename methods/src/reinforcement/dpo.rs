//! # DPO: direct preference optimisation on pairs made by a verifier
//!
//! ## Mechanism
//! Before training, the start samples `responses` answers to every training prompt; the first that the
//! verifier accepts and the first that it rejects make a pair (y_w, y_l), and prompts without both are left
//! out. Loss of a pair: `−log σ(β[(log π_θ(y_w) − log π_ref(y_w)) − (log π_θ(y_l) − log π_ref(y_l))])`,
//! log-probabilities summed over tokens, π_ref the start. Nothing is sampled while it trains. In the record:
//! the mean margin of implicit rewards `β(log π_θ − log π_ref)` between the two sides, and the share of pairs
//! with one above 0, over the last quarter of the steps.
//!
//! ## Claim
//! Summaries of TL;DR: preferred over the reference 61 % of the time against 57 % for PPO at its best
//! temperature (section 6.2). Here: accuracy over the common start.
//!
//! ## Sources
//! Rafailov et al., arXiv:2305.18290 (β 0.1 to 0.5); the authors' eric-mitchell/direct-preference-optimization
//! (RMSprop at 5e-7 after 150 steps of warm-up, 64 pairs a step, gradients of norm 10 at most);
//! huggingface/trl@f2cd57710 `dpo_trainer.py` (β 0.1, sigmoid, no label smoothing).
//!
//! ## Differences
//! - Pairs come from a verifier and the start itself, not from people and another model.
//! - One pair per prompt, so as many pairs as prompts that have both; the sampling of all responses is
//!   inside the run's clock, though not in its budget of samples.
//! - Ids of an epoch are shuffles of the eligible prompts, repeated to the length of the training split.
//! - Without a single pair nothing is learned: the run keeps its start, and says `pairs: 0`.
//! - Assumed: AdamW at 1e-3 (trl: 1e-6), 16 pairs a step, a constant rate without warm-up.

use lab::LabError;
use lab::method::Method;
use lab::network::{Network, values};
use lab::objectives::preference::preferred;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::Eligible;
use lab::recipe::{Recipe, Step};
use lab::rollout::{Roller, RolloutSettings, Rollouts};
use lab::seat::{Batch, Costs, Facts, Objective, StepInfo, TaskInfo};
use lab::split::Split;
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use tch::{TchError, Tensor};

/// Prompts that are answered at a time before training.
const AT_ONCE: usize = 64;

settings! {
    /// Settings of `dpo`.
    pub struct Settings {
        /// β: how much a margin counts.
        beta: f64 = 0.1, range Range::above(0.0), from "trl; arXiv:2305.18290: 0.1, TL;DR 0.5";
        /// Responses that a prompt's pair is looked for in.
        responses: u32 = 8, range Range::of(2.0..=64.0), from "assumed: as grpo";
        /// Pairs per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: as grpo";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "trl max_grad_norm; the authors: 10";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "preference loss on pairs of a solved and an unsolved response from the start",
    paper: Paper {
        title: "Direct preference optimization: your language model is secretly a reward model",
        authors: "Rafailov et al.",
        year: 2023,
        reference: "arXiv:2305.18290",
        code: "huggingface/trl@f2cd57710",
    },
    claim: PaperClaim {
        statement: "preferences improve on the supervised start without reinforcement learning",
        number: "TL;DR: win rate 61 against 57 % for PPO",
        source: "arXiv:2305.18290, section 6.2",
    },
    baseline: Some("untrained"),
    needs: &[offers::VERIFIER, offers::PROMPTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { beta, responses, batch_size, clip_norm, schedule, adamw } =
            Settings::read(values)?;
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(Preferences::new(beta, responses, task)?);
        let step = Step::Gradient { objective, optimizer };
        Ok(Recipe {
            order: Box::new(Eligible),
            clip_norm: Some(clip_norm),
            ..Recipe::of(batch_size, schedule, step)
        })
    },
};

/// A solved and an unsolved response.
type Pair = [Vec<i64>; 2];

/// How many pairs there are, the sum of their margins of implicit rewards, and how many margins are above 0,
/// from log π_θ − log π_ref of solved, then unsolved responses, 2B; `paired`, B, is 0 where there is no pair.
fn implicit(margins: &Tensor, paired: &Tensor, beta: f64) -> Result<[f64; 3], TchError> {
    let (margins, paired) = (values(margins)?, values(paired)?);
    let (won, lost) = margins.split_at(paired.len());
    let margins = won.iter().zip(lost).map(|(won, lost)| beta * f64::from(won - lost));
    let margins =
        margins.zip(paired).filter_map(|(margin, paired)| (paired > 0.0).then_some(margin));
    Ok(margins.fold([0.0; 3], |[pairs, sum, right], margin| {
        [pairs + 1.0, sum + margin, right + f64::from(u8::from(margin > 0.0))]
    }))
}

#[derive(Debug)]
struct Preferences {
    beta: f64,
    roller: Roller,
    /// What [`implicit`] says of pairs seen in the last quarter of the steps, summed.
    implicit: [f64; 3],
    /// By training example.
    pairs: Vec<Option<Pair>>,
    reference: Option<Network>,
    /// Solved, then unsolved responses of the batch, with their log-probabilities under the
    /// reference, 2B, and 1 for each id that has a pair, else 0, B.
    prepared: Option<(Rollouts, Tensor, Tensor)>,
}

impl Preferences {
    fn new(beta: f64, responses: u32, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let settings = RolloutSettings { responses, ..RolloutSettings::default() };
        let roller = Roller::new(&settings, task)?;
        let (pairs, reference, prepared) = (Vec::new(), None, None);
        Ok(Self { beta, roller, implicit: [0.0; 3], pairs, reference, prepared })
    }

    /// The batch's pairs as 2B rows. An id without a pair gets two equal responses, and
    /// no weight: rounding alone would be a gradient, which AdamW makes as large as any other.
    fn rows(&self, batch: &Batch) -> Result<Rollouts, TchError> {
        let prompt = self.roller.prompt_length() as i64;
        let prompts = batch.inputs.f_narrow(1, 0, prompt)?;
        let side = |side: usize| {
            batch.ids.iter().map(move |id| match &self.pairs[*id as usize] {
                Some(pair) => pair[side].clone(),
                None => vec![self.roller.end()],
            })
        };
        let responses: Vec<Vec<i64>> = side(0).chain(side(1)).collect();
        Rollouts::new(&Tensor::f_cat(&[&prompts, &prompts], 0)?, &responses)
    }
}

/// log π of every response: the sum over its tokens, N.
fn summed(rollouts: &Rollouts, network: &Network) -> Result<Tensor, LabError> {
    let each = rollouts.log_probabilities(network)?.f_mul(&rollouts.mask)?;
    Ok(each.f_sum_dim_intlist(1, false, each.kind())?)
}

/// −log σ(β(m_w − m_l)) of margins log π_θ − log π_ref: solved ones first, then unsolved, 2B → B.
fn preference_losses(margins: &Tensor, beta: f64) -> Result<Tensor, LabError> {
    let [won, lost] = <[Tensor; 2]>::try_from(margins.f_chunk(2, 0)?)
        .map_err(|_| LabError::Method("pairs have two sides".to_owned()))?;
    Ok(preferred(&won.f_sub(&lost)?, beta)?)
}

impl Objective for Preferences {
    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.reference = Some(network.duplicate());
        let ids: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
        self.pairs.clear();
        for (step, chunk) in (0..).zip(ids.chunks(AT_ONCE)) {
            let batch = train.batch(chunk)?;
            let rollouts = self.roller.sample(network, &batch, step)?;
            let responses = rollouts.responses()?;
            let groups = responses.chunks(self.roller.responses());
            let outcomes = rollouts.outcomes.chunks(self.roller.responses());
            for (group, outcomes) in groups.zip(outcomes) {
                let first = |correct: bool| {
                    let place = outcomes.iter().position(|found| found.correct == correct)?;
                    Some(group[place].clone())
                };
                self.pairs.push(first(true).zip(first(false)).map(|(won, lost)| [won, lost]));
            }
        }
        let paired = ids.into_iter().filter(|id| self.pairs[*id as usize].is_some());
        Ok(Some(paired.collect()))
    }

    fn before_step(&mut self, _: &Network, batch: &Batch, _: &StepInfo) -> Result<(), LabError> {
        let rows = self.rows(batch)?;
        if let Some(reference) = &self.reference {
            let likelihoods = summed(&rows, reference)?;
            let paired: Vec<f32> = batch
                .ids
                .iter()
                .map(|id| f32::from(u8::from(self.pairs[*id as usize].is_some())))
                .collect();
            let paired = Tensor::f_from_slice(&paired)?.f_to_device(likelihoods.device())?;
            self.prepared = Some((rows, likelihoods, paired));
        }
        Ok(())
    }

    fn losses(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<Tensor, LabError> {
        let Some((rows, reference, paired)) = &self.prepared else {
            return Err(LabError::Method("no pairs were prepared for this step".to_owned()));
        };
        let margins = summed(rows, network)?.f_sub(reference)?;
        if 4 * (now.step + 1) > 3 * now.total_steps {
            let seen = implicit(&margins, paired, self.beta)?;
            self.implicit.iter_mut().zip(seen).for_each(|(sum, seen)| *sum += seen);
        }
        Ok(preference_losses(&margins, self.beta)?.f_mul(paired)?)
    }

    fn costs(&self) -> Costs {
        self.roller.costs()
    }

    fn facts(&self) -> Facts {
        let mut facts = self.roller.facts();
        let pairs = self.pairs.iter().filter(|pair| pair.is_some()).count();
        facts.insert("pairs".to_owned(), pairs.into());
        let [pairs, margins, right] = self.implicit;
        if pairs > 0.0 {
            facts.insert("implicit_reward_margin".to_owned(), (margins / pairs).into());
            facts.insert("implicit_reward_accuracy".to_owned(), (right / pairs).into());
        }
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.roller.state(state)?;
        state.of("implicit", &mut self.implicit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;

    #[test]
    fn losses_at_known_margins_are_those_of_the_formula() {
        let loss = |margins: [f64; 2], beta| {
            preference_losses(&Tensor::from_slice(&margins), beta).unwrap().double_value(&[0])
        };
        assert!((loss([0.7, 0.7], 0.1) - std::f64::consts::LN_2).abs() < 1e-6);
        assert!((loss([2.0, -1.0], 0.1) - 0.554_355).abs() < 1e-6);
        assert!(loss([-1.0, 2.0], 0.1) > std::f64::consts::LN_2);
    }

    #[test]
    fn margins_of_implicit_rewards_are_of_pairs_alone() {
        let margins = Tensor::from_slice(&[1.0_f32, 0.25, 9.0, 0.5, 0.5, 0.0]);
        let paired = Tensor::from_slice(&[1.0_f32, 1.0, 0.0]);
        assert_eq!(implicit(&margins, &paired, 0.5).unwrap(), [2.0, 0.5 * (0.5 - 0.25), 1.0]);
    }

    #[test]
    fn only_prompts_with_a_solved_and_an_unsolved_response_are_trained_on() {
        let easy = with([("start_accuracy", 0.0.into())]);
        let stage = workloads::fixture("countdown", &easy).unwrap();
        let settings = with([("responses", 2.into()), ("lr", 0.001.into())]);
        // An untrained policy finds no expression: no pair, and nothing is learned but decay.
        let still = with([("responses", 2.into()), ("weight_decay", 0.0.into())]);
        let trace = stage.run(&METHOD, &still, 32, 3).unwrap();
        assert_eq!(trace.facts["pairs"], 0);
        assert_eq!(trace.digest, stage.network(3).unwrap().digest().unwrap());
        let stage = workloads::fixture("chain-sum", &easy).unwrap();
        let trace = stage.run(&METHOD, &settings, 32, 3).unwrap();
        let pairs = trace.facts["pairs"].as_u64().unwrap();
        assert!(pairs > 0 && pairs < 1_800, "{pairs}");
        let right = trace.facts["implicit_reward_accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&right), "{right}");
        assert_ne!(trace.digest, stage.network(3).unwrap().digest().unwrap());
    }

    #[test]
    fn a_step_makes_solved_responses_likelier_than_unsolved_ones() {
        let bandit = lab::trial::bandit().unwrap();
        let task = bandit.task();
        let mut objective = Preferences::new(0.1, 16, &task).unwrap();
        let eligible = objective.start(&bandit.network, &bandit.prompts).unwrap().unwrap();
        assert!(eligible.len() > 4, "{eligible:?}");
        let batch = bandit.prompts.batch(&eligible).unwrap();
        let rows = objective.rows(&batch).unwrap();
        let verifier = bandit.side.verifier.as_deref().unwrap();
        let right = rows.responses().unwrap();
        let right = right.iter().zip(eligible.iter().cycle()).map(|(response, id)| {
            lab::rollout::verified(verifier, *id, response, lab::trial::END).correct
        });
        let n = eligible.len();
        assert_eq!(right.collect::<Vec<_>>(), [vec![true; n], vec![false; n]].concat());
        let margin = || {
            let both = summed(&rows, &bandit.network).unwrap().chunk(2, 0);
            (&both[0] - &both[1]).mean(None).double_value(&[])
        };
        let now = lab::trial::step_info(0, 1);
        objective.before_step(&bandit.network, &batch, &now).unwrap();
        let (loss, before) = (objective.loss(&bandit.network, &batch, &now).unwrap(), margin());
        lab::trial::descend(&bandit.network, &loss, 0.1).unwrap();
        assert!(margin() > before + 0.01, "{} after {before}", margin());
    }
}
