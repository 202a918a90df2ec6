use super::*;
use crate::trial::streams;

/// Scores at the quantiles of a normal of this deviation.
fn normal(deviation: f64, n: u32) -> Vec<f64> {
    // By bisection of Φ, whose error function is summed up from its series.
    let phi = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for k in 1..200 {
            term *= -x * x / 2.0 / f64::from(k);
            sum += term / f64::from(2 * k + 1);
        }
        0.5 + sum / std::f64::consts::TAU.sqrt()
    };
    let quantile = |share: f64| {
        let (mut low, mut high) = (-5.0, 5.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if phi(middle) < share { low = middle } else { high = middle }
        }
        low
    };
    (0..n).map(|i| deviation * quantile((f64::from(i) + 0.5) / f64::from(n))).collect()
}

fn near(found: f64, expected: f64, by: f64) {
    assert!((found - expected).abs() <= by, "{found}, not {expected}");
}

#[test]
fn budgets_are_equal_and_small_groups_give_what_they_cannot_use_to_larger_ones() {
    assert_eq!(budgets(&[100, 50, 20, 500], 200), [65, 50, 20, 65]);
    assert_eq!(budgets(&[100, 60, 50, 500], 200), [50; 4]);
    assert_eq!(budgets(&[3, 4], 20), [3, 4]);
    assert_eq!(budgets(&[5, 5, 5], 4), [2, 1, 1]);
    assert_eq!(budgets(&[], 4), [0; 0]);
}

#[test]
fn entropies_are_those_of_the_shapes_between_fixed_edges() {
    let shape = normal(1.0, 4_000);
    near(entropy(&shape, Edges::Fixed), 4.689, 0.005);
    let even: Vec<f64> = (0..20_000).map(f64::from).collect();
    near(entropy(&even, Edges::Fixed), 4.457, 0.001);
    // Two narrow peaks; how wide those of 1.217 bits were is not said. Of no width they have a bit.
    let peak = |middle: f64| normal(0.0222, 2_000).into_iter().map(move |x| middle + x);
    let peaks: Vec<f64> = peak(-1.0).chain(peak(1.0)).collect();
    near(entropy(&peaks, Edges::Fixed), 1.217, 0.02);
    assert_eq!(entropy(&[-1.0, 1.0], Edges::Fixed), 1.0);
    assert_eq!(entropy(&[0.3; 9], Edges::Fixed), 0.0);
}

#[test]
fn published_edges_score_one_shape_by_its_scale_and_fixed_ones_do_not() {
    for (deviation, expected) in [(0.1, 5.61), (1.0, 4.67), (10.0, 1.48)] {
        let shape = normal(deviation, 4_000);
        near(entropy(&shape, Edges::Published), expected, 0.04);
        near(entropy(&shape, Edges::Fixed), 4.689, 0.01);
    }
}

#[test]
fn the_selector_is_the_score_of_the_largest_entropy_and_published_edges_prefer_small_scales() {
    let wide = normal(10.0, 400);
    // Two points and a few between: the poorer shape, at a small scale.
    let narrow: Vec<f64> =
        (0..400).map(|i| 0.01 * f64::from(i % 2) + 1e-5 * f64::from(i)).collect();
    let all: Vec<usize> = (0..400).collect();
    let scores = [wide, narrow];
    assert_eq!(selector(&scores, &all, Edges::Fixed), 0);
    let narrower: Vec<f64> = normal(0.05, 400);
    let scores = [normal(1.0, 400), narrower];
    assert_eq!(selector(&scores, &all, Edges::Published), 1);
    assert!(entropy(&scores[0], Edges::Fixed) - entropy(&scores[1], Edges::Fixed) < 1e-9);
}

