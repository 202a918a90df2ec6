use rand_pcg::Pcg64;

use super::*;
use ledger::order::{bounded, uniform_order};
use ledger::streams::unit_f64;

const DOCUMENTS: usize = 4000;
const LENGTH: usize = 32;
const SYMBOLS: usize = 32;

fn generator(k: u64, name: &str) -> Pcg64 {
    Streams::new(Seed::from_integer(k).bytes).generator(name)
}

/// An order-2 Markov source over 32 symbols with uneven rows.
struct Source(Vec<[f64; SYMBOLS]>);

impl Source {
    fn new(rng: &mut Pcg64) -> Self {
        let row = |rng: &mut Pcg64| {
            // Powers of uniform numbers: a few symbols take most of the weight.
            let weights: [f64; SYMBOLS] = std::array::from_fn(|_| unit_f64(rng).powi(12));
            let total: f64 = weights.iter().sum();
            weights.map(|weight| weight / total)
        };
        Self((0..SYMBOLS * SYMBOLS).map(|_| row(rng)).collect())
    }

    fn sample(&self, rng: &mut Pcg64, length: usize) -> Vec<u32> {
        let mut text: Vec<u32> = (0..2).map(|_| bounded(rng, SYMBOLS as u64) as u32).collect();
        while text.len() < length {
            let before = text[text.len() - 2] as usize * SYMBOLS + text[text.len() - 1] as usize;
            let mut left = unit_f64(rng);
            let next = self.0[before].iter().position(|share| {
                left -= share;
                left < 0.0
            });
            text.push(next.unwrap_or(SYMBOLS - 1) as u32);
        }
        text
    }
}

struct World {
    source: Source,
    documents: Vec<Vec<u32>>,
    index: Index,
    order: Vec<u32>,
}

fn world(k: u64) -> World {
    let mut rng = generator(k, "corpus");
    let source = Source::new(&mut rng);
    let documents: Vec<_> = (0..DOCUMENTS).map(|_| source.sample(&mut rng, LENGTH)).collect();
    let index = Index::new(documents.concat(), &[LENGTH as u32; DOCUMENTS]).unwrap();
    let order = uniform_order(&Seed::from_integer(k).bytes, 0, DOCUMENTS as u32);
    World { source, documents, index, order }
}

fn partition_p(world: &World, texts: &[Vec<u32>]) -> Finding {
    let texts = texts.iter().map(Vec::as_slice);
    let overlap = Overlap::of(&world.index, texts, LONGEST, RARE).unwrap();
    Partition::new(&overlap, &world.order, 250)
        .unwrap()
        .run(Metric::Spearman, Tail::TwoSided)
        .unwrap()
}

/// 2000 texts of 16 symbols: snippets of documents, a late one rather than an early one.
fn biased_snippets(world: &World, rng: &mut Pcg64) -> Vec<Vec<u32>> {
    let snippet = |_| {
        let late = unit_f64(rng).max(unit_f64(rng));
        let document = world.order[(late * DOCUMENTS as f64) as usize];
        let from = bounded(rng, (LENGTH - 16) as u64) as usize;
        world.documents[document as usize][from..from + 16].to_vec()
    };
    (0..2000).map(snippet).collect()
}

#[test]
fn verbatim_snippets_of_late_documents_are_found() {
    for k in 0..4 {
        let world = world(k);
        let finding = partition_p(&world, &biased_snippets(&world, &mut generator(k, "text")));
        assert!(finding.log10_p < -10.0, "seed {k}: log10 p {}", finding.log10_p);
        assert_eq!(finding.direction, "positive: the text overlaps more with later parts");
    }
}

#[test]
fn text_of_the_same_source_that_never_saw_the_order_is_not_accused() {
    for k in 0..4 {
        let world = world(k);
        let mut rng = generator(k, "text");
        let texts: Vec<_> = (0..1000).map(|_| world.source.sample(&mut rng, LENGTH)).collect();
        let finding = partition_p(&world, &texts);
        assert!(finding.p > 1e-2, "seed {k}: p {}", finding.p);
    }
}

#[test]
fn monte_carlo_over_documents_agrees_with_the_closed_form() {
    let world = world(9);
    let mut rng = generator(9, "text");
    // A weak bias, so that the p-value is within reach of the draws.
    let mut texts = biased_snippets(&world, &mut rng);
    texts.truncate(40);
    texts.extend((0..100).map(|_| world.source.sample(&mut rng, LENGTH)));
    let overlap = Overlap::of(&world.index, texts.iter().map(Vec::as_slice), 8, 20).unwrap();
    let partition = Partition::new(&overlap, &world.order, 250).unwrap();
    for tail in [Tail::TwoSided, Tail::Less, Tail::Greater] {
        let closed = partition.run(Metric::Spearman, tail).unwrap();
        let drawn = partition.monte_carlo(Metric::Spearman, tail, 4999, 1).unwrap();
        let error = (closed.p * (1.0 - closed.p) / 5000.0).sqrt();
        assert_eq!(drawn.statistic, closed.statistic);
        assert_eq!(drawn.monte_carlo, Some(Draws { draws: 4999, seed: 1 }));
        assert!((drawn.p - closed.p).abs() < 4.0 * error + 2e-3, "{} and {}", drawn.p, closed.p);
        assert_eq!(drawn, partition.monte_carlo(Metric::Spearman, tail, 4999, 1).unwrap());
    }
}

