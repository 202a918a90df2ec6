//! Queries of three concepts and a relation, documents that answer them in the same words or in others, and the lists that
//! BM25 makes of all documents.
//!
//! A concept has two words; queries use the first. A document of a query holds
//!
//! - *relevant*: all three concepts and the relation, one or two documents written for each query;
//! - *hard*: all three concepts and another relation;
//! - *near*: two of the concepts, another one in the place of the third, and the relation;
//!
//! and words that mean nothing, of which there are few or many. In some of them, whatever their kind, two of the three concepts stand by
//! their second words: BM25 then sees one concept and a relation that hundreds of documents share. So words of the second
//! kind alone do not tell what is relevant, and a ranker that only counts common words puts *hard* documents first.
//!
//! Documents of all queries make one collection, as in retrieval; queries of different splits are different ones, and so
//! is every row made of one.

use std::collections::{BTreeMap, BTreeSet};

use rand_pcg::Pcg64;

use ledger::order::{bounded, shuffle};
use ledger::streams::unit_f64;

use crate::DataError;
use crate::bm25::{Index, Parameters};
use crate::easiness::Found;

/// Fills documents up to [`LONGEST`]; stands in none.
pub const PAD: u16 = 0;
/// Words of a query: three concepts and a relation.
pub const QUERY: usize = 4;
/// Most words of a document.
pub const LONGEST: usize = 12;
/// Documents of a list.
pub const LISTED: usize = 20;

/// Fewest words of a document.
const SHORTEST: u64 = 6;
/// Concepts of a query.
const CONCEPTS: usize = 3;
/// Documents of a query that are hard, and that are near.
const BESIDE: usize = 4;

/// The language of queries and documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Language {
    /// Number of concepts, each of two words.
    pub concepts: u16,
    /// Number of relations.
    pub relations: u16,
    /// Number of words that mean nothing.
    pub fillers: u16,
    /// Share of documents in which two concepts stand by their second words.
    pub renamed: f64,
}

impl Language {
    /// Number of words, the filling one included.
    #[must_use]
    pub fn size(&self) -> u16 {
        1 + 2 * self.concepts + self.relations + self.fillers
    }

    fn word(concept: u16) -> u16 {
        1 + concept
    }

    fn second(&self, concept: u16) -> u16 {
        1 + self.concepts + concept
    }

    fn relation(&self, relation: u16) -> u16 {
        1 + 2 * self.concepts + relation
    }

    fn filler(&self, filler: u16) -> u16 {
        1 + 2 * self.concepts + self.relations + filler
    }
}

/// A query, and the documents that answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its words.
    pub words: [u16; QUERY],
    /// Numbers of the documents that answer it.
    pub relevant: Vec<u32>,
}

/// Queries and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Words of each document.
    pub documents: Vec<Vec<u16>>,
    /// All queries, no two of them with the same concepts and relation.
    pub queries: Vec<Query>,
}

/// What the first stage makes of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// Numbers of the documents, the best first; at most [`LISTED`].
    pub documents: Vec<u32>,
    /// Their scores.
    pub scores: Vec<f64>,
    /// Whether each of them answers the query.
    pub relevant: Vec<bool>,
    /// How many documents answer it, listed or not.
    pub answers: u32,
}

impl List {
    /// What the first stage said of a place of the list.
    #[must_use]
    pub fn found(&self, place: usize) -> Found {
        let score = self.scores.get(place).copied().unwrap_or(0.0);
        Found { rank: u32::try_from(place + 1).ok(), score }
    }

    /// Places of a relevant document and of another: at most `most` such pairs, no two alike, in random order.
    #[must_use]
    pub fn pairs(&self, most: usize, random: &mut Pcg64) -> Vec<[usize; 2]> {
        let places = |relevant: bool| {
            self.relevant.iter().enumerate().filter(move |place| *place.1 == relevant).map(|p| p.0)
        };
        let mut all: Vec<u32> = places(true)
            .flat_map(|a| places(false).map(move |b| (a * LISTED + b) as u32))
            .collect();
        shuffle(random, &mut all);
        let pairs = all.into_iter().take(most).map(|pair| pair as usize);
        pairs.map(|pair| [pair / LISTED, pair % LISTED]).collect()
    }
}