#[test]
fn a_sample_leaves_the_ends_out_and_has_as_many_of_every_stratum_as_there_are() {
    let mut random = streams().generator("strata");
    // 80 % in one place of the range, the rest evenly over it.
    let scores: Vec<f64> =
        (0..1_000).map(|i| if i < 800 { 0.5 } else { f64::from(i - 800) / 200.0 }).collect();
    let crowd = |budget: usize, random: &mut Pcg64| {
        let chosen = stratified(&scores, budget, random);
        assert_eq!(chosen.len(), budget);
        assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        chosen.iter().filter(|place| **place < 800).count()
    };
    assert!(crowd(100, &mut random) < 10);
    // What sparse strata do not have the crowd gives: the middle holds 100 others.
    assert!((200..=210).contains(&crowd(300, &mut random)));
    let even: Vec<f64> = (0..1_000).map(f64::from).collect();
    let chosen = stratified(&even, 100, &mut random);
    assert!(chosen.iter().all(|place| (50..950).contains(place)));
    let mut counts = [0; BINS];
    chosen.iter().for_each(|place| counts[(place - 50) / 18] += 1);
    assert!(counts.iter().all(|count| (1..=3).contains(count)), "{counts:?}");
    // More than the middle has: the ends are asked, too.
    assert_eq!(stratified(&even, 950, &mut random).len(), 950);
    assert_eq!(stratified(&even, 2_000, &mut random), (0..1_000).collect::<Vec<_>>());
    assert_eq!(stratified(&[], 3, &mut random), [0_usize; 0]);
}

#[test]
fn what_repeats_an_earlier_row_goes_first() {
    let rows: [[f32; 2]; 5] = [[1.0, 0.0], [0.0, 2.0], [3.0, 0.01], [-1.0, 0.0], [0.0, 1.0]];
    let vectors = Tensor::from_slice(&rows.concat()).view([5, 2]);
    assert_eq!(apart(&vectors, 3).unwrap(), [0, 1, 3]);
    assert_eq!(apart(&vectors, 4).unwrap(), [0, 1, 2, 3]);
    assert_eq!(apart(&vectors, 9).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(apart(&vectors.narrow(0, 0, 0), 2).unwrap(), [0_usize; 0]);
}

#[test]
fn a_selection_is_a_function_of_snapshot_candidates_and_seed() {
    let sources = |snapshot: &[u8], ids: &[u32], seed: u64| Sources {
        snapshot: Digest::of(snapshot),
        candidates: digest(ids),
        seed,
    };
    let ids: Vec<u32> = (0..100).collect();
    let of = |sources: Sources| drawn(&ids, 10, &mut sources.random());
    let plain = of(sources(b"one", &ids, 1));
    assert_eq!(of(sources(b"one", &ids, 1)), plain);
    for other in [sources(b"two", &ids, 1), sources(b"one", &ids[1..], 1), sources(b"one", &ids, 2)]
    {
        assert_ne!(of(other), plain);
    }
    assert_eq!(drawn(&ids[..4], 10, &mut sources(b"one", &ids, 1).random()), [0, 1, 2, 3]);
}

#[test]
fn clusters_share_what_is_chosen_and_what_stays() {
    // Three groups of 40, 20 and 4 rows, far from each other, with pairs of equal rows in the first.
    let mut rows = Vec::new();
    for place in 0..64_u16 {
        let group = if place < 40 { 0 } else { 1 + u16::from(place >= 60) };
        let turn = f32::from(if group == 0 { place / 2 } else { place }) * 0.05;
        let away = [100.0, 200.0, 300.0][usize::from(group)];
        rows.extend([away + turn, 10.0 * turn.cos(), 10.0 * turn.sin()]);
    }
    let vectors = Tensor::from_slice(&rows).view([64, 3]);
    let ramp: Vec<f64> = (0..64).map(f64::from).collect();
    let signals = Signals { vectors, scores: vec![vec![1.0; 64], ramp] };
    let rule = Rule { clusters: 3, edges: Edges::Fixed, chosen: 20, kept: 44 };
    let found = by_skill(&signals, &rule, &mut streams().generator("skills")).unwrap();
    let mut sizes: Vec<usize> = found.clusters.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [4, 20, 40]);
    let counts = |places: &[usize]| {
        [0..40, 40..60, 60..64].map(|of| places.iter().filter(|place| of.contains(*place)).count())
    };
    assert_eq!((counts(&found.chosen), found.chosen.len()), ([8, 8, 4], 20));
    assert_eq!((counts(&found.kept), found.kept.len()), ([20, 20, 4], 44));
    // Of each pair of equal rows the first stays.
    assert!(found.kept.iter().filter(|place| **place < 40).all(|place| place % 2 == 0));
    assert!(found.selectors.iter().all(|name| *name == "el2n"));
}
