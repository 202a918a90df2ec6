//! How often tests call out where there is nothing.

use ledger::streams::normal_f64;
use rand_pcg::Pcg64;
use stats::equivalence::equivalence;
use stats::multiple::{benjamini_hochberg, holm};
use stats::sign_flip::sign_flip;
use stats::t_test::{Alternative, t_test};
use stats::wilcoxon::wilcoxon;

use crate::law::{Law, SIZES, generator, percent, shares};

/// Two-sided tests of no effect at 5 %.
pub fn level(runs: u32) {
    println!("| law | n | t-test | sign-flip | Wilcoxon | runs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for law in Law::ALL {
        for n in SIZES {
            // All 2^20 assignments of 20 pairs take a millisecond.
            let runs = if n == 20 { runs / 2 } else { runs };
            let [t, flip, rank] = shares(&format!("level {law:?} {n}"), runs, |rng, run| {
                let mean = law.mean();
                let effects: Vec<f64> =
                    law.sample(rng, n).into_iter().map(|value| value - mean).collect();
                let t = t_test(&effects, 0.0, Alternative::TwoSided).expect("numbers").p;
                let flip = sign_flip(&effects, run).expect("numbers").p;
                let rank = wilcoxon(&effects).expect("numbers").p;
                [t, flip, rank].map(|p| p <= 0.05)
            })
            .map(percent);
            println!("| {} | {n} | {t} | {flip} | {rank} | {runs} |", law.name());
        }
    }
}

/// TOST at 5 % where the effect is exactly the margin: every "equivalent" is an error.
pub fn equivalent(runs: u32) {
    println!("| law | n | margin 1 s.d. | margin 4 s.d. | runs |\n| --- | --- | --- | --- | --- |");
    for law in Law::ALL {
        let spread = if law == Law::Exponential { 1.0 } else { 0.1 };
        for n in SIZES {
            let [near, far] = shares(&format!("tost {law:?} {n}"), runs, |rng, _| {
                let sample = law.sample(rng, n);
                [1.0, 4.0].map(|width| {
                    let margin = width * spread;
                    let effects: Vec<f64> =
                        sample.iter().map(|value| value - law.mean() + margin).collect();
                    equivalence(&effects, margin, 0.05).expect("numbers").equivalent
                })
            })
            .map(percent);
            println!("| {} | {n} | {near} | {far} | {runs} |", law.name());
        }
    }
}

/// Adjusted one-sided t-tests of 100 metrics with 8 pairs each.
pub fn multiple(runs: u32) {
    let runs = runs / 5;
    println!(
        "| true effects of 100 | shared noise | BH: false among alarms | found | Holm: any false | found | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for real in [0, 5, 20] {
        for shared in [0.0, 0.7] {
            let mut rng = generator(&format!("multiple {real} {shared}"));
            let mut totals = [0.0; 4];
            for _ in 0..runs {
                let p = p_values(&mut rng, real, shared);
                let bh = split(&benjamini_hochberg(&p).expect("p-values"), real);
                let strict = split(&holm(&p).expect("p-values"), real);
                let all = (bh.0 + bh.1).max(1.0);
                let any = f64::from(u8::from(strict.1 > 0.0));
                let parts = [bh.1 / all, bh.0, any, strict.0];
                for (total, part) in totals.iter_mut().zip(parts) {
                    *total += part / f64::from(runs);
                }
            }
            let found = |total: f64| match real {
                0 => "–".to_owned(),
                _ => percent(total / real as f64),
            };
            let [fdr, bh, fwer, strict] = totals;
            println!(
                "| {real} | {} | {} | {} | {} | {} | {runs} |",
                percent(shared),
                percent(fdr),
                found(bh),
                percent(fwer),
                found(strict)
            );
        }
    }
}

/// p of each of 100 metrics, the first `real` of which are worse by 2 standard deviations; `shared`
/// is the correlation between metrics within a pair.
fn p_values(rng: &mut Pcg64, real: usize, shared: f64) -> Vec<f64> {
    let common: Vec<f64> = (0..8).map(|_| shared.sqrt() * normal_f64(rng)).collect();
    (0..100)
        .map(|metric| {
            let effect = if metric < real { 2.0 } else { 0.0 };
            let own = (1.0 - shared).sqrt();
            let effects: Vec<f64> =
                common.iter().map(|common| effect + common + own * normal_f64(rng)).collect();
            t_test(&effects, 0.0, Alternative::Greater).expect("numbers").p
        })
        .collect()
}

/// True and false alarms at 5 %.
fn split(adjusted: &[f64], real: usize) -> (f64, f64) {
    let alarms = |part: &[f64]| part.iter().filter(|p| **p <= 0.05).count() as f64;
    let (real, none) = adjusted.split_at(real);
    (alarms(real), alarms(none))
}
