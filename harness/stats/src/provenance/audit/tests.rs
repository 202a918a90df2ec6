use super::*;
use crate::provenance::template::Shadow;
use ledger::digest::Digest;
use ledger::order::uniform_order;
use ledger::seed::Seed;

const EXAMPLES: u32 = 200;

fn ids(epoch: u32) -> Vec<u64> {
    let seed = Seed::from_integer(1).bytes;
    uniform_order(&seed, epoch, EXAMPLES).into_iter().map(u64::from).collect()
}

fn order(law: OrderLaw, epochs: u32) -> Order {
    let epochs = (0..epochs).map(|epoch| Epoch { epoch, ids: ids(epoch), steps: Vec::new() });
    Order {
        places: Places::Epochs(epochs.collect()),
        examples: u64::from(EXAMPLES),
        law,
        unit: Unit::Sample,
        randomness: None,
        seed_bits: None,
    }
}

/// Lower the later an example came in epoch 0, with a little noise.
fn scores() -> Vec<f64> {
    let mut scores = vec![0.0; EXAMPLES as usize];
    for (place, id) in ids(0).into_iter().enumerate() {
        scores[id as usize] = (place * 7919 % 61) as f64 - place as f64;
    }
    scores
}

fn audit<'a>(order: &'a Order, scores: &'a [f64]) -> Audit<'a> {
    Audit {
        order,
        scores,
        references: Vec::new(),
        rows: None,
        units: None,
        blocks: None,
        resolution: Resolution::Sample,
        template: None,
        metric: Metric::Spearman,
        tail: Tail::TwoSided,
        adjust: Adjust::None,
        kind: Kind::Loss,
        monte_carlo: None,
        gamma: 0.5,
    }
}

fn template() -> Template {
    let positions: Vec<u64> = (0..100).collect();
    let adjusted: Vec<f64> = positions.iter().map(|&at| -(at as f64)).collect();
    let shadow =
        Shadow { order_hash: Digest::of(b"shadow"), positions: &positions, adjusted: &adjusted };
    Template::learn(&[shadow], &[], 10).unwrap()
}

#[test]
fn a_uniform_order_and_its_positions_give_the_same_answer() {
    let (order, scores) = (order(OrderLaw::Uniform, 1), scores());
    let found = audit(&order, &scores).run().unwrap();
    assert!(found.log10_p < -50.0, "{found:?}");
    let mut positions = vec![0; EXAMPLES as usize];
    for (place, id) in (0..).zip(ids(0)) {
        positions[id as usize] = place;
    }
    let placed = Order { places: Places::Positions(positions), ..order };
    assert_eq!(audit(&placed, &scores).run().unwrap(), found);
}

#[test]
fn a_flat_blockwise_order_is_no_block_and_gets_no_closed_form() {
    let (flat, scores) = (order(OrderLaw::Blockwise, 1), scores());
    let refusal = audit(&flat, &scores).run().unwrap_err();
    assert!(matches!(refusal, Refusal::NeedsMonteCarlo { .. }), "{refusal}");
    assert!(refusal.to_string().contains("one row of ids per block"), "{refusal}");
}

#[test]
fn templates_are_of_one_epoch() {
    let (two, scores, template) = (order(OrderLaw::Uniform, 2), scores(), template());
    let refusal = Audit { template: Some(&template), ..audit(&two, &scores) }.run().unwrap_err();
    assert_eq!(refusal, Refusal::OneEpoch { what: "a template", found: 2 });
    assert!(audit(&two, &scores).run().unwrap().epochs.is_some());
}

