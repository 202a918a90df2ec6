//! Where tensors live, and the process-wide set-up of libtorch.

use tch::{Cuda, Device};

use crate::LabError;

/// Parses `auto`, `cpu`, `cuda` or `cuda:N` and checks that the device is there.
///
/// # Errors
/// When the text is none of these, or the device is not usable on this machine.
pub fn select(asked: &str) -> Result<Device, LabError> {
    let refuse = |reason: String| LabError::Device { asked: asked.to_owned(), reason };
    let index = match asked {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            load_cuda();
            return Ok(if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu });
        }
        "cuda" => 0,
        _ => asked
            .strip_prefix("cuda:")
            .and_then(|index| index.parse::<usize>().ok())
            .ok_or_else(|| refuse("use auto, cpu, cuda or cuda:N".to_owned()))?,
    };
    load_cuda();
    let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
    if index < count {
        Ok(Device::Cuda(index))
    } else {
        Err(refuse(format!(
            "{count} CUDA devices are visible; use --device cpu, or install the CUDA libraries with `just setup cuda`"
        )))
    }
}

/// Name of a device as records write it.
#[must_use]
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// Waits until the device has done all it was given, so that a clock reads true.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(i64::try_from(index).unwrap_or(0));
    }
}

/// Registers libtorch's CUDA back end when its library lies beside the CPU one.
///
/// A build made without CUDA then runs on a GPU machine: the library registers itself on load.
#[expect(
    unsafe_code,
    reason = "dlopen of a library that registers itself; the handle is kept for the life of the process"
)]
fn load_cuda() {
    static LOADED: std::sync::Once = std::sync::Once::new();
    LOADED.call_once(|| unsafe {
        libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
    });
}

/// Process-wide set-up, once, before the first tensor: thread counts and the allocator.
pub fn prepare_process(threads: u32) {
    static PREPARED: std::sync::Once = std::sync::Once::new();
    PREPARED.call_once(keep_large_blocks);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
}

/// Makes glibc keep large blocks instead of returning them to the kernel after every step: each
/// activation of a convnet would otherwise be unmapped, mapped and page-faulted again. The first
/// GiB of the heap may lie in huge pages, where the kernel leaves that to the process.
fn keep_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "mallopt only sets tunables; the advice is for whole pages of a block that is ours"
    )]
    unsafe {
        const BLOCK: i32 = 1 << 30;
        const HUGE_PAGE: usize = 2 << 20;
        libc::mallopt(libc::M_MMAP_THRESHOLD, BLOCK);
        // Never trim.
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        // Below the threshold, so from the heap, where it stays when freed; never touched, so it
        // costs addresses only.
        let length = BLOCK as usize - HUGE_PAGE;
        let block = libc::malloc(length);
        if !block.is_null() {
            let skipped = block.align_offset(HUGE_PAGE);
            let whole = length.saturating_sub(skipped) / HUGE_PAGE * HUGE_PAGE;
            libc::madvise(block.wrapping_byte_add(skipped), whole, libc::MADV_HUGEPAGE);
            libc::free(block);
        }
    }
}

/// Version of the libtorch this build is made for.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// Number of CUDA devices that can be used.
#[must_use]
pub fn cuda_devices() -> usize {
    load_cuda();
    usize::try_from(Cuda::device_count()).unwrap_or(0)
}

/// Whether libtorch adds correctly: a first check of a fresh installation.
#[must_use]
pub fn computes() -> bool {
    let sum =
        tch::Tensor::f_from_slice(&[1.0_f64, 2.0]).and_then(|two| two.f_sum(tch::Kind::Double));
    sum.is_ok_and(|sum| f64::try_from(&sum).is_ok_and(|sum| (sum - 3.0).abs() < 1e-12))
}
