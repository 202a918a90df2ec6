//! Figures of estimates stay readable, also for hostile names and numbers that are missing.

use analysis::suite::estimates::Kind;
use analysis::summary::order_estimates::{
    EstimateFound, EstimateOutcome, EstimateSeed, Numbers, OrderEstimate,
};
use stats::estimates::ItemOrder;
use stats::estimates::agreement::{Agreement, Interval, Signal};
use stats::estimates::attribution::Influence;
use stats::estimates::cost::Cost;
use stats::estimates::results::{
    Attribution, Dropped, Extremes, FORMAT, Items, LeftOut, Look, Point, Prediction, RecencyCurves,
    Row, SearchResult, Shown, ShownItem, Source, Validation,
};
use stats::estimates::search::{Elsewhere, Found, Scored, Search, Verified};
use stats::estimates::settings::HeldOut;
use stats::estimates::validity::{Band, Validity, Verdict};

use super::{curves, examples, influence, ranking, scatter, strip};
use crate::figure::tests::{check_shapes, check_texts};
use crate::figure::{Figure, Shape};

const HOSTILE: &str =
    "<script>alert(1)</script>\u{202E}\n,=cmd() & a very long name, far beyond any";

fn source(estimator: &str, verdict: Verdict) -> Source {
    Source {
        format: FORMAT,
        cell: "23c4511d3ae32d61".to_owned(),
        first_step: 64,
        steps: 4,
        items: Items::Batches,
        item_count: 4,
        estimator: estimator.to_owned(),
        k: Some(8),
        seed: 0,
        pilots: 6,
        validity: Validity {
            verdict,
            pilots: 8,
            relative_error: Some(0.1),
            residual_over_sd: Some(0.1),
            reason: HOSTILE.repeat(4),
            ..Validity::unjudged("")
        },
        cost: None,
        centres: 1,
        target: None,
        stacked: None,
        withheld: false,
        effect: None,
        warnings: Vec::new(),
    }
}

fn orders() -> [ItemOrder; 3] {
    [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]].map(|items| ItemOrder::batches(&items))
}

fn prediction(estimator: &str, verdict: Verdict) -> Prediction {
    let band = Band { bias: 0.0, residual_sd: 0.01, pilots: 8 };
    let losses = [1.1, f64::NAN, 1.2];
    let rows = orders().into_iter().zip(losses);
    let usable = if verdict.is_usable() { Ok(&band) } else { Err("outside validity") };
    let rows = rows.map(|(order, loss)| Row::new(order, loss, &[], usable, 1.15)).collect();
    Prediction { source: source(estimator, verdict), reference: 1.15, rows }
}

fn validation(estimator: &str, scale: f64, growth: &[Option<f64>]) -> Validation {
    let points = orders().into_iter().zip([Some(1.1), None, Some(1.21)]).zip([1.12, 1.3, 1.2]);
    let points = points.map(|((order, estimated), retrained)| Point {
        hash: order.hash(),
        estimated: estimated.map(|loss| loss * scale),
        retrained: retrained * scale,
        relative_error: estimated.map(|_| 0.1),
    });
    let agreement = Agreement {
        orders: 3,
        signal: Signal::Failed,
        reason: Some(HOSTILE.to_owned()),
        relative_error: Some(0.1),
        cosine: None,
        held_out: None,
        held_out_interval: None,
        per_item: None,
        mae_over_sd: None,
        null_mae_over_sd: None,
    };
    Validation {
        source: source(estimator, Verdict::Weak),
        reference: 1.15 * scale,
        agreement,
        points: points.collect(),
        error_growth: growth.to_vec(),
    }
}