#[test]
fn a_template_takes_no_draws_and_holds_under_uniform_orders_only() {
    let (one, scores, template) = (order(OrderLaw::Uniform, 1), scores(), template());
    let with = Audit { template: Some(&template), ..audit(&one, &scores) };
    assert!(with.run().unwrap().statistic > 0.9);
    let monte_carlo = Some(Draws { draws: 9, seed: 0 });
    let refusal = Audit { monte_carlo, ..with.clone() }.run().unwrap_err();
    assert_eq!(refusal, Refusal::TemplateDraws);
    let drawn = order(OrderLaw::Replacement, 1);
    let refusal = Audit { order: &drawn, ..with }.run().unwrap_err();
    assert!(matches!(refusal, Refusal::NeedsMonteCarlo { .. }), "{refusal}");
}

#[test]
fn the_same_order_in_every_epoch_is_one_test() {
    let (once, scores) = (order(OrderLaw::Uniform, 1), scores());
    let first = Epoch { epoch: 0, ids: ids(0), steps: Vec::new() };
    let places = Places::Epochs(vec![first.clone(), Epoch { epoch: 1, ..first }]);
    let twice = Order { places, law: OrderLaw::UniformSameEachEpoch, ..once.clone() };
    assert_eq!(audit(&twice, &scores).run(), audit(&once, &scores).run());
}

/// Epochs given by their ids.
fn given(law: OrderLaw, examples: u64, lists: Vec<Vec<u64>>) -> Order {
    let epochs = (0..).zip(lists).map(|(epoch, ids)| Epoch { epoch, ids, steps: Vec::new() });
    let places = Places::Epochs(epochs.collect());
    Order { places, examples, ..order(law, 0) }
}

fn shuffled(k: u64, n: u32) -> Vec<u64> {
    uniform_order(&Seed::from_integer(k).bytes, 0, n).into_iter().map(u64::from).collect()
}

#[test]
fn an_example_in_two_rows_is_refused_with_its_row() {
    let one = order(OrderLaw::Uniform, 1);
    let rows = [5, 9, 4, 9, 5, 7];
    let scores = [0.1, 0.5, 0.2, 0.4, 0.9, 0.3];
    let refusal = Audit { rows: Some(&rows), ..audit(&one, &scores) }.run().unwrap_err();
    assert_eq!(refusal, Refusal::RepeatedRow { index: 3, id: 9, first: 1 });
    assert!(refusal.to_string().ends_with("(--units)"), "{refusal}");
    // Rows of one unit are averaged; an example in two units would count twice.
    let packs = Order { unit: Unit::Pack, ..one };
    let rows = [5, 9, 4, 9, 5, 7, 1];
    let scores = [0.1, 0.5, 0.2, 0.4, 0.9, 0.3, 0.8];
    let of = |units| Audit { rows: Some(&rows), units: Some(units), ..audit(&packs, &scores) };
    assert_eq!(of(&rows).run().unwrap().n, 5);
    let refusal = of(&[0, 1, 2, 3, 0, 5, 6]).run().unwrap_err();
    assert_eq!(refusal, Refusal::SplitExample { index: 3, id: 9, first: 1 });
}

#[test]
fn rows_that_the_order_does_not_have_are_counted() {
    let ids: Vec<u64> = ids(0).into_iter().filter(|id| *id < 190).collect();
    let short = given(OrderLaw::Uniform, EXAMPLES.into(), vec![ids]);
    let found = audit(&short, &scores()).run().unwrap();
    assert_eq!((found.n, found.rows_left_out), (190, 10));
    let told = "10 of 200 rows are left out";
    assert!(found.warnings.iter().any(|warning| warning.starts_with(told)), "{found:?}");
    let whole = audit(&order(OrderLaw::Uniform, 1), &scores()).run().unwrap();
    assert_eq!((whole.rows_left_out, whole.warnings), (0, vec![]));
    assert!(
        !serde_json::to_string(&audit(&order(OrderLaw::Uniform, 1), &scores()).run().unwrap())
            .unwrap()
            .contains("rows_left_out")
    );
}