impl Collection {
    /// Draws `queries` queries with their documents.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the language has too few different queries.
    pub fn draw(language: &Language, queries: u32, random: &mut Pcg64) -> Result<Self, DataError> {
        // Ordered choices of three concepts over six, times relations: half of them can be drawn in good time.
        let concepts = u64::from(language.concepts);
        let sets = concepts * concepts.saturating_sub(1) * concepts.saturating_sub(2) / 6;
        let different = sets * u64::from(language.relations);
        if u64::from(queries) > different / 2 || language.relations < 2 || concepts < 4 {
            return Err(DataError::Setting {
                setting: "number of queries",
                found: queries.to_string(),
                expected: "at most half of those that there are, of four concepts and two relations or more",
            });
        }
        let mut documents = Vec::new();
        let (mut asked, mut written) = (Vec::new(), BTreeSet::new());
        // Documents by what they say: now and then one that was written for another query answers this one.
        let mut saying: BTreeMap<Meaning, Vec<u32>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while asked.len() < queries as usize {
            let concepts = some_of(language.concepts, random);
            let relation = below(language.relations, random);
            if !seen.insert(meaning(concepts, relation)) {
                continue;
            }
            let answers = 1 + bounded(random, 2);
            for number in 0..answers as usize + 2 * BESIDE {
                let kind = match number.checked_sub(answers as usize) {
                    None => Kind::Relevant,
                    Some(number) if number < BESIDE => Kind::Hard,
                    Some(_) => Kind::Near,
                };
                // Words that mean nothing make two documents alike once in a long while.
                let (document, says) = loop {
                    let (document, says) = language.document(kind, concepts, relation, random);
                    if written.insert(document.clone()) {
                        break (document, says);
                    }
                };
                let number = u32::try_from(documents.len()).unwrap_or(u32::MAX);
                saying.entry(says).or_default().push(number);
                documents.push(document);
            }
            asked.push((concepts, relation));
        }
        let queries = asked.into_iter().map(|(concepts, relation)| {
            let [a, b, c] = concepts.map(Language::word);
            let relevant = saying.get(&meaning(concepts, relation)).cloned().unwrap_or_default();
            Query { words: [a, b, c, language.relation(relation)], relevant }
        });
        let queries = queries.collect();
        Ok(Self { documents, queries })
    }

    /// What BM25 makes of every query.
    ///
    /// # Errors
    /// When k₁ or b is out of its range.
    pub fn first_stage(&self, parameters: Parameters) -> Result<Vec<List>, DataError> {
        let index = Index::new(&self.documents, parameters)?;
        let lists = self.queries.iter().map(|query| {
            let hits = index.search(&query.words, LISTED);
            List {
                documents: hits.iter().map(|hit| hit.document).collect(),
                scores: hits.iter().map(|hit| hit.score).collect(),
                relevant: hits.iter().map(|hit| query.relevant.contains(&hit.document)).collect(),
                answers: u32::try_from(query.relevant.len()).unwrap_or(u32::MAX),
            }
        });
        Ok(lists.collect())
    }

    /// A row of a query and some of the documents: the query's words, then each document, filled up.
    #[must_use]
    pub fn row(&self, query: usize, documents: impl Iterator<Item = u32>) -> Vec<u16> {
        let words = self.queries.get(query).map_or(&[][..], |query| &query.words);
        let mut row = words.to_vec();
        for document in documents {
            let end = row.len() + LONGEST;
            let words = self.documents.get(document as usize);
            row.extend(words.iter().flat_map(|words| words.iter()));
            row.resize(end, PAD);
        }
        row
    }
}

/// Concepts in ascending order, and a relation: what a query asks for, and what a document says.
type Meaning = ([u16; CONCEPTS], u16);

fn meaning(mut concepts: [u16; CONCEPTS], relation: u16) -> Meaning {
    concepts.sort_unstable();
    (concepts, relation)
}

/// What a document is to the query that it is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Relevant,
    Hard,
    Near,
}

