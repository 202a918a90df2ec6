//! BM25 over an inverted index: documents by how well they answer a query of words.
//!
//! `score(q, d) = Σ_{t ∈ q} idf(t) · f(k₁ + 1)/(f + k₁(1 − b + b·|d|/mean |d|))` with `f` the number of times that
//! `t` stands in `d`, and `idf(t) = ln(1 + (N − n + ½)/(n + ½))` for `n` of `N` documents that hold it (Robertson and
//! Zaragoza 2009, equation 3.15; the 1 in the logarithm is Lucene's, and keeps it above 0). A word that a query holds
//! twice counts twice. Equal scores go by document, the lower number first.
//!
//! Ours, because the kept crate `bm25` adds in `f32`, leaves ties in the order of a hash map and hashes words to 32 bits.

use crate::DataError;

/// How strongly repetitions count, and lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// k₁, at least 0: at 0 a word counts once, however often it stands there.
    pub k1: f64,
    /// b, from 0 to 1: at 0 lengths do not count.
    pub b: f64,
}

/// A document that holds a word of the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its number, from 0.
    pub document: u32,
    /// Its score, above 0.
    pub score: f64,
}

/// Documents by the words that they hold.
#[derive(Debug, Clone)]
pub struct Index {
    /// Where the documents of each word begin in `entries`, and where those of the last one end.
    starts: Vec<usize>,
    /// Documents, word by word and ascending.
    entries: Vec<u32>,
    /// What the word adds to the score of each.
    adds: Vec<f64>,
    documents: usize,
}

impl Index {
    /// The index of these documents.
    ///
    /// # Errors
    /// [`DataError::Setting`] without a document, or when k₁ or b is out of its range.
    pub fn new<D: AsRef<[u16]>>(
        documents: &[D],
        parameters: Parameters,
    ) -> Result<Self, DataError> {
        let Parameters { k1, b } = parameters;
        let refuse = |setting, found: f64, expected| {
            Err(DataError::Setting { setting, found: found.to_string(), expected })
        };
        if !(0.0..f64::INFINITY).contains(&k1) {
            return refuse("k1", k1, "a number that is 0 or more");
        }
        if !(0.0..=1.0).contains(&b) {
            return refuse("b", b, "a number from 0 to 1");
        }
        if documents.is_empty() {
            return refuse("documents of an index", 0.0, "at least one");
        }
        let words = documents.iter().flat_map(|document| document.as_ref().iter().copied());
        let rows = words.clone().max().map_or(0, |word| usize::from(word) + 1);
        let n = documents.len();
        let mean = words.count() as f64 / n as f64;
        // Documents of each word: first counted, then filled in.
        let mut counted = vec![0_usize; rows];
        let mut sorted = Vec::new();
        let mut each = |document: &D, see: &mut dyn FnMut(u16, u32)| {
            sorted.clear();
            sorted.extend_from_slice(document.as_ref());
            sorted.sort_unstable();
            for run in sorted.chunk_by(|a, b| a == b) {
                see(run[0], u32::try_from(run.len()).unwrap_or(u32::MAX));
            }
        };
        for document in documents {
            each(document, &mut |word, _| counted[usize::from(word)] += 1);
        }
        let mut starts = vec![0; rows + 1];
        for (word, count) in counted.iter().enumerate() {
            starts[word + 1] = starts[word] + count;
        }
        let mut next = starts.clone();
        let (mut entries, mut adds) = (vec![0; starts[rows]], vec![0.0; starts[rows]]);
        let idf = |held: &usize| {
            let held = *held as f64;
            (1.0 + (n as f64 - held + 0.5) / (held + 0.5)).ln()
        };
        let idf: Vec<f64> = counted.iter().map(idf).collect();
        for (number, document) in (0..).zip(documents) {
            let length = document.as_ref().len() as f64;
            let damping = k1 * (1.0 - b + b * length / mean);
            each(document, &mut |word, frequency| {
                let (word, f) = (usize::from(word), f64::from(frequency));
                let place = next[word];
                entries[place] = number;
                adds[place] = idf[word] * f * (k1 + 1.0) / (f + damping);
                next[word] += 1;
            });
        }
        Ok(Self { starts, entries, adds, documents: n })
    }