#[test]
fn a_last_epoch_may_be_cut_short_and_an_earlier_one_may_not() {
    let scores = scores();
    let cut = given(OrderLaw::Uniform, EXAMPLES.into(), vec![ids(1), ids(0)[..100].to_vec()]);
    let found = audit(&cut, &scores).run().unwrap();
    let rows = &found.epochs.as_ref().unwrap().rows;
    assert_eq!((rows[0].n, rows[1].n, rows[1].weight), (200, 100, 0.5_f64.sqrt()));
    assert!(rows[1].log10_p < -20.0 && found.log10_p < -10.0, "{found:?}");
    assert!(found.warnings.iter().any(|told| told.contains("100 of 200")), "{found:?}");
    assert_eq!(found.rows_left_out, 0);
    let early = given(OrderLaw::Uniform, EXAMPLES.into(), vec![ids(0)[..100].to_vec(), ids(1)]);
    assert!(matches!(audit(&early, &scores).run(), Err(Refusal::MissingId { .. })));
    let alone = given(OrderLaw::Uniform, EXAMPLES.into(), vec![ids(0)[..100].to_vec()]);
    assert!(matches!(audit(&alone, &scores).run(), Err(Refusal::MissingId { .. })));
}

#[test]
fn a_samplers_padding_is_dropped_with_a_word() {
    let (one, scores) = (order(OrderLaw::Uniform, 1), scores());
    let padded = [ids(0), ids(0)[..8].to_vec()].concat();
    let padded = given(OrderLaw::Uniform, EXAMPLES.into(), vec![padded]);
    let mut found = audit(&padded, &scores).run().unwrap();
    let told = found.warnings.remove(0);
    assert!(told.starts_with("the last 8 ids of epoch 0 repeat its first ones"), "{told}");
    assert_eq!(found, audit(&one, &scores).run().unwrap());
}

#[test]
fn epochs_that_differ_are_no_same_order_in_each_epoch() {
    let law = OrderLaw::UniformSameEachEpoch;
    let scores = scores();
    let refusal = audit(&order(law, 3), &scores).run().unwrap_err();
    assert_eq!(refusal, Refusal::OrdersDiffer { first: 0, second: 1 });
    let cut = given(law, EXAMPLES.into(), vec![ids(0), ids(0), ids(0)[..120].to_vec()]);
    assert_eq!(audit(&cut, &scores).run(), audit(&order(law, 1), &scores).run());
    // And the same order in each epoch is no fresh one, not even one that is cut short.
    let again = given(OrderLaw::Uniform, EXAMPLES.into(), vec![ids(0), ids(0)[..120].to_vec()]);
    let refusal = audit(&again, &scores).run().unwrap_err();
    assert_eq!(refusal, Refusal::RepeatedOrder { first: 0, second: 1 });
}

/// Blocks of `size` ids in a fixed order, each shuffled within itself, for each of `epochs`.
fn blocks(k: u64, count: u64, size: u32, epochs: u64) -> Vec<Vec<u64>> {
    let block = |at: u64| {
        let (epoch, block) = (at / count, at % count);
        let within = shuffled(1000 * k + 100 * epoch + block, size);
        within.into_iter().map(|id| u64::from(size) * block + id).collect()
    };
    (0..count * epochs).map(block).collect()
}

#[test]
fn small_blocks_are_no_repeated_orders_and_weigh_by_their_size() {
    for k in 0..20 {
        let of = given(OrderLaw::Blockwise, 200, blocks(k, 40, 5, 2));
        let noise: Vec<f64> = shuffled(900 + k, 200).into_iter().map(|id| id as f64).collect();
        let found = audit(&of, &noise).run().unwrap();
        assert_eq!((found.n, found.epochs.unwrap().rows.len()), (200, 80), "{k}");
    }
    let mut lists = blocks(1, 4, 40, 2);
    lists[7].truncate(10);
    let of = given(OrderLaw::Blockwise, 160, lists);
    let noise: Vec<f64> = shuffled(900, 160).into_iter().map(|id| id as f64).collect();
    let found = audit(&of, &noise).run().unwrap();
    let weights: Vec<f64> = found.epochs.unwrap().rows.iter().map(|row| row.weight).collect();
    assert_eq!((weights, found.n), (vec![0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 0.5], 130));
}

