use proptest::prelude::*;

use super::*;

fn sgd(rates: &[f64], k: usize) -> Sgd {
    let centre = vec![0.0; k];
    Sgd {
        rates: rates.to_vec(),
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        centre,
        buffer: None,
    }
}

/// Two items in two dimensions: losses ½ zᵀHz + g·z.
fn two_items() -> Reduced {
    Reduced::new(2, &[1.0, 0.0, 0.0, -1.0], &[2.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.5, 3.0]).unwrap()
}

fn close(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0))
}

#[test]
fn two_steps_of_descent_are_those_of_a_hand() {
    let rule = Rule::Sgd(sgd(&[0.5, 0.25], 2));
    let orders = [ItemOrder::batches(&[0, 1]), ItemOrder::batches(&[1, 0])];
    let ends = two_items().train(&rule, &[1.0, 2.0], &orders).unwrap();
    // Item 0 at (1, 2): g = (3, 2); (−½, 1). Item 1 there: g = (0, 1.75); (−½, 0.5625).
    assert!(close(&ends[0], &[-0.5, 0.5625]), "{:?}", ends[0]);
    // Item 1 at (1, 2): g = (2, 5.5); (0, −¾). Item 0 there: g = (1, −¾); (−¼, −0.5625).
    assert!(close(&ends[1], &[-0.25, -0.5625]), "{:?}", ends[1]);
}

#[test]
fn a_step_over_two_items_takes_their_mean() {
    let rule = Rule::Sgd(sgd(&[0.5], 2));
    let both = ItemOrder { steps: vec![vec![0, 1]] };
    let ends = two_items().train(&rule, &[1.0, 2.0], &[both]).unwrap();
    assert!(close(&ends[0], &[1.0 - 0.5 * 2.5, 2.0 - 0.5 * 3.75]));
}

/// The difference of two orders of a pair is lr²(H_j g_i − H_i g_j), the Lie bracket.
#[test]
fn exchanging_a_pair_moves_the_end_by_its_bracket() {
    let (rule, model) = (Rule::Sgd(sgd(&[0.1, 0.1], 2)), two_items());
    let orders = [ItemOrder::batches(&[0, 1]), ItemOrder::batches(&[1, 0])];
    let ends = model.train(&rule, &[0.0, 0.0], &orders).unwrap();
    // H_1 g_0 − H_0 g_1 = (1, ½) − (0, −1).
    assert!(close(&[ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]], &[0.01, 0.015]));
}

#[test]
fn read_outs_are_quadratics_around_their_centre() {
    let read = ReadOut {
        value: 3.0,
        at: vec![1.0, 0.0],
        gradient: vec![2.0, -1.0],
        curvature: vec![2.0, 1.0, 1.0, 4.0],
    };
    assert_eq!(read.loss(&[1.0, 0.0]), 3.0);
    // 3 + 2·1 − 1·2 + ½(2 + 2·2 + 4·4).
    assert_eq!(read.loss(&[2.0, 2.0]), 14.0);
    assert_eq!(read.check(2), Ok(()));
    let refused = read.check(3).unwrap_err().to_string();
    assert_eq!(refused, "the read-out's centre: 2 values where 3 belong");
}

#[test]
fn a_score_is_what_is_added_up_along_the_way_and_read_out_at_the_end() {
    // Five items in eleven dimensions, which fill no whole lanes, and steps of one and of two items.
    let noise = |n: usize| -> Vec<f64> { (0..n).map(|at| (at as f64 * 12.9898).sin()).collect() };
    let model = Reduced::new(11, &noise(55), &noise(605)).unwrap();
    let rule = Rule::Sgd(Sgd { momentum: 0.5, ..sgd(&[0.1, 0.2, 0.1], 11) });
    let orders = [
        ItemOrder::batches(&[0, 1, 2]),
        ItemOrder { steps: vec![vec![4, 3], vec![1]] },
        ItemOrder::batches(&[2, 1, 0]),
    ];
    let read_out =
        ReadOut { value: 2.0, at: noise(11), gradient: noise(11), curvature: noise(121) };
    let (effects, constant, along) = (noise(3), noise(5), noise(55));
    let parts = StepParts { effects: &effects, constant: &constant, along: &along };
    let scores = model.score(&rule, &noise(11), &orders, &parts, &read_out).unwrap();
    let mut expected = vec![0.0; 3];
    let ends = model
        .follow(&rule, &noise(11), &orders, &mut |order, step, items, z| {
            for item in items.iter().map(|item| *item as usize) {
                let row = along[item * 11..].iter().zip(z).map(|(a, z)| a * z).sum::<f64>();
                expected[order] += effects[step] * (constant[item] + row) / items.len() as f64;
            }
        })
        .unwrap();
    for (expected, end) in expected.iter_mut().zip(&ends) {
        *expected += read_out.loss(end);
    }
    assert!(close(&scores, &expected), "{scores:?} {expected:?}");
    assert!((scores[0] - scores[2]).abs() > 1e-3);
    let short = StepParts { along: &along[1..], ..parts };
    assert!(model.score(&rule, &noise(11), &orders, &short, &read_out).is_err());
}

