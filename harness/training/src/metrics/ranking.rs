//! How high the documents that answer a query stand in a ranking.

/// Metrics of a ranking, as `trec_eval` has them: of all documents that answer a query, ranked or not.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ranked {
    /// 1 over the rank of the first one, 0 where it is not among the first ten.
    pub mrr: f64,
    /// Whether the first document is one.
    pub p_at_1: f64,
    /// Mean over them of the share of such documents down to each; 0 for those that are not ranked.
    pub map: f64,
    /// Their share among as many documents as there are of them.
    pub r_prec: f64,
}

/// Ranks that the reciprocal one looks at.
const DEEPEST: usize = 10;

impl Ranked {
    /// Of documents from the first rank on, with whether each answers a query that `answers` documents answer.
    #[must_use]
    pub fn of(ranking: &[bool], answers: u32) -> Self {
        let share = |right: bool| f64::from(u8::from(right));
        let all = f64::from(answers.max(1));
        let first = ranking.iter().take(DEEPEST).position(|right| *right);
        let (mut found, mut precisions) = (0.0, 0.0);
        for (place, _) in ranking.iter().enumerate().filter(|place| *place.1) {
            found += 1.0;
            precisions += found / (place + 1) as f64;
        }
        let among = ranking.iter().take(answers as usize).map(|right| share(*right));
        Self {
            mrr: first.map_or(0.0, |place| 1.0 / (place + 1) as f64),
            p_at_1: ranking.first().map_or(0.0, |right| share(*right)),
            map: precisions / all,
            r_prec: among.sum::<f64>() / all,
        }
    }

    /// Scores of documents in the order of the first stage, turned into the ranking that they make: ties stay as they were.
    #[must_use]
    pub fn by_scores(scores: &[f32], relevant: &[bool], answers: u32) -> Self {
        let mut places: Vec<usize> = (0..relevant.len().min(scores.len())).collect();
        places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let ranking: Vec<bool> = places.into_iter().map(|place| relevant[place]).collect();
        Self::of(&ranking, answers)
    }

    /// The mean over queries; zeros without any.
    #[must_use]
    pub fn mean(all: impl Iterator<Item = Self>) -> Self {
        let (mut sum, mut n) = (Self::default(), 0.0);
        for Self { mrr, p_at_1, map, r_prec } in all {
            sum.mrr += mrr;
            sum.p_at_1 += p_at_1;
            sum.map += map;
            sum.r_prec += r_prec;
            n += 1.0;
        }
        let n = f64::max(n, 1.0);
        let Self { mrr, p_at_1, map, r_prec } = sum;
        Self { mrr: mrr / n, p_at_1: p_at_1 / n, map: map / n, r_prec: r_prec / n }
    }

    /// The metrics with their names.
    #[must_use]
    pub fn named(self) -> [(&'static str, f64); 4] {
        let Self { mrr, p_at_1, map, r_prec } = self;
        [("mrr", mrr), ("p_at_1", p_at_1), ("map", map), ("r_prec", r_prec)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_a_ranking_are_those_by_hand() {
        let ranking = [false, true, false, true, true, false];
        // Four documents answer; one of them is not ranked.
        let Ranked { mrr, p_at_1, map, r_prec } = Ranked::of(&ranking, 4);
        assert_eq!((mrr, p_at_1, r_prec), (0.5, 0.0, 0.5));
        assert!((map - (1.0 / 2.0 + 2.0 / 4.0 + 3.0 / 5.0) / 4.0).abs() < 1e-12, "{map}");
        assert_eq!(
            Ranked::of(&[true, false], 1),
            Ranked { mrr: 1.0, p_at_1: 1.0, map: 1.0, r_prec: 1.0 }
        );
    }

    #[test]
    fn the_reciprocal_rank_looks_at_ten_documents_and_no_further() {
        let at = |place: usize| {
            let mut ranking = [false; 20];
            ranking[place] = true;
            Ranked::of(&ranking, 1)
        };
        assert_eq!((at(9).mrr, at(10).mrr), (0.1, 0.0));
        assert!(at(10).map > 0.09 && Ranked::of(&[], 2) == Ranked::default());
    }

    #[test]
    fn equal_scores_leave_documents_in_the_order_of_the_first_stage() {
        let relevant = [false, true, false, true];
        let tied = Ranked::by_scores(&[0.5; 4], &relevant, 2);
        assert_eq!(tied, Ranked::of(&relevant, 2));
        let turned = Ranked::by_scores(&[0.0, 1.0, 0.5, 2.0], &relevant, 2);
        assert_eq!(turned.named().map(|named| named.1), [1.0; 4]);
        let mean = Ranked::mean([tied, turned].into_iter());
        assert_eq!((mean.mrr, mean.p_at_1), (0.75, 0.5));
    }
}
