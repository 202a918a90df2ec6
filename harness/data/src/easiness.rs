//! How easy a training pair is, by what a first stage said of its documents, and how weights go from that to 1 (MacAvaney
//! et al., arXiv:2004.14269; Georgetown-IR-Lab/OpenNIR@8cfcb7bc `onir/trainers/`); and how much of a scale of difficulty a
//! learner is shown as it gets on (competence; Platanios et al., arXiv:1903.09848).

use ledger::choice;
use statrs::function::erf::erfc;

choice! {
    /// D: what makes a document look relevant to the first stage.
    pub enum Heuristic {
        /// 1/rank.
        Reciprank = "reciprank",
        /// The score between the lowest (0) and the highest (1) of the list.
        Normscore = "normscore",
        /// The share of the list's scores, smoothed by a Gaussian kernel, that lie below.
        Kdescore = "kdescore",
    }
}

/// Rank of a document that the first stage did not list.
pub const UNRANKED: u32 = 1_000;

/// What the first stage said of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its place in the list, from 1; none where it is not listed.
    pub rank: Option<u32>,
    /// Its score.
    pub score: f64,
}

/// A training pair: a relevant document of a list beside one that is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The list, of [`Pairs::lists`].
    pub list: u32,
    /// The relevant document.
    pub relevant: Found,
    /// The other one.
    pub other: Found,
}

/// The pairs that training examples are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pairs {
    /// Scores of each query's list, the best first.
    pub lists: Vec<Vec<f64>>,
    /// One pair for each training example.
    pub pairs: Vec<Pair>,
}

impl Heuristic {
    /// D of a document, from 0 to 1. A list whose scores are all alike says nothing: ½, but for ranks.
    #[must_use]
    pub fn of(self, found: Found, list: &[f64]) -> f64 {
        let known = match self {
            Self::Reciprank => Some(1.0 / f64::from(found.rank.unwrap_or(UNRANKED).max(1))),
            Self::Normscore => {
                let (least, most) =
                    list.iter().fold((f64::MAX, f64::MIN), |(least, most), score| {
                        (least.min(*score), most.max(*score))
                    });
                (most > least).then(|| ((found.score - least) / (most - least)).clamp(0.0, 1.0))
            }
            Self::Kdescore => smoothed_share_below(found.score, list),
        };
        known.unwrap_or(0.5)
    }
}

impl Pairs {
    /// D of every pair; or, where documents are looked at one by one, of the document that answers and of the other.
    #[must_use]
    pub fn easiness(&self, heuristic: Heuristic, one_by_one: bool) -> Vec<Vec<f64>> {
        let of = |pair: &Pair| {
            let list = self.lists.get(pair.list as usize).map_or(&[][..], Vec::as_slice);
            let [relevant, other] =
                [pair.relevant, pair.other].map(|found| heuristic.of(found, list));
            match one_by_one {
                false => vec![of_pair(relevant, other)],
                true => vec![of_point(relevant, true), of_point(other, false)],
            }
        };
        self.pairs.iter().map(of).collect()
    }
}

/// The distribution function at `x` of a Gaussian kernel density estimate of `values`, with Scott's bandwidth: the
/// deviation with n − 1 below the line times n^(−1/5), as `scipy.stats.gaussian_kde` has it. None where they do not
/// differ.
#[must_use]
pub fn smoothed_share_below(x: f64, values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let width = (squares / (n - 1.0)).sqrt() * n.powf(-0.2);
    let below = |value: &f64| 0.5 * erfc((value - x) / (width * std::f64::consts::SQRT_2));
    (width > 0.0).then(|| values.iter().map(below).sum::<f64>() / n)
}

/// D of a pair: `(D(d⁺) − D(d⁻) + 1)/2`.
#[must_use]
pub fn of_pair(relevant: f64, other: f64) -> f64 {
    f64::midpoint(relevant - other, 1.0)
}

/// D of a single document: D where it is relevant, 1 − D where it is not.
#[must_use]
pub fn of_point(easiness: f64, relevant: bool) -> f64 {
    if relevant { easiness } else { 1.0 - easiness }
}

/// W at iteration `e`: `D + (e/m)(1 − D)` before iteration `m`, then 1.
#[must_use]
pub fn weight(easiness: f64, e: u64, m: u64) -> f64 {
    if e < m { easiness + e as f64 / m as f64 * (1.0 - easiness) } else { 1.0 }
}

choice! {
    /// How competence grows.
    pub enum Growth {
        /// By as much each time.
        Linear = "linear",
        /// By less and less: each example that is new stays as long.
        Root = "root",
    }
}

