//! The saddlepoint approximation of a linear statistic over all orders.
//!
//! The table of counts n_ij is that of independent Poisson cells given their margins, and S is linear
//! in it, so that Skovgaard's (1987, Journal of Applied Probability 24, 875-887) double saddlepoint
//! applies: with μ the table of the given margins and Σ μ_ij a_i b_j = s that is nearest to
//! independence, μ_ij = x_i y_j exp(t a_i b_j),
//!
//! P(S >= s) = Φ(-w) + φ(w)(1/u - 1/w), w² = 2 Σ μ ln(μ_ij n/(r_i c_j)), u² = t² |H(t)|/|H_0|,
//!
//! where H are the second derivatives in t and the columns' terms, the rows' being eliminated, and
//! H_0 is its block of columns at independence. For ties in two columns of two values it is the
//! approximation of Booth and Butler (1990, Biometrika 77, 787-796).

use super::margin::Margin;
use super::table::ln_choose;
use crate::provenance::tail::{LogTails, ln_normal_tail};
use std::f64::consts::{LN_2, PI};

/// Distinct values up to which a margin is not coarsened.
const MOST_GROUPS: usize = 128;

/// |r| above which a coarsened margin no longer resolves the tables near a perfect correlation; p of
/// this one is given, which is larger.
const LARGEST_COARSE: f64 = 0.99;

/// Deviate around 0 in which the formula is a difference of poles, and is interpolated.
const MIDDLE: f64 = 0.05;

/// ln p above which the atom at the observed value is seen in the opposite tail.
const SEEN: f64 = -7.0;

/// Groups of a margin up to which its characteristic function is looked at.
const RIPPLE_GROUPS: usize = 32;

/// A linear statistic of two margins.
pub(super) struct Saddlepoint {
    rows: Margin,
    columns: Margin,
    /// Distance of the values of S; 0 where they lie dense.
    step: f64,
    symmetric: bool,
    coarsened: bool,
    /// One side are ranks without ties, between which there are no gaps.
    untied: bool,
}

/// Tails by saddlepoint.
#[derive(Debug)]
pub(super) struct Approximate {
    pub(super) tails: LogTails,
    /// About how far ln p may be off because S takes values apart from each other.
    pub(super) ripple: f64,
}

/// The tilted table where its statistic is s.
struct Tilt {
    t: f64,
    w: f64,
    u: f64,
}

impl Saddlepoint {
    pub(super) fn new(rows: &Margin, columns: &Margin) -> Self {
        let symmetric = rows.mirrors() || columns.mirrors();
        let groups = |margin: &Margin| margin.values.len();
        let untied = rows.untied() || columns.untied();
        let coarsened = groups(rows).max(groups(columns)) > MOST_GROUPS;
        let (rows, columns) = (rows.merged(MOST_GROUPS), columns.merged(MOST_GROUPS));
        let step = rows.step * columns.step;
        let (rows, columns) =
            if groups(&rows) < groups(&columns) { (columns, rows) } else { (rows, columns) };
        Self { rows, columns, step, symmetric, coarsened, untied }
    }

    /// The tails of the coefficient r; `None` where the equations have no solution in f64.
    pub(super) fn tails(&self, r: f64) -> Option<Approximate> {
        let s = r.abs() * self.rows.examples() as f64;
        let turned = self.reversed();
        let (same, other) = if r < 0.0 { (&turned, self) } else { (self, &turned) };
        let (near, t) = same.upper(s)?;
        let beyond =
            if self.step > 0.0 && near > SEEN { same.upper(s + self.step)?.0 } else { near };
        // Both sides alike in the middle.
        let far = if s == 0.0 { other.upper(s)?.0 } else { (-beyond.exp()).ln_1p() };
        let two_sided = if s == 0.0 {
            0.0
        } else if self.symmetric {
            near + LN_2
        } else {
            // The next value that is attained at -s or beyond.
            let over = if self.step > 0.0 {
                (2.0 * s / self.step - 1e-6).ceil() * self.step - s
            } else {
                s
            };
            let (opposite, _) = other.upper(over)?;
            near + (opposite - near).exp().ln_1p()
        };
        let two_sided = two_sided.min(0.0);
        let tails = if r < 0.0 {
            LogTails { less: near, greater: far, two_sided }
        } else {
            LogTails { less: far, greater: near, two_sided }
        };
        let ripple = if self.untied { 0.0 } else { self.ripple(t) };
        Some(Approximate { tails, ripple })
    }

    fn reversed(&self) -> Self {
        Self { rows: self.rows.reversed(), columns: self.columns.clone(), ..*self }
    }

