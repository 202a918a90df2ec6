//! The partition test: does a text overlap more with what a run consumed late than with what it
//! consumed early? Needs the text, the documents and their order, and no model.
//!
//! The order is cut into k parts of equally many documents; a part's count says how often runs of
//! the text occur in it; the statistic is the correlation of the counts with the parts 1..k, and is
//! expected to be positive. Source: Kuditipudi et al. (2025), arXiv:2510.19796, the observational
//! statistic over a partition of the order.
//!
//! **What counts.** From every start in the text the longest window of 2 to `longest` symbols that
//! occurs in some document is looked up, and each of its occurrences adds 1 to the count of its
//! document; a window that occurs more than `rare` times says little about any document and adds
//! nothing, nor do shorter windows from that start, which occur at least as often. Here an n-gram
//! has n symbols; the authors' `--k 8` looks at windows of up to 9. A start needs `longest` symbols
//! of text from there on, so that no window is short because its text ends; windows cross neither
//! the ends of texts nor those of documents.
//!
//! **Why it is valid.** The counts per document depend on text and documents, not on the order. If
//! the text is independent of a uniform order, every assignment of documents to places is equally
//! likely; parts of equal size then have exchangeable counts, whatever the documents are. Where k
//! does not divide the number of documents, the earliest few are left out to make it so; which
//! documents these are is as random as the order.

use super::correlation::measure;
use super::index::Index;
use super::{Draws, Finding, Kind, Metric, Query, Refusal, Tail};
use ledger::order::shuffle;
use ledger::seed::Seed;
use ledger::streams::Streams;

/// Symbols in the shortest window: a single one says nothing about memory.
pub const SHORTEST: usize = 2;
/// Symbols in the longest window, unless another number is chosen.
pub const LONGEST: usize = 8;
/// Occurrences above which a window is left out, unless another number is chosen.
pub const RARE: u64 = 20;

/// Statistics closer than this count as tied: far above rounding, far below what matters.
const TIED: f64 = 1e-12;

/// Why there is no p-value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// Nothing of the text occurs in the documents.
    #[error(
        "no overlap: of {starts} starts in the text {unmatched} match no document and {too_frequent} \
         only windows that occur more than {rare} times; give more text, or check that text and \
         documents are cut into symbols alike{short}"
    )]
    NoOverlap {
        /// Starts looked up.
        starts: u64,
        /// Starts without an occurrence.
        unmatched: u64,
        /// Starts with too many.
        too_frequent: u64,
        /// The cap.
        rare: u64,
        /// What to know of texts too short to start in; starts with `; `.
        short: String,
    },
    /// Windows of no length.
    #[error("the longest window is {longest} symbols, but windows have at least {SHORTEST}")]
    Longest {
        /// As asked for.
        longest: usize,
    },
    /// More parts than documents, or too few to correlate.
    #[error(
        "{parts} parts of {documents} documents: there must be at least 5, and no more than documents"
    )]
    Parts {
        /// As asked for.
        parts: usize,
        /// Documents in the order.
        documents: usize,
    },
    /// The correlation has no p-value.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// How a text overlaps with documents; the order plays no part in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// For each document the occurrences in it.
    pub documents: Vec<u64>,
    /// Starts looked up; the sum of the next three.
    pub starts: u64,
    /// Starts whose longest window occurs 1 to `rare` times.
    pub matched: u64,
    /// Starts whose longest window occurs more often.
    pub too_frequent: u64,
    /// Starts of which not even two symbols occur.
    pub unmatched: u64,
    /// Occurrences of all matched windows.
    pub occurrences: u64,
    /// Texts shorter than `longest`, which have no start.
    pub short_texts: u64,
    /// Most symbols of a window.
    pub longest: usize,
    /// Most occurrences of a window.
    pub rare: u64,
}

impl Overlap {
    /// Looks up all windows of the texts.
    ///
    /// # Errors
    /// When `longest` is below 2.
    pub fn of<'t>(
        index: &Index,
        texts: impl IntoIterator<Item = &'t [u32]>,
        longest: usize,
        rare: u64,
    ) -> Result<Self, PartitionError> {
        if longest < SHORTEST {
            return Err(PartitionError::Longest { longest });
        }
        let mut overlap = Self {
            documents: vec![0; index.documents()],
            starts: 0,
            matched: 0,
            too_frequent: 0,
            unmatched: 0,
            occurrences: 0,
            short_texts: 0,
            longest,
            rare,
        };
        for text in texts {
            overlap.short_texts += u64::from(text.len() < longest);
            for window in text.windows(longest) {
                overlap.starts += 1;
                let (length, range) = index.longest_prefix(window);
                let count = range.len() as u64;
                if length < SHORTEST {
                    overlap.unmatched += 1;
                } else if count > rare {
                    overlap.too_frequent += 1;
                } else {
                    overlap.matched += 1;
                    overlap.occurrences += count;
                    for (document, _) in index.places(range) {
                        overlap.documents[document] += 1;
                    }
                }
            }
        }
        Ok(overlap)
    }
}

/// Counts of the parts of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Occurrences in each part, earliest first.
    pub counts: Vec<u64>,
    /// Documents in each part.
    pub size: usize,
    /// Documents at the start of the order that are in no part.
    pub left_out: usize,
}

/// A partition test: an overlap and an order.
#[derive(Debug, Clone)]
pub struct Partition<'a> {
    overlap: &'a Overlap,
    /// Occurrences in the documents, in the order consumed.
    in_order: Vec<u64>,
    parts: usize,
}

