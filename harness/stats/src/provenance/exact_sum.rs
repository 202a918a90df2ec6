//! Sums of f64 that do not depend on the order of the terms.
//!
//! Rows may come in any order and the answer must be the same bit for bit, so that sums of scores
//! are kept as one long fixed-point integer (Kulisch's accumulator; Neal 2015, arXiv:1505.05571)
//! and rounded once at the end.

/// Bits of one limb that take part in the number; the rest of its i64 holds pending carries.
const LIMB_BITS: usize = 32;
/// The lowest bit stands for 2^-1074; the highest of a finite f64 is 2^1023. Three limbs more take
/// the carries of 2^64 terms.
const LIMBS: usize = 2098 / LIMB_BITS + 4;
/// Terms after which the carries must be passed on: each adds less than 2^32 to a limb.
const PENDING: u32 = 1 << 30;

/// An exact sum of finite f64.
pub(super) struct ExactSum {
    limbs: [i64; LIMBS],
    pending: u32,
}

impl ExactSum {
    pub(super) fn new() -> Self {
        Self { limbs: [0; LIMBS], pending: 0 }
    }

    /// The sum of all `terms`, rounded once.
    pub(super) fn of(terms: impl IntoIterator<Item = f64>) -> f64 {
        let mut sum = Self::new();
        terms.into_iter().for_each(|term| sum.add(term));
        sum.round()
    }

    /// Adds a finite number.
    pub(super) fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // A subnormal number has no hidden bit and the scale of the smallest normal ones.
        let (mantissa, shift) =
            if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let wide = u128::from(mantissa) << (shift % LIMB_BITS);
        let first = shift / LIMB_BITS;
        let parts = [wide as u32, (wide >> 32) as u32, (wide >> 64) as u32];
        for (limb, part) in self.limbs[first..first + 3].iter_mut().zip(parts) {
            let part = i64::from(part);
            *limb += if bits >> 63 == 0 { part } else { -part };
        }
        self.pending += 1;
        if self.pending == PENDING {
            self.carry();
        }
    }

    /// Passes the carries on, so that all limbs but the last are in 0..2^32.
    fn carry(&mut self) {
        let mut carry = 0;
        for limb in &mut self.limbs[..LIMBS - 1] {
            let value = *limb + carry;
            *limb = value & 0xffff_ffff;
            carry = value >> LIMB_BITS;
        }
        self.limbs[LIMBS - 1] += carry;
        self.pending = 0;
    }

    /// The nearest f64; infinite beyond its range.
    pub(super) fn round(mut self) -> f64 {
        self.carry();
        let negative = self.limbs[LIMBS - 1] < 0;
        if negative {
            self.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            self.carry();
        }
        let Some(top) = self.limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        // The top three limbs hold at least 65 significant bits; a last bit stands for the rest,
        // so that the conversion rounds the whole sum correctly.
        let lowest = top.saturating_sub(2);
        let wide = self.limbs[lowest..=top]
            .iter()
            .rev()
            .fold(0_u128, |value, &limb| value << LIMB_BITS | limb as u128);
        let rest = self.limbs[..lowest].iter().any(|limb| *limb != 0);
        let magnitude = (wide << 1 | u128::from(rest)) as f64;
        // Two factors, because 2^-1075 alone is no f64.
        let exponent = (lowest * LIMB_BITS) as i32 - 1075;
        let half = exponent / 2;
        let value = magnitude * 2_f64.powi(half) * 2_f64.powi(exponent - half);
        if negative { -value } else { value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_running_sum_loses_is_kept() {
        assert_eq!(ExactSum::of([1e100, 1.0, -1e100]), 1.0);
        assert_eq!(ExactSum::of([f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(ExactSum::of([f64::from_bits(1), f64::from_bits(3)]), f64::from_bits(4));
        assert_eq!(ExactSum::of(std::iter::repeat_n(0.1, 10)), 1.0);
        assert_eq!(ExactSum::of([]), 0.0);
        assert_eq!(ExactSum::of([f64::MAX, f64::MAX]), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn a_sum_of_two_is_the_rounded_sum(
            a in prop::num::f64::NORMAL, b in prop::num::f64::NORMAL,
        ) {
            prop_assume!((a + b).is_finite() && (a + b == 0.0 || (a + b).abs() > 1e-290));
            prop_assert_eq!(ExactSum::of([a, b]), a + b);
        }

        #[test]
        fn the_order_of_the_terms_changes_nothing(
            terms in prop::collection::vec(prop::num::f64::NORMAL.prop_map(|x| x / 1e3), 1..50),
            turn in 0_usize..50,
        ) {
            let mut turned = terms.clone();
            turned.rotate_left(turn % terms.len());
            turned.reverse();
            prop_assert_eq!(ExactSum::of(terms).to_bits(), ExactSum::of(turned).to_bits());
        }
    }
}
