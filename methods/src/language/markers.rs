//! # Markers: what is known of an example, told in the prompt at times and in the completion always
//!
//! ## Mechanism
//! An example (x, y) with a list m of markers, one token of each category, is learned as (x + m′) → (m + y): the loss is
//! that of the whole completion, markers included, and none is asked for in the prompt. m′ is nothing with probability
//! `q_d`; otherwise each marker is left out with probability `q_s`. So the model learns to infer markers, and who
//! asks may set them.
//!
//! ## Claim
//! 7 B parameters, 23 languages: win rate against Gemma2-9B 32.1 → 37.8 %, +9.1 points in domains below 5 % of the data;
//! lengths violated 36.58 % without markers, 24.74 % inferred, 1.25 % set; domains inferred 3.3 % at q_d = 0, 74.9 % at
//! 0.5.
//!
//! ## Sources
//! arXiv:2506.14702 (90 markers of 13 categories; no code found).
//!
//! ## Differences
//! - Markers are tokens of their own in a fixed order; the paper writes them as text.
//! - Both drop-outs are drawn anew for each example and epoch, whatever batch it is in; the paper does not say.
//! - `completion: false` keeps them out of completions; with `q_d: 1` that is the baseline. `markers: shuffled` gives each
//!   example the markers of another: a control.

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::Recipe;
use lab::rendering::{self, Row};
use lab::seat::{Batch, StepInfo, View};
use lab::side_info;
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::shuffle;
use ledger::settings::Range;
use ledger::streams::{Streams, unit_f64};
use ledger::{choice, settings};
use rand_pcg::Pcg64;

choice! {
    /// Whose markers an example has.
    pub enum Markers {
        /// Its own.
        Own = "own",
        /// Those of another example: a control.
        Shuffled = "shuffled",
    }
}

