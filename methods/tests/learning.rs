//! Whether methods of learning from reward learn in the right direction: a bandit of three prompts,
//! each to be said again, and the probability of a right first token before and after.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::models::gpt::Gpt;
use lab::network::Network;
use lab::trial::{prompt, rightly, with};
use ledger::settings::Values;
use methods::find;
use serde_json::Value;
use tch::{Kind, Tensor};
use training::trial::bandit;

/// The policy after `epochs` steps of twelve prompts.
fn trained<const N: usize>(method: &str, epochs: u32, changed: [(&str, Value); N]) -> Network {
    // More threads would wait for each other longer than they work.
    tch::set_num_threads(1);
    let mut settings: Values = with([("batch_size", 12.into()), ("lr", 0.01.into())]);
    settings.extend(with(changed));
    bandit(find(method).unwrap().method, &settings, epochs).unwrap().network
}

/// Probability of a right first token after `epochs` steps.
fn learned<const N: usize>(method: &str, epochs: u32, changed: [(&str, Value); N]) -> f64 {
    rightly(&trained(method, epochs, changed)).unwrap()
}

/// How far the distribution of the first token has come from where it started, in total variation, on
/// average over the prompts.
fn moved<const N: usize>(method: &str, epochs: u32, changed: [(&str, Value); N]) -> f64 {
    let prompts = Tensor::from_slice(&[prompt(0), prompt(1), prompt(2)]).view([3, 1]);
    let shares = |network: &Network| {
        Gpt::of(network).unwrap().forward(network, &prompts).unwrap().softmax(-1, Kind::Double)
    };
    let now = shares(&trained(method, epochs, changed));
    let start = shares(&trained(method, 0, []));
    ((now - start).abs().sum(Kind::Double) / 6.0).double_value(&[])
}

#[test]
fn rewards_raise_what_earns_them_and_rewards_dealt_at_random_do_not() {
    let start = learned("grpo", 0, []);
    assert!((start - 0.2).abs() < 0.02, "{start}");
    for method in ["grpo", "ppo", "dump"] {
        let own = learned(method, 20, []);
        let shuffled = learned(method, 20, [("reward", "shuffled".into())]);
        assert!(own > 0.5 && shuffled < 0.3, "{method}: {own} against {shuffled}");
    }
}

#[test]
fn demonstrations_raise_what_they_show_whether_responses_are_sampled_or_not() {
    // Labels of the bandit are its prompts: the right first token.
    let always = [("gate", 7.into())];
    for changed in [always, [("rule", "sft".into())], [("rule", "mixture".into())]] {
        let learned = learned("hpt", 20, changed.clone());
        assert!(learned > 0.5, "{changed:?}: {learned}");
    }
    assert!(learned("hpt", 20, [("rule", "rl".into())]) > 0.5);
}

#[test]
fn a_divergence_from_the_start_holds_a_policy_there() {
    for (method, weight) in [("ppo", "kl"), ("grpo", "beta")] {
        let [free, held] = [0.0, 20.0].map(|value| moved(method, 20, [(weight, value.into())]));
        assert!(held < 0.15 && free > 0.3, "{method}: {held} against {free}");
    }
}

#[test]
fn without_any_reward_a_policy_stays_where_it_started() {
    let start = learned("grpo", 0, []);
    for method in ["grpo", "ppo", "dump"] {
        let still = [("reward", "nothing".into()), ("weight_decay", 0.0.into())];
        let found = learned(method, 20, still);
        assert!((found - start).abs() < 1e-6, "{method}: {found} from {start}");
    }
}

#[test]
fn mini_batches_learn_as_well() {
    let found = learned("grpo", 10, [("minibatches", 4.into())]);
    assert!(found > 0.4, "{found}");
}

#[test]
fn preferences_for_what_was_solved_raise_it() {
    let learned = learned("dpo", 20, []);
    assert!(learned > 0.4, "{learned}");
}

#[test]
fn clipping_holds_the_passes_of_a_step_back() {
    for (method, clip, passes) in [("ppo", "clip", "epochs"), ("grpo", "clip_high", "passes")] {
        let [narrow, wide] = [0.01, 1.0]
            .map(|value| learned(method, 1, [(clip, value.into()), (passes, 16.into())]));
        assert!(narrow + 0.05 < wide, "{method}: {narrow} against {wide}");
    }
}
