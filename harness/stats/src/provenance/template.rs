//! The matched filter: the imprint that training leaves at each position, learnt from shadow runs of
//! other orders, correlated with what the suspect shows.
//!
//! With a learning rate that decays the imprint is not monotone and a rank correlation misses most
//! of it; its sign may flip as well. The profile is a fixed function of the position once it comes
//! from other orders, so that the permutation null of the audited order holds unchanged.

use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::permutation::Method;
use super::query::product_moment;
use super::{Finding, Metric, Query, Refusal, Tail, correlation, ranks};
use ledger::digest::Digest;

/// A shadow run: the same recipe with another order.
#[derive(Debug, Clone, Copy)]
pub struct Shadow<'a> {
    /// Hash of the order it was trained on.
    pub order_hash: Digest,
    /// Position of each example in that order.
    pub positions: &'a [u64],
    /// Its adjusted score on each example, in the same row order.
    pub adjusted: &'a [f64],
}

/// The imprint w by position, as a share of the run in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Mean centred score in each bin of equal length, smoothed.
    pub profile: Vec<f64>,
    /// Shadow runs it was learnt from.
    pub shadows: u64,
}

impl Template {
    /// Averages the shadows' scores in `bins` stretches of the order and smooths with weights
    /// ¼, ½, ¼. `audited` are the order hashes of the run under question.
    ///
    /// # Errors
    /// For no shadows, for one that shares an order with the run, for columns that do not fit, and
    /// for fewer than 2 bins or more than a fifth of the examples.
    pub fn learn(shadows: &[Shadow], audited: &[Digest], bins: u64) -> Result<Self, Refusal> {
        if shadows.is_empty() {
            let (what, of) = ("a template", "shadow run");
            return Err(Refusal::TooFewOf { what, needed: 1, of, found: 0 });
        }
        let mut profile = vec![0.0; bins.min(1 << 20) as usize];
        for (number, shadow) in (0_u64..).zip(shadows) {
            if audited.contains(&shadow.order_hash) {
                let (shadow, order_hash) = (number, shadow.order_hash);
                return Err(Refusal::DependentShadow { shadow, order_hash });
            }
            let n = Query::new(shadow.positions, shadow.adjusted).checked()?.len() as u64;
            if bins < 2 || bins > n / 5 {
                let range = "at least 2 and at most a fifth of the examples";
                return Err(Refusal::OutOfRange { what: "bins", value: bins as f64, range });
            }
            let places = shares(shadow.positions);
            let mean = ExactSum::of(shadow.adjusted.iter().copied()) / n as f64;
            let mut sums: Vec<(ExactSum, u64)> =
                profile.iter().map(|_| (ExactSum::new(), 0)).collect();
            for (place, score) in places.iter().zip(shadow.adjusted) {
                let bin = ((place * bins as f64) as usize).min(sums.len() - 1);
                sums[bin].0.add(score - mean);
                sums[bin].1 += 1;
            }
            for (entry, (sum, count)) in profile.iter_mut().zip(sums) {
                // A bin that ties left empty says nothing.
                *entry += sum.round() / count.max(1) as f64 / shadows.len() as f64;
            }
        }
        Ok(Self { profile: smooth(&profile), shadows: shadows.len() as u64 })
    }

    /// w at a share of the run, linear between the centres of the bins.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        let (Some(first), Some(last)) = (self.profile.first(), self.profile.last()) else {
            return 0.0;
        };
        let place = share * self.profile.len() as f64 - 0.5;
        let below = place.floor();
        if below < 0.0 {
            return *first;
        }
        match self.profile.get(below as usize..below as usize + 2) {
            Some(&[left, right]) => left + (place - below) * (right - left),
            _ => *last,
        }
    }

    /// Correlates w at each example's position with the adjusted scores of the query: Pearson's r
    /// with the p-value of [`Query::run`]. A derivative shows the imprint itself, so that its r is positive whatever
    /// the shape: [`Tail::Greater`] is the natural alternative.
    ///
    /// # Errors
    /// As [`Query::run`]; also for a flat profile.
    pub fn test(&self, query: &Query) -> Result<Finding, Refusal> {
        let scores = query.checked()?;
        let weights: Vec<f64> = shares(query.positions).into_iter().map(|u| self.at(u)).collect();
        if let Some(value) = super::adjust::only_value(&weights) {
            let hint = "; the shadow runs show no imprint";
            return Err(Refusal::Constant { what: "the template".into(), value, hint });
        }
        let ties = correlation::spearman(query.positions, &scores).ties;
        let found = correlation::pearson_of(&weights, &scores, ties);
        if found.complement <= 0.0 {
            let (what, hint) = ("what the template leaves over".into(), "; it is the template");
            return Err(Refusal::Constant { what, value: 0.0, hint });
        }
        let (tails, method) = product_moment(&found, &weights, &scores)?;
        let mut finding = query.finding(&found, query.tail.of(&tails));
        finding.exact = method == Method::Exact;
        finding.saddlepoint = method == Method::Saddlepoint;
        finding.metric = Metric::Pearson;
        finding.direction = if found.r > 0.0 {
            "positive: the scores follow the imprint of the shadow runs".into()
        } else {
            "negative: the scores run against the imprint of the shadow runs".into()
        };
        if query.tail == Tail::Less {
            finding.warnings.push(
                "tail less asks whether the scores run against the imprint; a derivative follows \
                 it: use greater"
                    .into(),
            );
        }
        Ok(finding)
    }
}

