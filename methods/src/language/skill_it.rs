//! # Skill-it: online mixtures of skills by a graph of prerequisites
//!
//! ## Mechanism
//! `A_ij` is how much training on skill `i` helps skill `j`. The first round mixes skills by
//! `p_1^i ∝ exp(η Σ_j A_ij)`. Before each round `t` the losses `L_j(f_t)` of all skills are taken on the probe
//! split; the next round's mixture is `p_{t+1}^i ∝ exp(η Σ_{τ=t−w+1..t} Σ_j A_ij L_j(f_τ))`, a window of `w`
//! rounds in place of the whole history. Shares become counts as in `skill-stratified`.
//!
//! ## Claim
//! LEGO from a pretrained 125 M model: +36.5 points of accuracy over the random mixture (abstract), final
//! 99.4; the target loss of LEGO skill 3 in 38.1 % fewer steps when fine-tuned.
//!
//! ## Sources
//! Chen et al., arXiv:2307.14430 (Alg. 1, eq. 4); HazyResearch/skill-it@807b3bf7 `trainer/mw_trainer.py`,
//! `dataset/lego_dataset.py`, `scripts/`.
//!
//! ## Differences
//! - `variant: code`: the window is over the last `w` evaluations (20 a round), all inside the round just
//!   finished, where the paper's last term is the loss *before* the round. The code evaluates after the first
//!   step of every twentieth, here before it. Neither has `p_1` or `p_t` as a prior.
//! - Graphs: `chain` has 1 for a skill itself and 0.5 for the next one, `reversed` 0.5 for the one before;
//!   `script` is the five-skill graph of the LEGO script, `addition-script` the three-skill one of the addition
//!   script (η 0.1, 5 rounds), in which the tens help the ones; edges beside the diagonal count 0.5 there as well.
//!   `shuffled` is `chain` under a random renaming of the skills: a control. Learning the graph (the paper's
//!   LEARNGRAPH) is not here.
//! - The looks at the probe split are charged to the train clock, not to the samples.
//! - Scale: the paper trains GPT-Neo-125M on, pretrained, at a rate of 5e-5; here a transformer of 100,000
//!   parameters starts from nothing. The code's training loss is of all tokens and its looks are at the answer;
//!   here both are of the answer. GPT-Neo sees backwards only; the networks of `addition` and `slp-resolve` see
//!   in both directions unless `causal` is set. LEGO has five skills there, three here.

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::orders::mixture::{Mixture, Place, Weights};
use lab::orders::skills::{Graph, by_help};
use lab::recipe::Recipe;
use lab::seat::Facts;
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::OrderLaw;
use ledger::settings::Range;
use ledger::{choice, settings};
use serde_json::json;

choice! {
    /// Which losses the window holds.
    pub enum Variant {
        /// Those before each of the last rounds.
        Paper = "paper",
        /// The last evaluations of the round just finished.
        Code = "code",
    }
}

