//! N:M masks: of every M consecutive weights of a row the N largest by |w| stay.
//!
//! A row is what one output is made of: the inputs of a linear layer; of a convolution height, width and
//! input channels, the channels fastest. Among equal |w| the later ones stay, as where M − N positions
//! are dropped from the front of a stable ascending sort: so exactly N *positions* of every group stay,
//! whatever their values. A group has N non-zeros in that sense; a weight that is itself 0 stays 0.

use tch::{Device, Kind, TchError, Tensor};

use crate::network::values;

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

/// What is to be added to `weight` so that what `pattern` drops is `factor` times itself: 0 where a
/// weight stays, (`factor` − 1)·w elsewhere. In the shape of `weight`, without a gradient.
///
/// # Errors
/// When M does not divide the inputs.
pub fn shortfall(weight: &Tensor, pattern: Pattern, factor: f64) -> Result<Tensor, TchError> {
    let change = (factor - 1.0) as f32;
    by_rows(weight, |rows| {
        if rows.device() != Device::Cpu {
            return by_sorting(rows, pattern, factor - 1.0);
        }
        Tensor::f_from_slice(&dropped(&stored(rows)?, pattern, |weight| change * weight))
    })
}

/// Values in their order, with fewer operations where they lie in it.
fn stored(rows: &Tensor) -> Result<Vec<f32>, TchError> {
    if rows.kind() == Kind::Float && rows.is_contiguous() {
        let mut stored = vec![0.0; rows.numel()];
        rows.f_copy_data(&mut stored, rows.numel())?;
        return Ok(stored);
    }
    values(rows)
}

/// 1 where a weight stays and 0 elsewhere, in the shape of `weight`.
///
/// # Errors
/// When M does not divide the inputs.
pub fn mask(weight: &Tensor, pattern: Pattern) -> Result<Tensor, TchError> {
    by_rows(weight, |rows| {
        let dropped = Tensor::f_from_slice(&dropped(&values(rows)?, pattern, |_| 1.0))?;
        dropped.f_to_device(rows.device())?.f_neg()?.f_add_scalar(1.0)
    })
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

/// `change`·w where `pattern` drops w, else 0, by libtorch's operations alone.
fn by_sorting(rows: &Tensor, pattern: Pattern, change: f64) -> Result<Tensor, TchError> {
    let [group, dropped] = [pattern.group, pattern.group - pattern.kept]
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let groups = rows.f_reshape([-1, group])?;
    let order = groups.f_abs()?.f_argsort_stable(true, -1, false)?.f_narrow(-1, 0, dropped)?;
    let short = groups.f_gather(-1, &order, false)?.f_mul_scalar(change)?;
    groups.f_zeros_like()?.f_scatter(-1, &order, &short)
}

/// `change(w)` where `pattern` drops w, else 0. A short group at the end is left as 0.
fn dropped(weights: &[f32], pattern: Pattern, change: impl Fn(f32) -> f32 + Copy) -> Vec<f32> {
    let mut out = vec![0.0; weights.len()];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "compiled for AVX2, which was just found")]
        unsafe {
            drop_avx2(weights, pattern, change, &mut out);
        }
        return out;
    }
    drop_by_group(weights, pattern, change, &mut out);
    out
}

/// [`drop_by_group`] in wider registers; only integers are compared, so the bits are the same.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn drop_avx2(
    weights: &[f32],
    pattern: Pattern,
    change: impl Fn(f32) -> f32 + Copy,
    out: &mut [f32],
) {
    drop_by_group(weights, pattern, change, out);
}

#[inline(always)]
fn drop_by_group(
    weights: &[f32],
    pattern: Pattern,
    change: impl Fn(f32) -> f32 + Copy,
    out: &mut [f32],
) {
    let Pattern { kept, group } = pattern;
    // Lengths that the compiler knows it unrolls.
    match group {
        2 => drop_lanes::<2>(weights, kept, change, out),
        4 => drop_lanes::<4>(weights, kept, change, out),
        8 => drop_columns::<8>(weights, kept, change, out),
        16 => drop_columns::<16>(weights, kept, change, out),
        32 => drop_columns::<32>(weights, kept, change, out),
        _ => drop_groups(weights, kept, group, change, out),
    }
}

