//! Modules of TorchScript, each a function of the tensors that are handed in: `tch` keeps them inside of a module,
//! where no gradient could reach what stands in a parameter's place.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

use super::{check, handles};

/// A module on the C++ side.
#[repr(C)]
struct Handle {
    _private: [u8; 0],
}

type EachName = extern "C" fn(*mut c_void, *const c_char);
type Each = extern "C" fn(*mut c_void, *const c_char, *const c_char, c_int, *mut C_tensor);

#[expect(unsafe_code, reason = "declarations of the functions in script.cpp")]
unsafe extern "C" {
    fn palimpsest_script_load(
        bytes: *const c_char,
        length: usize,
        device: c_int,
        out: *mut *mut Handle,
    ) -> *mut c_char;
    fn palimpsest_script_tensors(script: *const Handle, data: *mut c_void, each: Each);
    fn palimpsest_script_forward(
        script: *mut Handle,
        count: usize,
        values: *const *mut C_tensor,
        input: *const C_tensor,
        train: bool,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn palimpsest_script_changed(
        script: *mut Handle,
        data: *mut c_void,
        each: EachName,
    ) -> *mut c_char;
    fn palimpsest_script_free(script: *mut Handle);
    fn palimpsest_random_state(device: c_int, out: *mut *mut C_tensor) -> *mut c_char;
}

/// What a tensor is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A parameter.
    Parameter,
    /// A parameter that takes no gradient.
    Frozen,
    /// A buffer.
    Buffer,
}

/// A tensor of a module as it was saved. One that several names hold goes by the first.
#[derive(Debug)]
pub struct Saved {
    /// Its name, such as `0.weight`.
    pub name: String,
    /// Class of the module that holds it, such as `Linear`.
    pub class: String,
    /// What it is.
    pub held: Held,
    /// The values.
    pub tensor: Tensor,
}

/// A module.
#[derive(Debug)]
pub struct Module(NonNull<Handle>);

#[expect(unsafe_code, reason = "libtorch's modules are of no thread, and a call takes `&mut`")]
unsafe impl Send for Module {}

extern "C" fn keep(
    data: *mut c_void,
    name: *const c_char,
    class: *const c_char,
    kind: c_int,
    tensor: *mut C_tensor,
) {
    #[expect(
        unsafe_code,
        reason = "`data` is the list of `tensors`, the texts are live for the call, the tensor is this side's from now on"
    )]
    unsafe {
        let text = |text| CStr::from_ptr(text).to_string_lossy().into_owned();
        let held = match kind {
            0 => Held::Parameter,
            1 => Held::Frozen,
            _ => Held::Buffer,
        };
        let tensor = Tensor::from_ptr(tensor);
        let list = &mut *data.cast::<Vec<Saved>>();
        list.push(Saved { name: text(name), class: text(class), held, tensor });
    }
}

extern "C" fn keep_name(data: *mut c_void, name: *const c_char) {
    #[expect(
        unsafe_code,
        reason = "`data` is the list of `changed`, the text is live for the call"
    )]
    unsafe {
        let list = &mut *data.cast::<Vec<String>>();
        list.push(CStr::from_ptr(name).to_string_lossy().into_owned());
    }
}

impl Module {
    /// The module of an archive that `torch.jit.save` wrote, its tensors on `device`. Reading one can run what
    /// stands in it.
    ///
    /// # Errors
    /// When it is no such archive, or libtorch cannot put it there.
    pub fn load(bytes: &[u8], device: Device) -> Result<Self, TchError> {
        let mut out = std::ptr::null_mut();
        let index = index(device)?;
        #[expect(unsafe_code, reason = "`length` live bytes; on success `out` is this side's")]
        unsafe {
            check(palimpsest_script_load(bytes.as_ptr().cast(), bytes.len(), index, &raw mut out))?;
        }
        NonNull::new(out).map(Self).ok_or_else(|| TchError::Torch("no module".to_owned()))
    }

    /// Its tensors: those of a module by their kinds of place, then those of its children, in their order.
    #[must_use]
    pub fn tensors(&self) -> Vec<Saved> {
        let mut list: Vec<Saved> = Vec::new();
        #[expect(unsafe_code, reason = "a live module, and a list that outlives the call")]
        unsafe {
            palimpsest_script_tensors(self.0.as_ptr(), (&raw mut list).cast(), keep);
        }
        list
    }

    /// What it makes of `input` with `values` in the place of [`Module::tensors`], one each; what it gives to a
    /// buffer is copied into the one that was handed in.
    ///
    /// # Errors
    /// When it fails, or gives anything but one tensor.
    pub fn forward(
        &mut self,
        values: &[&Tensor],
        input: &Tensor,
        train: bool,
    ) -> Result<Tensor, TchError> {
        let mut out = std::ptr::null_mut();
        let handles = handles(values.iter().copied());
        #[expect(
            unsafe_code,
            reason = "a live module and live handles, whose number the C++ side checks; on success `out` is this side's"
        )]
        unsafe {
            check(palimpsest_script_forward(
                self.0.as_ptr(),
                handles.len(),
                handles.as_ptr(),
                input.as_ptr(),
                train,
                &raw mut out,
            ))?;
            Ok(Tensor::from_ptr(out))
        }
    }

    /// Names of what it holds beside parameters, buffers and modules, and has changed since it was loaded. To be asked
    /// once: what it takes to tell is let go.
    ///
    /// # Errors
    /// When values cannot be compared.
    pub fn changed(&mut self) -> Result<Vec<String>, TchError> {
        let mut list: Vec<String> = Vec::new();
        #[expect(unsafe_code, reason = "a live module, and a list that outlives the call")]
        unsafe {
            check(palimpsest_script_changed(self.0.as_ptr(), (&raw mut list).cast(), keep_name))?;
        }
        Ok(list)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the module of `load`, freed here once")]
        unsafe {
            palimpsest_script_free(self.0.as_ptr());
        }
    }
}

/// The state of the generator that operations on a device draw from.
///
/// # Errors
/// When the device has none.
pub fn random_state(device: Device) -> Result<Tensor, TchError> {
    let mut out = std::ptr::null_mut();
    let index = index(device)?;
    #[expect(unsafe_code, reason = "on success `out` is a new tensor that this side owns")]
    unsafe {
        check(palimpsest_random_state(index, &raw mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

fn index(device: Device) -> Result<c_int, TchError> {
    match device {
        Device::Cpu => Ok(-1),
        Device::Cuda(index) => c_int::try_from(index).map_err(|_| unknown(device)),
        _ => Err(unknown(device)),
    }
}

fn unknown(device: Device) -> TchError {
    TchError::Torch(format!("TorchScript modules run on the CPU or on CUDA, not on {device:?}"))
}
