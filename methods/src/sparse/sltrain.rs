//! # SLTrain
//!
//! ## Mechanism
//! Every weight (out × in) but those of the last layer is `W = s·B·A + S`: A (r × in) from U(−1/√in, 1/√in), B (out × r)
//! from 0, and S with ⌊δ·out·in⌋ values from U(−1/√in, 1/√in) on a support that is drawn once, uniformly, and fixed. The
//! forward pass makes W anew and does not keep it, so that parameters and moments are those of A, B and S alone:
//! (out + in)·r + ⌊δ·out·in⌋ values in place of out·in. Tables, biases, norms and the last layer stay as they are.
//!
//! Modes beside `sltrain`: `low-rank` is δ = 0; `full-rank` is plain training; `relora` trains s·B·A over the weights as
//! initialised, which do not move, and `restarts` times in a run merges the product into them, draws A anew, sets
//! B = 0 and forgets the moments.
//!
//! `draw_b` begins with a product that is not 0. Low rank alone needs it in a transformer: where all products of a block
//! are 0, none passes a gradient to another, and nothing but tables, biases and head ever trains.
//!
//! The record's facts are the memory table: `plain_parameters`, `trained_parameters`, `optimizer_state_bytes` (the sizes of
//! the buffers that the rule has allocated), `ranks`, `support_sizes` and `support_digests` (SHA-256 over a support's flat
//! positions as u32, little-endian). The record's own count of parameters is that of what is trained, too; what is kept
//! has W in full. A peak of memory is not among them: that of the process is libtorch's, not the method's, at this size.
//!
//! ## Claim
//! Pre-training comparable to full rank; up to 73 % less memory at 7B with 8-bit Adam and updates per layer (abstract).
//! Perplexities at 60M: 34.06 full, 78.18 low-rank, 34.15 SLTrain (from memory of the paper's table). Here: far below
//! `low-rank` in loss at about its number of parameters; at most 5 % above `full-rank` in perplexity.
//!
//! ## Sources
//! Han et al., arXiv:2406.02214 (NeurIPS 2024); andyjm3/SLTrain at 2335d62c, `splora/splora_linear.py`,
//! `scripts/llm_pretrain/sltrain60m.sh`. ReLoRA: Lialin et al., arXiv:2307.05695.
//!
//! ## Differences
//! - Setting `scale` is the code's α/r. Rank 0 stands for a quarter of a weight's smaller side: the scripts' 128 of 512.
//! - The code sums G at the support; here autograd does, and W is kept for the backward pass, as it is in the code's
//!   C++ for the products. Neither 8-bit moments nor updates per layer: they are other methods.
//! - The code draws biases anew; here they stay as initialised. Filters are matrices out × height·width·in.
//! - `relora` is no reproduction of ReLoRA: it has no full-rank start, forgets all moments rather than the smallest 99 %,
//!   and does not warm up anew. Its frozen weights cost memory that `trained_parameters` does not count.

use lab::method::Method;
use lab::network::Parameter;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Recipe;
use lab::seat::{Constraint, TaskInfo};
use lab::sparsity::low_rank::{LowRank, Parts, chosen, sides};
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, Values};
use ledger::{choice, settings};

choice! {
    /// What a weight is made of.
    pub enum Mode {
        /// A low-rank product and a sparse part.
        Sltrain = "sltrain",
        /// A low-rank product.
        LowRank = "low-rank",
        /// Itself.
        FullRank = "full-rank",
        /// A low-rank product over what was merged so far.
        Relora = "relora",
    }
}

