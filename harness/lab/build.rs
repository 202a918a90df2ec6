//! Compiles the small C++ file that reaches the libtorch kernels `tch` does not wrap.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/kernels.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo:warning=LIBTORCH is not set: run `./justw setup` first");
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag_if_supported("-Wno-unused-parameter")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .file("src/kernels.cpp")
        .compile("palimpsest_kernels");
}