impl<'a> Partition<'a> {
    /// `order` lists the documents in the order consumed, each at most once; those that are absent
    /// were not consumed and are left out.
    ///
    /// # Errors
    /// When the order names a document twice or one that is not there, there are fewer than 5 parts
    /// or more parts than documents, or nothing overlaps.
    pub fn new(overlap: &'a Overlap, order: &[u32], parts: usize) -> Result<Self, PartitionError> {
        let examples = overlap.documents.len() as u64;
        let mut first = vec![None; overlap.documents.len()];
        for (at, &id) in (0_u64..).zip(order) {
            let (index, id) = (at, u64::from(id));
            let Some(slot) = first.get_mut(id as usize) else {
                return Err(Refusal::NoSuchExample { index, id, examples }.into());
            };
            if let Some(first) = slot.replace(at) {
                return Err(Refusal::DuplicateId { index, id, first }.into());
            }
        }
        if parts < 5 || parts > order.len() {
            return Err(PartitionError::Parts { parts, documents: order.len() });
        }
        let in_order: Vec<u64> =
            order.iter().map(|&document| overlap.documents[document as usize]).collect();
        let partition = Self { overlap, in_order, parts };
        if partition.parts().counts.iter().all(|&count| count == 0) {
            let Overlap { starts, unmatched, too_frequent, rare, .. } = *overlap;
            let short = match overlap.short_texts {
                0 => String::new(),
                n => format!(
                    "; {n} texts are shorter than the {} symbols of a window",
                    overlap.longest
                ),
            };
            return Err(PartitionError::NoOverlap { starts, unmatched, too_frequent, rare, short });
        }
        Ok(partition)
    }

    /// The parts and their counts.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let size = self.in_order.len() / self.parts;
        let left_out = self.in_order.len() % self.parts;
        let counts = self.in_order[left_out..].chunks(size).map(|part| part.iter().sum()).collect();
        Parts { counts, size, left_out }
    }

    /// The correlation of counts and parts, with its p-value in closed form.
    ///
    /// # Errors
    /// When all parts have the same count.
    pub fn run(&self, metric: Metric, tail: Tail) -> Result<Finding, PartitionError> {
        let (positions, counts) = self.columns();
        Ok(self.worded(query(&positions, &counts, metric, tail).run()?))
    }

    /// The same statistic with its p-value by `draws` random orders of the documents. Documents are
    /// what was shuffled, so that this p-value owes nothing to the number of parts.
    ///
    /// # Errors
    /// As [`Partition::run`]; also for 0 draws.
    pub fn monte_carlo(
        &self,
        metric: Metric,
        tail: Tail,
        draws: u64,
        seed: u64,
    ) -> Result<Finding, PartitionError> {
        if draws == 0 {
            let range = "at least 1; 9999 gives a p-value down to 1e-4";
            return Err(Refusal::OutOfRange { what: "draws", value: 0.0, range }.into());
        }
        let (positions, mut counts) = self.columns();
        // The p-value of the parts is not needed, which a few full parts may leave without a form.
        let mut finding = self.worded(query(&positions, &counts, metric, tail).described()?);
        let found = finding.statistic;
        let streams = Streams::new(Seed::from_integer(seed).bytes);
        let mut rng = streams.generator("provenance/partition");
        let mut order: Vec<u32> = (0..self.in_order.len() as u32).collect();
        let (size, left_out) = (order.len() / self.parts, order.len() % self.parts);
        let mut extreme = 0_u64;
        for _ in 0..draws {
            shuffle(&mut rng, &mut order);
            for (count, part) in counts.iter_mut().zip(order[left_out..].chunks(size)) {
                *count = part.iter().map(|&at| self.in_order[at as usize]).sum::<u64>() as f64;
            }
            // Equal counts in all parts have no correlation, and are not extreme.
            let constant = counts.windows(2).all(|pair| pair[0] == pair[1]);
            let drawn = if constant { 0.0 } else { measure(metric, &positions, &counts).r };
            extreme += u64::from(match tail {
                Tail::TwoSided => drawn.abs() >= found.abs() - TIED,
                Tail::Less => drawn <= found + TIED,
                Tail::Greater => drawn >= found - TIED,
            });
        }
        finding.p = (extreme as f64 + 1.0) / (draws as f64 + 1.0);
        finding.log10_p = finding.p.log10();
        finding.monte_carlo = Some(Draws { draws, seed });
        finding.warnings.clear();
        if extreme == 0 {
            finding.warnings.push(format!(
                "no draw is as extreme: p is 1/(draws + 1), the least that {draws} draws can give"
            ));
        }
        Ok(finding)
    }

    /// Parts 1..k and their counts.
    fn columns(&self) -> (Vec<u64>, Vec<f64>) {
        let counts = self.parts().counts.into_iter().map(|count| count as f64).collect();
        ((1..=self.parts as u64).collect(), counts)
    }

    /// The finding in the words of this test.
    fn worded(&self, mut finding: Finding) -> Finding {
        finding.direction = if finding.statistic > 0.0 {
            "positive: the text overlaps more with later parts".into()
        } else if finding.statistic < 0.0 {
            "negative: the text overlaps more with earlier parts".into()
        } else {
            "zero: the text overlaps with later parts as with earlier ones".into()
        };
        let short = self.overlap.short_texts;
        if short > 0 {
            finding.warnings.push(format!(
                "{short} texts are shorter than the {} symbols of a window and were not used",
                self.overlap.longest
            ));
        }
        finding
    }
}

/// The query that parts and counts are.
fn query<'a>(positions: &'a [u64], counts: &'a [f64], metric: Metric, tail: Tail) -> Query<'a> {
    Query { metric, tail, kind: Kind::Agreement, ..Query::new(positions, counts) }
}

#[cfg(test)]
mod tests;