/// Groups side by side in one register.
const LANES: usize = 8;

/// The same for small groups, several at a time: a weight stays where fewer than `kept` of its group rank
/// above it, and among equal ones the later does.
#[inline(always)]
fn drop_lanes<const M: usize>(
    weights: &[f32],
    kept: usize,
    change: impl Fn(f32) -> f32,
    out: &mut [f32],
) {
    let whole = weights.len() / (LANES * M) * (LANES * M);
    let (weights, rest) = weights.split_at(whole);
    let (out, rest_out) = out.split_at_mut(whole);
    let least = i32::try_from(kept).unwrap_or(i32::MAX);
    for (weights, out) in weights.chunks_exact(LANES * M).zip(out.chunks_exact_mut(LANES * M)) {
        let mut keys = [[0_i32; LANES]; M];
        for lane in 0..LANES {
            for place in 0..M {
                keys[place][lane] = weights[lane * M + place].abs().to_bits().cast_signed();
            }
        }
        let mut above = [[0_i32; LANES]; M];
        for place in 0..M {
            for other in 0..M {
                let later = i32::from(other > place);
                for lane in 0..LANES {
                    let higher = keys[other][lane] > keys[place][lane] - later;
                    above[place][lane] += i32::from(higher && other != place);
                }
            }
        }
        for (place, above) in above.iter().enumerate() {
            for (lane, &above) in above.iter().enumerate() {
                let at = lane * M + place;
                out[at] = if above < least { 0.0 } else { change(weights[at]) };
            }
        }
    }
    drop_groups(rest, kept, M, change, rest_out);
}

/// [`drop_groups`] for several groups at a time, each in a column, by its own bounds.
#[inline(always)]
fn drop_columns<const M: usize>(
    weights: &[f32],
    kept: usize,
    change: impl Fn(f32) -> f32 + Copy,
    out: &mut [f32],
) {
    let whole = weights.len() / (LANES * M) * (LANES * M);
    let (weights, rest) = weights.split_at(whole);
    let (out, rest_out) = out.split_at_mut(whole);
    let below = M.saturating_sub(kept);
    for (weights, out) in weights.chunks_exact(LANES * M).zip(out.chunks_exact_mut(LANES * M)) {
        let mut keys = [[0_i32; LANES]; M];
        for (place, keys) in keys.iter_mut().enumerate() {
            for (lane, key) in keys.iter_mut().enumerate() {
                *key = weights[lane * M + place].abs().to_bits().cast_signed();
            }
        }
        let mut bounds = [i32::MAX; LANES];
        if kept <= below {
            for _ in 0..kept {
                let mut next = [-1; LANES];
                for keys in &keys {
                    for ((next, &key), &bound) in next.iter_mut().zip(keys).zip(&bounds) {
                        *next = (*next).max(if key < bound { key } else { -1 });
                    }
                }
                bounds = next;
            }
        } else {
            let mut last = [-1; LANES];
            for _ in 0..below {
                let mut next = [i32::MAX; LANES];
                for keys in &keys {
                    for ((next, &key), &last) in next.iter_mut().zip(keys).zip(&last) {
                        *next = (*next).min(if key > last { key } else { i32::MAX });
                    }
                }
                last = next;
            }
            bounds = last.map(|last| last.saturating_add(1));
        }
        let mut stay = [0_i32; LANES];
        for keys in &keys {
            for ((stay, &key), &bound) in stay.iter_mut().zip(keys).zip(&bounds) {
                *stay += i32::from(key >= bound);
            }
        }
        if stay.iter().any(|&stay| usize::try_from(stay) != Ok(kept)) {
            drop_groups(weights, kept, M, change, out);
            continue;
        }
        let groups = weights.chunks_exact(M).zip(out.chunks_exact_mut(M));
        for ((weights, out), &bound) in groups.zip(&bounds) {
            for (&weight, out) in weights.iter().zip(out) {
                let key = weight.abs().to_bits().cast_signed();
                *out = if key >= bound { 0.0 } else { change(weight) };
            }
        }
    }
    drop_groups(rest, kept, M, change, rest_out);
}

