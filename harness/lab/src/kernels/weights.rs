//! Loops over weights for which libtorch takes several operations each: N:M masks, and steps along a direction. They
//! give the bits of the operations, and take tensors of single precision that lie densely on the CPU; of others they
//! say so, for the caller to go by the operations.

use std::ffi::c_char;
use std::ptr::null_mut;

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use super::{check, handles};

#[expect(unsafe_code, reason = "declarations of the functions in weights.cpp")]
unsafe extern "C" {
    fn palimpsest_fade(
        weight: *const C_tensor,
        kept: i64,
        group: i64,
        change: f32,
        seen: *mut *mut C_tensor,
        added: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn palimpsest_subtract(
        count: usize,
        moved: *const *mut C_tensor,
        along: *const *mut C_tensor,
        rate: f32,
        done: *mut bool,
    ) -> *mut c_char;
    fn palimpsest_displace(
        count: usize,
        from: *const *mut C_tensor,
        along: *const *mut C_tensor,
        by: f32,
        there: *mut *mut C_tensor,
        back: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn palimpsest_lay_out(
        values: *const f32,
        numbers: usize,
        count: usize,
        like: *const *mut C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// A weight seen through an N:M mask.
#[derive(Debug)]
pub struct Faded {
    /// The weight plus what was added. Its gradient goes where that of the weight goes.
    pub seen: Tensor,
    /// `change`·w where a weight w is dropped, 0 elsewhere; without a gradient. There if it was asked for.
    pub added: Option<Tensor>,
}

/// All but the `kept` largest by magnitude of every `group` consecutive weights of a row (of filters with the
/// channels fastest) times 1 + `change`; among equal ones the later stay, and what is not a number counts as the
/// largest. `None` where the weight lies otherwise than its rows, or is not on the CPU.
///
/// # Errors
/// When `group` does not divide the rows, or is below `kept`.
pub fn fade(
    weight: &Tensor,
    kept: i64,
    group: i64,
    change: f32,
    aside: bool,
) -> Result<Option<Faded>, TchError> {
    let (mut seen, mut added) = (null_mut(), null_mut());
    let wanted = if aside { &raw mut added } else { null_mut() };
    #[expect(
        unsafe_code,
        reason = "a live handle; on success the others are null or new tensors of this side's"
    )]
    unsafe {
        check(palimpsest_fade(weight.as_ptr(), kept, group, change, &raw mut seen, wanted))?;
        Ok(owned(seen).map(|seen| Faded { seen, added: owned(added) }))
    }
}

/// `moved` − `rate`·`along`, in place, each product rounded first.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn subtract(moved: &[&Tensor], along: &[&Tensor], rate: f64) -> Result<(), TchError> {
    assert_eq!(moved.len(), along.len(), "one direction for each");
    let mut done = vec![false; moved.len()];
    #[expect(unsafe_code, reason = "live handles and as many places for answers")]
    unsafe {
        check(palimpsest_subtract(
            moved.len(),
            handles(moved.iter().copied()).as_ptr(),
            handles(along.iter().copied()).as_ptr(),
            rate as f32,
            done.as_mut_ptr(),
        ))?;
    }
    for ((moved, along), _) in moved.iter().zip(along).zip(&done).filter(|(_, done)| !**done) {
        let _ = moved.shallow_clone().f_sub_(&along.f_mul_scalar(rate)?)?;
    }
    Ok(())
}

/// `from` + `by`·`along` and `from` − `by`·`along` as new tensors without a gradient, the product rounded first.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn displace(
    from: &[&Tensor],
    along: &[&Tensor],
    by: f64,
) -> Result<[Vec<Tensor>; 2], TchError> {
    assert_eq!(from.len(), along.len(), "one direction for each");
    let (mut there, mut back) = (vec![null_mut(); from.len()], vec![null_mut(); from.len()]);
    #[expect(
        unsafe_code,
        reason = "live handles; on success the others are null or new tensors of this side's"
    )]
    let [there, back] = unsafe {
        check(palimpsest_displace(
            from.len(),
            handles(from.iter().copied()).as_ptr(),
            handles(along.iter().copied()).as_ptr(),
            by as f32,
            there.as_mut_ptr(),
            back.as_mut_ptr(),
        ))?;
        [there, back].map(|handles| all_owned(handles))
    };
    if let (Some(there), Some(back)) = (there, back) {
        return Ok([there, back]);
    }
    let steps: Vec<Tensor> =
        along.iter().map(|along| along.f_mul_scalar(by)).collect::<Result<_, _>>()?;
    let pairs = || from.iter().map(|from| from.detach()).zip(&steps);
    let there: Result<_, TchError> = pairs().map(|(from, step)| from.f_add(step)).collect();
    let back: Result<_, TchError> = pairs().map(|(from, step)| from.f_sub(step)).collect();
    Ok([there?, back?])
}

/// Tensors that lie as `like` do and hold `values` in logical order, one after the other. `None` where one lies
/// neither row by row nor with its channels last, or is not on the CPU.
///
/// # Errors
/// When there are more or fewer values than places.
pub fn lay_out(values: &[f32], like: &[&Tensor]) -> Result<Option<Vec<Tensor>>, TchError> {
    let mut out = vec![null_mut(); like.len()];
    #[expect(
        unsafe_code,
        reason = "live values and handles; on success the others are null or new tensors of this side's"
    )]
    unsafe {
        check(palimpsest_lay_out(
            values.as_ptr(),
            values.len(),
            like.len(),
            handles(like.iter().copied()).as_ptr(),
            out.as_mut_ptr(),
        ))?;
        Ok(all_owned(out))
    }
}