    /// ln P(S >= s), and the tilt that it was found at.
    fn upper(&self, s: f64) -> Option<(f64, f64)> {
        let n = self.rows.examples() as f64;
        let (largest, chance) = self.largest();
        if !self.coarsened && s > largest - 0.25 * self.step - 1e-12 * n {
            let beyond = s > largest + 0.25 * self.step + 1e-12 * n;
            return Some((if beyond { f64::NEG_INFINITY } else { chance }, 0.0));
        }
        let mut s = s - 0.5 * self.step;
        if self.coarsened {
            s = s.min(LARGEST_COARSE * n);
        }
        let deviation = n / (n - 1.0).sqrt();
        // Next to a perfect correlation the equations may have no solution in f64. The tail of a
        // smaller value is larger.
        let mut tilt = self.tilt(s);
        for _ in 0..20 {
            if tilt.is_some() {
                break;
            }
            s -= 0.01 * largest;
            tilt = self.tilt(s);
        }
        let tilt = tilt?;
        if tilt.w.abs() >= MIDDLE {
            return Some((self.formula(&tilt), tilt.t));
        }
        let [below, above] = [s - 0.2 * deviation, s + 0.2 * deviation].map(|s| self.tilt(s));
        let [below, above] = [self.formula(&below?), self.formula(&above?)];
        Some(((0.5 * (below.exp() + above.exp())).ln(), 1.0 / deviation))
    }

    /// The largest S, and ln of the share of orders that reach it: those of one table.
    fn largest(&self) -> (f64, f64) {
        let (mut row, mut column) = (0, 0);
        let (mut of_row, mut of_column) = (self.rows.counts[0], self.columns.counts[0]);
        let (mut sum, mut chance) = (0.0, 0.0);
        let (mut left, mut row_left) = (self.rows.examples(), self.rows.counts[0]);
        loop {
            let both = of_row.min(of_column);
            sum += both as f64 * self.rows.values[row] * self.columns.values[column];
            of_row -= both;
            of_column -= both;
            // Row by row: the way that it meets the columns, then the way that it is placed at all.
            chance += ln_choose(row_left, both);
            row_left -= both;
            if of_row == 0 {
                row += 1;
                if row == self.rows.counts.len() {
                    return (sum, chance - self.ways());
                }
                of_row = self.rows.counts[row];
                row_left = of_row;
            }
            left -= both;
            if of_column == 0 && left > 0 {
                column += 1;
                of_column = self.columns.counts[column];
            }
        }
    }

    /// ln of the number of ways to colour all rows by the columns, n!/Π c!.
    fn ways(&self) -> f64 {
        let mut left = self.rows.examples();
        let ways = self.columns.counts.iter().map(|&count| {
            let ways = ln_choose(left, count);
            left -= count;
            ways
        });
        ways.sum()
    }

    /// The table of the given margins and of the statistic s.
    fn tilt(&self, s: f64) -> Option<Tilt> {
        let size = self.columns.counts.len();
        self.tilt_from(vec![0.0; size], s).or_else(|| {
            // Near a perfect correlation from what it is for two normal columns.
            let r = s / self.rows.examples() as f64;
            let t = r / (1.0 - r * r).max(1e-6);
            let b = &self.columns.values;
            let last = b[size - 1] * b[size - 1];
            let mut start: Vec<f64> = b.iter().map(|b| 0.5 * r * t * (last - b * b)).collect();
            start[size - 1] = t;
            self.tilt_from(start, s)
        })
    }

    /// Minimises Σ r_i ln Σ_j (c_j/n) exp(β_j + t a_i b_j) - Σ c β - t s, whose minimum is -w²/2: by
    /// Newton with backtracking, the last β being 0.
    fn tilt_from(&self, start: Vec<f64>, s: f64) -> Option<Tilt> {
        let size = start.len();
        let mut at = Point::new(self, start);
        for _ in 0..200 {
            let (gradient, hessian) = self.derivatives(&at, s);
            let factor = cholesky(hessian, size)?;
            let step = solve(&factor, &gradient, size);
            let decrement: f64 = step.iter().zip(&gradient).map(|(d, g)| d * g).sum();
            let before = at.value(self, s);
            let next = match decrement <= 1e-13 * (1.0 + before.abs()) {
                true => None,
                false => self.descend(&at, &step, decrement, s),
            };
            let Some(next) = next else {
                // Where rounding hides the descent it must be a small one.
                if decrement > 1e-7 * (1.0 + before.abs()) {
                    return None;
                }
                let t = at.terms[size - 1];
                let w = t.signum() * (-2.0 * before).max(0.0).sqrt();
                let ln_det: f64 = (0..size).map(|k| 2.0 * factor[k * size + k].ln()).sum();
                let n = self.rows.examples() as f64;
                let counts = self.columns.counts.iter();
                let ln_det_0 = counts.map(|count| (*count as f64).ln()).sum::<f64>() - n.ln();
                let t = if self.step > 0.0 {
                    2.0 / self.step * (0.5 * self.step * t).sinh()
                } else {
                    t
                };
                let u = t * (0.5 * (ln_det - ln_det_0)).exp();
                return Some(Tilt { t: at.terms[size - 1], w, u });
            };
            at = next;
        }
        None
    }

