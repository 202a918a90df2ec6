//! Whether methods of learning from reward learn in the right direction: a bandit of three prompts,
//! each to be said again, and the probability of a right first token before and after.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::trial::{rightly, with};
use ledger::settings::Values;
use methods::find;
use serde_json::Value;
use training::trial::bandit;

/// Probability of a right first token after `epochs` steps of twelve prompts.
fn learned<const N: usize>(method: &str, epochs: u32, changed: [(&str, Value); N]) -> f64 {
    // More threads would wait for each other longer than they work.
    tch::set_num_threads(1);
    let mut settings: Values = with([("batch_size", 12.into()), ("lr", 0.01.into())]);
    settings.extend(with(changed));
    let trace = bandit(find(method).unwrap().method, &settings, epochs).unwrap();
    rightly(&trace.network).unwrap()
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