settings! {
    /// Settings of `skill-it`.
    pub struct Settings {
        /// η: how strongly losses move the mixture; 0 for equal shares.
        eta: f64 = 0.5, range Range::of(0.0..=10.0), from "official LEGO script";
        /// Rounds of the run.
        rounds: u32 = 6, range Range::of(1.0..=1000.0), from "official LEGO script: 6 rounds of 1,000 steps";
        /// w: rounds, or evaluations, in the window.
        window: u32 = 3, range Range::of(1.0..=19.0), from "official LEGO script";
        /// Which losses the window holds.
        variant: Variant = Variant::Paper, from "paper, Alg. 1";
        /// Which skill helps which.
        graph: Graph = Graph::Chain, from "assumed: position in a chain";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "skills mixed round by round by the losses of what they help",
    paper: Paper {
        title: "Skill-it! A data-driven skills framework for understanding and training language models",
        authors: "Chen et al.",
        year: 2023,
        reference: "arXiv:2307.14430",
        code: "HazyResearch/skill-it@807b3bf7",
    },
    claim: PaperClaim {
        statement: "higher accuracy than a random mixture after as many samples",
        number: "LEGO: +36.5 points",
        source: "abstract",
    },
    baseline: Some("skill-stratified"),
    needs: &[offers::LOSS, offers::GROUPS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { eta, rounds, window, variant, graph, lm } = Settings::read(values)?;
        let skills = task.side.group_names.len();
        let graph = graph
            .matrix(skills, task.streams)
            .ok_or_else(|| task.unfit("the graph of that script is of another number of skills"))?;
        let slices = if variant == Variant::Code { EVALUATIONS } else { 1 };
        let weights = Losses { graph, eta, window, variant, seen: Vec::new() };
        let order = Mixture::new(Box::new(weights), rounds, slices, lm.batch_size, task);
        Ok(Recipe { order: Box::new(order), ..lm.recipe(task)? })
    },
};

/// Evaluations in a round of the code: every 50 of 1,000 steps.
const EVALUATIONS: u32 = 20;

#[derive(Debug)]
struct Losses {
    graph: Vec<Vec<f64>>,
    eta: f64,
    window: u32,
    variant: Variant,
    /// Losses of all skills, look by look.
    seen: Vec<Vec<f64>>,
}

impl Losses {
    /// The sum over the last looks of a list.
    fn windowed(&self, looks: &[Vec<f64>]) -> Vec<f64> {
        let mut sums = vec![0.0; self.graph.len()];
        for losses in looks.iter().rev().take(self.window as usize) {
            sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        }
        sums
    }
}

impl Weights for Losses {
    fn law(&self) -> OrderLaw {
        OrderLaw::Adaptive
    }

    fn wants_probe(&self, place: Place) -> bool {
        let Place { round, rounds, slice, slices } = place;
        round + 1 < rounds
            && match self.variant {
                Variant::Paper => slice == 0,
                Variant::Code => slice + self.window >= slices,
            }
    }

    fn observe(&mut self, group_losses: &[f64]) {
        self.seen.push(group_losses.to_vec());
    }

    fn weights(&mut self, round: u32) -> Vec<f64> {
        if round == 0 {
            return by_help(&self.graph, self.eta, &vec![1.0; self.graph.len()]);
        }
        let looks = match self.variant {
            // The look before this very round is for the next one.
            Variant::Paper => &self.seen[..self.seen.len().min(round as usize)],
            Variant::Code => &self.seen,
        };
        by_help(&self.graph, self.eta, &self.windowed(looks))
    }

    fn facts(&self) -> Facts {
        Facts::from([
            ("graph".to_owned(), json!(self.graph)),
            ("probe_losses".to_owned(), json!(self.seen)),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("seen", &mut self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::trial::Trace;

    fn rule(graph: &[&[f64]], window: u32, variant: Variant) -> Losses {
        let graph = graph.iter().map(|row| row.to_vec()).collect();
        Losses { graph, eta: 0.5, window, variant, seen: Vec::new() }
    }

    const CHAIN: [&[f64]; 3] = [&[1.0, 0.5, 0.0], &[0.0, 1.0, 0.5], &[0.0, 0.0, 1.0]];

    fn close(found: &[f64], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }

    /// Mixtures of the first five rounds under the card's losses.
    fn five_rounds(mut rule: Losses) -> Vec<Vec<f64>> {
        let losses = [[2.0, 2.0, 2.0], [1.0, 1.8, 2.0], [0.4, 1.5, 1.9], [0.1, 0.9, 1.7]];
        let mut rounds = Vec::new();
        for round in 0..5_u32 {
            if rule.wants_probe(Place { round, rounds: 5, slice: 0, slices: 1 }) {
                rule.observe(&losses[round as usize]);
            }
            rounds.push(rule.weights(round));
        }
        rounds
    }

    #[test]
    fn the_mixtures_of_five_rounds_are_those_of_the_card() {
        let rounds = five_rounds(rule(&CHAIN, 3, Variant::Paper));
        for (found, expected) in rounds.iter().zip([
            [0.359_867, 0.359_867, 0.280_265],
            [0.383_652, 0.383_652, 0.232_697],
            [0.311_921, 0.489_189, 0.198_890],
            [0.202_761, 0.609_128, 0.188_110],
            [0.108_788, 0.595_497, 0.295_715],
        ]) {
            close(found, &expected);
        }
        // A graph the wrong way round is another method.
        let transposed: [&[f64]; 3] = [&[1.0, 0.0, 0.0], &[0.5, 1.0, 0.0], &[0.0, 0.5, 1.0]];
        let found = &five_rounds(rule(&transposed, 3, Variant::Paper))[4];
        assert!([0.0347, 0.1948, 0.7705].iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn in_the_papers_model_of_learning_it_ends_lower_than_fixed_mixtures() {
        let simulate = |choose: &mut dyn FnMut(u32, &[f64]) -> Vec<f64>| {
            let mut losses = vec![1.0, 1.5, 2.0];
            for round in 0..12 {
                let p = choose(round, &losses);
                for j in 0..3 {
                    let help: f64 = (0..3).map(|i| CHAIN[i][j] * p[i]).sum();
                    losses[j] *= 1.0 - 0.25 * help;
                }
            }
            losses.iter().sum::<f64>() / 3.0
        };
        let mut own = rule(&CHAIN, 3, Variant::Paper);
        let skill_it = simulate(&mut |round, losses| {
            own.observe(losses);
            own.weights(round)
        });
        let stratified = simulate(&mut |_, _| vec![1.0 / 3.0; 3]);
        let random = simulate(&mut |_, _| vec![5.0 / 9.0, 3.0 / 9.0, 1.0 / 9.0]);
        for (found, expected) in [(random, 0.4049), (stratified, 0.3523), (skill_it, 0.3493)] {
            assert!((found - expected).abs() < 5e-4, "{found}, expected {expected}");
        }
    }

    #[test]
    fn the_codes_window_lies_within_the_round_just_finished() {
        let mut rule = rule(&CHAIN, 3, Variant::Code);
        let wanted = |rule: &Losses, round: u32| -> Vec<u32> {
            let place = |slice| Place { round, rounds: 3, slice, slices: 20 };
            (0..20).filter(|slice| rule.wants_probe(place(*slice))).collect()
        };
        assert_eq!((wanted(&rule, 0), wanted(&rule, 2)), (vec![17, 18, 19], vec![]));
        for loss in [9.0, 1.0, 2.0, 3.0] {
            rule.observe(&[loss, 0.0, 0.0]);
        }
        let (found, expected) = (rule.weights(1), by_help(&rule.graph, 0.5, &[6.0, 0.0, 0.0]));
        close(&found, &expected);
    }

    fn run(method: &Method, pairs: &[(&str, serde_json::Value)]) -> Trace {
        let size = with([("size", json!("xs")), ("most", json!(5))]);
        let stage = workloads::fixture("slp-trace", &size).unwrap();
        let mut settings = with([("batch_size", json!(20)), ("rounds", json!(3))]);
        settings.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        stage.run(method, &settings, 540, 4).unwrap()
    }

    #[test]
    fn without_eta_it_is_skill_stratified_bit_for_bit_in_both_variants() {
        let stratified = run(crate::find("skill-stratified").unwrap().method, &[]);
        for variant in ["paper", "code"] {
            let neutral = run(&METHOD, &[("eta", json!(0.0)), ("variant", json!(variant))]);
            assert_eq!(
                (neutral.digest, &neutral.order.ids),
                (stratified.digest, &stratified.order.ids)
            );
            assert_eq!(neutral.law, OrderLaw::Adaptive);
        }
    }

    #[test]
    fn losses_move_the_mixture_and_a_shuffled_graph_moves_it_otherwise() {
        let own = run(&METHOD, &[]);
        let shuffled = run(&METHOD, &[("graph", json!("shuffled"))]);
        let reversed = run(&METHOD, &[("graph", json!("reversed"))]);
        let mixtures = |trace: &Trace| trace.facts["mixture_by_round"].as_array().unwrap().clone();
        assert_eq!(mixtures(&own).len(), 3);
        assert_ne!(mixtures(&own)[0], mixtures(&own)[1]);
        assert_ne!(mixtures(&own), mixtures(&shuffled));
        // 1.5, 1.5, 1 against 1, 1.5, 1.5 for all losses alike.
        assert_eq!(mixtures(&own)[0][0], mixtures(&reversed)[0][2]);
        assert_ne!(mixtures(&own)[0], mixtures(&reversed)[0]);
        assert_eq!(own.facts["probe_losses"].as_array().unwrap().len(), 2);
    }
}