    /// A point along the step that is lower, the whole step if that is.
    fn descend(&self, at: &Point, step: &[f64], decrement: f64, s: f64) -> Option<Point> {
        let before = at.value(self, s);
        (0..60).find_map(|halved| {
            let length = 0.5_f64.powi(halved);
            let terms = at.terms.iter().zip(step).map(|(term, d)| term - length * d).collect();
            let next = Point::new(self, terms);
            (next.value(self, s) <= before - 1e-4 * length * decrement).then_some(next)
        })
    }

    /// First and second derivatives in β_1, …, β_(G-1), t.
    fn derivatives(&self, at: &Point, s: f64) -> (Vec<f64>, Vec<f64>) {
        let size = self.columns.counts.len();
        let last = size - 1;
        let (mut gradient, mut hessian) = (vec![0.0; size], vec![0.0; size * size]);
        for ((&a, &count), shares) in
            self.rows.values.iter().zip(&self.rows.counts).zip(at.shares.chunks_exact(size))
        {
            let count = count as f64;
            let b = &self.columns.values;
            let mean: f64 = shares.iter().zip(b).map(|(share, b)| share * b).sum();
            let spread: f64 =
                shares.iter().zip(b).map(|(share, b)| share * (b - mean) * (b - mean)).sum();
            gradient[last] += count * a * mean;
            hessian[last * size + last] += count * a * a * spread;
            for j in 0..last {
                let weight = count * shares[j];
                gradient[j] += weight;
                hessian[last * size + j] += weight * a * (b[j] - mean);
                hessian[j * size + j] += weight;
                let row = &mut hessian[j * size..=j * size + j];
                for (entry, share) in row.iter_mut().zip(shares) {
                    *entry -= weight * share;
                }
            }
        }
        for (entry, count) in gradient[..last].iter_mut().zip(&self.columns.counts) {
            *entry -= *count as f64;
        }
        gradient[last] -= s;
        (gradient, hessian)
    }

    /// Lugannani and Rice's formula, in logarithms.
    fn formula(&self, Tilt { w, u, .. }: &Tilt) -> f64 {
        let correction = 1.0 / u - 1.0 / w;
        if *w < 0.0 {
            let density = (-0.5 * w * w).exp() / (2.0 * PI).sqrt();
            return (ln_normal_tail(*w).exp() + density * correction).clamp(0.0, 1.0).ln();
        }
        let tail = ln_normal_tail(*w);
        let ratio = (-0.5 * w * w - 0.5 * (2.0 * PI).ln() - tail).exp() * correction;
        if ratio > -1.0 {
            (tail + ratio.ln_1p()).min(0.0)
        } else {
            ln_normal_tail(w + (u / w).ln() / w)
        }
    }

