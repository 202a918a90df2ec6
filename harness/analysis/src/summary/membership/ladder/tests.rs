use super::*;
use crate::suite::membership::{Access, CurvePlace, Documents, Expect};
use crate::suite_run::{RunArm, RunCell, RunWorkload};
use crate::summary::membership::{ScoreKind, TestOutcome, judge};
use crate::summary::tests::record;
use ledger::digest::Digest;
use ledger::goal::{Direction, Target};
use ledger::lineage::CellName;
use ledger::order::{OrderLaw, Unit, order_hash, uniform_order};
use ledger::record::format::OrderSection;
use ledger::seed::Randomness;
use ledger::streams::unit_f64;
use ledger::transcript::EpochOrder;
use stats::provenance::{Metric, Tail};

const EXAMPLES: u32 = 600;

/// Two seeds of one arm, whose models have a loss that falls along their own order.
struct Made {
    suite: SuiteRun,
    records: Vec<RunRecord>,
    constant: bool,
}

fn seed_order(seed: usize) -> Vec<u32> {
    uniform_order(&Seed::from_integer(seed as u64).bytes, 0, EXAMPLES)
}

fn made(tests: Vec<MembershipUse>) -> Made {
    let records = [0, 1].map(|seed| {
        let ids = seed_order(seed);
        let root = Digest::of(b"data");
        let epoch = EpochOrder {
            epoch: 0,
            n: u64::from(EXAMPLES),
            offset: 0,
            block: 0,
            order_hash: order_hash(&ids),
            order_root: root,
            steps: vec![(10, EXAMPLES / 10)],
        };
        let order = OrderSection {
            version: 1,
            law: OrderLaw::Uniform,
            unit: Unit::Sample,
            layout: None,
            randomness: Randomness::Fixed,
            examples: u64::from(EXAMPLES),
            seed_hex: String::new(),
            nonce_hex: String::new(),
            beacon: None,
            beacon_source: None,
            seed_commit: root,
            dataset_root: root,
            config_hash: root,
            epochs_planned: 1,
            commitment: root,
            index: None,
            chain: Vec::new(),
            epochs: vec![epoch],
        };
        RunRecord { order: Some(order), ..record(seed, (Some(1.0), 0.9, 0.1)) }
    });
    let cells = records.iter().map(|record| RunCell {
        workload: 0,
        arm: 0,
        seed: record.seed.clone(),
        cell: record.cell.clone(),
    });
    let suite = SuiteRun {
        of_another_build: Vec::new(),
        version: SuiteRun::VERSION,
        suite: "made-up".into(),
        source: "made-up".into(),
        question: "q".into(),
        suite_digest: String::new(),
        baseline: None,
        workloads: vec![RunWorkload {
            label: "w".into(),
            title: String::new(),
            metrics: Vec::new(),
            target: Target {
                metric: "accuracy".into(),
                direction: Direction::HigherIsBetter,
                value: 0.9,
                origin: "measured".into(),
            },
            budget_samples: 600,
            train_examples: 600,
        }],
        arms: vec![RunArm {
            label: "a".into(),
            method: "m".into(),
            settings: BTreeMap::new(),
            budget: None,
            trials: None,
        }],
        sections: crate::suite::Sections { provenance: tests, ..Default::default() },
        estimated: Vec::new(),
        unjudged: Vec::new(),
        stopping: None,
        tuned: None,
        cells: cells.collect(),
        argv: Vec::new(),
        made: crate::suite_run::Made::default(),
    };
    Made { suite, records: records.to_vec(), constant: false }
}

fn cell() -> CellName {
    CellName { workload: Some("w".into()), arm: "a".into(), seeds_ahead: 0 }
}

fn test(id: &str) -> MembershipUse {
    MembershipUse {
        id: id.into(),
        statement: "s".into(),
        run: cell(),
        suspect: cell(),
        reference: None,
        access: Access::LogProbs,
        documents: Documents::Whole,
        template: Vec::new(),
        metric: Metric::Spearman,
        tail: Tail::TwoSided,
        adjust: None,
        expect: Expect { log10_p_at_most: Some(-3.0), ..Expect::default() },
        curve: None,
    }
}

impl Evidence for Made {
    fn order(&self, run: &str) -> Result<Vec<u32>, String> {
        Ok(seed_order(usize::from_str_radix(run, 16).unwrap()))
    }

