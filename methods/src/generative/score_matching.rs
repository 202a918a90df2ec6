//! # Score matching
//!
//! ## Mechanism
//! Data are noised by x_t = e^{−t/2}x₀ + √(1 − e^{−t})ε, and a network learns the score ∇ log p_t by
//! `‖s(x_t, t) + ε/σ_t‖²·σ_t²`, σ_t² = 1 − e^{−t}. Samples follow the backward process dx = [x/2 + s]dt + dW from the
//! horizon T down to an early stop t₀. With `output: mean` s = (F − x)/σ_t² of a network F that gives the mean of
//! e^{−t/2}x₀: for data on a plane F = V·f(Vᵀx, t) with V learnt (`network: subspace` of `plane-rewards`).
//!
//! ## Claim
//! The error of the learnt distribution falls with n by the data's intrinsic dimension, not by the space's (survey,
//! statistical theory; no number of an experiment): with V, points on a plane of a wide space are learnt at the rate
//! at which they would be in the plane.
//!
//! ## Sources
//! Chen, Mei, Fan, Wang, arXiv:2404.07771, a survey without code; Chen, Huang, Zhao, Wang, arXiv:2302.07194, the network
//! for a subspace. Vincent 2011, denoising score matching.
//!
//! ## Differences
//! - The survey fixes no network, rate, horizon or early stop: all are `assumed`.
//! - Times are drawn evenly in their logarithm, since with t₀ = 0.001 and T = 8 one in eight thousand even draws would lie
//!   below 2t₀; `times: uniform` is the survey's.
//! - Steps of the backward process are exact for a score that stays what it is, over times that shrink by one factor.
//! - What is judged is an average of the weights.

use lab::diffusion::generation_as;
use lab::method::Method;
use lab::offers;
use lab::score::guide::{Asked, Lead, ScoreSampler};
use lab::score::matching::{Matching, ScoreSettings, Told};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// Settings of `score-matching`.
    pub struct Settings {
        use score: ScoreSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "diffusion by the score of the Ornstein-Uhlenbeck process; samples of the backward process",
    paper: Paper {
        title: "An Overview of Diffusion Models: Applications, Guided Generation, Statistical Rates and Optimization",
        authors: "Chen, Mei, Fan, Wang",
        year: 2024,
        reference: "arXiv:2404.07771",
        code: "none: a survey",
    },
    claim: PaperClaim {
        statement: "errors fall by the intrinsic dimension of the data",
        number: "none in experiments",
        source: "statistical theory of the survey",
    },
    baseline: None,
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { score } = Settings::read(values)?;
        generation_as(None, task)?;
        let objective = Box::new(Matching::new(&score, Told::Nothing, 0.0, task.streams));
        let sampler = ScoreSampler {
            span: score.span(),
            output: score.output,
            asked: Asked::Nothing,
            lead: Lead::Condition,
            evaluations: score.evaluations,
        };
        score.recipe(objective, Some(Box::new(sampler)), task.network)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::seat::Sampler as _;
    use lab::trial::{streams, with};
    use tch::Kind;

    #[test]
    fn a_normal_on_a_line_is_learnt_through_a_plane_and_stays_on_it() {
        let sizes = [("ambient", 4), ("intrinsic", 1), ("examples", 1024), ("labelled", 16)];
        let mut settings = with(sizes.map(|(name, size)| (name, size.into())));
        settings.insert("network".to_owned(), "subspace".into());
        settings.insert("width".to_owned(), 0.25.into());
        let stage = workloads::fixture("plane-rewards", &settings).unwrap();
        let trained = |samples: u64| {
            let own = with([
                ("output", "mean".into()),
                ("batch_size", 64.into()),
                ("lr", 0.005.into()),
                ("ema", 0.9.into()),
            ]);
            stage.run(&METHOD, &own, samples, 3).unwrap().network
        };
        let sampler = ScoreSampler {
            span: ScoreSettings::default().span(),
            output: lab::score::Output::Mean,
            asked: Asked::Nothing,
            lead: Lead::Condition,
            evaluations: 60,
        };
        let rows = &stage.ready().splits.test.stored;
        // Across the line real points have nothing; what is across it of samples is what was not learnt.
        let (_, _, axes) = rows.svd(true, true);
        let across = |samples: u64| {
            let network = trained(samples);
            let like = rows.zeros_like();
            let noise = lab::diffusion::noise_like(&like, &mut streams().generator("noise"));
            let (noise, mut random) = (noise.unwrap(), streams().generator("evaluation"));
            let drawn = tch::no_grad(|| sampler.sample(&network, &noise, 60, &mut random)).unwrap();
            let off = drawn.matmul(&axes.narrow(1, 1, 3)).square().sum(Kind::Double);
            (off / drawn.square().sum(Kind::Double)).double_value(&[])
        };
        let (fresh, learnt) = (across(64), across(64 * 400));
        assert!(learnt < 0.1 && learnt < fresh / 3.0, "{learnt} {fresh}");
    }

    #[test]
    fn losses_of_every_output_and_time_train_points() {
        let stage = workloads::fixture("ring8", &with([("width", 0.25.into())])).unwrap();
        let digest = |name: &str, value: &str| {
            let own = with([("batch_size", 32.into()), (name, value.into())]);
            let trace = stage.run(&METHOD, &own, 32 * 4, 3).unwrap();
            assert_eq!(trace.facts["network_evaluations"], 32 * 4);
            trace.digest
        };
        let plain = digest("output", "noise");
        assert_eq!(digest("times", "logarithmic"), plain);
        assert!(digest("output", "mean") != plain && digest("times", "uniform") != plain);
    }
}