#[test]
fn a_trend_within_all_blocks_is_found_whatever_the_recency_weight() {
    let lists = blocks(1, 10, 40, 1);
    let mut scores = vec![0.0; 400];
    for block in &lists {
        for (place, id) in block.iter().enumerate() {
            scores[*id as usize] = (place * 7919 % 31) as f64 - 0.5 * place as f64 + *id as f64;
        }
    }
    let of = given(OrderLaw::Blockwise, 400, lists);
    let at = |gamma| Audit { gamma, ..audit(&of, &scores) }.run().unwrap();
    assert_eq!(at(0.5).log10_p, at(1.0).log10_p);
    assert!(at(0.5).log10_p < -10.0, "{:?}", at(0.5));
}

#[test]
fn blocks_that_would_be_ignored_are_refused() {
    let scores = scores();
    let blocks: Vec<u64> = (0..200).map(|row| row / 20).collect();
    let positions = Places::Positions(shuffled(3, 200));
    let uniform = Order { places: positions, ..order(OrderLaw::Uniform, 0) };
    let refusal = Audit { blocks: Some(&blocks), ..audit(&uniform, &scores) }.run().unwrap_err();
    assert!(matches!(refusal, Refusal::UnusedBlocks { .. }), "{refusal}");
    let listed = given(OrderLaw::Blockwise, 200, self::blocks(1, 5, 40, 1));
    let refusal = Audit { blocks: Some(&blocks), ..audit(&listed, &scores) }.run().unwrap_err();
    assert!(refusal.to_string().contains("the order has its own"), "{refusal}");
}

#[test]
fn rows_that_share_position_and_score_are_told() {
    // Each example ten times, by positions.
    let positions: Vec<u64> = shuffled(4, 100).into_iter().flat_map(|at| [at; 10]).collect();
    let scores: Vec<f64> = shuffled(5, 100).into_iter().flat_map(|at| [at as f64; 10]).collect();
    let order = Order { places: Places::Positions(positions), ..order(OrderLaw::Uniform, 0) };
    let found = audit(&order, &scores).run().unwrap();
    assert!(found.warnings[0].contains("intraclass correlation 1.00"), "{found:?}");
}

#[test]
fn several_epochs_are_drawn_together_each_with_an_order_of_its_own() {
    // A signal in both epochs, weaker in the first.
    let mut scores = scores();
    for (place, id) in ids(1).into_iter().enumerate() {
        scores[id as usize] += 250.0 - place as f64 * 0.25;
    }
    let two = order(OrderLaw::Uniform, 2);
    for metric in Metric::ALL {
        let draws = Draws { draws: 999, seed: 1 };
        let asked = Audit { metric: *metric, ..audit(&two, &scores) };
        let closed = asked.run().unwrap();
        let drawn = Audit { monte_carlo: Some(draws), ..asked.clone() }.run().unwrap();
        assert_eq!((drawn.statistic, drawn.n), (closed.statistic, closed.n), "{metric}");
        assert!((drawn.p - 1e-3).abs() < 1e-12 && drawn.monte_carlo == Some(draws), "{drawn:?}");
        // Innocent scores: the same p up to the error of the draws.
        let noise: Vec<f64> = shuffled(8, 200).into_iter().map(|id| id as f64).collect();
        for tail in Tail::ALL {
            let asked = Audit { metric: *metric, tail: *tail, ..audit(&two, &noise) };
            let closed = asked.run().unwrap().p;
            let draws = Draws { draws: 4999, seed: 2 };
            let drawn = Audit { monte_carlo: Some(draws), ..asked }.run().unwrap().p;
            let error = 5.0 * (closed * (1.0 - closed) / 5000.0).sqrt() + 0.005;
            assert!((drawn - closed).abs() < error, "{metric} {tail}: {drawn} {closed}");
        }
    }
}