    fn scores(&self, model: &str, _: &RunRecord, _: ScoreKind) -> Result<Vec<f64>, String> {
        let order = self.order(model)?;
        if self.constant {
            return Ok(vec![1.0; order.len()]);
        }
        let mut noise = Streams::new(Seed::from_integer(9).bytes).generator(model);
        let mut scores = vec![0.0; order.len()];
        for (at, id) in order.iter().enumerate() {
            scores[*id as usize] = 2.0 * unit_f64(&mut noise) - at as f64 / order.len() as f64;
        }
        Ok(scores)
    }
}

impl Made {
    fn climb(&self, rungs: &[u64], draw: u64) -> Vec<PowerCurve> {
        let records = self.records.iter().map(|record| (record.cell.as_str(), record)).collect();
        ladder(&self.suite, &records, self, rungs, draw)
    }
}

#[test]
fn more_examples_go_deeper_and_the_last_rung_is_the_test_itself() {
    let made = made(vec![test("t")]);
    let curves = made.climb(&[4000, 30, 150, 1000], 0);
    assert_eq!((curves.len(), curves[0].axis.as_str()), (1, "examples queried"));
    let points = &curves[0].lines[0].points;
    assert_eq!(points.iter().map(|point| point.at).collect::<Vec<_>>(), [30.0, 150.0, 600.0]);
    assert!(points.windows(2).all(|pair| pair[1].median < pair[0].median), "{points:?}");
    let records = made.records.iter().map(|record| (record.cell.as_str(), record)).collect();
    let whole: Vec<f64> = judge(&made.suite, &records, &made)[0]
        .seeds
        .iter()
        .map(|seed| match &seed.outcome {
            TestOutcome::Found(finding) => finding.log10_p,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(points[2].log10_ps, whole);
    assert!(points[2].high < -10.0, "{points:?}");
}

#[test]
fn a_rung_is_the_query_of_those_examples_alone() {
    let made = made(vec![test("t")]);
    let found = made.climb(&[100], 7)[0].lines[0].points[0].log10_ps[1];
    let mut ids: Vec<u32> = (0..EXAMPLES).collect();
    let streams = Streams::new(Seed::from_integer(7).bytes);
    shuffle(&mut streams.generator("provenance/power/1"), &mut ids);
    let place: BTreeMap<u32, u64> = seed_order(1).into_iter().zip(0..).collect();
    let scores = made.scores(
        &made.records[1].cell,
        &made.records[1],
        ScoreKind { access: Access::LogProbs, documents: false },
    );
    let scores = scores.unwrap();
    ids.truncate(100);
    ids.sort_unstable();
    let positions: Vec<u64> = ids.iter().map(|id| place[id] / 10).collect();
    let queried: Vec<f64> = ids.iter().map(|id| scores[*id as usize]).collect();
    let expected = stats::provenance::Query::new(&positions, &queried).run().unwrap();
    assert_eq!(found, expected.log10_p);
}

#[test]
fn the_draw_decides_which_examples_are_queried_and_nothing_else() {
    let made = made(vec![test("t")]);
    let points = |draw| made.climb(&[50, 600], draw)[0].lines[0].points.clone();
    assert_eq!(points(0), points(0));
    assert_ne!(points(0)[0], points(1)[0]);
    assert_eq!(points(0)[1], points(1)[1]);
}

#[test]
fn only_tests_with_a_bar_and_without_a_place_are_climbed() {
    let mut placed = test("placed");
    placed.curve = Some(CurvePlace { axis: "x".into(), line: String::new(), at: 1.0 });
    let mut open = test("open");
    open.expect = Expect { nothing: true, ..Expect::default() };
    assert!(made(vec![placed, open]).climb(&[100], 0).is_empty());
}

#[test]
fn a_refused_test_has_no_rung_and_its_reason_is_kept() {
    let mut made = made(vec![test("flat")]);
    made.constant = true;
    let curves = made.climb(&[100], 0);
    assert!(curves[0].lines.is_empty());
    assert_eq!(curves[0].left_out.len(), 2);
    assert!(curves[0].left_out[0].starts_with("flat, seed 0: "), "{:?}", curves[0].left_out);
}