#[test]
fn momentum_starts_as_told_and_nesterov_looks_ahead() {
    let one = Reduced::new(1, &[1.0], &[0.0]).unwrap();
    let order = [ItemOrder::batches(&[0, 0])];
    let mut rule = sgd(&[1.0, 1.0], 1);
    rule.momentum = 0.5;
    let end = |rule: &Sgd| one.train(&Rule::Sgd(rule.clone()), &[0.0], &order).unwrap()[0][0];
    // Buffers 1 and 1.5.
    assert_eq!(end(&rule), -2.5);
    rule.nesterov = true;
    // 1 + ½·1 and 1 + ½·1.5.
    assert_eq!(end(&rule), -3.25);
    rule.nesterov = false;
    rule.buffer = Some(vec![4.0]);
    // Buffers 3 and 2.5.
    assert_eq!(end(&rule), -5.5);
    rule.weight_decay = 0.1;
    rule.centre = vec![10.0];
    rule.buffer = None;
    rule.momentum = 0.0;
    // 1 + 0.1·10, then 1 + 0.1·8.
    assert!((end(&rule) + 3.8).abs() < 1e-12);
}

#[test]
fn adam_with_a_frozen_denominator_corrects_the_bias_of_its_moment() {
    let one = Reduced::new(1, &[1.0], &[0.0]).unwrap();
    let rule = Adam {
        rates: vec![0.1, 0.1],
        beta1: 0.9,
        weight_decay: 0.0,
        centre: vec![0.0],
        moment: vec![0.0],
        steps_before: 0,
    };
    let order = [ItemOrder::batches(&[0, 0])];
    let cold = one.train(&Rule::Adam(rule.clone()), &[0.0], &order).unwrap();
    // A constant gradient: the corrected moment is that gradient.
    assert!(close(&cold[0], &[-0.2]), "{cold:?}");
    let warm = Adam { moment: vec![2.0], steps_before: 1000, ..rule };
    let warm = one.train(&Rule::Adam(warm), &[0.0], &order).unwrap();
    assert!(close(&warm[0], &[-0.1 * (1.9 + 1.81)]), "{warm:?}");
}

#[test]
fn wrong_sizes_and_unknown_items_are_refused() {
    let model = two_items();
    let rule = Rule::Sgd(sgd(&[0.1], 2));
    let asked = |start: &[f64], steps: Vec<Vec<u32>>| {
        model.train(&rule, start, &[ItemOrder { steps }]).unwrap_err().to_string()
    };
    assert_eq!(asked(&[0.0], vec![vec![0]]), "the start: 1 values where 2 belong");
    assert_eq!(
        asked(&[0.0; 2], vec![vec![2]]),
        "item is 2: it must be an item with a gradient and a curvature"
    );
    assert_eq!(asked(&[0.0; 2], vec![vec![]]), "a step needs at least 1 items, found 0");
    assert_eq!(asked(&[0.0; 2], vec![vec![0]; 2]), "learning rates: 1 values where 2 belong");
    let bad = Reduced::new(1, &[1.0], &[f64::NAN]).unwrap_err().to_string();
    assert_eq!(bad, "projected curvature 0 is NaN: it must be a finite number");
    assert!(Reduced::new(2, &[1.0; 3], &[1.0; 4]).is_err());
}

/// The same recursion as it is written on paper, element by element.
fn plainly(k: usize, g: &[f64], h: &[f64], rule: &Sgd, start: &[f64], order: &[u32]) -> Vec<f64> {
    let (mut z, mut buffer) = (start.to_vec(), rule.buffer.clone());
    for (&item, rate) in order.iter().zip(&rule.rates) {
        let item = item as usize;
        let gradient: Vec<f64> = (0..k)
            .map(|a| {
                let bent: f64 = (0..k).map(|b| h[(item * k + a) * k + b] * z[b]).sum();
                g[item * k + a] + bent + rule.weight_decay * (z[a] + rule.centre[a])
            })
            .collect();
        let next: Vec<f64> = match &buffer {
            None => gradient.clone(),
            Some(old) => old.iter().zip(&gradient).map(|(o, g)| rule.momentum * o + g).collect(),
        };
        for a in 0..k {
            let ahead = gradient[a] + rule.momentum * next[a];
            z[a] -= rate * if rule.nesterov { ahead } else { next[a] };
        }
        buffer = Some(next);
    }
    z
}

proptest! {
    #[test]
    fn the_blocked_recursion_is_the_one_on_paper(
        k in 1_usize..20, seed: u8, momentum in 0.0_f64..0.95, nesterov: bool, warm: bool,
    ) {
        let mut rng = ledger::streams::Streams::new([seed; 32]).generator("reduced");
        let mut draw = |n: usize| -> Vec<f64> {
            (0..n).map(|_| ledger::streams::normal_f64(&mut rng)).collect()
        };
        let (g, h, start) = (draw(5 * k), draw(5 * k * k), draw(k));
        let rule = Sgd {
            rates: vec![0.05, 0.04, 0.03, 0.02, 0.01],
            momentum,
            nesterov,
            weight_decay: 0.01,
            centre: draw(k),
            buffer: warm.then(|| draw(k)),
        };
        let order = [3, 1, 4, 0, 2];
        let model = Reduced::new(k, &g, &h).unwrap();
        let found =
            model.train(&Rule::Sgd(rule.clone()), &start, &[ItemOrder::batches(&order)]).unwrap();
        let expected = plainly(k, &g, &h, &rule, &start, &order);
        for (found, expected) in found[0].iter().zip(&expected) {
            prop_assert!((found - expected).abs() <= 1e-11 * expected.abs().max(1.0));
        }
    }
}
