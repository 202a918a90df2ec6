//! How often innocents are accused where it is hard not to: ties, blocks, padding, cut epochs, units.
//!
//! Every run draws an order that the scores know nothing of. Rates are held to three standard errors
//! of the nominal ones: from both sides where p is continuous, from above where it takes few values.

use ledger::order::{OrderLaw, Unit, bounded, uniform_order};
use ledger::seed::Seed;
use ledger::streams::{Streams, normal_f64, unit_f64};
use rand_pcg::Pcg64;
use stats::provenance::audit::{Audit, Epoch, Order, Places};
use stats::provenance::order_list::Resolution;
use stats::provenance::{Adjust, Draws, Kind, Metric, Query, Refusal, Tail};

fn generator(k: u64) -> Pcg64 {
    Streams::new(Seed::from_integer(k).bytes).generator("nulls")
}

fn shuffled(k: u64, n: u32) -> Vec<u64> {
    uniform_order(&Seed::from_integer(k).bytes, 0, n).into_iter().map(u64::from).collect()
}

/// Holds the rates of p below 0.05, 0.01 and 0.001 to three standard errors.
fn rates(what: &str, runs: u64, continuous: bool, p: impl Fn(u64) -> f64) {
    let ps: Vec<f64> = (0..runs).map(p).collect();
    for level in [0.05, 0.01, 0.001] {
        let rate = ps.iter().filter(|p| **p <= level).count() as f64 / runs as f64;
        let error = 3.0 * (level * (1.0 - level) / runs as f64).sqrt();
        // One accident in a thousand is none to speak of.
        let most = (level + error).max(1.5 / runs as f64);
        assert!(rate <= most, "{what}: {rate} below {level}, at most {most}");
        assert!(!continuous || rate >= level - error, "{what}: {rate} below {level}");
    }
}

fn order(law: OrderLaw, examples: u64, lists: Vec<Vec<u64>>) -> Order {
    let epochs = (0..).zip(lists).map(|(epoch, ids)| Epoch { epoch, ids, steps: Vec::new() });
    let places = Places::Epochs(epochs.collect());
    let (unit, randomness, seed_bits) = (Unit::Sample, None, None);
    Order { places, examples, law, unit, randomness, seed_bits }
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

fn noise(k: u64, n: usize) -> Vec<f64> {
    let mut rng = generator(k);
    (0..n).map(|_| normal_f64(&mut rng)).collect()
}

#[test]
fn rare_positions_and_rare_scores_accuse_nobody() {
    // 20 texts of a last stage, 30 that are recited: the t form had 7.5 % below a thousandth.
    for metric in Metric::ALL {
        rates(metric.name(), 1000, false, |k| {
            let stage: Vec<u64> =
                shuffled(k, 2000).iter().map(|at| u64::from(*at >= 1980)).collect();
            let recited: Vec<f64> = (0..2000).map(|id| f64::from(u8::from(id < 30))).collect();
            Query { metric: *metric, ..Query::new(&stage, &recited) }.run().unwrap().p
        });
    }
}

#[test]
fn few_values_on_both_sides_have_the_rates_they_should() {
    for metric in Metric::ALL {
        rates(metric.name(), 1000, true, |k| {
            let steps: Vec<u64> = shuffled(k, 320).iter().map(|at| at / 16).collect();
            let mut rng = generator(k);
            let levels: Vec<f64> =
                (0..320).map(|_| (10.0 * unit_f64(&mut rng).powi(2)).floor()).collect();
            Query { metric: *metric, ..Query::new(&steps, &levels) }.run().unwrap().p
        });
    }
    rates("three rare groups", 400, false, |k| {
        let stage = |at: &u64| if *at < 380 { 0 } else { 1 + at / 390 };
        let stages: Vec<u64> = shuffled(k, 400).iter().map(stage).collect();
        let recited: Vec<f64> =
            (0..400).map(|id| f64::from((id < 12) as u8 + (id < 4) as u8)).collect();
        Query::new(&stages, &recited).run().unwrap().p
    });
}

#[test]
fn heavy_tailed_scores_do_not_deceive_the_product_moment() {
    rates("pearson", 1000, true, |k| {
        let steps: Vec<u64> = shuffled(k, 300).iter().map(|at| at / 10).collect();
        let losses: Vec<f64> = noise(k, 300).into_iter().map(|z| (0.8 * z).exp()).collect();
        Query { metric: Metric::Pearson, ..Query::new(&steps, &losses) }.run().unwrap().p
    });
}

#[test]
fn blocks_padding_and_cut_epochs_have_the_rates_they_should() {
    // 5 blocks of 40 in a fixed order with a trend between them.
    rates("blocks", 1000, true, |k| {
        let block = |block: u64| {
            shuffled(100 * k + block, 40).into_iter().map(|id| 40 * block + id).collect()
        };
        let scores: Vec<f64> =
            noise(k, 200).iter().zip(0..).map(|(z, id)| z + f64::from(id / 40)).collect();
        audit(&order(OrderLaw::Blockwise, 200, (0..5).map(block).collect()), &scores)
            .run()
            .unwrap()
            .p
    });
    rates("padding", 1000, true, |k| {
        let mut ids = shuffled(k, 200);
        ids.extend_from_within(..8);
        audit(&order(OrderLaw::Uniform, 200, vec![ids]), &noise(k, 200)).run().unwrap().p
    });
    rates("one and a half epochs", 1000, true, |k| {
        let lists = vec![shuffled(2 * k, 200), shuffled(2 * k + 1, 200)[..100].to_vec()];
        audit(&order(OrderLaw::Uniform, 200, lists), &noise(k, 200)).run().unwrap().p
    });
}

#[test]
fn units_have_the_rates_they_should_and_repeats_are_refused() {
    // Packs of 6 documents that share half of their difficulty.
    rates("units", 1000, true, |k| {
        let of = Order { unit: Unit::Pack, ..order(OrderLaw::Uniform, 80, vec![shuffled(k, 80)]) };
        let rows: Vec<u64> = (0..480).map(|row| row / 6).collect();
        let shared = noise(2 * k, 80);
        let scores: Vec<f64> = noise(2 * k + 1, 480)
            .iter()
            .zip(&rows)
            .map(|(z, pack)| z + shared[*pack as usize])
            .collect();
        let asked = audit(&of, &scores);
        Audit { rows: Some(&rows), units: Some(&rows), ..asked }.run().unwrap().p
    });
    let of = order(OrderLaw::Uniform, 80, vec![shuffled(0, 80)]);
    let rows: Vec<u64> = (0..480).map(|row| row / 6).collect();
    let scores = noise(1, 480);
    let refusal = Audit { rows: Some(&rows), ..audit(&of, &scores) }.run().unwrap_err();
    assert_eq!(refusal, Refusal::RepeatedRow { index: 1, id: 0, first: 0 });
}

#[test]
fn draws_over_several_epochs_have_the_rates_they_should() {
    rates("two epochs drawn", 500, true, |k| {
        let lists = (0..2).map(|epoch| shuffled(2 * k + epoch, 40)).collect();
        let of = order(OrderLaw::Uniform, 40, lists);
        let mut rng = generator(k);
        let levels: Vec<f64> = (0..40).map(|_| bounded(&mut rng, 3) as f64).collect();
        let monte_carlo = Some(Draws { draws: 199, seed: k });
        Audit { monte_carlo, ..audit(&of, &levels) }.run().unwrap().p
    });
}
