//! # VARiant
//!
//! ## Mechanism
//! An image is predicted scale by scale, r_1..r_K, coarse to fine, by a transformer of D layers. The first N scales, the bridge, always go
//! through all of them; the others may go through d layers at equal distances, `I_d = { ⌊i(D − 1)/(d − 1)⌋ : i = 0..d − 1 }`, with
//! weights shared. A step draws u ~ U(0, 1): if u < p it trains a part of depth d, uniform among `depths`, else the whole;
//! loss `Σ_k CE(r_k | r_<k)` over all tokens, as a mean, one backward pass. `coin: progressive`:
//!
//! ```text
//! p(epoch) = 0.2                                        epoch < E1 = 5
//!          = 0.2 + 0.8·(epoch − E1)/(E2 − E1)     E1 <= epoch < E2 = 20
//!          = 1                                     E2 <= epoch, up to 25 to 35
//! ```
//!
//! where the run is `epochs` epochs long. `coin: fixed` has the same `p` throughout (0 is plain training, 1 with one depth a network of
//! its own for that depth), `uniform` draws a depth among `depths` and D.
//!
//! At the end every depth is judged as a look, `bits@d4`, the whole as `bits@d8` too, and their mean, `bits@mean`. Draws are
//! those of a stream by the number of the step; the record has how often each depth was drawn and a digest of the sequence
//! (facts `steps_by_depth`, `coins_sha256`).
//!
//! ## Claim
//! ImageNet, 30 layers: whole FID 1.95, depth 16 2.05, 8 2.12, 2 2.97. Fixed p = 0.1: whole 1.96, part 2.68; p = 1: 2.32 and 2.15;
//! progressive about 1.95 and 2.05. Half the layers without training cost 12.91 in r1–3, 8.5 in r4–6, 5.42 in r7–10.
//!
//! ## Sources
//! arXiv:2511.16546 (CVPR 2026), read at second hand; Nola-chen/VARiant is named and was not found. VAR: Tian et al., arXiv:2404.02905.
//!
//! ## Differences
//! - Exact bits per token in place of FID; depths 4 and 2 of 8 layers, N = 2 of 4 scales. Of 30 layers, parts are not nested as the
//!   paper says; of 8 they are.
//! - How d is drawn was not found: uniform (assumed). The abstract says that 7 scales are whole, the table 6 of 10.
//! - A rate of 1e-6 means nothing for a network of this size: a tenth of the rate that the start was trained at, unless tuned.
//! - What stands at a place is the token that covers it, where VAR has the sum of all coarser scales, interpolated.
//! - Memory and speed, which need a cache of keys and values, are not measured: `layer_tokens` counts tokens times layers.

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use lab::supernet::{Parts, Supernet, SupernetSettings};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// Settings of `variant`.
    pub struct Settings {
        use supernet: SupernetSettings;
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a network by scales whose finer ones learn to use fewer layers, by a chance that grows",
    paper: Paper {
        title: "VARiant: progressive supernet training for visual autoregressive generation",
        authors: "not found at second hand",
        year: 2026,
        reference: "arXiv:2511.16546",
        code: "none found (Nola-chen/VARiant is named)",
    },
    claim: PaperClaim {
        statement: "one network serves several depths as well as its own",
        number: "FID 1.95 whole, 2.05 at 16 of 30 layers, 2.12 at 8; at a fixed chance of 0.1 1.96 and 2.68",
        source: "arXiv:2511.16546, at second hand",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::SCALES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { supernet, lm } = Settings::read(values)?;
        let parts = Parts::new(&supernet, task)?;
        let objective = Box::new(Supernet::new(supernet, parts.clone(), task.streams));
        let step = Step::Gradient { objective, optimizer: Box::new(lm.optimizer(task.network)?) };
        Ok(Recipe {
            clip_norm: (lm.clip > 0.0).then_some(lm.clip),
            looks: Some(Box::new(parts)),
            ..Recipe::of(lm.batch_size, lm.schedule, step)
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::pyramid::{Pyramid, layers};
    use lab::network::{Network, values};
    use lab::objectives::{DefaultLoss, token_losses};
    use lab::seat::{Looks as _, Objective as _};
    use lab::trial::{step_info, with};
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use tch::{Kind, Tensor};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        let small = [("pretraining", 2), ("width", 8)].map(|(key, value)| (key, value.into()));
        workloads::fixture("pyr-tokens", &with(small)).unwrap()
    }

    fn read(settings: Value) -> Settings {
        let settings: Values = serde_json::from_value(settings).unwrap();
        Settings::read(&Settings::resolve(&settings).unwrap()).unwrap()
    }

    fn run(fixture: &Fixture, method: &Method, settings: Value, samples: u64) -> Trace {
        let settings = serde_json::from_value(settings).unwrap();
        fixture.run(method, &settings, samples, 1).unwrap()
    }

    /// Gradients of the loss over some places of a part, by parameter.
    fn gradients(network: &Network, fixture: &Fixture, [from, count]: [i64; 2]) -> Vec<f32> {
        let (inputs, labels) = fixture.ready().splits.train.rows(0, 4).unwrap();
        let losses = token_losses(&network.forward(&inputs, true).unwrap(), &labels).unwrap();
        let leaves: Vec<&Tensor> = network.parameters.iter().map(|one| &one.tensor).collect();
        let sum = losses.narrow(1, from, count).sum(Kind::Float);
        let found = Tensor::f_run_backward(&[&sum], &leaves, false, false).unwrap();
        let largest = |x: &Tensor| if x.defined() { x.abs().max().double_value(&[]) } else { 0.0 };
        found.iter().map(|gradient| largest(gradient) as f32).collect()
    }

    #[test]
    fn the_chance_of_a_part_grows_between_the_two_epochs() {
        let Settings { supernet, .. } = read(json!({}));
        let found = [0.0, 4.9, 5.0, 12.5, 20.0, 29.0].map(|epoch| supernet.chance(epoch));
        let expected = [0.2, 0.2, 0.2, 0.6, 1.0, 1.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        let fixed = read(json!({"coin": "fixed", "p": 0.5})).supernet;
        assert_eq!([0.0, 29.0].map(|epoch| fixed.chance(epoch)), [0.5; 2]);
    }

    #[test]
    fn a_part_of_all_layers_trains_as_the_whole_and_as_plain_training_bit_for_bit() {
        let fixture = fixture();
        let plain = crate::find("lm-adamw").unwrap().method;
        let plain = run(&fixture, plain, json!({"batch_size": 8}), 32).digest;
        let of = |settings: Value| run(&fixture, &METHOD, settings, 32).digest;
        assert_eq!(of(json!({"coin": "fixed", "p": 0, "batch_size": 8})), plain);
        let all = json!({"coin": "fixed", "p": 1, "depths": [8], "batch_size": 8});
        assert_eq!(of(all), plain);
        assert_ne!(of(json!({"coin": "fixed", "p": 1, "batch_size": 8})), plain);
    }

    #[test]
    fn layers_outside_a_part_learn_from_finer_tokens_through_the_bridge_alone() {
        let fixture = fixture();
        let network = fixture.network(1).unwrap();
        let own = Pyramid::of(&network).unwrap();
        let outside: Vec<usize> = (0..8).filter(|layer| !layers(8, 4).contains(layer)).collect();
        assert_eq!(outside, [1, 3, 5, 6]);
        let reaches = |part: &Network, places: [i64; 2]| -> Vec<bool> {
            let all = gradients(part, &fixture, places);
            let of = |layer: &usize| own.parameters(*layer).iter().any(|place| all[*place] > 0.0);
            outside.iter().map(of).collect()
        };
        // Places 5 to 84 are those of the finer scales.
        let (finer, bridge) = ([5, 80], [0, 5]);
        let alone = Pyramid::part(&network, 0, 4).unwrap();
        assert_eq!(reaches(&alone, [0, 85]), [false; 4]);
        let part = Pyramid::part(&network, 2, 4).unwrap();
        assert_eq!(reaches(&part, bridge), [true; 4]);
        assert_eq!(reaches(&part, finer), [true; 4]);
        // Without a bridge, which is the only way there, the layers of the part learn still.
        let used = gradients(&alone, &fixture, finer);
        assert!(layers(8, 4).iter().all(|at| used[own.parameters(*at)[2]] > 0.0));
    }

    #[test]
    fn depths_are_drawn_by_their_chance_and_the_draws_are_told() {
        let fixture = fixture();
        let told = |settings: Value| {
            let mut settings: Values = serde_json::from_value(settings).unwrap();
            settings.insert("batch_size".to_owned(), 1.into());
            let trace = fixture.run(&METHOD, &settings, 120, 1).unwrap();
            let drawn = trace.facts["steps_by_depth"].clone();
            let of = |depth: &str| drawn.get(depth).and_then(Value::as_u64).unwrap_or(0);
            let tokens = trace.costs["layer_tokens"];
            (["8", "4", "2"].map(of), tokens, trace.facts["coins_sha256"].clone())
        };
        let (drawn, tokens, coins) = told(json!({}));
        // On average 0.2 of a sixth, then 0.6 of a half, then all of a third: 80 of 120 are parts.
        let [whole, half, quarter] = drawn;
        assert_eq!(whole + half + quarter, 120);
        assert!((25..=55).contains(&whole) && half.abs_diff(quarter) <= 24, "{drawn:?}");
        assert_eq!(tokens, 120 * 5 * 8 + 80 * (8 * whole + 4 * half + 2 * quarter));
        assert_eq!(told(json!({})).2, coins);
        let ([whole, half, quarter], ..) = told(json!({"coin": "uniform"}));
        assert!([whole, half, quarter].iter().all(|n| (26..=54).contains(n)));
        assert_eq!(told(json!({"coin": "fixed", "p": 1, "depths": [4]})).0, [0, 120, 0]);
        assert_eq!(told(json!({"coin": "fixed", "p": 0})).0, [120, 0, 0]);
    }

    #[test]
    fn every_depth_is_a_look_and_the_whole_is_one_too() {
        let fixture = fixture();
        let network = fixture.network(1).unwrap();
        let side = &fixture.ready().side;
        let streams = lab::trial::streams();
        let task = lab::trial::task(&network, side, &streams);
        let Settings { supernet, .. } = read(json!({}));
        let parts = Parts::new(&supernet, &task).unwrap();
        let looks = parts.looks(&network, &network).unwrap();
        let names: Vec<&str> = looks.iter().map(|look| look.name.as_str()).collect();
        assert_eq!(names, ["d8", "d4", "d2"]);
        let (inputs, _) = fixture.ready().splits.test.rows(0, 2).unwrap();
        let out = |network: &Network| values(&network.forward(&inputs, false).unwrap()).unwrap();
        assert_eq!(out(&looks[0].network), out(&network));
        assert_ne!(out(&looks[1].network), out(&looks[2].network));
        // What a step trains is what is looked at.
        let mut objective = Supernet::new(
            read(json!({"coin": "fixed", "p": 1, "depths": [2]})).supernet,
            parts,
            &streams,
        );
        let batch = fixture.ready().splits.train.batch(&[0, 1]).unwrap();
        let now = step_info(0, 4);
        tch::no_grad(|| objective.before_step(&network, &batch, &now)).unwrap();
        let loss = |x: &Tensor| x.double_value(&[]);
        let own = DefaultLoss::Tokens.loss(&looks[2].network, &batch, &now).unwrap();
        assert_eq!(loss(&objective.loss(&network, &batch, &now).unwrap()), loss(&own));
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        for (settings, expected) in [
            (json!({"p": 0.5}), "setting \"p\" is of coin \"fixed\" alone"),
            (
                json!({"coin": "uniform", "joint": 2}),
                "setting \"joint\" is of coin \"progressive\"",
            ),
            (json!({"depths": []}), "setting \"depths\" is empty, but must name a depth"),
            (json!({"joint": 25}), "\"joint\" is 25, \"transition\" 20 and \"epochs\" 30, but"),
            (json!({"depths": [4, 2.5]}), "setting \"depths\" has 2.5, but must be of whole"),
            (json!({"depths": [1]}), "setting \"depths\" is [1], but must be"),
        ] {
            let refused = (METHOD.resolve)(&serde_json::from_value(settings).unwrap()).unwrap_err();
            assert!(refused.to_string().starts_with(expected), "{refused}");
        }
        let fixture = fixture();
        let refused = |settings: Value| {
            let settings = serde_json::from_value(settings).unwrap();
            fixture.run(&METHOD, &settings, 64, 1).unwrap_err().to_string()
        };
        assert!(refused(json!({"depths": [9]})).ends_with("is 9, but must be at most 8"));
        assert!(refused(json!({"bridge": 5})).ends_with("is 5, but must be at most 4 scales"));
    }
}
