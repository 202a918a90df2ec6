#!/usr/bin/env python3
"""Put `palimpsest` and `palimpsest-engine` beside each other into a folder of PATH.

The folder is DIR/bin with --prefix DIR, else where `cargo install` would put them. The programs find libtorch where
set-up put it, by the run path they were linked with: they work as long as that cache is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("palimpsest", "palimpsest-engine")


class InstallError(Exception):
    """What went wrong, in one sentence, and the remedy."""

    def __init__(self, what: str, remedy: str):
        super().__init__(what)
        self.remedy = remedy


def built(profile: str) -> Path:
    """The folder into which cargo builds."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Path(json.loads(result.stdout)["target_directory"]) / profile


def target(prefix: str | None) -> Path:
    if prefix:
        return Path(prefix).expanduser().absolute() / "bin"
    root = os.environ.get("CARGO_INSTALL_ROOT") or os.environ.get("CARGO_HOME") or Path.home() / ".cargo"
    return Path(root).expanduser().absolute() / "bin"


def works(program: Path) -> None:
    """Run what was copied: the engine answers only where it finds libtorch."""
    result = subprocess.run([str(program), "--version"], capture_output=True, text=True, errors="replace")
    if result.returncode != 0:
        raise InstallError(f"{program} does not run: {result.stderr.strip()[-300:]}", "run `just setup`, then install again")


def install(source: Path, folder: Path) -> None:
    """Copy both programs, or leave the folder as it was: they check that they are of one build."""
    for name in PROGRAMS:
        if not (source / name).is_file():
            raise InstallError(f"{source / name} is missing", "cargo build --release --bins --features parquet")
    remedy = "choose a folder of yours with --prefix DIR (the programs go to DIR/bin)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".palimpsest-", dir=folder))
    except OSError as error:
        raise InstallError(f"{folder} cannot be written to: {error.strerror}", remedy) from error
    try:
        for name in PROGRAMS:
            shutil.copy2(source / name, staging / name)
            works(staging / name)
        for name in PROGRAMS:
            if (folder / name).is_dir():
                raise InstallError(f"{folder / name} is a folder", remedy)
        for name in PROGRAMS:
            (staging / name).replace(folder / name)
    except OSError as error:
        raise InstallError(f"cannot install into {folder}: {error}", remedy) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prefix", metavar="DIR", help="install into DIR/bin")
    parser.add_argument("--profile", default="release", help="which build to take (release or dist)")
    args = parser.parse_args()
    folder = target(args.prefix)
    try:
        install(built(args.profile), folder)
    except InstallError as error:
        print(f"install: error: {error}\n  remedy: {error.remedy}", file=sys.stderr)
        return 2
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"install: error: {error}\n  remedy: cargo must be on PATH and must understand this checkout", file=sys.stderr)
        return 2
    paths = " ".join(str(folder / name) for name in PROGRAMS)
    print(f"installed: {paths}\nto remove: rm {paths}")
    if str(folder) not in os.environ.get("PATH", "").split(os.pathsep):
        print(f'not on PATH yet: export PATH="{folder}:$PATH"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
