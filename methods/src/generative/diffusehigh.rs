//! # DiffuseHigh: higher resolutions without training
//!
//! ## Mechanism
//! A denoiser D that was trained at one size samples at a larger one, without a step of training: the network's weights are
//! what the run begins with. A sample x of the native size is made larger size by size, over `rungs` steps of equal
//! length. For each: `g = bicubic(x)`; sharpened, `g ← (1 + α)g − α·blur(g)`; its low band `LL_g` by one level of the
//! wavelet transform is kept; `z = g + σ_s·ε` for the level σ_s of the last `noising_steps` of `steps` steps, which
//! Euler steps `z ← z + (σ′ − σ)(z − x̂)/σ`, x̂ = D(z, σ), take down to 0. In the first `guided_steps` of them x̂ has its
//! details and the low band of g: `(LL, H) = DWT(x̂)`, `x̂ ← IDWT(LL_g, H)`.
//!
//! ## Claim
//! Samples of 4 to 16 times the trained area without the repeated objects and distorted shapes of sampling there from the
//! first step on (abstract; no number that was read). `way: direct` is that, `way: upsampled` the interpolation
//! alone, `guided_steps: 0` with `sharpening: 0` SDEdit's noising and denoising.
//!
//! ## Sources
//! Kim, Hwang, Zhang, Park, arXiv:2406.18459 (AAAI 2025), by abstract; yhyun225/DiffuseHigh@05dc747
//! `pipeline_diffusehigh_sdxl.py`.
//!
//! ## Differences
//! - Pixels, not latents: the code decodes, edits and encodes again in guided steps. No text, so no guidance (5 at the native
//!   size and 10 above in the code).
//! - Levels of the later steps are those that SDXL is sampled at (times 281, 261, …, 1 of 1,000 for 15 of 50), times the
//!   deviation of the data, which is about 1 for its latents. The first sample is drawn as EDM draws its own, by Heun's
//!   method, with the evaluations that the later steps leave.
//! - The blur's deviation is fixed; the code draws it anew, unseeded, between 0.1 and 2. There `sharpness_factor`, which
//!   its README names, has no effect: the argument is `sharpening_alpha`.
//! - Eight taps with mirrored edges give more numbers than an image has, so that within three of the frame IDWT(LL_g, H) has
//!   not quite the band LL_g; two taps (`wavelet: haar`) have it everywhere.
//! - Noise of the native size is the larger noise summed over squares, so that ways of sampling are paired.

use lab::LabError;
use lab::diffusion::{Preconditioning, generation_as};
use lab::method::Method;
use lab::offers;
use lab::recipe::Recipe;
use lab::samplers::Setup;
use lab::samplers::higher::{Higher, Refinement, Way, level, times};
use lab::seat::TaskInfo;
use lab::wavelets::Filters;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::{Range, SettingError, refuse_idle};

