//! # Simple rules below 5 bits
//!
//! ## Mechanism
//! Every group of G weights of a row is replaced by few values, data-free and in one go. `rtn`: rounding
//! to b bits between the group's least and largest weight, 0 included: `s = (max − min)/(2^b − 1)`,
//! `z = round(−min/s)`, `w ← s·(clamp(round(w/s) + z, 0, 2^b − 1) − z)`. `absmean`: ternary,
//! `w ← γ·clamp(round(w/γ), −1, 1)` with γ = mean|w|. `twn`: ternary, `w ← α·sign w` where |w| exceeds
//! Δ = 0.7·mean|w|, else 0; α is the mean of the |w| above Δ. `binary`: `w ← mean|w|·sign w`, which is
//! least squares for two values. No step is taken; the network is replaced as it stands at the start:
//! with a parent in the suite, the parent's.
//!
//! ## Claim
//! None here: what `ptqtp` is compared with at the same groups.
//!
//! ## Sources
//! Rounding with an integer zero point: Jacob et al., arXiv:1712.05877, section 2, with the range that the
//! code of GPTQ (arXiv:2210.17323) takes as its baseline. `absmean`: Ma et al., arXiv:2402.17764 (b1.58). `twn`:
//! Li, Zhang & Liu, arXiv:1605.04711. `binary`: Rastegari et al., arXiv:1603.05279, section 3.1.
//!
//! ## Differences
//! Papers: `absmean` one γ per matrix, the ternary and binary ones while training. Here: after training, in
//! groups. Scales stay floats; the bits told count 16 for each, and b for a zero point.

use lab::low_bit::{Grouped, Grouping, Rule};
use lab::method::Method;
use lab::offers;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// What becomes of a group.
    pub enum Scheme {
        /// Rounding to `bits` bits.
        Rtn = "rtn",
        /// Three values, by the mean magnitude.
        Absmean = "absmean",
        /// Three values, by a threshold.
        Twn = "twn",
        /// Two values.
        Binary = "binary",
    }
}

settings! {
    /// Settings of `low-bit`.
    pub struct Settings {
        /// What becomes of a group.
        scheme: Scheme = Scheme::Rtn, from "assumed";
        /// b: bits of a rounded weight; not used by the others.
        bits: u32 = 3, range Range::of(2.0..=8.0), from "assumed";
        use grouping: Grouping;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "weights in groups of few values by rounding, ternary or binary rules; takes no step",
    paper: Paper {
        title: "Ternary weight networks (and the other papers of the card)",
        authors: "Li, Zhang, Liu",
        year: 2016,
        reference: "arXiv:1605.04711",
        code: "none used",
    },
    claim: PaperClaim {
        statement: "a baseline of quantisation after training, not a way to train",
        number: "none",
        source: "none",
    },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { scheme, bits, grouping } = Settings::read(values)?;
        Grouped::recipe(Simple { scheme, bits }, grouping, task)
    },
};

#[derive(Debug)]
struct Simple {
    scheme: Scheme,
    bits: u32,
}

impl Simple {
    fn values(&self, group: &[f64]) -> Vec<f64> {
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
        let magnitudes: Vec<f64> = group.iter().map(|w| w.abs()).collect();
        let scale = mean(&magnitudes);
        let each = |value: &dyn Fn(f64) -> f64| group.iter().map(|w| value(*w)).collect();
        match self.scheme {
            Scheme::Rtn => {
                let least = group.iter().copied().fold(0.0, f64::min);
                let most = group.iter().copied().fold(0.0, f64::max);
                let top = f64::from((1_u32 << self.bits) - 1);
                let step = (most - least) / top;
                let zero = (-least / step).round();
                each(&|w| step * (((w / step).round() + zero).clamp(0.0, top) - zero))
            }
            Scheme::Absmean => each(&|w| scale * (w / scale).round().clamp(-1.0, 1.0)),
            Scheme::Twn => {
                let threshold = 0.7 * scale;
                let above: Vec<f64> = magnitudes.into_iter().filter(|w| *w > threshold).collect();
                let scale = mean(&above);
                each(&|w| if w.abs() > threshold { scale * w.signum() } else { 0.0 })
            }
            Scheme::Binary => each(&|w| if w < 0.0 { -scale } else { scale }),
        }
    }
}

