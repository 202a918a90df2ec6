#!/usr/bin/env python3
"""Fuzz the readers of strangers' files: `fuzz.py SECONDS [TARGET...]`.

Builds `fuzz/` once, with coverage by the compiler's own pass and without a sanitizer, so that the stable compiler is
enough; then runs every target for SECONDS. A target starts from `fuzz/corpus/TARGET`, which is in git, and from what
earlier runs found worth keeping, in `fuzz/found/TARGET`, which is not. Inputs that abort, hang for 10 s or take 2 GiB
are put into `fuzz/artifacts`. Ends with 1 when there is any, with 2 when something cannot run.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FUZZ = Path(__file__).resolve().parent.parent / "fuzz"
# What cargo-fuzz gives the compiler with `--sanitizer none`.
FLAGS = [
    "-C passes=sancov-module",
    *(f"-C llvm-args=-sanitizer-coverage-{option}" for option in
      ["level=4", "inline-8bit-counters", "pc-table", "trace-compares"]),
    "-C codegen-units=1",
    "--cfg fuzzing",
]
LIMITS = ["-rss_limit_mb=2048", "-timeout=10", "-max_len=8192", "-print_final_stats=1"]


def fail(message):
    print(f"fuzz: {message}", file=sys.stderr)
    sys.exit(2)


def host():
    said = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r"^host: (.+)$", said, re.M).group(1)


def build(triple):
    """Build scripts and macros are left as they are: only what is built for a named target gets the flags."""
    env = {**os.environ, "RUSTFLAGS": " ".join(FLAGS)}
    command = ["cargo", "build", "--release", "--bins", "--target", triple]
    if subprocess.run(command, cwd=FUZZ, env=env).returncode != 0:
        fail("the targets cannot be built")
    target = Path(os.environ.get("CARGO_TARGET_DIR", FUZZ / "target"))
    return target / triple / "release"


def run(program, name, seconds, folder):
    """One target; the line about it, and whether it found nothing."""
    found, artifacts = FUZZ / "found" / name, FUZZ / "artifacts" / name
    for path in (found, artifacts):
        path.mkdir(parents=True, exist_ok=True)
    command = [program, found, FUZZ / "corpus" / name, f"-max_total_time={seconds}", f"-artifact_prefix={artifacts}/"]
    began = time.monotonic()
    done = subprocess.run([*map(str, command), *LIMITS], cwd=folder, env={**os.environ, "TMPDIR": folder},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    took = time.monotonic() - began
    coverage = re.findall(r"cov: (\d+)", done.stdout)
    number = re.search(r"stat::number_of_executed_units: (\d+)", done.stdout)
    peak = re.search(r"stat::peak_rss_mb: +(\d+)", done.stdout)
    told = [number.group(1) if number else "?", f"{took:.0f}", coverage[-1] if coverage else "?",
            peak.group(1) if peak else "?"]
    if done.returncode != 0:
        print(done.stdout[-4000:], file=sys.stderr)
    state = "nothing found" if done.returncode == 0 else f"FOUND, see {artifacts}"
    print(f"{name:12} {told[0]:>10} runs {told[1]:>5} s {told[2]:>6} edges {told[3]:>5} MiB  {state}", flush=True)
    return done.returncode == 0


def main():
    if len(sys.argv) < 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) == 0:
        fail("usage: fuzz.py SECONDS [TARGET...]")
    targets = sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))
    wanted = sys.argv[2:] or targets
    for name in wanted:
        if name not in targets:
            fail(f"there is no target {name}; there are {', '.join(targets)}")
    programs = build(host())
    # In memory where that is possible: every run writes the file that is read.
    folder = tempfile.mkdtemp(prefix="palimpsest-fuzz.", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        clean = [run(programs / name, name, int(sys.argv[1]), folder) for name in wanted]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if all(clean) else 1)


if __name__ == "__main__":
    main()
