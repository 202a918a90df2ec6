//! N:M masks: of every M consecutive weights of a row the N largest by |w| stay.
//!
//! A row is what one output is made of: the inputs of a linear layer; of a convolution height, width and
//! input channels, the channels fastest. Among equal |w| the later ones stay, as where M − N positions
//! are dropped from the front of a stable ascending sort: so exactly N *positions* of every group stay,
//! whatever their values. A group has N non-zeros in that sense; a weight that is itself 0 stays 0, and what
//! is not a number counts as the largest.

use tch::{TchError, Tensor};

use crate::kernels::weights::{self, Faded};

/// `kept` of every `group` consecutive weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// N, at most M.
    pub kept: usize,
    /// M, at least 1; it divides the inputs of every layer that it is put on.
    pub group: usize,
}

impl Pattern {
    /// `factor` times as many of `factor` times as large groups.
    #[must_use]
    pub fn coarser(self, factor: usize) -> Self {
        Self { kept: factor * self.kept, group: factor * self.group }
    }

    /// The patterns from (M − 1):M over M/2:M, M/4:M, … to N:M; `None` where M/N is no power of two.
    #[must_use]
    pub fn stepwise(self) -> Option<Vec<Self>> {
        let Self { kept, group } = self;
        if kept == group {
            return Some(vec![self]);
        }
        let halvings = (group % kept == 0).then(|| group / kept)?;
        let halved =
            (1..=halvings.is_power_of_two().then(|| halvings.ilog2())?).map(|i| group >> i);
        Some(
            std::iter::once(group.max(2) - 1)
                .chain(halved)
                .map(|kept| Self { kept, group })
                .collect(),
        )
    }

    /// N and M as libtorch counts.
    fn counts(self) -> [i64; 2] {
        [self.kept, self.group].map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The patterns 8N:8M, 4N:4M, 2N:2M, N:M.
    #[must_use]
    pub fn geometric(self) -> Vec<Self> {
        [8, 4, 2, 1].map(|factor| self.coarser(factor)).to_vec()
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kept, self.group)
    }
}

/// Inputs of a weight, out × in (× k × k): the length of a row.
#[must_use]
pub fn inputs(weight: &Tensor) -> usize {
    weight.size().iter().skip(1).map(|&size| usize::try_from(size).unwrap_or(0)).product()
}

/// `weight` as it is seen, what `pattern` drops times `factor`; and, where it is asked for (`aside`), what was added
/// to it: 0 where a weight stays, (`factor` − 1)·w elsewhere. In the shape of `weight`, whose gradient is that of what
/// is seen.
///
/// # Errors
/// When M does not divide the inputs.
pub fn faded(
    weight: &Tensor,
    pattern: Pattern,
    factor: f64,
    aside: bool,
) -> Result<(Tensor, Option<Tensor>), TchError> {
    let [kept, group] = pattern.counts();
    let change = (factor - 1.0) as f32;
    if let Some(Faded { seen, added }) = weights::fade(weight, kept, group, change, aside)? {
        return Ok((seen, added));
    }
    let short = shortfall(weight, pattern, factor)?;
    Ok((weight.f_add(&short)?, aside.then_some(short)))
}

/// What is to be added to `weight` so that what `pattern` drops is `factor` times itself, by libtorch's operations
/// alone: as [`faded`], to the bit, on any device and of any layout.
///
/// # Errors
/// When M does not divide the inputs.
pub fn shortfall(weight: &Tensor, pattern: Pattern, factor: f64) -> Result<Tensor, TchError> {
    by_rows(weight, |rows| by_sorting(rows, pattern, |dropped| dropped.f_mul_scalar(factor - 1.0)))
}

/// 1 where a weight stays and 0 elsewhere, in the shape of `weight`.
///
/// # Errors
/// When M does not divide the inputs.
pub fn mask(weight: &Tensor, pattern: Pattern) -> Result<Tensor, TchError> {
    let dropped = by_rows(weight, |rows| by_sorting(rows, pattern, Tensor::f_ones_like))?;
    dropped.f_neg()?.f_add_scalar(1.0)
}