/// The tensor of a handle that is this side's, unless it is null.
#[expect(unsafe_code, reason = "the caller hands over each handle once")]
unsafe fn owned(handle: *mut C_tensor) -> Option<Tensor> {
    (!handle.is_null()).then(|| unsafe { Tensor::from_ptr(handle) })
}

/// The tensors of such handles; none where they are null, as they are together.
#[expect(unsafe_code, reason = "the caller hands over each handle once")]
unsafe fn all_owned(handles: Vec<*mut C_tensor>) -> Option<Vec<Tensor>> {
    handles.into_iter().map(|handle| unsafe { owned(handle) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{channels_last, values};
    use crate::trial::{Tails, weights};
    use tch::{Device, Kind};

    /// Tensors of four shapes, a filter bank with its channels last among them, and one that is laid out otherwise.
    fn tensors(of: usize) -> Vec<Tensor> {
        let drawn =
            Tensor::from_slice(&weights(Tails::Laplace, 4_000)).narrow(0, 37 * of as i64, 1_000);
        let cut = |from, size: &[i64]| drawn.narrow(0, from, size.iter().product()).reshape(size);
        let filters = channels_last(&cut(100, &[5, 3, 3, 3])).unwrap();
        let turned = cut(300, &[7, 11]).transpose(0, 1);
        assert!(!filters.is_contiguous() && !turned.is_contiguous());
        vec![cut(0, &[9, 11]), filters, cut(250, &[13]), turned]
    }

    fn all(tensors: &[Tensor]) -> Vec<Vec<u32>> {
        let bits = |tensor| values(tensor).unwrap().into_iter().map(f32::to_bits).collect();
        tensors.iter().map(bits).collect()
    }

    fn borrowed(tensors: &[Tensor]) -> Vec<&Tensor> {
        tensors.iter().collect()
    }

    #[test]
    fn steps_along_a_direction_are_those_of_the_operations_bit_for_bit() {
        let (from, along) = (tensors(0), tensors(1));
        for by in [1e-3, -0.37, 3.0, 0.0] {
            let step = |along: &Tensor| along * by;
            let there: Vec<_> = from.iter().zip(&along).map(|(from, z)| from + step(z)).collect();
            let back: Vec<_> = from.iter().zip(&along).map(|(from, z)| from - step(z)).collect();
            let found = displace(&borrowed(&from), &borrowed(&along), by).unwrap();
            assert_eq!(found.each_ref().map(|either| all(either)), [all(&there), all(&back)]);
            for (tensor, from) in found.iter().flatten().zip(from.iter().chain(&from)) {
                assert_eq!(tensor.stride(), from.stride());
            }
            let moved: Vec<_> = from.iter().map(Tensor::copy).collect();
            subtract(&borrowed(&moved), &borrowed(&along), by).unwrap();
            assert_eq!(all(&moved), all(&back), "{by}");
        }
    }

    #[test]
    fn tensors_that_lie_otherwise_or_are_of_another_kind_go_by_the_operations() {
        let from = tensors(0);
        // The same values, rows and columns exchanged in memory: in order, neither is what it should be.
        let along: Vec<_> = tensors(1).iter().map(|z| z.contiguous()).collect();
        let doubles: Vec<_> = along.iter().map(|z| z.to_kind(Kind::Double)).collect();
        let [there, back] = displace(&borrowed(&from), &borrowed(&along), 0.3).unwrap();
        let expected: Vec<_> = from.iter().zip(&along).map(|(from, z)| from - z * 0.3).collect();
        assert_eq!(all(&back), all(&expected));
        assert_ne!(all(&there), all(&back));
        let moved: Vec<_> = from.iter().map(Tensor::copy).collect();
        subtract(&borrowed(&moved), &borrowed(&along), 0.3).unwrap();
        assert_eq!(all(&moved), all(&expected));
        let [_, back] = displace(&borrowed(&doubles), &borrowed(&doubles), 1.0).unwrap();
        assert!(
            back.iter()
                .all(|tensor| tensor.kind() == Kind::Double && tensor == &tensor.zeros_like())
        );
    }

    #[test]
    fn values_in_logical_order_come_back_from_the_layout_of_the_parameters() {
        let like = tensors(0);
        assert!(lay_out(&[0.0; 324], &borrowed(&like)).unwrap().is_none(), "one lies otherwise");
        let like = &like[..3];
        let drawn = weights(Tails::Normal, 99 + 135 + 13);
        let out = lay_out(&drawn, &borrowed(like)).unwrap().unwrap();
        let found: Vec<f32> = out.iter().flat_map(|tensor| values(tensor).unwrap()).collect();
        assert_eq!(found, drawn);
        for (out, like) in out.iter().zip(like) {
            assert_eq!((out.size(), out.stride()), (like.size(), like.stride()));
        }
        let error = lay_out(&drawn[1..], &borrowed(like)).unwrap_err().to_string();
        assert!(error.contains("246 numbers for 247 places"), "{error}");
    }

    #[test]
    fn a_mask_on_groups_that_do_not_go_into_rows_is_refused() {
        let weight = Tensor::zeros([4, 6], (Kind::Float, Device::Cpu));
        for (kept, group) in [(2, 4), (0, 2), (3, 2)] {
            let error = fade(&weight, kept, group, -1.0, false).unwrap_err().to_string();
            assert!(error.contains("do not go into rows of 6"), "{error}");
        }
    }
}
