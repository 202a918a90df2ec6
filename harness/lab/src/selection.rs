//! Selection of examples by what a network says of them: pseudo-skills, scores, budgets, strata, and what lies near what.
//!
//! A selection is a function of the network, of the candidates and of a seed: what it draws comes from a generator of these
//! three ([`Sources`]), so that whoever has them makes it again.

pub mod arriving;
pub mod signals;

use ledger::choice;
use ledger::digest::Digest;
use ledger::order::{generator, shuffle};
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::mixture::{Rows, clustered};
use crate::network::values;
use signals::{SCORES, Signals};

/// Bins of a histogram of scores, and strata of a sample.
pub const BINS: usize = 50;
/// Standard scores that the histogram reaches on both sides.
const REACH: f64 = 4.0;
/// Share of a cluster that is left out at either end of its scores.
const END: f64 = 0.05;

choice! {
    /// Where the edges of the histograms lie that scores are compared by.
    pub enum Edges {
        /// From −4 to 4: scores are standardised.
        Fixed = "fixed",
        /// From −4 to 4 times the deviation before scores were standardised, as in the published code.
        Published = "published",
    }
}

/// What a selection is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// Digest of the network that looked at the candidates.
    pub snapshot: Digest,
    /// Digest of the candidates.
    pub candidates: Digest,
    /// A number of the run.
    pub seed: u64,
}

impl Sources {
    /// Where its draws come from.
    #[must_use]
    pub fn random(&self) -> Pcg64 {
        let parts = [
            b"palimpsest/selection/v1".as_slice(),
            self.snapshot.as_bytes(),
            self.candidates.as_bytes(),
            &self.seed.to_le_bytes(),
        ];
        generator(&Digest::of_parts(&parts))
    }
}

/// Digest of ids in their order.
#[must_use]
pub fn digest(ids: &[u32]) -> Digest {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    Digest::of(&bytes)
}

/// Shares of `total` for groups of these sizes: equal ones, of which a group that is smaller gives what it cannot use to the larger ones; rounded up,
/// so that the largest get what is left.
#[must_use]
pub fn budgets(sizes: &[usize], total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|group| sizes[*group]);
    let (mut left, mut shares) = (total, vec![0; sizes.len()]);
    for (place, group) in order.into_iter().enumerate() {
        shares[group] = left.div_ceil(sizes.len() - place).min(sizes[group]);
        left -= shares[group];
    }
    shares
}

/// Bits of the histogram of standardised scores; what lies beyond its edges is left out. 0 where all are alike.
#[must_use]
pub fn entropy(scores: &[f64], edges: Edges) -> f64 {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let deviation = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n).sqrt();
    if deviation == 0.0 || !deviation.is_finite() {
        return 0.0;
    }
    let reach = match edges {
        Edges::Fixed => REACH,
        Edges::Published => REACH * deviation,
    };
    let standard = scores.iter().map(|score| (score - mean) / deviation);
    let mut counts = [0.0; BINS];
    for score in standard.filter(|score| score.abs() <= reach) {
        let bin = (score + reach) / (2.0 * reach) * BINS as f64;
        counts[(bin as usize).min(BINS - 1)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let shares = counts.iter().filter(|count| **count > 0.0).map(|count| count / all);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

/// The place of the score whose histogram has the largest entropy over `members`; of equals the first.
#[must_use]
pub fn selector(scores: &[Vec<f64>], members: &[usize], edges: Edges) -> usize {
    let of = |scores: &Vec<f64>| {
        let own: Vec<f64> = members.iter().map(|member| scores[*member]).collect();
        entropy(&own, edges)
    };
    let mut best = (0, f64::NEG_INFINITY);
    for (place, entropy) in scores.iter().map(of).enumerate() {
        if entropy > best.1 {
            best = (place, entropy);
        }
    }
    best.0
}

/// A sample of `budget` of these scores, by their places in ascending order: without the ends, the 5 % lowest and highest, as many from each of 50
/// strata of equal width, of which one that has fewer gives the rest to those that have more. What the middle cannot fill is
/// drawn from the ends.
#[must_use]
pub fn stratified(scores: &[f64], budget: usize, random: &mut Pcg64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
    let cut = (END * scores.len() as f64) as usize;
    let middle = &order[cut..order.len() - cut];
    let (Some(first), Some(last)) = (middle.first(), middle.last()) else { return Vec::new() };
    let (low, wide) = (scores[*first], (scores[*last] - scores[*first]) / BINS as f64);
    let mut strata: Vec<Vec<u32>> = vec![Vec::new(); BINS];
    for place in middle {
        let stratum = if wide > 0.0 { (scores[*place] - low) / wide } else { 0.0 };
        strata[(stratum as usize).min(BINS - 1)].push(*place as u32);
    }
    strata.retain(|stratum| !stratum.is_empty());
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    let mut chosen = Vec::new();
    let mut draw = |from: &mut Vec<u32>, count: usize| {
        shuffle(random, from);
        chosen.extend(from.iter().take(count).map(|place| *place as usize));
    };
    for (stratum, count) in strata.iter_mut().zip(budgets(&sizes, budget)) {
        draw(stratum, count);
    }
    let ends = order[..cut].iter().chain(&order[order.len() - cut..]);
    let mut ends: Vec<u32> = ends.map(|place| *place as u32).collect();
    draw(&mut ends, budget.saturating_sub(middle.len()));
    chosen.sort_unstable();
    chosen
}

/// The `budget` rows of vectors n × d with the smallest largest cosine to an earlier row, by their places in ascending order; of equals the
/// earlier ones, and the first row before all.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn apart(vectors: &Tensor, budget: usize) -> Result<Vec<usize>, TchError> {
    let rows = vectors.size().first().copied().unwrap_or(0);
    if rows == 0 {
        return Ok(Vec::new());
    }
    let lengths = vectors.f_norm_scalaropt_dim(2.0, [1_i64].as_slice(), true)?;
    let unit = vectors.f_div(&lengths.f_clamp_min(1e-12)?)?;
    let cosines = unit.f_matmul(&unit.f_transpose(0, 1)?)?;
    let later = Tensor::f_ones([rows, rows], (Kind::Bool, vectors.device()))?.f_triu(0)?;
    let nearest = values(&cosines.f_masked_fill(&later, -2.0)?.f_amax([1].as_slice(), false)?)?;
    let mut order: Vec<usize> = (0..nearest.len()).collect();
    order.sort_by(|one, other| nearest[*one].total_cmp(&nearest[*other]));
    order.truncate(budget);
    order.sort_unstable();
    Ok(order)
}

/// Pseudo-skills of candidates, with what was made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BySkill {
    /// Candidates of each cluster, by their places.
    pub clusters: Vec<Vec<usize>>,
    /// Places that are to be trained on, ascending.
    pub chosen: Vec<usize>,
    /// The score that each cluster was sampled by.
    pub selectors: Vec<&'static str>,
    /// Places that stay candidates, ascending.
    pub kept: Vec<usize>,
}