/// Mid-ranks as shares of the order, in 0..1.
fn shares(positions: &[u64]) -> Vec<f64> {
    let n = positions.len() as f64;
    ranks::of_positions(positions).into_iter().map(|rank| 0.5 + rank as f64 / (2.0 * n)).collect()
}

fn smooth(profile: &[f64]) -> Vec<f64> {
    let at = |bin: usize| profile[bin.min(profile.len() - 1)];
    (0..profile.len())
        .map(|bin| 0.25 * at(bin.saturating_sub(1)) + 0.5 * at(bin) + 0.25 * at(bin + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::order::uniform_order;
    use ledger::seed::Seed;
    use ledger::streams::{Streams, normal_f64};

    /// Scores with a bump in the middle of the order: no trend at all.
    fn run(k: u64) -> (Vec<u64>, Vec<f64>) {
        let seed = Seed::from_integer(k).bytes;
        let positions: Vec<u64> =
            uniform_order(&seed, 0, 2000).into_iter().map(u64::from).collect();
        let mut rng = Streams::new(seed).generator("noise");
        let scores = positions
            .iter()
            .map(|&p| normal_f64(&mut rng) - 0.5 * (-((p as f64 - 1000.0) / 300.0).powi(2)).exp())
            .collect();
        (positions, scores)
    }

    fn shadow<'a>(run: &'a (Vec<u64>, Vec<f64>), name: &str) -> Shadow<'a> {
        Shadow { order_hash: Digest::of(name.as_bytes()), positions: &run.0, adjusted: &run.1 }
    }

    #[test]
    fn an_imprint_that_is_no_trend_is_found_and_an_innocent_is_not() {
        let runs = [run(1), run(2), run(3)];
        let shadows = runs.each_ref().map(|run| shadow(run, "shadow"));
        let template = Template::learn(&shadows, &[Digest::of(b"audited")], 16).unwrap();
        let (positions, scores) = run(9);
        let query = Query { tail: Tail::Greater, ..Query::new(&positions, &scores) };
        let found = template.test(&query).unwrap();
        assert!(found.log10_p < -10.0 && found.statistic > 0.0, "{found:?}");
        assert!(query.run().unwrap().p > 1e-4);
        // Another order, same scores.
        let (other, _) = run(10);
        let innocent = template.test(&Query { positions: &other, ..query }).unwrap();
        assert!(innocent.p > 0.01, "{innocent:?}");
    }

    #[test]
    fn a_shadow_of_the_audited_order_is_refused() {
        let own = run(1);
        let refusal = Template::learn(&[shadow(&own, "a")], &[Digest::of(b"a")], 8).unwrap_err();
        assert!(matches!(refusal, Refusal::DependentShadow { shadow: 0, .. }));
        assert!(matches!(Template::learn(&[], &[], 8), Err(Refusal::TooFewOf { .. })));
        for bins in [1, 401, u64::MAX] {
            let refusal = Template::learn(&[shadow(&own, "a")], &[], bins);
            assert!(matches!(refusal, Err(Refusal::OutOfRange { what: "bins", .. })), "{bins}");
        }
    }

    #[test]
    fn the_profile_is_read_linearly_between_the_centres_of_its_bins() {
        let template = Template { profile: vec![0.0, 2.0], shadows: 1 };
        for (share, expected) in [(0.0, 0.0), (0.25, 0.0), (0.5, 1.0), (0.75, 2.0), (1.0, 2.0)] {
            assert!((template.at(share) - expected).abs() < 1e-15, "{share}");
        }
    }
}