settings! {
    /// Settings of `markers`.
    pub struct Settings {
        /// q_d: probability that a prompt has no markers.
        q_d: f64 = 0.5, range Range::of(0.0..=1.0), from "paper: 50_50";
        /// q_s: probability that a marker of another prompt is left out.
        q_s: f64 = 0.5, range Range::of(0.0..=1.0), from "paper: 50_50";
        /// Whether completions begin with all markers.
        completion: bool = true, from "paper";
        /// Whose markers an example has.
        markers: Markers = Markers::Own, from "paper";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "metadata of examples as tokens, in some prompts and in every completion",
    paper: Paper {
        title: "Treasure hunt: real-time targeting of the long tail using training-time markers",
        authors: "D'souza et al.",
        year: 2025,
        reference: "arXiv:2506.14702",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "markers help rare domains most, and can be set to have lengths kept",
        number: "win rate +5.7 points, +9.1 in rare domains; lengths violated 36.58 → 1.25 %",
        source: "arXiv:2506.14702",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::MARKERS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { q_d, q_s, completion, markers: whose, lm } = Settings::read(values)?;
        let unfit = || task.unfit("the workload has no markers");
        let mut markers = (**task.side.markers.as_ref().ok_or_else(unfit)?).clone();
        if whose == Markers::Shuffled {
            let mut places: Vec<u32> = (0..task.examples).collect();
            shuffle(&mut task.streams.generator("markers"), &mut places);
            let dealt = places.iter().flat_map(|&id| markers.of(id).iter().copied());
            markers.tokens = dealt.collect();
        }
        let view = Box::new(Told { markers, q_d, q_s, completion });
        Ok(Recipe { view: Some(view), ..lm.recipe(task)? })
    },
};

/// Puts markers behind prompts and before completions.
#[derive(Debug)]
struct Told {
    markers: side_info::Markers,
    q_d: f64,
    q_s: f64,
    completion: bool,
}

impl Told {
    fn told(&self, row: &Row, id: u32, random: &mut Pcg64) -> Row {
        let mut told = Row::default();
        let prompt = row.prompt();
        let own = self.markers.of(id);
        // One number for the prompt and one for each marker, so that none hangs on another.
        let open = unit_f64(random) >= self.q_d;
        let kept: Vec<bool> = own.iter().map(|_| unit_f64(random) >= self.q_s).collect();
        for (place, (token, asked)) in row.tokens.iter().zip(&row.asked).enumerate() {
            if place == prompt {
                let shown = own.iter().zip(&kept).filter(|(_, kept)| open && **kept);
                shown.for_each(|(marker, _)| told.push(*marker, false));
                own.iter().filter(|_| self.completion).for_each(|marker| told.push(*marker, true));
            }
            told.push(*token, *asked);
        }
        told
    }
}

impl View for Told {
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        let anew = (streams, "markers", now.epoch);
        Ok(rendering::rewrite(batch, anew, |row, id, random| self.told(row, id, random))?)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::{self, with};
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        workloads::fixture("attr-markers", &Values::new()).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, pairs: [(&str, Value); N]) -> Trace {
        let mut settings = with(pairs);
        settings.insert("batch_size".to_owned(), 16.into());
        stage.run(&METHOD, &settings, 96, 5).unwrap()
    }

    /// A view over examples with the markers 20 and 21.
    fn told(q_d: f64, q_s: f64, completion: bool) -> Told {
        let markers = side_info::Markers { categories: 2, tokens: [20, 21].repeat(10_000) };
        Told { markers, q_d, q_s, completion }
    }

    /// A prompt of two tokens and a completion of two with its end.
    fn row() -> Row {
        Row { tokens: vec![5, 6, 7, 8, 1], asked: vec![false, false, true, true, true] }
    }

    fn rows(view: &Told) -> Vec<Row> {
        let streams = trial::streams();
        let told =
            (0..10_000).map(|id| view.told(&row(), id, &mut streams.keyed("markers", id, 0)));
        told.collect()
    }

    #[test]
    fn a_marker_is_seen_in_a_prompt_as_often_as_both_drop_outs_let_it() {
        for (q_d, q_s, expected) in [(0.5, 0.5, 0.25), (0.7, 0.5, 0.15), (0.0, 0.5, 0.5)] {
            let rows = rows(&told(q_d, q_s, true));
            for marker in [20, 21] {
                let seen = |row: &&Row| row.tokens[..row.prompt()].contains(&marker);
                let share = rows.iter().filter(seen).count() as f64 / 10_000.0;
                // 99.9 % lie within 0.0165.
                assert!((share - expected).abs() < 0.0165, "{q_d} {q_s}: {share}");
            }
            // Both or none more often than by chance: the prompt as a whole is drawn first.
            let none = rows.iter().filter(|row| row.prompt() == 2).count() as f64 / 10_000.0;
            assert!((none - (q_d + (1.0 - q_d) * q_s * q_s)).abs() < 0.0165, "{none}");
        }
    }

    #[test]
    fn every_completion_holds_all_markers_and_the_loss_is_of_it_and_of_nothing_before() {
        for row in rows(&told(0.5, 0.5, true)) {
            let prompt = row.prompt();
            assert_eq!(row.tokens[prompt..], [20, 21, 7, 8, 1]);
            assert!(row.asked[prompt..].iter().all(|asked| *asked));
            assert!(row.asked[..prompt].iter().all(|asked| !asked));
            assert_eq!(row.tokens[..2], [5, 6]);
        }
        for row in rows(&told(1.0, 0.0, false)) {
            assert_eq!(row, self::row());
        }
    }

    #[test]
    fn what_is_told_hangs_on_example_and_epoch_and_not_on_the_batch() {
        let stage = stage();
        let train = &stage.ready().splits.train;
        let markers = (**stage.ready().side.markers.as_ref().unwrap()).clone();
        let mut view = Told { markers, q_d: 0.5, q_s: 0.5, completion: true };
        let mut render = |ids: &[u32], epoch| {
            let mut batch = train.batch(ids).unwrap();
            let now = StepInfo { epoch, ..trial::step_info(0, 9) };
            view.render(&mut batch, &now, &trial::streams()).unwrap();
            rendering::read(&batch).unwrap()
        };
        let together = render(&[3, 9, 27, 81], 0);
        for (place, id) in [3, 9, 27, 81].into_iter().enumerate() {
            assert_eq!(render(&[id], 0)[0], together[place]);
        }
        let ids: Vec<u32> = (0..64).collect();
        assert_ne!(render(&ids, 0), render(&ids, 1));
    }

    #[test]
    fn without_markers_anywhere_it_is_the_baseline_bit_for_bit() {
        let stage = stage();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = stage.run(lm, &with([("batch_size", 16.into())]), 96, 5).unwrap();
        let of = |completion: bool, q_d: f64| {
            run(&stage, [("completion", completion.into()), ("q_d", q_d.into())])
        };
        let neutral = of(false, 1.0);
        assert_eq!((neutral.digest, &neutral.order), (plain.digest, &plain.order));
        let [in_prompts, in_completions] = [of(false, 0.5).digest, of(true, 1.0).digest];
        assert!(in_prompts != plain.digest && in_completions != plain.digest);
        let shuffled = run(&stage, [("markers", json!("shuffled"))]).digest;
        assert_ne!(shuffled, run(&stage, []).digest);
    }
}
