//! Tail probabilities by their logarithm, to any depth.
//!
//! No f64 holds a p-value below 5e-324, and a test of 100,000 examples easily goes to 1e-51000. So
//! everything here returns ln p; the caller exponentiates for display.

use std::f64::consts::{LN_2, PI};

use statrs::function::gamma::ln_gamma;

/// Natural logarithms of the three tail probabilities of one observed statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogTails {
    /// ln P(S <= s).
    pub less: f64,
    /// ln P(S >= s).
    pub greater: f64,
    /// ln P(|S| >= |s|).
    pub two_sided: f64,
}

impl LogTails {
    /// Of a symmetric continuous null, from the two-sided tail and the sign of the statistic.
    fn symmetric(two_sided: f64, sign: f64) -> Self {
        let near = two_sided - LN_2;
        // The other side is 1 - p/2; `ln_1p` keeps it exact where p/2 is tiny.
        let far = (-0.5 * two_sided.exp()).ln_1p();
        if sign < 0.0 {
            Self { less: near, greater: far, two_sided }
        } else {
            Self { less: far, greater: near, two_sided }
        }
    }
}

/// The t form of a correlation r of n pairs: under the null t = r·sqrt((n-2)/(1-r²)) has Student's
/// t distribution with n-2 degrees of freedom, so that P(|R| >= |r|) = I_x(a, ½), a = (n-2)/2,
/// x = 1 - r².
///
/// `complement` is 1 - r², taken apart because a caller with exact sums knows it better than r
/// tells near ±1. Needs n >= 3 and complement > 0.
#[must_use]
pub fn student(r: f64, complement: f64, n: u64) -> LogTails {
    let a = (n as f64 - 2.0) / 2.0;
    let y = r * r;
    if y == 0.0 {
        return LogTails { less: -LN_2, greater: -LN_2, two_sided: 0.0 };
    }
    let ln_x = if y < 0.5 { (-y).ln_1p() } else { complement.ln() };
    // x^a y^½ / B(a, ½), the factor that I_x(a, ½) and I_y(½, a) share.
    let ln_front = a * ln_x + 0.5 * y.ln() - ln_beta_half(a);
    // Where t is small p is near 1, nothing cancels in 1 - I_y(½, a), and its fraction converges
    // fast (DLMF 8.17(v)); elsewhere that of I_x(a, ½) does, in O(sqrt a) terms.
    let two_sided = if y < 1.5 / (a + 2.5) {
        let inner = 2.0 * ln_front.exp() * beta_fraction(0.5, a, y);
        (-inner.min(1.0)).ln_1p()
    } else {
        (ln_front + split_beta_fraction(a, 0.5, complement, y).ln()).min(0.0)
    };
    LogTails::symmetric(two_sided, r)
}

/// A standard normal deviate.
#[must_use]
pub fn normal(z: f64) -> LogTails {
    let near = ln_normal_tail(z.abs());
    let far = (-near.exp()).ln_1p();
    let two_sided = (near + LN_2).min(0.0);
    if z < 0.0 {
        LogTails { less: near, greater: far, two_sided }
    } else {
        LogTails { less: far, greater: near, two_sided }
    }
}

/// ln P(Z >= z) of a standard normal Z, for any z.
#[must_use]
pub fn ln_normal_tail(z: f64) -> f64 {
    // Z² is chi-squared with one degree of freedom.
    if z < 0.0 {
        return (-0.5 * ln_chi_squared_tail(z * z, 1.0).exp()).ln_1p();
    }
    if z < 4.0 {
        return ln_chi_squared_tail(z * z, 1.0) - LN_2;
    }
    -0.5 * z * z - 0.5 * (2.0 * PI).ln() + mills_ratio(z).ln()
}

/// z with P(Z >= z) = p for a standard normal Z, from ln p < 0 of any depth.
///
/// Newton's method on ln P, which is concave in z, so that from the left of the root it overshoots
/// at most once. `-inf` for p = 1, `inf` for p = 0.
#[must_use]
pub fn normal_deviate(ln_p: f64) -> f64 {
    if ln_p >= 0.0 {
        return f64::NEG_INFINITY;
    }
    if ln_p == f64::NEG_INFINITY {
        return f64::INFINITY;
    }
    // Above the median, from the other tail, whose logarithm does not saturate.
    if ln_p > -LN_2 {
        return -normal_deviate((-ln_p.exp_m1()).ln());
    }
    let mut z = (-2.0 * (ln_p + LN_2)).max(0.0).sqrt();
    for _ in 0..100 {
        let tail = ln_normal_tail(z);
        let hazard = (-0.5 * z * z - 0.5 * (2.0 * PI).ln() - tail).exp();
        let step = (tail - ln_p) / hazard;
        z += step;
        if step.abs() <= 4.0 * f64::EPSILON * z.abs() {
            break;
        }
    }
    z
}

