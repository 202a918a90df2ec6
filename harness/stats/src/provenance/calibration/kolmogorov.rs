//! The distribution of Kolmogorov's two-sided statistic for finite n.
//!
//! Sources: Durbin (1973) in the form of Marsaglia, Tsang and Wang (2003), J. Stat. Software 8(18);
//! Smirnov's one-sided sum for the upper tail, as Simard and L'Ecuyer (2011), J. Stat. Software
//! 39(11), recommend; the expansion of Pelz and Good (1976) for large n.

use crate::provenance::tail::ln_factorial;
use std::f64::consts::PI;

/// n d² beyond which twice the one-sided tail has 10 digits (Simard and L'Ecuyer, section 3).
const FAR: f64 = 2.2;

/// Sizes beyond which the matrix is too large and the expansion good to 7 digits.
const LARGE: u64 = 10_000;

/// P(D_n >= d) for n independent uniform values and a largest distance of d.
#[must_use]
pub fn kolmogorov_tail(n: u64, d: f64) -> f64 {
    let size = n as f64;
    if d >= 1.0 {
        return 0.0;
    }
    // Some value is always at least half a step off.
    if size * d <= 0.5 {
        return 1.0;
    }
    if size * d * d >= FAR {
        return (2.0 * smirnov_tail(n, d)).min(1.0);
    }
    let below = if n > LARGE { pelz_good(size, d) } else { durbin(n, d) };
    (1.0 - below).clamp(0.0, 1.0)
}

/// P(D+ >= d) = d Σ_j C(n, j) (d + j/n)^(j-1) (1 - d - j/n)^(n-j), j = 0..=n(1-d): all terms are
/// positive, so that logarithms lose nothing.
fn smirnov_tail(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let last = (size * (1.0 - d)).floor() as u64;
    let all = ln_factorial(n);
    let terms = (0..=last.min(n)).map(|j| {
        let place = j as f64;
        let rest = 1.0 - d - place / size;
        let ln_rest = if j == n { 0.0 } else { (size - place) * rest.max(0.0).ln() };
        let binomial = all - ln_factorial(j) - ln_factorial(n - j);
        (binomial + (place - 1.0) * (d + place / size).ln() + ln_rest).exp()
    });
    d * terms.sum::<f64>()
}

/// P(D_n < d) = n!/n^n · (H^n)_{kk}, where d = (k - h)/n. H^n is applied to a unit row vector, which
/// costs n m² operations for m = 2k - 1.
fn durbin(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let k = (size * d).floor() as usize + 1;
    let m = 2 * k - 1;
    let h = k as f64 - size * d;
    let mut matrix = vec![vec![0.0; m]; m];
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().enumerate().take((i + 2).min(m)) {
            *entry = 1.0;
            if j == 0 {
                *entry -= h.powi(i as i32 + 1);
            }
            if i + 1 == m {
                *entry -= h.powi((m - j) as i32);
            }
            if i + 1 == m && j == 0 && 2.0 * h > 1.0 {
                *entry += (2.0 * h - 1.0).powi(m as i32);
            }
            // Divide by (i - j + 1)!.
            for factor in 1..=(i + 1 - j) {
                *entry /= factor as f64;
            }
        }
    }
    let mut row = vec![0.0; m];
    row[k - 1] = 1.0;
    // ln of what the row must be multiplied by, so that neither n! nor n^n is ever formed.
    let mut ln_scale = ln_factorial(n) - size * size.ln();
    for _ in 0..n {
        let mut next = vec![0.0; m];
        for (i, (&weight, entries)) in row.iter().zip(&matrix).enumerate() {
            for (slot, entry) in next.iter_mut().zip(entries).take(i + 2) {
                *slot += weight * entry;
            }
        }
        let largest = next.iter().fold(0.0_f64, |largest, value| largest.max(*value));
        next.iter_mut().for_each(|value| *value /= largest);
        ln_scale += largest.ln();
        row = next;
    }
    row[k - 1] * ln_scale.exp()
}

/// K_0 + K_1/√n + K_2/n of Pelz and Good at z = √n d.
fn pelz_good(size: f64, d: f64) -> f64 {
    let z = size.sqrt() * d;
    let (mut zeroth, mut first, mut second, mut other) = (0.0, 0.0, 0.0, 0.0);
    for k in 1..=40 {
        let odd = (f64::from(k) - 0.5) * PI;
        let fall = (-odd * odd / (2.0 * z * z)).exp();
        zeroth += fall;
        first += (odd * odd - z * z) * fall;
        second += (6.0 * z.powi(6)
            + 2.0 * z.powi(4)
            + (2.0 * z.powi(4) - 5.0 * z * z) * odd * odd
            + (1.0 - 2.0 * z * z) * odd.powi(4))
            * fall;
        let even = f64::from(k) * PI;
        other += even * even * (-even * even / (2.0 * z * z)).exp();
    }
    let root = (PI / 2.0).sqrt();
    // Each sum runs over both signs of k.
    let k0 = (2.0 * PI).sqrt() / z * zeroth;
    let k1 = 2.0 * root * first / (6.0 * z.powi(4));
    let k2 = 2.0 * root * second / (72.0 * z.powi(7)) - 2.0 * root * other / (36.0 * z.powi(3));
    k0 + k1 / size.sqrt() + k2 / size
}