/// c: the share of the examples, the easiest first, that is shown when `e` of `whole` are over, from `c0` at the start to
/// 1 at the end and behind it: `e(1 − c0)/E + c0`, or the root of `e(1 − c0²)/E + c0²`.
#[must_use]
pub fn competence(growth: Growth, e: f64, whole: f64, c0: f64) -> f64 {
    if e >= whole {
        return 1.0;
    }
    let part = e / whole;
    let share = match growth {
        Growth::Linear => part * (1.0 - c0) + c0,
        Growth::Root => (part * (1.0 - c0 * c0) + c0 * c0).sqrt(),
    };
    share.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, by: f64) {
        assert!((found - expected).abs() <= by, "{found}, expected {expected}");
    }

    const LIST: [f64; 4] = [12.0, 9.0, 7.0, 3.0];

    #[test]
    fn scores_of_a_list_are_as_easy_as_scipy_says() {
        for (score, norm, kde) in
            [(12.0, 1.0, 0.8279), (9.0, 0.6667, 0.5967), (7.0, 0.4444, 0.4254), (3.0, 0.0, 0.1500)]
        {
            let found = Found { rank: None, score };
            close(Heuristic::Normscore.of(found, &LIST), norm, 5e-5);
            close(Heuristic::Kdescore.of(found, &LIST), kde, 5e-5);
        }
    }

    #[test]
    fn ranks_are_as_easy_as_they_are_high_and_what_is_not_listed_has_rank_1000() {
        let of = |rank| Heuristic::Reciprank.of(Found { rank, score: 0.0 }, &LIST);
        assert_eq!([of(Some(1)), of(Some(4)), of(None)], [1.0, 0.25, 0.001]);
        close(of_pair(of(Some(2)), of(Some(5))), 0.65, 1e-12);
        close(of_pair(of(Some(5)), of(Some(2))), 0.35, 1e-12);
        assert_eq!([of_point(0.25, true), of_point(0.25, false)], [0.25, 0.75]);
    }

    #[test]
    fn weights_rise_in_a_straight_line_to_1_and_stay_there() {
        let at = |easiness, e| weight(easiness, e, 20);
        for (e, low, high) in
            [(0, 0.1, 0.5), (5, 0.325, 0.625), (10, 0.55, 0.75), (19, 0.955, 0.975), (20, 1.0, 1.0)]
        {
            close(at(0.1, e), low, 1e-12);
            close(at(0.5, e), high, 1e-12);
        }
        assert_eq!([at(0.1, 20), at(0.1, 500), weight(0.0, 0, 0)], [1.0; 3]);
    }

    #[test]
    fn a_list_whose_scores_are_alike_says_nothing_and_scores_beyond_it_are_cut() {
        let found = Found { rank: Some(3), score: 5.0 };
        for heuristic in [Heuristic::Normscore, Heuristic::Kdescore] {
            for list in [&[5.0, 5.0][..], &[5.0], &[]] {
                assert_eq!(heuristic.of(found, list), 0.5, "{heuristic:?} {list:?}");
            }
        }
        let beyond = |score| Heuristic::Normscore.of(Found { rank: None, score }, &LIST);
        assert_eq!([beyond(0.0), beyond(20.0)], [0.0, 1.0]);
    }

    #[test]
    fn pairs_are_as_easy_as_their_documents_say_together_or_one_by_one() {
        let at = |rank: u32| Found { rank: Some(rank), score: LIST[rank as usize - 1] };
        let pair = Pair { list: 0, relevant: at(2), other: at(1) };
        let pairs = Pairs { lists: vec![LIST.to_vec()], pairs: vec![pair] };
        assert_eq!(pairs.easiness(Heuristic::Reciprank, false), [[0.25]]);
        assert_eq!(pairs.easiness(Heuristic::Reciprank, true), [[0.5, 0.0]]);
        close(
            pairs.easiness(Heuristic::Normscore, false)[0][0],
            (6.0 / 9.0 - 1.0 + 1.0) / 2.0,
            1e-12,
        );
    }

    #[test]
    fn competence_grows_as_its_authors_say() {
        let linear = [0.01, 0.208, 0.406, 0.604, 0.802, 1.0];
        let root = [0.01, 0.4473, 0.6325, 0.7746, 0.8944, 1.0];
        for (e, (linear, root)) in (0..).zip(linear.into_iter().zip(root)) {
            close(competence(Growth::Linear, f64::from(e), 5.0, 0.01), linear, 5e-5);
            close(competence(Growth::Root, f64::from(e), 5.0, 0.01), root, 5e-5);
        }
        for growth in [Growth::Linear, Growth::Root] {
            assert_eq!([5.0, 5.5, 1e9].map(|e| competence(growth, e, 5.0, 0.01)), [1.0; 3]);
            assert_eq!(competence(growth, 0.0, 0.0, 0.01), 1.0);
        }
    }
}