#[test]
fn p_values_are_uniform_over_fresh_orders() {
    let world = world(5);
    let mut rng = generator(5, "text");
    let texts: Vec<_> = (0..60).map(|_| world.source.sample(&mut rng, LENGTH)).collect();
    let overlap = Overlap::of(&world.index, texts.iter().map(Vec::as_slice), 8, 20).unwrap();
    let below = (0..1000).filter(|&k| {
        let order = uniform_order(&Seed::from_integer(1000 + k).bytes, 0, DOCUMENTS as u32);
        let partition = Partition::new(&overlap, &order, 250).unwrap();
        partition.run(Metric::Spearman, Tail::TwoSided).unwrap().p < 0.05
    });
    // 3 standard errors of a share of 0.05 among 1000.
    let share = below.count() as f64 / 1000.0;
    assert!((0.029..0.071).contains(&share), "{share} of the p-values are below 0.05");
}

/// Six documents of one text each; the index of a small world.
fn small() -> Index {
    Index::new(vec![1, 2, 3, 1, 2, 3, 1, 2, 9, 4, 5, 6, 5, 6, 7, 8, 8, 8], &[3; 6]).unwrap()
}

fn overlap(texts: &[&[u32]], longest: usize, rare: u64) -> Overlap {
    Overlap::of(&small(), texts.iter().copied(), longest, rare).unwrap()
}

#[test]
fn the_longest_window_counts_all_its_occurrences() {
    // From 1: "1 2 3", twice; from 2: "2 3" of "2 3 4", twice; 3, 4: too near the end to start.
    let found = overlap(&[&[1, 2, 3, 4]], 3, 20);
    assert_eq!(found.documents, [2, 2, 0, 0, 0, 0]);
    assert_eq!((found.starts, found.matched, found.occurrences), (2, 2, 4));
}

#[test]
fn a_window_above_the_cap_adds_nothing_and_gives_way_to_no_shorter_one() {
    // "1 2" occurs three times.
    let found = overlap(&[&[1, 2, 7]], 3, 2);
    assert_eq!((found.too_frequent, found.matched, found.documents.iter().sum()), (1, 0, 0));
    assert_eq!(overlap(&[&[1, 2, 7]], 3, 3).documents, [1, 1, 1, 0, 0, 0]);
}

#[test]
fn every_start_is_matched_too_frequent_or_unmatched() {
    let found = overlap(&[&[1, 2, 0, 5, 6], &[0, 0, 0], &[1]], 2, 2);
    assert_eq!((found.starts, found.matched, found.too_frequent, found.unmatched), (6, 1, 1, 4));
    assert_eq!((found.short_texts, found.occurrences), (1, 2));
}

#[test]
fn windows_cross_neither_texts_nor_documents() {
    // "3 4" would lie across documents; "5 | 6" across texts.
    assert_eq!(overlap(&[&[3, 4], &[4, 5], &[6, 7]], 2, 20).documents, [0, 0, 0, 1, 1, 0]);
}

#[test]
fn parts_are_equally_large_and_what_is_over_is_the_earliest() {
    let documents = (1..=17).collect();
    let overlap = Overlap { documents, ..overlap(&[], 2, 20) };
    let order: Vec<u32> = (0..17).rev().collect();
    let parts = Partition::new(&overlap, &order, 5).unwrap().parts();
    assert_eq!(parts, Parts { counts: vec![42, 33, 24, 15, 6], size: 3, left_out: 2 });
}

#[test]
fn the_order_is_a_list_of_documents_and_not_of_places() {
    // A permutation that is not its own inverse tells them apart.
    let overlap = Overlap { documents: vec![10, 20, 30, 40, 50], ..overlap(&[], 2, 20) };
    let parts = Partition::new(&overlap, &[1, 2, 0, 4, 3], 5).unwrap().parts();
    assert_eq!(parts.counts, [20, 30, 10, 50, 40]);
}

#[test]
fn what_cannot_be_tested_is_refused_with_the_remedy() {
    let overlap = overlap(&[&[0, 0, 0], &[1, 2, 2], &[1]], 2, 2);
    let refused =
        |order: &[u32], parts| Partition::new(&overlap, order, parts).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            refused(&[0, 1, 2, 3, 4, 5], 5),
            refused(&[0, 1, 2, 3, 4, 5], 7),
            refused(&[0, 1, 2, 3, 4, 5], 4),
            refused(&[0, 1, 2, 3, 4, 6], 5),
            refused(&[0, 1, 2, 3, 4, 1], 5),
            Overlap::of(&small(), [], 1, 20).unwrap_err().to_string(),
        ]
        .join("\n"),
        @r#"
        no overlap: of 4 starts in the text 3 match no document and 1 only windows that occur more than 2 times; give more text, or check that text and documents are cut into symbols alike; 1 texts are shorter than the 2 symbols of a window
        7 parts of 6 documents: there must be at least 5, and no more than documents
        4 parts of 6 documents: there must be at least 5, and no more than documents
        order[5] is 6, but the dataset has 6 examples (ids from 0)
        order[5] is 1 again (first at 1): an epoch without replacement has each id once; split the file by epochs or declare the law replacement
        the longest window is 1 symbols, but windows have at least 2
        "#
    );
}

#[test]
fn equal_counts_in_all_parts_are_refused() {
    let overlap = Overlap { documents: vec![2; 6], ..overlap(&[], 2, 20) };
    let partition = Partition::new(&overlap, &[0, 1, 2, 3, 4, 5], 6).unwrap();
    let refused = partition.run(Metric::Spearman, Tail::Greater).unwrap_err();
    assert!(matches!(refused, PartitionError::Refused(Refusal::Constant { .. })), "{refused}");
}