settings! {
    /// Settings of `sltrain`.
    pub struct Settings {
        /// What a weight is made of.
        mode: Mode = Mode::Sltrain, from "torchrun_main.py --peft_model";
        /// r: rank of the product; 0 for a quarter of each weight's smaller side.
        rank: u32 = 0, range Range::of(0.0..), from "scripts: 128 of 512 (60M), 512 of 2048 (1B)";
        /// δ: share of a weight's values that the sparse part has.
        density: f64 = 0.03, range Range::of(0.0..1.0), from "scripts: --sp_ratio 0.03";
        /// s: factor on the product.
        scale: f64 = 0.25, range Range::above(0.0), from "sltrain60m.sh: alpha 32 over rank 128";
        /// Draw B as well, from U(−1/√r, 1/√r).
        draw_b: bool = false, from "splora_linear.py: 0";
        /// Merges of `relora` in a run.
        restarts: u32 = 3, range Range::of(0.0..), from "assumed: ReLoRA's 5,000 of 20,000 steps";
        /// Examples per step.
        batch_size: u32 = 64, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::WarmCosine { warmup: 0.1, floor: 0.1 }, from "scripts: 1,100 of 11,000 steps, then a cosine to a tenth";
        /// Peak learning rate.
        lr: f64 = 0.003, range Range::above(0.0), from "sltrain60m.sh";
        /// Decoupled weight decay.
        weight_decay: f64 = 0.0, range Range::of(0.0..), from "sltrain60m.sh";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "weights as a low-rank product plus a sparse part on a fixed support; controls beside it",
    paper: Paper {
        title: "SLTrain: a sparse plus low-rank approach for parameter and memory efficient pretraining",
        authors: "Han, Li, Huang, Hong, Ullah, Jawanpuria, Mishra",
        year: 2024,
        reference: "arXiv:2406.02214",
        code: "andyjm3/SLTrain@2335d62c",
    },
    claim: PaperClaim {
        statement: "low rank plus sparse pre-trains about as well as full rank, at far fewer parameters",
        number: "perplexity 34.15 against 34.06 full and 78.18 low rank (60M; from memory)",
        source: "abstract; table of perplexities",
    },
    baseline: Some("adamw"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: |values| {
        let mut resolved = Settings::resolve(values)?;
        // It came later: left out at its default, so that what was tuned before still fits.
        resolved.retain(|name, value| name != "draw_b" || *value != false);
        Ok(resolved)
    },
    build,
};

fn build(values: &Values, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
    let Settings { mode, rank, density, scale, draw_b, restarts, .. } = Settings::read(values)?;
    let Settings { batch_size, schedule, lr, weight_decay, .. } = Settings::read(values)?;
    let rule = |network: &_| {
        let settings = AdamwSettings { lr, weight_decay, ..AdamwSettings::default() };
        Adamw::new(settings, network, |_, _| true)
    };
    if mode == Mode::FullRank {
        return Recipe::plain(batch_size, schedule, Box::new(rule(task.network)?), task);
    }
    let mut found = false;
    for (_, Parameter { name, tensor, .. }) in chosen(task.network) {
        let side = sides(tensor).into_iter().min().unwrap_or(1);
        if i64::from(rank) > side {
            return Err(task.unfit(format!(
                "setting \"rank\" is {rank}, but must be at most {side}, the smaller side of {name} (0 for a quarter)"
            )));
        }
        found = true;
    }
    if !found {
        return Err(task.unfit("no layer but the last has weights to make of parts"));
    }
    let parts = Parts {
        rank: (rank > 0).then_some(i64::from(rank)),
        scale,
        density: if mode == Mode::Sltrain { density } else { 0.0 },
        frozen: mode == Mode::Relora,
        drawn_b: draw_b,
    };
    let (mut seat, trained) = LowRank::new(parts, task.network)?;
    let rule = rule(&trained)?;
    let moments = rule.moments().iter().flatten().flatten();
    let bytes = moments.map(|moment| (moment.numel() * moment.kind().elt_size_in_bytes()) as u64);
    seat.note(task.network, &trained, bytes.sum());
    // Without restarts it is LoRA: a product over weights that stay.
    let restarts = (mode == Mode::Relora && restarts > 0)
        .then(|| Box::new(seat.restarts(restarts, task.streams)) as Box<dyn Constraint>);
    let plain = Recipe::plain(batch_size, schedule, Box::new(rule), task)?;
    Ok(Recipe { parametrisation: Some(Box::new(seat)), constraint: restarts, ..plain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::gpt::{Shape, gpt};
    use lab::models::mlp::mlp;
    use lab::network::Network;
    use lab::seat::{Facts, Parametrisation as _};
    use lab::trial::{self, with};
    use serde_json::json;
    use tch::{Device, Kind, Tensor};
    use training::trial::train;

    fn network() -> Network {
        mlp(&[16, 32, 32, 4], &trial::streams(), Device::Cpu).unwrap()
    }

    fn trained(id: &str, settings: serde_json::Value, epochs: u32) -> (Network, Facts) {
        let mut settings: Values = serde_json::from_value(settings).unwrap();
        settings.insert("batch_size".to_owned(), 32.into());
        train(crate::find(id).unwrap().method, &settings, network(), &[16], epochs).unwrap()
    }

    fn digest(settings: serde_json::Value) -> ledger::digest::Digest {
        trained("sltrain", settings, 5).0.digest().unwrap()
    }

    #[test]
    fn full_rank_is_adamw_bit_for_bit() {
        let schedule = json!({"warm-cosine": {"warmup": 0.1, "floor": 0.1}});
        let adamw = json!({"lr": 0.003, "weight_decay": 0, "schedule": schedule});
        let plain = trained("adamw", adamw, 5).0.digest().unwrap();
        assert_eq!(digest(json!({"mode": "full-rank"})), plain);
    }

    #[test]
    fn without_a_sparse_part_it_is_low_rank_bit_for_bit() {
        let low_rank = digest(json!({"mode": "low-rank"}));
        assert_eq!(digest(json!({"density": 0})), low_rank);
        // ⌊δ·out·in⌋ = 0 is none either.
        assert_eq!(digest(json!({"density": 0.0009})), low_rank);
        assert_ne!(digest(json!({})), low_rank);
        assert_ne!(
            digest(json!({"mode": "relora"})),
            digest(json!({"mode": "relora", "restarts": 0}))
        );
    }

    #[test]
    fn low_rank_alone_moves_a_transformers_products_only_where_b_is_drawn() {
        let shape = Shape { vocabulary: 8, context: 8, width: 16, depth: 1, heads: 2, hidden: 32 };
        let tokens = Tensor::arange(16, (Kind::Int64, Device::Cpu)).remainder(8).view([2, 8]);
        for (draw_b, moves) in [(false, false), (true, true)] {
            let parts =
                Parts { rank: None, scale: 1.0, density: 0.0, frozen: false, drawn_b: draw_b };
            let mut network = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
            let (mut seat, _) = LowRank::new(parts, &network).unwrap();
            seat.install(&mut network, &trial::streams()).unwrap();
            let logits = seat.seen(&network, None).unwrap().forward(&tokens, true).unwrap();
            let made = network.parameters.iter().filter(|p| p.name.ends_with(".B"));
            let leaves: Vec<_> = made.map(|parameter| &parameter.tensor).collect();
            let gradients =
                Tensor::run_backward(&[logits.square().sum(None)], &leaves, false, false);
            let largest = gradients.iter().map(|g| g.abs().max().double_value(&[]));
            assert_eq!(largest.fold(0.0, f64::max) > 0.0, moves);
        }
    }

    #[test]
    fn the_facts_are_the_memory_table() {
        let facts = |with| trained("sltrain", with, 1).1;
        let (own, low) = (facts(json!({"rank": 2})), facts(json!({"rank": 2, "mode": "low-rank"})));
        // The head and biases; (16 + 32)·2 and (32 + 32)·2; ⌊0.03·512⌋ and ⌊0.03·1024⌋.
        let (rest, product, sparse) = (4 * 32 + 68, 96 + 128, 15 + 30);
        assert_eq!(own["plain_parameters"], rest + 512 + 1024);
        assert_eq!(own["trained_parameters"], rest + product + sparse);
        assert_eq!(own["optimizer_state_bytes"], 8 * (rest + product + sparse));
        assert_eq!(own["support_sizes"], json!([15, 30]));
        assert_eq!(low["trained_parameters"], rest + product);
        assert_eq!(low.get("support_sizes"), None);
    }

    #[test]
    fn of_a_transformer_all_products_of_the_blocks_are_made_of_parts_and_nothing_else() {
        let shape =
            Shape { vocabulary: 64, context: 8, width: 128, depth: 2, heads: 4, hidden: 512 };
        let network = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        let names: Vec<_> =
            chosen(&network).map(|(_, parameter)| parameter.name.as_str()).collect();
        let blocks = ["block1", "block2"].map(|block| {
            ["attention.qkv", "attention.out", "mlp.up", "mlp.down"]
                .map(|part| format!("{block}.{part}.weight"))
        });
        assert_eq!(names, blocks.concat());
        let parts =
            Parts { rank: Some(32), scale: 1.0, density: 0.03, frozen: false, drawn_b: false };
        let values =
            chosen(&network).map(|(_, parameter)| parts.count_of(sides(&parameter.tensor)));
        // Two blocks of (384 + 128 + 128 + 128 + 640 + 640)·32 and 3 % of 49,152 + 16,384 + 2·65,536.
        assert_eq!(values.sum::<i64>(), 2 * (2_048 * 32 + 1_474 + 491 + 2 * 1_966));
    }

    #[test]
    fn a_rank_above_a_layers_is_refused_with_setting_and_range() {
        let settings = with([("rank", 17.into())]);
        let refused = train(&METHOD, &settings, network(), &[16], 1).unwrap_err().to_string();
        let range = "setting \"rank\" is 17, but must be at most 16, the smaller side of fc1.weight (0 for a quarter)";
        assert!(refused.ends_with(range), "{refused}");
    }
}
