//! What `tch` does not wrap of libtorch: fused optimiser updates over lists of tensors, hooks on gradients and
//! values with the gradient of others, and modules of TorchScript as functions of their tensors; and the loops of a
//! small GPT, and over weights.

pub mod gpt;
pub mod script;
pub mod weights;

use std::ffi::{CStr, c_char, c_void};

use tch::{TchError, Tensor};
use torch_glue as _;
use torch_sys::C_tensor;

#[expect(unsafe_code, reason = "declarations of the functions in kernels.cpp")]
unsafe extern "C" {
    fn palimpsest_fused_adamw(
        count: usize,
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        first_moments: *const *mut C_tensor,
        second_moments: *const *mut C_tensor,
        steps: *const *mut C_tensor,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *mut c_char;
    fn palimpsest_fused_sgd(
        count: usize,
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        momenta: *const *mut C_tensor,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: bool,
        first_step: bool,
    ) -> *mut c_char;
    fn palimpsest_straight_through(
        tensor: *const C_tensor,
        values: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn palimpsest_on_gradient(
        tensor: *mut C_tensor,
        data: *mut c_void,
        call: extern "C" fn(*mut c_void, *const C_tensor) -> *mut C_tensor,
        release: extern "C" fn(*mut c_void),
    ) -> *mut c_char;
}

/// `values` with the gradient of `tensor` (a straight-through estimator), of the same shape: to the bit, and
/// without an operation on them.
///
/// # Errors
/// When libtorch refuses.
pub fn straight_through(tensor: &Tensor, values: &Tensor) -> Result<Tensor, TchError> {
    let mut out = std::ptr::null_mut();
    #[expect(
        unsafe_code,
        reason = "live handles; on success `out` is a new tensor that this side owns"
    )]
    unsafe {
        check(palimpsest_straight_through(tensor.as_ptr(), values.as_ptr(), &raw mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// What becomes of a gradient.
type OnGradient = dyn Fn(&Tensor) -> Result<Tensor, TchError> + Send + Sync;

extern "C" fn call_hook(data: *mut c_void, gradient: *const C_tensor) -> *mut C_tensor {
    #[expect(
        unsafe_code,
        reason = "`data` is the box of `on_gradient`, alive until `release_hook`; the gradient is live for the call"
    )]
    let (hook, gradient) = unsafe {
        let hook = &*data.cast::<Box<OnGradient>>();
        (hook, Tensor::clone_from_ptr(gradient.cast_mut()))
    };
    // Nothing may unwind into C++: a hook gives an error instead, and a null tells of it.
    let changed = tch::no_grad(|| hook(&gradient));
    changed.map_or(std::ptr::null_mut(), |changed| {
        let handle = changed.as_ptr().cast_mut();
        std::mem::forget(changed);
        handle
    })
}

extern "C" fn release_hook(data: *mut c_void) {
    #[expect(unsafe_code, reason = "the box of `on_gradient`, freed here once")]
    drop(unsafe { Box::from_raw(data.cast::<Box<OnGradient>>()) });
}

/// From now on the gradient of `tensor` is what `hook` makes of it, wherever a backward pass hands it on; on a
/// GPU the hook runs in libtorch's thread of that device. A hook that fails fails the backward pass.
///
/// # Errors
/// When `tensor` takes no gradient.
pub fn on_gradient(
    tensor: &Tensor,
    hook: impl Fn(&Tensor) -> Result<Tensor, TchError> + Send + Sync + 'static,
) -> Result<(), TchError> {
    let boxed: Box<OnGradient> = Box::new(hook);
    let data = Box::into_raw(Box::new(boxed)).cast();
    #[expect(unsafe_code, reason = "a live handle, and a box that the C++ side releases once")]
    let message = unsafe {
        palimpsest_on_gradient(tensor.as_ptr().cast_mut(), data, call_hook, release_hook)
    };
    check(message)
}

fn handles<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<*mut C_tensor> {
    tensors.into_iter().map(Tensor::as_ptr).map(<*const C_tensor>::cast_mut).collect()
}

/// Turns the message of a kernel into an error.
fn check(message: *mut c_char) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    #[expect(
        unsafe_code,
        reason = "the kernel returns a NUL-terminated string from strdup, freed here once"
    )]
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        libc::free(message.cast());
        text
    };
    Err(TchError::Torch(text))
}

/// Coefficients of [`fused_adamw`] at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamwStep {
    /// Learning rate after the schedule.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// One AdamW step over lists of equal length, in place; `steps_taken` are f32 scalars on the