impl Language {
    fn document(
        &self,
        kind: Kind,
        asked: [u16; CONCEPTS],
        asked_relation: u16,
        random: &mut Pcg64,
    ) -> (Vec<u16>, Meaning) {
        let (mut concepts, mut relation) = (asked, asked_relation);
        match kind {
            Kind::Relevant => {}
            Kind::Hard => relation = other(self.relations, |r| r == asked_relation, random),
            Kind::Near => {
                let place = bounded(random, CONCEPTS as u64) as usize;
                concepts[place] = other(self.concepts, |c| asked.contains(&c), random);
            }
        }
        let kept = bounded(random, CONCEPTS as u64) as usize;
        let renamed = unit_f64(random) < self.renamed;
        let mut words: Vec<u16> = concepts
            .iter()
            .enumerate()
            .map(|(place, &concept)| match renamed && place != kept {
                true => self.second(concept),
                false => Self::word(concept),
            })
            .collect();
        words.push(self.relation(relation));
        let length = SHORTEST + bounded(random, LONGEST as u64 - SHORTEST + 1);
        while words.len() < length as usize {
            words.push(self.filler(below(self.fillers, random)));
        }
        let mut places: Vec<u32> = (0..).take(words.len()).collect();
        shuffle(random, &mut places);
        let document = places.into_iter().map(|place| words[place as usize]).collect();
        (document, meaning(concepts, relation))
    }
}

fn below(n: u16, random: &mut Pcg64) -> u16 {
    u16::try_from(bounded(random, n.into())).unwrap_or(0)
}

/// A number below `n` that is none of those.
fn other(n: u16, is_one: impl Fn(u16) -> bool, random: &mut Pcg64) -> u16 {
    loop {
        let drawn = below(n, random);
        if !is_one(drawn) {
            return drawn;
        }
    }
}

