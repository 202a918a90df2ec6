//! Compiles the C++ files that reach the libtorch kernels `tch` does not wrap, and the loops of the
//! small GPT and over weights, once per instruction set.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/kernels.cpp");
    println!("cargo:rerun-if-changed=src/kernels");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo:warning=LIBTORCH is not set: run `./justw setup` first");
        return;
    };
    kernels(&libtorch);
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        let avx2 = ["-mavx2", "-mfma"];
        let avx512 = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw"];
        loops("avx512", &[&avx2[..], &avx512[..], &["-mprefer-vector-width=512"]].concat());
        loops("avx2", &avx2);
    }
    loops("base", &[]);
}

/// As one file: reading libtorch's headers is most of the work.
fn kernels(libtorch: &Path) {
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let whole = out.join("all_kernels.cpp");
    let files = ["kernels.cpp", "kernels/gpt.cpp", "kernels/script.cpp", "kernels/weights.cpp"];
    let text: String = files.map(|file| format!("#include \"{file}\"\n")).concat();
    if let Err(error) = std::fs::write(&whole, text) {
        println!("cargo::error={}: {error}", whole.display());
        return;
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag_if_supported("-Wno-unused-parameter")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .include("src")
        .file(whole)
        .compile("palimpsest_kernels");
}

/// The loops for one instruction set, optimised in every profile: tests run them too.
fn loops(name: &str, flags: &[&str]) {
    // Products of the GPT are fused multiply-adds where there are any, in every position of a tile; loops over weights
    // round as libtorch's operations do, one after the other.
    for (what, contract) in [("gpt", "-ffp-contract=fast"), ("weights", "-ffp-contract=off")] {
        let mut build = cc::Build::new();
        for flag in flags {
            build.flag(flag);
        }
        build
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            .flag_if_supported(contract)
            .flag_if_supported("-fno-math-errno")
            .flag_if_supported("-Wno-psabi")
            .define(&format!("{}_LOOPS", what.to_uppercase()), name)
            .file(format!("src/kernels/{what}_loops.cpp"))
            .compile(&format!("palimpsest_{what}_{name}"));
    }
}