/// parameters' device that already count this step.
///
/// # Errors
/// When libtorch refuses the shapes or kinds.
pub fn fused_adamw(
    parameters: &[&Tensor],
    gradients: &[&Tensor],
    first_moments: &[&Tensor],
    second_moments: &[&Tensor],
    steps_taken: &[&Tensor],
    step: AdamwStep,
) -> Result<(), TchError> {
    let count = parameters.len();
    assert!(
        [gradients.len(), first_moments.len(), second_moments.len(), steps_taken.len()]
            == [count; 4],
        "one gradient and one state per parameter"
    );
    #[expect(
        unsafe_code,
        reason = "handles of live tensors, `count` of each, as the C++ side reads them"
    )]
    let message = unsafe {
        palimpsest_fused_adamw(
            count,
            handles(parameters.iter().copied()).as_ptr(),
            handles(gradients.iter().copied()).as_ptr(),
            handles(first_moments.iter().copied()).as_ptr(),
            handles(second_moments.iter().copied()).as_ptr(),
            handles(steps_taken.iter().copied()).as_ptr(),
            step.lr,
            step.beta1,
            step.beta2,
            step.weight_decay,
            step.eps,
        )
    };
    check(message)
}

/// Coefficients of [`fused_sgd`] at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// Learning rate after the schedule.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay added to the gradient.
    pub weight_decay: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// On the first step the buffer becomes the gradient.
    pub first: bool,
}

/// One SGD step over lists of equal length, in place. `momenta` is empty when momentum is 0.
///
/// # Errors
/// When libtorch refuses the shapes or kinds.
pub fn fused_sgd(
    parameters: &[&Tensor],
    gradients: &[Tensor],
    momenta: &[&Tensor],
    step: SgdStep,
) -> Result<(), TchError> {
    assert_eq!(parameters.len(), gradients.len(), "one gradient per parameter");
    assert!(
        momenta.len() == parameters.len(),
        "one momentum buffer per parameter; the kernel ignores them when momentum is 0"
    );
    #[expect(
        unsafe_code,
        reason = "handles of live tensors, as many of each, as the C++ side reads them"
    )]
    let message = unsafe {
        palimpsest_fused_sgd(
            parameters.len(),
            handles(parameters.iter().copied()).as_ptr(),
            handles(gradients).as_ptr(),
            handles(momenta.iter().copied()).as_ptr(),
            step.lr,
            step.momentum,
            step.weight_decay,
            step.nesterov,
            step.first,
        )
    };
    check(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use tch::{Device, Kind};

    /// A gradient of 2 × 3, its rows one after another, and the same with its columns one after another.
    fn gradients() -> [Tensor; 2] {
        let rows = Tensor::from_slice(&[1.0_f32, -2.0, 3.0, -4.0, 5.0, -6.0]).view([2, 3]);
        let columns = rows.transpose(0, 1).contiguous().transpose(0, 1);
        assert_ne!(rows.stride(), columns.stride());
        [rows, columns]
    }

    fn zeros() -> Tensor {
        Tensor::zeros([2, 3], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn a_gradient_in_another_layout_moves_the_weights_that_it_is_of() {
        let sgd = |gradient: Tensor| {
            let (weights, momentum) = (zeros(), zeros());
            let step =
                SgdStep { lr: 0.5, momentum: 0.9, weight_decay: 0.0, nesterov: false, first: true };
            fused_sgd(&[&weights], &[gradient], &[&momentum], step).unwrap();
            values(&weights).unwrap()
        };
        let adamw = |gradient: Tensor| {
            let (weights, first, second) = (zeros(), zeros(), zeros());
            let taken = Tensor::from_slice(&[1.0_f32]);
            let step = AdamwStep { lr: 0.5, beta1: 0.9, beta2: 0.999, weight_decay: 0.0, eps: 1.0 };
            fused_adamw(&[&weights], &[&gradient], &[&first], &[&second], &[&taken], step).unwrap();
            values(&weights).unwrap()
        };
        assert_eq!(
            gradients().map(sgd),
            [[-0.5, 1.0, -1.5, 2.0, -2.5, 3.0].to_vec(), vec![-0.5, 1.0, -1.5, 2.0, -2.5, 3.0]]
        );
        let [rows, columns] = gradients().map(adamw);
        assert_eq!(rows, columns);
        assert!(rows[0] < 0.0 && rows[1] > 0.0, "{rows:?}");
    }
}