/// Three different numbers below `n`, which is at least 4.
fn some_of(n: u16, random: &mut Pcg64) -> [u16; CONCEPTS] {
    let a = below(n, random);
    let b = other(n, |x| x == a, random);
    [a, b, other(n, |x| x == a || x == b, random)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;

    const LANGUAGE: Language = Language { concepts: 60, relations: 16, fillers: 30, renamed: 0.4 };
    const PARAMETERS: Parameters = Parameters { k1: 0.9, b: 0.4 };

    fn collection() -> Collection {
        let mut random = ledger::order::generator(&Digest::of(b"kvr"));
        Collection::draw(&LANGUAGE, 300, &mut random).unwrap()
    }

    /// Concepts and relation of words, by whichever of their names they stand.
    fn meant(words: &[u16]) -> (BTreeSet<u16>, BTreeSet<u16>) {
        let Language { concepts, relations, .. } = LANGUAGE;
        let concept = |word: &u16| (1..=2 * concepts).contains(word).then(|| (word - 1) % concepts);
        let relation = |word: &u16| {
            let first = 1 + 2 * concepts;
            (first..first + relations).contains(word).then_some(*word)
        };
        (words.iter().filter_map(concept).collect(), words.iter().filter_map(relation).collect())
    }

    #[test]
    fn a_document_answers_a_query_if_and_only_if_it_holds_its_concepts_and_its_relation() {
        let collection = collection();
        let meanings: Vec<_> =
            collection.documents.iter().map(|document| meant(document)).collect();
        let mut answers = [0; 3];
        for Query { words, relevant } in &collection.queries {
            let (concepts, relation) = meant(words);
            let answering = (0..)
                .zip(&meanings)
                .filter(|(_, (held, said))| concepts.is_subset(held) && relation.is_subset(said));
            let answering: Vec<u32> = answering.map(|(document, _)| document).collect();
            assert_eq!(answering, *relevant, "{words:?}");
            answers[relevant.len().min(3) - 1] += 1;
        }
        assert!(answers[0] > 100 && answers[1] > 100 && answers[2] < 30, "{answers:?}");
        assert!(collection.documents.iter().all(|d| (6..=LONGEST).contains(&d.len())));
        assert!(
            collection
                .documents
                .iter()
                .flatten()
                .all(|word| *word > PAD && *word < LANGUAGE.size())
        );
    }

    #[test]
    fn no_two_queries_ask_for_the_same_and_no_two_documents_are_alike() {
        let Collection { documents, queries } = collection();
        let asked: BTreeSet<_> = queries.iter().map(|query| meant(&query.words)).collect();
        assert_eq!(asked.len(), 300);
        assert_eq!(documents.iter().collect::<BTreeSet<_>>().len(), documents.len());
        let few = Language { concepts: 4, relations: 2, ..LANGUAGE };
        let mut random = ledger::order::generator(&Digest::of(b"few"));
        // Four sets of three concepts, two relations.
        assert!(Collection::draw(&few, 4, &mut random).is_ok());
        let error = Collection::draw(&few, 5, &mut random).unwrap_err().to_string();
        assert!(error.contains("number of queries") && error.contains('5'), "{error}");
    }

    #[test]
    fn second_words_stand_in_as_many_documents_as_they_should_whatever_these_are_to_their_query() {
        let Collection { documents, queries } = collection();
        let renamed = |document: &Vec<u16>| {
            document.iter().filter(|word| (61..=120).contains(*word)).count() == 2
        };
        let share = |documents: &[&Vec<u16>]| {
            documents.iter().filter(|d| renamed(d)).count() as f64 / documents.len() as f64
        };
        let numbers: BTreeSet<u32> = queries.iter().flat_map(|q| q.relevant.clone()).collect();
        let (relevant, others): (Vec<_>, Vec<_>) =
            (0..).zip(&documents).partition(|(number, _)| numbers.contains(number));
        let of =
            |part: Vec<(u32, &Vec<u16>)>| share(&part.into_iter().map(|p| p.1).collect::<Vec<_>>());
        // Deviations are below 0.025.
        let (relevant, others) = (of(relevant), of(others));
        assert!(
            (relevant - 0.4).abs() < 0.08 && (others - 0.4).abs() < 0.04,
            "{relevant} {others}"
        );
    }

    #[test]
    fn the_first_stage_finds_common_words_and_misses_renamed_ones() {
        let collection = collection();
        let lists = collection.first_stage(PARAMETERS).unwrap();
        let (mut plain, mut renamed) = (Vec::new(), Vec::new());
        for (query, list) in collection.queries.iter().zip(&lists) {
            assert!(list.documents.len() == LISTED && list.scores.is_sorted_by(|a, b| a >= b));
            assert_eq!(list.answers as usize, query.relevant.len());
            for document in &query.relevant {
                let words = &collection.documents[*document as usize];
                let common = query.words.iter().filter(|word| words.contains(word)).count();
                let place = list.documents.iter().position(|d| d == document);
                if let Some(place) = place {
                    assert!(list.relevant[place]);
                    assert_eq!(list.found(place).rank, u32::try_from(place + 1).ok());
                }
                let place = place.unwrap_or(LISTED) as f64;
                if common == 4 { plain.push(place) } else { renamed.push(place) }
            }
        }
        let mean = |places: &[f64]| places.iter().sum::<f64>() / places.len() as f64;
        let (plain, renamed) = (mean(&plain), mean(&renamed));
        assert!(plain < 2.0 && renamed > plain + 4.0, "{plain} {renamed}");
    }

    #[test]
    fn pairs_are_different_ones_of_a_relevant_document_and_another() {
        let list = List {
            documents: vec![5, 6, 7, 8],
            scores: vec![4.0, 3.0, 2.0, 1.0],
            relevant: vec![false, true, true, false],
            answers: 2,
        };
        let mut random = ledger::order::generator(&Digest::of(b"pairs"));
        let mut pairs = list.pairs(16, &mut random);
        pairs.sort_unstable();
        assert_eq!(pairs, [[1, 0], [1, 3], [2, 0], [2, 3]]);
        assert_eq!(list.pairs(3, &mut random).len(), 3);
        let none = List { relevant: vec![false; 4], ..list };
        assert!(none.pairs(16, &mut random).is_empty());
    }

    #[test]
    fn a_row_is_the_query_and_its_documents_filled_up() {
        let collection = collection();
        let row = collection.row(1, [0, 3].into_iter());
        assert_eq!(row.len(), QUERY + 2 * LONGEST);
        assert_eq!(row[..QUERY], collection.queries[1].words);
        let first = &collection.documents[0];
        assert_eq!(row[QUERY..QUERY + first.len()], first[..]);
        assert!(row[QUERY + first.len()..QUERY + LONGEST].iter().all(|word| *word == PAD));
    }
}