fn search(estimator: &str, scale: f64) -> SearchResult {
    let scored = |order: ItemOrder| Scored { hash: order.hash(), order, estimate: 1.16 * scale };
    let found = Found {
        search: Search::default(),
        scored: 3,
        not_finite: 0,
        random_mean: 1.2,
        random_sd: 0.1,
        best: orders().map(scored).to_vec(),
        descents: Vec::new(),
    };
    let verified = |best: f64| Verified::of(&[best], &[1.0, 2.0, 3.0]).ok();
    let elsewhere = Elsewhere {
        split: HeldOut::Test,
        recorded: 1.2,
        best: verified(1.5),
        descents: None,
        kept: None,
        agreement: Some(0.1),
        agreement_interval: None,
    };
    SearchResult {
        source: source(estimator, Verdict::Ok),
        found,
        best: verified(0.0),
        descents: None,
        promised: Some(-0.1),
        kept: None,
        elsewhere: Some(elsewhere),
    }
}

fn recency(estimator: &str, scale: f64) -> RecencyCurves {
    let curve = vec![Some(1.3 * scale), None, Some(1.1 * scale), Some(scale)];
    RecencyCurves {
        source: source(estimator, Verdict::Ok),
        items: vec![0, 123_456],
        own: vec![curve.clone(), vec![Some(1.0); 4]],
        held_out: vec![curve, vec![Some(1.0); 4]],
        absent: vec![Some(1.4), None],
        own_agreement: None,
        held_out_agreement: None,
        flat: vec![false, true],
    }
}

fn attribution(estimator: &str, scale: f64) -> Attribution {
    let one = |item, slope: f64, flat| Influence {
        item,
        range: 0.1,
        sd: 0.03,
        slope: slope * scale,
        slope_interval: Interval { low: (slope - 1e-4) * scale, high: (slope + 1e-4) * scale },
        best_position: 0,
        p: 1e-6,
        flat,
    };
    let ranked = vec![one(3, -4e-4, false), one(123_456, 2e-5, true)];
    Attribution { source: source(estimator, Verdict::Ok), residual_sd: 1e-4, ranked }
}

fn dropped(estimator: &str, scale: f64, look: &Look) -> Dropped {
    let alone = [0.5, 0.1, -0.2, f64::NAN].into_iter().zip([3, 0, 123_456, 2]);
    let alone = alone.map(|(change, item)| LeftOut {
        item,
        ids: (0..32).collect(),
        change: Some(change * scale).filter(|change| change.is_finite()),
        interval: Some(Interval { low: (change - 0.1) * scale, high: (change + 0.1) * scale }),
    });
    let example = |id, label: Option<&str>| Shown {
        id,
        label: label.map(ToOwned::to_owned),
        look: look.clone(),
    };
    let labels = [None, Some("class 3"), Some(HOSTILE), None];
    let examples = labels.into_iter().zip(4_000_000_000_u32..);
    let examples: Vec<Shown> = examples.map(|(label, id)| example(id, label)).collect();
    let shown = |item| ShownItem { item, examples: examples.clone(), of: 32 };
    Dropped {
        source: source(estimator, Verdict::Ok),
        reference: 1.0,
        keep: 0.5,
        alone: alone.collect(),
        asked: Vec::new(),
        datamodel: None,
        found: None,
        groups: Vec::new(),
        shown: Some(Extremes {
            helpful: vec![shown(3), shown(0)],
            harmful: vec![shown(2), shown(123_456)],
        }),
        by_weight: scale > 1.0,
    }
}

/// A grey and a coloured picture larger than a drawn one, an empty one and a damaged one; text; numbers.
fn looks() -> Vec<Look> {
    let pixels = |height: usize, width: usize, count: usize| Look::Pixels {
        height,
        width,
        values: (0..count).map(|place| (place * 37 % 256) as u8).collect(),
    };
    vec![
        pixels(28, 28, 784),
        pixels(6, 40, 720),
        pixels(0, 3, 0),
        pixels(5, 5, 3),
        Look::Text { text: HOSTILE.repeat(9) },
        Look::Text { text: String::new() },
        Look::Numbers { values: vec![-1.25e7, f64::NAN, 3.0, 0.0, 5.0], of: 16 },
        Look::Numbers { values: Vec::new(), of: 0 },
    ]
}