/// Applies `map` to the rows of a weight; its elements, in their order, take the weight's shape.
fn by_rows(
    weight: &Tensor,
    map: impl Fn(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let weight = weight.detach();
    if weight.dim() != 4 {
        return map(&weight)?.f_reshape(weight.size());
    }
    let rows = weight.f_permute([0, 2, 3, 1])?;
    map(&rows)?.f_reshape(rows.size())?.f_permute([0, 3, 1, 2])
}

/// What `change` makes of those that `pattern` drops, at their places, and 0 elsewhere.
fn by_sorting(
    rows: &Tensor,
    pattern: Pattern,
    change: impl Fn(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let [kept, group] = pattern.counts();
    let groups = rows.f_reshape([-1, group])?;
    let order = groups.f_abs()?.f_argsort_stable(true, -1, false)?.f_narrow(-1, 0, group - kept)?;
    let short = change(&groups.f_gather(-1, &order, false)?)?;
    groups.f_zeros_like()?.f_scatter(-1, &order, &short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{channels_last, values};
    use ledger::streams::normal;
    use proptest::prelude::*;
    use tch::{Device, Kind};

    const fn of(kept: usize, group: usize) -> Pattern {
        Pattern { kept, group }
    }

    /// Places that stay in a group, by the definition.
    fn by_definition(group: &[f32], kept: usize) -> Vec<f32> {
        let mut order: Vec<usize> = (0..group.len()).collect();
        order.sort_by(|&a, &b| group[a].abs().total_cmp(&group[b].abs()));
        let mut mask = vec![1.0; group.len()];
        order[..group.len() - kept].iter().for_each(|&place| mask[place] = 0.0);
        mask
    }

    /// To the bit; what is not a number by that alone.
    fn bits(tensor: &Tensor) -> Vec<u32> {
        let bits = |value: f32| if value.is_nan() { u32::MAX } else { value.to_bits() };
        values(tensor).unwrap().into_iter().map(bits).collect()
    }

    /// Both ways to what is seen agree, and so do what was added, layout and gradient.
    fn agree(weight: &Tensor, pattern: Pattern, factor: f64) {
        let short = shortfall(weight, pattern, factor).unwrap();
        let plain = weight + &short;
        let (seen, added) = faded(weight, pattern, factor, true).unwrap();
        assert_eq!(bits(&seen), bits(&plain), "{pattern} {factor}");
        assert_eq!(bits(&added.unwrap()), bits(&short), "{pattern} {factor}");
        assert_eq!((seen.size(), seen.stride()), (plain.size(), plain.stride()));
        let (alone, none) = faded(weight, pattern, factor, false).unwrap();
        assert!(none.is_none() && bits(&alone) == bits(&plain));
    }

    #[test]
    fn masks_are_those_of_a_stable_sort_for_every_pattern_also_among_equal_weights() {
        let mut stream = crate::trial::streams().generator("test");
        let drawn = Tensor::from_slice(&normal(&mut stream, 6 * 256)).view([6, 256]);
        let coarse = (&drawn * 2.0).round() / 2.0;
        let equal = Tensor::ones([6, 256], (Kind::Float, Device::Cpu));
        for weight in [drawn, coarse, equal.zeros_like(), equal] {
            let stored = values(&weight).unwrap();
            for group in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
                for kept in [1, 2, 3, group / 4, group / 2, group.max(2) - 1, group] {
                    let pattern = of(kept.clamp(1, group), group);
                    let places = |g| by_definition(g, pattern.kept);
                    let expected: Vec<_> = stored.chunks(group).flat_map(places).collect();
                    let found = values(&mask(&weight, pattern).unwrap()).unwrap();
                    assert_eq!(found, expected, "{pattern}");
                    let (_, added) = faded(&weight, pattern, 0.25, true).unwrap();
                    let expected: Vec<_> =
                        found.iter().zip(&stored).map(|(m, w)| (1.0 - m) * -0.75 * w).collect();
                    assert_eq!(values(&added.unwrap()).unwrap(), expected, "{pattern}");
                    agree(&weight, pattern, 0.25);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn one_loop_gives_the_bits_of_the_operations_also_among_equals_infinities_and_not_numbers(
            group in 1_usize..40, kept in 0_usize..40, groups in 1_usize..24,
            grid in prop::sample::select(vec![0.0_f32, 0.5, 2.0]), factor in 0.0..1.0_f64, seed in any::<u32>(),
        ) {
            let mut stream = crate::trial::streams().keyed("test", seed, 0);
            let mut weights = normal(&mut stream, group * groups);
            for (place, weight) in weights.iter_mut().enumerate() {
                if grid > 0.0 {
                    *weight = (*weight * grid).round() / grid;
                }
                match (place + seed as usize) % 61 {
                    7 if grid < 2.0 => *weight = f32::INFINITY.copysign(*weight),
                    31 if grid == 0.5 => *weight = f32::NAN,
                    _ => (),
                }
            }
            let pattern = of(kept % group + 1, group);
            let rows = Tensor::from_slice(&weights).view([-1, group as i64]);
            for factor in [0.0, factor] {
                agree(&rows, pattern, factor);
                agree(&rows.view([1, -1]), pattern, factor);
            }
        }
    }

    #[test]
    fn weights_in_another_layout_or_kind_are_seen_through_the_same_mask() {
        let mut stream = crate::trial::streams().generator("test");
        let drawn = Tensor::from_slice(&normal(&mut stream, 6 * 32)).view([6, 32]);
        let filters = drawn.view([6, 8, 2, 2]);
        let turned = drawn.transpose(0, 1).contiguous().transpose(0, 1);
        let every_other = Tensor::stack(&[&drawn, &(&drawn * 7.0)], 2).select(2, 0);
        for other in [&turned, &every_other] {
            assert_ne!(other.stride(), drawn.stride());
            for pattern in [of(2, 4), of(1, 8), of(5, 32)] {
                agree(other, pattern, 0.5);
                let expected = faded(&drawn, pattern, 0.5, false).unwrap().0;
                assert_eq!(bits(&faded(other, pattern, 0.5, false).unwrap().0), bits(&expected));
            }
        }
        // Filters go by their channels, wherever these lie.
        let last = channels_last(&filters).unwrap();
        assert_ne!(last.stride(), filters.stride());
        for pattern in [of(1, 2), of(2, 8), of(3, 16)] {
            agree(&last, pattern, 0.5);
            agree(&filters, pattern, 0.5);
            let [by_loop, by_operations] =
                [&last, &filters].map(|filters| faded(filters, pattern, 0.5, false).unwrap().0);
            assert_eq!(bits(&by_loop), bits(&by_operations));
        }
        let double = drawn.to_kind(Kind::Double);
        assert_eq!(faded(&double, of(2, 4), 0.5, false).unwrap().0.kind(), Kind::Double);
    }

    #[test]
    fn the_gradient_of_what_is_seen_is_that_of_the_weight_itself() {
        let mut stream = crate::trial::streams().generator("test");
        // Whole numbers, whose sums are exact in any order.
        let drawn = (Tensor::from_slice(&normal(&mut stream, 64)) * 9.0).round().view([4, 16]);
        for turned in [false, true] {
            let leaf =
                if turned { drawn.view([16, 4]).transpose(0, 1).copy() } else { drawn.copy() };
            let leaf = leaf.set_requires_grad(true);
            let (seen, _) = faded(&leaf, of(1, 4), 0.0, false).unwrap();
            assert!(seen.requires_grad());
            // Twice in the graph, and the weight itself beside it: all arrive, the weight's own too.
            let loss = (&seen * &seen * 3.0 + &leaf * 5.0).sum(None);
            let expected = bits(&(&seen.detach() * 6.0 + 5.0));
            let found = Tensor::run_backward(&[&loss], &[&leaf], false, false);
            assert_eq!(bits(&found[0]), expected);
            let none = tch::no_grad(|| faded(&leaf, of(1, 4), 0.0, false).unwrap().0);
            assert!(!none.requires_grad());
        }
    }

    #[test]
    fn filters_are_grouped_over_height_width_and_channels_with_the_channels_fastest() {
        let weight = Tensor::arange(2 * 4 * 9, (Kind::Float, Device::Cpu)).view([2, 4, 3, 3]);
        let kept = mask(&weight, of(1, 4)).unwrap();
        // The largest of the four channels at each place.
        let last = kept.narrow(1, 3, 1);
        assert_eq!((kept.sum(Kind::Float), last.sum(Kind::Float)), (18.0.into(), 18.0.into()));
        assert_eq!(inputs(&weight), 36);
    }

    #[test]
    fn structured_decay_goes_by_the_frames_of_the_paper() {
        let said =
            |patterns: Vec<Pattern>| patterns.iter().map(Pattern::to_string).collect::<Vec<_>>();
        assert_eq!(said(of(1, 8).stepwise().unwrap()), ["7:8", "4:8", "2:8", "1:8"]);
        assert_eq!(said(of(1, 16).stepwise().unwrap()), ["15:16", "8:16", "4:16", "2:16", "1:16"]);
        assert_eq!(said(of(2, 4).stepwise().unwrap()), ["3:4", "2:4"]);
        assert_eq!(said(of(1, 8).geometric()), ["8:64", "4:32", "2:16", "1:8"]);
        assert_eq!([of(2, 6).stepwise(), of(3, 8).stepwise()], [None, None]);
    }
}