/// How candidates are selected by pseudo-skills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Most clusters.
    pub clusters: usize,
    /// Edges of the histograms.
    pub edges: Edges,
    /// Candidates that are to be trained on.
    pub chosen: usize,
    /// Candidates that stay.
    pub kept: usize,
}

/// Clusters the candidates, samples each by the score that tells most of it, and thins each to what lies apart.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn by_skill(signals: &Signals, rule: &Rule, random: &mut Pcg64) -> Result<BySkill, LabError> {
    let dimensions = usize::try_from(signals.vectors.size2()?.1).unwrap_or(1).max(1);
    let flat: Vec<f64> = values(&signals.vectors)?.into_iter().map(f64::from).collect();
    let rows = Rows { values: &flat, dimensions };
    let labels = clustered(rows, rule.clusters.min(rows.len()), random);
    let mut clusters = vec![Vec::new(); rule.clusters];
    for (place, label) in labels.into_iter().enumerate() {
        clusters[label].push(place);
    }
    clusters.retain(|cluster| !cluster.is_empty());
    let sizes: Vec<usize> = clusters.iter().map(Vec::len).collect();
    let shares = budgets(&sizes, rule.chosen).into_iter().zip(budgets(&sizes, rule.kept));
    let (mut chosen, mut kept, mut selectors) = (Vec::new(), Vec::new(), Vec::new());
    for (cluster, (share, stays)) in clusters.iter().zip(shares) {
        let score = selector(&signals.scores, cluster, rule.edges);
        let own: Vec<f64> = cluster.iter().map(|place| signals.scores[score][*place]).collect();
        chosen.extend(stratified(&own, share, random).into_iter().map(|at| cluster[at]));
        selectors.push(SCORES[score]);
        let places: Vec<i64> = cluster.iter().map(|place| *place as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(signals.vectors.device())?;
        let own = signals.vectors.f_index_select(0, &places)?;
        kept.extend(apart(&own, stays)?.into_iter().map(|at| cluster[at]));
    }
    chosen.sort_unstable();
    kept.sort_unstable();
    Ok(BySkill { clusters, chosen, selectors, kept })
}

/// `count` of these ids, drawn evenly, ascending; all where there are no more.
#[must_use]
pub fn drawn(ids: &[u32], count: usize, random: &mut Pcg64) -> Vec<u32> {
    let mut ids = ids.to_vec();
    if ids.len() > count {
        shuffle(random, &mut ids);
        ids.truncate(count);
    }
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests;