impl Rule for Simple {
    fn replace(&mut self, group: &mut [f32]) {
        let weights: Vec<f64> = group.iter().copied().map(f64::from).collect();
        for (w, value) in group.iter_mut().zip(self.values(&weights)) {
            *w = value as f32;
        }
    }

    fn bits(&self, length: usize) -> f64 {
        let (each, shared) = match self.scheme {
            Scheme::Rtn => (f64::from(self.bits), 16.0 + f64::from(self.bits)),
            Scheme::Absmean | Scheme::Twn => (3.0_f64.log2(), 16.0),
            Scheme::Binary => (1.0, 16.0),
        };
        each * length as f64 + shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::{Tails, weights, with};
    use training::trial::Trial;

    fn values(scheme: Scheme, bits: u32, group: &[f64]) -> Vec<f64> {
        Simple { scheme, bits }.values(group)
    }

    #[test]
    fn groups_become_what_the_formulas_say() {
        // Steps of 1 from −1 to 2: zero point 1.
        assert_eq!(values(Scheme::Rtn, 2, &[-1.0, 2.0, 0.4, 0.6, 1.4]), [-1.0, 2.0, 0.0, 1.0, 1.0]);
        // 0 is in the range, though no weight is: steps of 1 from 0 to 3.
        assert_eq!(values(Scheme::Rtn, 2, &[1.2, 3.0]), [1.0, 3.0]);
        let group = [4.0, -1.0, 0.2, -0.8];
        assert_eq!(values(Scheme::Absmean, 3, &group), [1.5, -1.5, 0.0, -1.5]);
        assert_eq!(values(Scheme::Twn, 3, &group), [4.0, 0.0, 0.0, 0.0]);
        assert_eq!(values(Scheme::Binary, 3, &group), [1.5, -1.5, 1.5, -1.5]);
    }

    #[test]
    fn relative_errors_of_normal_weights_are_the_reference_values() {
        let all = weights(Tails::Normal, 4_000 * 128);
        let squares = |numbers: &[f64]| numbers.iter().map(|x| x * x).sum::<f64>();
        for (scheme, bits, expected) in [
            (Scheme::Binary, 2, 0.6004),
            (Scheme::Absmean, 2, 0.5111),
            (Scheme::Twn, 2, 0.4353),
            (Scheme::Rtn, 2, 0.5010),
            (Scheme::Rtn, 3, 0.2142),
            (Scheme::Rtn, 4, 0.1000),
        ] {
            let mut sums = [0.0; 2];
            for group in all.chunks(128) {
                let before: Vec<f64> = group.iter().copied().map(f64::from).collect();
                let after = values(scheme, bits, &before);
                let gaps: Vec<f64> = before.iter().zip(&after).map(|(a, b)| a - b).collect();
                sums = [sums[0] + squares(&gaps), sums[1] + squares(&before)];
            }
            let error = (sums[0] / sums[1]).sqrt();
            // Whether the zero point is whole or not moves the last ones by 0.4 %.
            assert!((error / expected - 1.0).abs() < 0.008, "{scheme:?} {bits}: {error}");
        }
    }

    #[test]
    fn more_bits_are_nearer_and_the_bits_told_are_those_of_weights_and_scales() {
        let trial = Trial { examples: 24, epochs: 1, seed: 0 };
        let of = |pairs| {
            let mut settings = with(pairs);
            settings.insert("group".to_owned(), 9.into());
            let facts = trial.run(&METHOD, &settings).unwrap().facts;
            ["relative_error", "bits_per_weight"].map(|fact| facts[fact].as_f64().unwrap())
        };
        let [[e2, _], [e3, b3], [e8, _]] = [2, 3, 8].map(|bits| of([("bits", bits.into())]));
        assert!(e2 > e3 && e3 > e8 && e8 < 0.01 && e8 > 0.0, "{e2} {e3} {e8}");
        assert!((b3 - (3.0 + 19.0 / 9.0)).abs() < 1e-12, "{b3}");
        let [_, binary] = of([("scheme", "binary".into())]);
        assert!((binary - (1.0 + 16.0 / 9.0)).abs() < 1e-12, "{binary}");
    }
}