settings! {
    /// Settings of `diffusehigh`.
    pub struct Settings {
        /// How a larger image comes to be.
        way: Way = Way::Refined, from "arXiv:2406.18459; the others are its baselines";
        /// Steps of size from the native one to that which is asked for.
        rungs: u32 = 1, range Range::of(1.0..=8.0), from "assumed; the code: 1024 to 1536, 2048 and so on";
        /// Steps of the whole process, of which later sizes take the last.
        steps: u32 = 50, range Range::of(1.0..=1000.0), from "DiffuseHigh pipeline";
        /// How many of them a larger image is noised back to.
        noising_steps: u32 = 15, range Range::of(1.0..=1000.0), from "DiffuseHigh pipeline";
        /// How many of these keep the low band; 0 for none.
        guided_steps: u32 = 5, range Range::of(0.0..=1000.0), from "DiffuseHigh pipeline: dwt_steps";
        /// α: how much the enlarged image is sharpened; 0 for not at all.
        sharpening: f64 = 1.0, range Range::of(0.0..=100.0), from "DiffuseHigh pipeline: sharpening_alpha";
        /// Deviation of the blur that sharpening takes away, in pixels.
        blur: f64 = 1.0, range Range::above_up_to(0.0, 10.0), from "assumed; the code: by lot from 0.1 to 2";
        /// Filters of the wavelet transform.
        wavelet: Filters = Filters::Db4, from "DiffuseHigh pipeline";
        /// Evaluations of the network per sample, those of later sizes included.
        evaluations: u32 = 50, range Range::of(1.0..), from "assumed: as many as the code's steps at its native size";
        refuse Self::fit;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "samples of a trained denoiser at a higher resolution, under their own low frequencies; no training",
    paper: Paper {
        title: "DiffuseHigh: Training-free Progressive High-Resolution Image Synthesis through Structure Guidance",
        authors: "Kim, Hwang, Zhang, Park",
        year: 2024,
        reference: "arXiv:2406.18459",
        code: "yhyun225/DiffuseHigh@05dc747",
    },
    claim: PaperClaim {
        statement: "no repeated objects and distorted shapes at resolutions above the trained one, without training",
        number: "none that was read",
        source: "abstract",
    },
    baseline: Some("edm"),
    needs: &[offers::DENOISING, offers::IMAGES, offers::HIGHER],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what does not hold together or would not be used.
    fn fit(&self) -> Result<(), SettingError> {
        let Self { way, steps, noising_steps, guided_steps, rungs, evaluations, .. } = *self;
        let joint = |message: String| Err(SettingError::Joint(message));
        let plain = way != Way::Refined;
        let of = "way \"refined\"";
        let idle = [
            ("steps", plain, of),
            ("noising_steps", plain, of),
            ("guided_steps", plain, of),
            ("sharpening", plain, of),
            ("blur", plain || self.sharpening == 0.0, "way \"refined\" with a sharpening above 0"),
            ("wavelet", plain || guided_steps == 0, "way \"refined\" with guided_steps above 0"),
            ("rungs", way == Way::Direct, "ways that make images larger"),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)?;
        if plain {
            return Ok(());
        }
        if noising_steps > steps {
            return joint(format!(
                "setting \"noising_steps\" is {noising_steps}, but there are {steps} \"steps\": take at most as many"
            ));
        }
        if guided_steps > noising_steps {
            return joint(format!(
                "setting \"guided_steps\" is {guided_steps}, but a size has {noising_steps} steps (\"noising_steps\"): take at \
                 most as many"
            ));
        }
        if evaluations <= rungs * noising_steps {
            return joint(format!(
                "setting \"evaluations\" is {evaluations}, but later sizes take {} of them: take more, for the first sample",
                rungs * noising_steps
            ));
        }
        Ok(())
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        let Self { way, steps, noising_steps, guided_steps, sharpening, blur, .. } = *self;
        let preconditioning = Preconditioning::Diffusion;
        let sigma_data = generation_as(Some(preconditioning), task)?.sigma_data;
        let Some(resolution) = task.side.resolution else {
            return Err(task.unfit("nobody asks for a higher resolution than that of examples"));
        };
        let sides = resolution.ladder(self.rungs).map_err(|reason| task.unfit(reason))?;
        let levels = times(steps, noising_steps).into_iter().map(|time| sigma_data * level(time));
        let refinement = Refinement {
            levels: levels.collect(),
            guided: guided_steps as usize,
            sharpening,
            blur,
            filters: self.wavelet,
        };
        let sampler = Higher {
            setup: Setup { preconditioning, sigma_data, evaluations: self.evaluations },
            way,
            native: i64::from(resolution.native),
            sides: sides.into_iter().map(i64::from).collect(),
            refinement,
        };
        Ok(Recipe { sampler: Some(Box::new(sampler)), ..Recipe::idle() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        workloads::fixture("shapes-high", &Values::new()).unwrap()
    }

    fn run<const N: usize>(
        stage: &Fixture,
        changed: [(&str, Value); N],
    ) -> Result<Trace, LabError> {
        stage.run(&METHOD, &with(changed), 64, 3)
    }

    #[test]
    fn no_step_is_taken_and_the_weights_are_those_it_began_with() {
        let stage = stage();
        let trace = run(&stage, []).unwrap();
        assert_eq!(trace.digest, stage.network(3).unwrap().digest().unwrap());
        assert!(trace.order.ids.is_empty() && trace.costs.is_empty());
    }

    #[test]
    fn the_steps_of_a_larger_size_are_the_last_fifteen_of_fifty_and_five_of_them_are_guided() {
        let Settings { steps, noising_steps, guided_steps, sharpening, .. } = Settings::default();
        let all = times(steps, noising_steps);
        assert_eq!((all.len(), all[0], sharpening), (15, 281, 1.0));
        assert_eq!(all[..guided_steps as usize], [281, 261, 241, 221, 201]);
    }

    #[test]
    fn a_size_that_the_network_cannot_take_is_refused_before_anything_is_sampled() {
        let stage = stage();
        for rungs in [2, 4] {
            let settings = [("rungs", rungs.into()), ("evaluations", 80.into())];
            assert!(run(&stage, settings).is_ok(), "{rungs}");
        }
        // Three steps of 16 are not whole, and eight of 2 are no multiples of 4.
        for rungs in [3, 8] {
            let settings = [("rungs", rungs.into()), ("evaluations", 200.into())];
            let error = run(&stage, settings).unwrap_err().to_string();
            assert!(error.contains("\"rungs\"") && error.contains("multiples of 4"), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_training() {
        for (values, word) in [
            (with([("guided_steps", 16.into())]), "\"guided_steps\" is 16"),
            (with([("noising_steps", 51.into())]), "\"noising_steps\" is 51"),
            (with([("evaluations", 15.into())]), "\"evaluations\" is 15"),
            (with([("way", "upsampled".into()), ("guided_steps", 0.into())]), "guided_steps"),
            (with([("way", "direct".into()), ("rungs", 2.into())]), "rungs"),
            (with([("sharpening", 0.into()), ("blur", 0.5.into())]), "blur"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let plain = workloads::fixture("shapes16", &Values::new()).unwrap();
        let error = plain.run(&METHOD, &Values::new(), 64, 3).unwrap_err().to_string();
        assert!(error.contains("higher resolution"), "{error}");
    }
}