    /// The best `most` of the documents that hold a word of `query`, the best first.
    #[must_use]
    pub fn search(&self, query: &[u16], most: usize) -> Vec<Hit> {
        let mut scores = vec![0.0; self.documents];
        for word in query.iter().copied().map(usize::from) {
            let Some(&[from, to]) = self.starts.get(word..word + 2) else { continue };
            for (document, adds) in self.entries[from..to].iter().zip(&self.adds[from..to]) {
                scores[*document as usize] += adds;
            }
        }
        let better = |a: &Hit, b: &Hit| {
            b.score.total_cmp(&a.score).then_with(|| a.document.cmp(&b.document))
        };
        // Once there are as many, only what is better than the last of them can be among the best: of equal scores the
        // earlier document, which is there already.
        let (mut hits, mut bar): (Vec<Hit>, f64) = (Vec::new(), 0.0);
        for (document, score) in (0..).zip(scores) {
            if score > bar && most > 0 {
                hits.push(Hit { document, score });
                if hits.len() >= most.saturating_mul(2).max(64) {
                    hits.select_nth_unstable_by(most - 1, better);
                    hits.truncate(most);
                    bar = hits[most - 1].score;
                }
            }
        }
        hits.sort_unstable_by(better);
        hits.truncate(most);
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;
    use ledger::order::bounded;

    const OKAPI: Parameters = Parameters { k1: 1.2, b: 0.75 };

    fn index(documents: &[&[u16]]) -> Index {
        Index::new(documents, OKAPI).unwrap()
    }

    #[test]
    fn scores_are_those_of_the_formula_by_hand() {
        // Lengths 2, 4 and 3, mean 3; word 7 stands in two of three documents, word 1 in one.
        let index = index(&[&[7, 1], &[7, 7, 2, 3], &[4, 5, 6]]);
        let idf = |held: f64| (1.0 + (3.5 - held) / (held + 0.5)).ln();
        let part = |f: f64, length: f64| f * 2.2 / (f + 1.2 * (0.25 + 0.75 * length / 3.0));
        let hits = index.search(&[7, 1], 10);
        let expected = [
            (0, idf(2.0) * part(1.0, 2.0) + idf(1.0) * part(1.0, 2.0)),
            (1, idf(2.0) * part(2.0, 4.0)),
        ];
        assert_eq!(hits.len(), 2);
        for (hit, (document, score)) in hits.iter().zip(expected) {
            assert!(hit.document == document && (hit.score - score).abs() < 1e-12, "{hits:?}");
        }
        // ln 1.6 · 2 · 2.2/(2 + 1.5).
        assert!((hits[1].score - 0.590_862).abs() < 1e-6, "{}", hits[1].score);
        let twice = index.search(&[7, 7], 10);
        assert!((twice[0].score - 2.0 * index.search(&[7], 10)[0].score).abs() < 1e-12);
    }

    #[test]
    fn ties_go_by_document_whatever_the_number_that_is_asked_for() {
        let documents: Vec<[u16; 2]> = (0..50).map(|document| [9, document % 2]).collect();
        let index = Index::new(&documents, OKAPI).unwrap();
        let all: Vec<u32> = index.search(&[9, 0], 50).iter().map(|hit| hit.document).collect();
        let expected: Vec<u32> = (0..50).step_by(2).chain((1..50).step_by(2)).collect();
        assert_eq!(all, expected);
        for most in [0, 1, 7, 25, 26, 49] {
            let some: Vec<u32> =
                index.search(&[9, 0], most).iter().map(|hit| hit.document).collect();
            assert_eq!(some, all[..most]);
        }
    }

    #[test]
    fn what_is_found_by_the_index_is_what_a_look_at_every_document_finds() {
        let mut random = ledger::order::generator(&Digest::of(b"bm25"));
        let mut draw = |n: u64| u16::try_from(bounded(&mut random, n)).unwrap();
        let documents: Vec<Vec<u16>> =
            (0..300).map(|_| (0..3 + draw(9)).map(|_| draw(40)).collect()).collect();
        let index = Index::new(&documents, OKAPI).unwrap();
        let mean = documents.iter().map(Vec::len).sum::<usize>() as f64 / 300.0;
        for _ in 0..20 {
            let query = [draw(40), draw(40), draw(40)];
            let score = |document: &Vec<u16>| -> f64 {
                let each = query.iter().map(|word| {
                    let count =
                        |document: &Vec<u16>| document.iter().filter(|w| *w == word).count();
                    let held =
                        documents.iter().filter(|document| count(document) > 0).count() as f64;
                    let f = count(document) as f64;
                    let damping = 1.2 * (0.25 + 0.75 * document.len() as f64 / mean);
                    (1.0 + (300.5 - held) / (held + 0.5)).ln() * f * 2.2 / (f + damping)
                });
                each.sum()
            };
            let mut expected: Vec<(u32, f64)> =
                (0..).zip(documents.iter().map(score)).filter(|(_, score)| *score > 0.0).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let hits = index.search(&query, 300);
            assert_eq!(hits.len(), expected.len());
            assert!(
                hits.iter().zip(expected).all(|(hit, (_, score))| (hit.score - score).abs() < 1e-9)
            );
        }
    }

    #[test]
    fn an_empty_index_and_settings_out_of_range_are_refused_by_name() {
        let none: [&[u16]; 0] = [];
        let message = |documents: &[&[u16]], k1, b| {
            Index::new(documents, Parameters { k1, b }).unwrap_err().to_string()
        };
        assert!(message(&none, 1.2, 0.75).contains("documents of an index"));
        assert!(message(&[&[1]], -1.0, 0.75).contains("k1"));
        assert!(message(&[&[1]], f64::NAN, 0.75).contains("k1"));
        assert!(message(&[&[1]], 1.2, 1.5).contains('b'));
        let index = index(&[&[1, 2]]);
        assert!(index.search(&[3, u16::MAX], 5).is_empty() && index.search(&[], 5).is_empty());
    }
}