#[test]
fn pictures_are_drawn_in_their_brightness_and_damaged_ones_not_at_all() {
    let areas = |look: &Look| {
        let shapes = examples::figure(&dropped("surrogate", 1.0, look)).shapes;
        let areas = shapes.into_iter().filter_map(|shape| match shape {
            Shape::Area { colour, .. } => Some(colour),
            _ => None,
        });
        areas.collect::<Vec<_>>()
    };
    // Black and white halves: two areas a row, on both sides of every item.
    let halves: Vec<u8> = (0..4).flat_map(|_| [0, 0, 255, 255]).collect();
    let drawn = areas(&Look::Pixels { height: 4, width: 4, values: halves });
    let damaged = areas(&Look::Pixels { height: 4, width: 4, values: vec![0; 3] });
    let of = |colour| drawn.iter().filter(|one| **one == colour).count();
    assert_eq!(of((0, 0, 0)), of((255, 255, 255)));
    assert_eq!((drawn.len() - damaged.len()) % 8, 0);
    assert!(of((0, 0, 0)) >= 16 && !damaged.contains(&(0, 0, 0)), "{}", drawn.len());
    let red = Look::Pixels { height: 1, width: 1, values: vec![255, 0, 0] };
    assert!(areas(&red).contains(&(255, 0, 0)));
}

#[test]
fn the_table_of_what_is_left_out_has_intervals_and_a_figure_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let paths = super::dropped(&dropped("surrogate", 1.0, &looks()[0]), folder.path()).unwrap();
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    let wanted = ["png", "svg", "csv", "json"].map(|end| format!("estimate-drop.{end}"));
    assert_eq!(names, wanted.map(std::ffi::OsString::from));
    let table = std::fs::read_to_string(folder.path().join("estimate-drop.csv")).unwrap();
    assert!(table.starts_with("item,change,low,high,ids\n3,0.5,0.4,0.6,0 1 2 "), "{table}");
    assert!(table.contains("\n2,,"), "{table}");
}

fn every_figure() -> Vec<Figure> {
    let growth = [Some(0.01), None, Some(0.3)];
    let mut all = Vec::new();
    for name in ["surrogate", HOSTILE] {
        for scale in [1.0, 1e-7, 1e6] {
            all.push(scatter::figure(&validation(name, scale, &growth)));
            all.push(scatter::figure(&validation(name, scale, &[])));
            all.push(strip::figure(&search(name, scale)));
            all.push(curves::figure(&recency(name, scale)));
            all.push(influence::figure(&attribution(name, scale)));
            all.extend(looks().iter().map(|look| examples::figure(&dropped(name, scale, look))));
        }
        for verdict in [Verdict::Ok, Verdict::OutsideValidity] {
            all.push(ranking::figure(&prediction(name, verdict)));
        }
    }
    all
}

#[test]
fn no_text_of_an_estimate_overlaps_another_or_leaves_the_figure() {
    every_figure().iter().for_each(check_texts);
}

#[test]
fn no_shape_of_an_estimate_leaves_the_figure() {
    every_figure().iter().for_each(check_shapes);
}

#[test]
fn a_hostile_estimator_writes_into_the_folder_asked_for_and_its_name_is_text() {
    let folder = tempfile::tempdir().unwrap();
    let found = validation("../../<script>", 1.0, &[]);
    let paths = super::validations(&[found], folder.path()).unwrap();
    assert_eq!(paths.len(), 4);
    for path in &paths {
        assert!(path.canonicalize().unwrap().starts_with(folder.path().canonicalize().unwrap()));
    }
    let svg = paths.iter().find(|path| path.extension().is_some_and(|end| end == "svg")).unwrap();
    assert!(!std::fs::read_to_string(svg).unwrap().contains("<script"));
}