/// ln P(X >= x) of a chi-squared X with `freedom` degrees of freedom: ln Q(freedom/2, x/2).
#[must_use]
pub fn ln_chi_squared_tail(x: f64, freedom: f64) -> f64 {
    let (a, x) = (freedom / 2.0, x / 2.0);
    if x <= 0.0 {
        return 0.0;
    }
    if x == f64::INFINITY {
        return f64::NEG_INFINITY;
    }
    let ln_front = a * x.ln() - x - ln_gamma(a);
    if x < a + 1.0 {
        // P(a, x) = x^a e^-x / Γ(a) · Σ x^k / (a (a+1) … (a+k)) (DLMF 8.7.1).
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        while term > sum * f64::EPSILON {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return (-(ln_front.exp() * sum).min(1.0)).ln_1p();
    }
    // Q(a, x) = x^a e^-x / Γ(a) · 1/(x+1-a - 1(1-a)/(x+3-a - 2(2-a)/(x+5-a - …))) (DLMF 8.9.2).
    let fraction = lentz(x + 1.0 - a, |k| (-k * (k - a), x + 1.0 - a + 2.0 * k));
    (ln_front - fraction.ln()).min(0.0)
}

/// ln n!.
#[must_use]
pub fn ln_factorial(n: u64) -> f64 {
    ln_gamma(n as f64 + 1.0)
}

/// P(Z >= z)/φ(z) for z > 0 by Laplace's continued fraction 1/(z + 1/(z + 2/(z + …))).
fn mills_ratio(z: f64) -> f64 {
    1.0 / lentz(z, |k| (k, z))
}

/// ln B(a, ½) = ½ ln π - ln(Γ(a+½)/Γ(a)).
///
/// A difference of two log-gammas would lose all digits at a = 10^8; the ratio has an asymptotic
/// series of its own (Tricomi and Erdélyi 1951), reached by Γ(a+3/2)/Γ(a+1) = (a+½)/a times it.
fn ln_beta_half(a: f64) -> f64 {
    let (mut shifted, mut product) = (a, 1.0);
    while shifted < 24.0 {
        product *= shifted / (shifted + 0.5);
        shifted += 1.0;
    }
    let inverse = 1.0 / shifted;
    let square = inverse * inverse;
    let series = -inverse
        * (1.0 / 8.0
            - square
                * (1.0 / 192.0
                    - square
                        * (1.0 / 640.0 - square * (17.0 / 14336.0 - square * 31.0 / 18432.0))));
    let ln_ratio = 0.5 * shifted.ln() + series + f64::ln(product);
    0.5 * PI.ln() - ln_ratio
}

/// The continued fraction of the incomplete beta function, without its front factor x^a (1-x)^b /
/// (a B(a, b)): DLMF 8.17.22.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    1.0 / lentz(1.0, |k| {
        let m = (k / 2.0).floor();
        let numerator = if k % 2.0 == 0.0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        (numerator, 1.0)
    })
}

/// I_x(a, b) B(a, b)/(x^a y^b) with y = 1 - x given apart: at n = 10^8 the x next to 1 no longer
/// tells y. DiDonato and Morris (1992), ACM TOMS 18, 360-373, equation 9: the even part of the
/// fraction above.
fn split_beta_fraction(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let lambda = (a + b) * y - b;
    let denominator = |n: f64| {
        n + n * (b - n) * x / (a + 2.0 * n - 1.0)
            + (a + n) * (lambda + 1.0 + n * (1.0 + y)) / (a + 2.0 * n + 1.0)
    };
    1.0 / lentz(denominator(0.0), |n| {
        let odd = a + 2.0 * n - 1.0;
        let numerator = (a + n - 1.0) / odd * ((a + b + n - 1.0) / odd) * n * (b - n) * x * x;
        (numerator, denominator(n))
    })
}

/// b_0 + a_1/(b_1 + a_2/(b_2 + …)) by the modified Lentz method (Thompson and Barnett 1986);
/// `term(k)` gives (a_k, b_k) for k = 1, 2, ….
fn lentz(first: f64, term: impl Fn(f64) -> (f64, f64)) -> f64 {
    const TINY: f64 = 1e-290;
    let nonzero = |value: f64| if value == 0.0 { TINY } else { value };
    let mut value = nonzero(first);
    let (mut c, mut d) = (value, 0.0);
    let mut k = 0.0;
    // Convergence takes O(sqrt a) terms, 10^4 at n = 10^8.
    while k < 1e7 {
        k += 1.0;
        let (numerator, denominator) = term(k);
        d = 1.0 / nonzero(denominator + numerator * d);
        c = nonzero(denominator + numerator / c);
        let factor = c * d;
        value *= factor;
        if (factor - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}