#[inline(always)]
fn drop_groups(
    weights: &[f32],
    kept: usize,
    group: usize,
    change: impl Fn(f32) -> f32,
    out: &mut [f32],
) {
    let mut keys = vec![0; group];
    for (weights, out) in weights.chunks_exact(group).zip(out.chunks_exact_mut(group)) {
        // Absolute values as whole numbers: in the order of the values, and cheap to compare.
        for (key, weight) in keys.iter_mut().zip(weights) {
            *key = weight.abs().to_bits().cast_signed();
        }
        let bound = bound(&keys, kept);
        let stay: i32 = keys.iter().map(|&key| i32::from(key >= bound)).sum();
        if usize::try_from(stay) == Ok(kept) {
            for ((out, &weight), &key) in out.iter_mut().zip(weights).zip(&keys) {
                *out = if key >= bound { 0.0 } else { change(weight) };
            }
            continue;
        }
        // Equal values on both sides of the bound: by position then.
        let mut order: Vec<usize> = (0..group).collect();
        order.sort_by_key(|&place| keys[place]);
        for &place in &order[..group - kept] {
            out[place] = change(weights[place]);
        }
    }
}

/// The `kept`-th largest key where no keys are equal, found from the nearer end: each pass takes the next
/// one. Where some are equal, another key, which more or fewer than `kept` reach.
#[inline(always)]
fn bound(keys: &[i32], kept: usize) -> i32 {
    let below = keys.len() - kept;
    if kept <= below {
        (0..kept).fold(i32::MAX, |bound, _| {
            keys.iter().fold(-1, |next, &key| next.max(if key < bound { key } else { -1 }))
        })
    } else {
        let last = (0..below).fold(-1, |last, _| {
            let above = |&key: &i32| if key > last { key } else { i32::MAX };
            keys.iter().map(above).fold(i32::MAX, i32::min)
        });
        last.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams::normal;

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

    #[test]
    fn masks_are_those_of_a_stable_sort_for_every_pattern_also_among_equal_weights() {
        let mut stream = crate::trial::streams().generator("test");
        let drawn = Tensor::from_slice(&normal(&mut stream, 6 * 256)).view([6, 256]);
        let coarse = (&drawn * 2.0).round() / 2.0;
        let equal = Tensor::ones([6, 256], (Kind::Float, Device::Cpu));
        for weight in [drawn, coarse, equal.zeros_like(), equal] {
            let stored = values(&weight).unwrap();
            for group in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
                for kept in [1, group / 4, group / 2, group.max(2) - 1, group] {
                    let pattern = of(kept.max(1), group);
                    let expected: Vec<_> =
                        stored.chunks(group).flat_map(|g| by_definition(g, kept.max(1))).collect();
                    let found = values(&mask(&weight, pattern).unwrap()).unwrap();
                    assert_eq!(found, expected, "{pattern}");
                    let short = shortfall(&weight, pattern, 0.25).unwrap();
                    let expected: Vec<_> =
                        found.iter().zip(&stored).map(|(m, w)| (1.0 - m) * -0.75 * w).collect();
                    assert_eq!(values(&short).unwrap(), expected, "{pattern}");
                    let sorted = by_sorting(&weight, pattern, -0.75).unwrap().view([6, 256]);
                    assert_eq!(sorted, short, "{pattern}");
                }
            }
        }
    }

    #[test]
    fn plain_loops_give_the_same_bits_as_those_for_the_processor() {
        let mut stream = crate::trial::streams().generator("test");
        let weights = normal(&mut stream, 4096);
        for pattern in [of(2, 4), of(1, 8), of(16, 32), of(1, 32), of(8, 256)] {
            let mut plain = vec![0.0; weights.len()];
            drop_by_group(&weights, pattern, |w| -0.1 * w, &mut plain);
            assert_eq!(dropped(&weights, pattern, |w| -0.1 * w), plain);
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
