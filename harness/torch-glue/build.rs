//! Compiles the C++ of `torch-sys` as one file, or takes the archive that another profile made of it.

use std::error::Error;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The files of `torch-sys`, in an order in which they can follow each other in one.
const SOURCES: [&str; 2] = ["torch_api.cpp", "torch_api_generated.cpp"];
/// Name of the archive, which no other library has.
const ARCHIVE: &str = "palimpsest_torch";
/// Calls are thin: 1 is as fast as 3, and a minute quicker to build.
const OPT_LEVEL: u32 = 1;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    if let Err(problem) = build() {
        println!("cargo::error={problem}");
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from);
    let libtorch = libtorch.ok_or("LIBTORCH is not set: run `./justw setup` first")?;
    let libraries = libtorch.join("lib");
    if !libraries.is_dir() {
        let at = libraries.display();
        return Err(
            format!("LIBTORCH names no libtorch: {at} is not there: run `./justw setup`").into()
        );
    }
    let sources = sources()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let compiler = compiler(&libtorch, &sources);
    let key = key(&compiler, &libtorch, &sources)?;
    let kept = kept(&out, key);
    let file = format!("lib{ARCHIVE}.a");
    if !kept.join(&file).is_file() {
        compile(compiler, &sources, &out)?;
        fs::create_dir_all(&kept)?;
        // Renamed into its place, so that a build that is killed, or runs beside this one, leaves none half.
        let whole = kept.join(format!("{file}.{}", std::process::id()));
        fs::copy(out.join(&file), &whole)?;
        // As old as what it is made of: one that is newer than this run would have cargo run it again, and build
        // all that depends on it, the next time.
        let made_of = fs::metadata(sources.join(SOURCES[0]))?.modified()?;
        fs::File::options().write(true).open(&whole)?.set_modified(made_of)?;
        fs::rename(&whole, kept.join(&file))?;
    }
    // Built again where somebody removed it.
    println!("cargo:rerun-if-changed={}", kept.join(&file).display());
    println!("cargo:rustc-link-search=native={}", kept.display());
    println!("cargo:rustc-link-search=native={}", libraries.display());
    // The whole of it: `torch-sys`, which calls it, may stand behind it on the linker's command line.
    println!("cargo:rustc-link-lib=static:-bundle,+whole-archive={ARCHIVE}");
    for library in ["torch_cuda", "torch_hip"] {
        if libraries.join(format!("lib{library}.so")).is_file() {
            println!("cargo:rustc-link-lib={library}");
        }
    }
    for library in ["torch_cpu", "torch", "c10"] {
        println!("cargo:rustc-link-lib={library}");
    }
    let target = env::var("TARGET")?;
    println!("cargo:rustc-link-lib={}", if target.contains("apple") { "c++" } else { "stdc++" });
    if !target.contains("apple") {
        println!("cargo:rustc-link-lib=gomp");
    }
    Ok(())
}

/// Where the sources of `torch-sys` lie: cargo alone knows, since they may be vendored.
fn sources() -> Result<PathBuf, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").ok_or("CARGO is not set")?;
    let target = env::var("TARGET")?;
    let listed = ["metadata", "--format-version", "1", "--filter-platform", &target];
    let mut metadata = Command::new(&cargo).args(listed).arg("--offline").output()?;
    if !metadata.status.success() {
        // A fresh registry lacks what this build does not need, but the listing names.
        metadata = Command::new(&cargo).args(listed).output()?;
    }
    if !metadata.status.success() {
        return Err(String::from_utf8_lossy(&metadata.stderr).replace('\n', " ").into());
    }
    let text = String::from_utf8(metadata.stdout)?;
    text.split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(path, _)| PathBuf::from(path.replace("\\\\", "\\")))
        .filter_map(|manifest| manifest.parent().map(Path::to_path_buf))
        .find(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            name == "torch-sys" || name.starts_with("torch-sys-")
        })
        .map(|folder| folder.join("libtch"))
        .ok_or_else(|| "cargo metadata names no torch-sys".into())
}

fn compiler(libtorch: &Path, sources: &Path) -> cc::Build {
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .pic(true)
        .warnings(false)
        .flag_if_supported("-Wno-deprecated-declarations")
        .opt_level(OPT_LEVEL)
        .debug(false)
        .include(sources)
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", Some(abi.as_str()))
        .define("GLOG_USE_GLOG_EXPORT", None)
        // What links it is told above, since the archive may be that of another profile.
        .cargo_metadata(false);
    build
}

/// Changes with everything that the archive depends on.
fn key(compiler: &cc::Build, libtorch: &Path, sources: &Path) -> Result<u64, Box<dyn Error>> {
    let mut key = DefaultHasher::new();
    let tool = compiler.try_get_compiler()?;
    let version = Command::new(tool.path()).arg("--version").output()?;
    (tool.path(), tool.args(), version.stdout, libtorch).hash(&mut key);
    let mut files: Vec<PathBuf> =
        fs::read_dir(sources)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    for file in files {
        fs::read(file)?.hash(&mut key);
    }
    Ok(key.finish())
}

/// In the target folder, which all profiles share: `target/PROFILE/build/PACKAGE/out` is where a build
/// script writes.
fn kept(out: &Path, key: u64) -> PathBuf {
    let target = out.ancestors().nth(4).unwrap_or(out);
    target.join(format!("torch-glue-{key:016x}"))
}

fn compile(mut build: cc::Build, sources: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let whole = out.join("torch_sys.cpp");
    let text: String = SOURCES.iter().map(|file| format!("#include \"{file}\"\n")).collect();
    if let Some(missing) = SOURCES.iter().find(|file| !sources.join(file).is_file()) {
        return Err(format!("torch-sys has no {missing} in {}", sources.display()).into());
    }
    fs::write(&whole, text)?;
    build.file(whole).try_compile(ARCHIVE)?;
    Ok(())
}