#[test]
fn intervals_outside_validity_are_in_no_file_and_the_verdict_is_in_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let read = |verdict| {
        super::prediction(&prediction("surrogate", verdict), folder.path()).unwrap();
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        (text("estimate-prediction.csv"), text("estimate-prediction.json"))
    };
    let (table, document) = read(Verdict::OutsideValidity);
    assert!(table.lines().skip(1).all(|line| line.contains(",outside validity,")), "{table}");
    let first: Vec<&str> = table.lines().nth(1).unwrap().split(',').collect();
    // rank, order, validity, held_out, corrected, low, high, better: the estimate alone.
    assert_eq!((first[3], &first[4..8]), ("1.1", &["", "", "", ""][..]), "{table}");
    assert!(document.contains("\"interval\": null") && !document.contains("\"low\""));
    let (table, _) = read(Verdict::Ok);
    assert!(table.lines().nth(1).unwrap().split(',').all(|field| !field.is_empty()), "{table}");
}

#[test]
fn intervals_outside_validity_are_not_drawn() {
    let bars = |verdict| {
        let shapes = ranking::figure(&prediction("surrogate", verdict)).shapes;
        let is_bar = |shape: &&Shape| matches!(shape, Shape::Line { alpha, .. } if *alpha < 1.0);
        shapes.iter().filter(is_bar).count()
    };
    // Two of the three orders have a loss.
    assert_eq!((bars(Verdict::Ok), bars(Verdict::OutsideValidity)), (2, 0));
}

#[test]
fn the_table_of_estimates_holds_numbers_that_read_back_and_no_signs_of_display() {
    let (amortised_1e3, amortised_1e4) = (0.4, 4.0);
    let cost =
        Cost { set_up: 2448.13, speed_up: 67.74, break_even: None, amortised_1e3, amortised_1e4 };
    let mut null = validation("null", 1.0, &[]);
    null.source.cost = Some(cost);
    null.agreement.signal = Signal::Present;
    null.agreement.held_out = Some(-0.0523);
    null.agreement.held_out_interval = Some(Interval { low: -0.31, high: 0.2 });
    let found = |numbers| {
        let settings = serde_json::json!({ "name": "e", "run": "w/a" });
        let settings = serde_json::from_value(settings).unwrap();
        let (code, disturbed) = (String::new(), false);
        let found = EstimateFound { settings, code, seconds: 1.0, disturbed, numbers };
        EstimateOutcome::Found(Box::new(found))
    };
    let seed = |outcome| EstimateSeed {
        seed: "0".to_owned(),
        cell: "23c4511d3ae32d61".to_owned(),
        outcome,
        checks: Vec::new(),
    };
    let mut analysis = crate::sample::empty();
    analysis.order_estimates.push(OrderEstimate {
        name: "e".to_owned(),
        run: "w/a".to_owned(),
        kind: Kind::Orders,
        expected: String::new(),
        seeds: vec![
            seed(found(Numbers::Orders(vec![null, validation("replay", 1.0, &[])]))),
            seed(found(Numbers::Search(Box::new(search("surrogate", 1.0))))),
            seed(EstimateOutcome::Missing("no model".to_owned())),
        ],
        met: None,
    });
    let csv = crate::csv::estimates(&analysis);
    insta::assert_snapshot!(csv.replace("\r\n", "\n"), @"
    estimate,run,seed,cell,estimator,validity,signal,held_out,held_out_low,held_out_high,per_item,relative_error,mae_over_sd,null_mae_over_sd,best_sd,descent_sd,centred_r2,median,speed_up,set_up,break_even,best_searched_sd,descent_searched_sd,bars,expected
    e,w/a,0,23c4511d3ae32d61,null-estimator,weak,present,-0.0523,-0.31,0.2,,0.1,,,,,,,67.74,2448.13,inf,,,no bar,
    e,w/a,0,23c4511d3ae32d61,replay,weak,failed,,,,,0.1,,,,,,,,,,,,beside,
    e,w/a,0,23c4511d3ae32d61,surrogate,ok,,,,,,,,,-0.5,,,,,,,-2,,no bar,
    e,w/a,0,23c4511d3ae32d61,,,,,,,,,,,,,,,,,,,,not made: no model,
    ");
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        for number in fields[7..23].iter().filter(|field| !field.is_empty()) {
            assert!(number.parse::<f64>().is_ok(), "{number} in {line}");
        }
    }
}