    /// About how much of p is due to gaps between the values of S, which a continuous approximation
    /// does not see.
    ///
    /// A lattice within S is a frequency ω at which the characteristic function is large again; it
    /// moves the tail of tilt t by its size times t/|t + iω|. Two rows that change places change S by
    /// (a_i - a_k)(b_j - b_l), and ln |φ(ω)| is about -n/4·E(1 - cos(ω·change)), the mean over the
    /// columns being a square of their own characteristic function. The lattice of all values, which
    /// the formula knows, has its first such frequency beyond π/step.
    fn ripple(&self, t: f64) -> f64 {
        let n = self.rows.examples() as f64;
        let (rows, columns) = (self.rows.merged(RIPPLE_GROUPS), self.columns.merged(RIPPLE_GROUPS));
        let deviation = n / (n - 1.0).sqrt();
        let (first, t) = (1.0 / deviation, t.abs());
        let last = if self.step > 0.0 { (PI / self.step).min(10.0 * t) } else { 10.0 * t };
        let spacing = (0.5 / deviation).max((last - first) / 300.0);
        // What falls from 1 at first is the distribution itself; a lattice is what rises again.
        let (mut largest, mut before, mut risen) = (0.0_f64, 1.0, false);
        let mut frequency = first;
        while frequency < last {
            let mut same = 0.0;
            for (i, (a, few)) in rows.values.iter().zip(&rows.counts).enumerate() {
                for (other, many) in rows.values[..i].iter().zip(&rows.counts) {
                    let change = frequency * (a - other);
                    let (mut cosine, mut sine) = (0.0, 0.0);
                    for (b, count) in columns.values.iter().zip(&columns.counts) {
                        let (s, c) = (change * b).sin_cos();
                        cosine += *count as f64 * c;
                        sine += *count as f64 * s;
                    }
                    let square = (cosine * cosine + sine * sine) / (n * n);
                    same += 2.0 * (*few as f64 / n) * (*many as f64 / n) * (1.0 - square);
                }
            }
            let size = (-n * n / (4.0 * (n - 1.0)) * same).exp();
            risen |= size > before;
            before = size;
            if risen {
                largest = largest.max(size * t / t.hypot(frequency));
            }
            frequency += spacing;
        }
        largest
    }
}

/// A point of the minimisation: β and t, and the shares of the columns in each row.
struct Point {
    terms: Vec<f64>,
    shares: Vec<f64>,
    /// ln Σ_j (c_j/n) exp(β_j + t a_i b_j) of each row.
    ln_sums: Vec<f64>,
}

impl Point {
    fn new(of: &Saddlepoint, terms: Vec<f64>) -> Self {
        let size = terms.len();
        let (n, t) = (of.rows.examples() as f64, terms[size - 1]);
        let base: Vec<f64> = of
            .columns
            .counts
            .iter()
            .enumerate()
            .map(|(j, count)| (*count as f64 / n).ln() + if j + 1 < size { terms[j] } else { 0.0 })
            .collect();
        let mut shares = Vec::with_capacity(size * of.rows.counts.len());
        let mut ln_sums = Vec::with_capacity(of.rows.counts.len());
        for a in &of.rows.values {
            let start = shares.len();
            shares.extend(base.iter().zip(&of.columns.values).map(|(base, b)| base + t * a * b));
            let row = &mut shares[start..];
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|share| *share = (*share - largest).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|share| *share /= sum);
            ln_sums.push(largest + sum.ln());
        }
        Self { terms, shares, ln_sums }
    }

    fn value(&self, of: &Saddlepoint, s: f64) -> f64 {
        let last = self.terms.len() - 1;
        let rows = of.rows.counts.iter().zip(&self.ln_sums);
        let columns = of.columns.counts[..last].iter().zip(&self.terms);
        rows.map(|(count, ln)| *count as f64 * ln).sum::<f64>()
            - columns.map(|(count, beta)| *count as f64 * beta).sum::<f64>()
            - self.terms[last] * s
    }
}

/// The lower factor of a symmetric matrix of which the lower triangle is given; `None` if rounding
/// has made it indefinite.
fn cholesky(mut matrix: Vec<f64>, size: usize) -> Option<Vec<f64>> {
    for i in 0..size {
        for j in 0..=i {
            let (before, of_i) = matrix.split_at_mut(i * size);
            let (row_i, row_j) = if i == j {
                let sum: f64 = of_i[..i].iter().map(|entry| entry * entry).sum();
                let pivot = of_i[i] - sum;
                if pivot.is_nan() || pivot <= 0.0 {
                    return None;
                }
                of_i[i] = pivot.sqrt();
                continue;
            } else {
                (of_i, &before[j * size..=j * size + j])
            };
            let sum: f64 = row_i[..j].iter().zip(row_j).map(|(a, b)| a * b).sum();
            row_i[j] = (row_i[j] - sum) / row_j[j];
        }
    }
    Some(matrix)
}

/// The solution for a right side, by the lower factor.
fn solve(factor: &[f64], right: &[f64], size: usize) -> Vec<f64> {
    let mut found = right.to_vec();
    for i in 0..size {
        let row = &factor[i * size..i * size + i];
        let sum: f64 = row.iter().zip(&found).map(|(a, b)| a * b).sum();
        found[i] = (found[i] - sum) / factor[i * size + i];
    }
    for i in (0..size).rev() {
        found[i] /= factor[i * size + i];
        let value = found[i];
        for (j, entry) in found[..i].iter_mut().enumerate() {
            *entry -= factor[i * size + j] * value;
        }
    }
    found
}
