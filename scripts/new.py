#!/usr/bin/env python3
"""Starts a method, a workload or a suite from a file that works as it is.

just new [method] FAMILY NAME [SEAT]    a method that takes one seat (default: optimizer)
just new workload FAMILY NAME           a workload on generated data
just new suite NAME                     a suite

A family is a folder; one that does not exist is made after a question, or with --new-family.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Words that no module may be called, and folders that are no family.
KEYWORDS = set(
    "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if"
    " impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try"
    " type typeof unsafe unsized use virtual where while yield".split()
)
RESERVED = {"shared", "templates", "method", "workload", "suite"}


class Refused(Exception):
    """What was asked for cannot be made; the text says why and what can."""


def seats(root: Path) -> list[str]:
    """Seats that there is a template for."""
    return sorted(path.stem for path in (root / "methods" / "templates").glob("*.rs"))


def families(folder: Path) -> list[str]:
    """Families below a folder of sources."""
    found = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(name for name in found if name not in RESERVED)


def checked(name: str, what: str = "name") -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise Refused(f"the {what} {name!r} is not lower-case words joined by -, as in my-method")
    return name


def module(name: str) -> str:
    """The name of a file in Rust."""
    word = name.replace("-", "_")
    if word in KEYWORDS:
        raise Refused(f"{name!r} is a word of Rust's own; choose another name")
    return word


def taken(root: Path, name: str) -> Path | None:
    """The method or workload that is called so already: `explain` tells both by one name."""
    for folder in (root / "methods" / "src", root / "harness" / "workloads" / "src"):
        for family in families(folder):
            path = folder / family / (name.replace("-", "_") + ".rs")
            if path.exists():
                return path
    return None


def write(path: Path, text: str) -> None:
    """Writes a file that must not exist yet."""
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{path} exists already; nothing was written") from None


def in_family(root: Path, folder: Path, template: Path, family: str, name: str, may_make) -> Path:
    checked(name)
    if not re.fullmatch(r"[a-z][a-z0-9]*", family) or family in KEYWORDS | RESERVED:
        raise Refused(f"a family is one lower-case word, a folder of {folder.relative_to(root)}, and not {family!r}")
    stem = module(name)
    there = taken(root, name)
    if there:
        raise Refused(f"{there.relative_to(root)} exists already; nothing was written")
    place = folder / family
    if not place.is_dir() and not may_make(family, families(folder)):
        known = ", ".join(families(folder))
        raise Refused(f"there is no family {family!r}; there are {known}; --new-family makes a new one")
    text = template.read_text(encoding="utf-8").replace("@NAME@", name)
    place.mkdir(exist_ok=True)
    path = place / f"{stem}.rs"
    write(path, text)
    return path


def method(root: Path, family: str, name: str, seat: str, may_make) -> list[str]:
    if seat not in seats(root):
        raise Refused(f"there is no template for the seat {seat!r}; there are {', '.join(seats(root))}")
    template = root / "methods" / "templates" / f"{seat}.rs"
    path = in_family(root, root / "methods" / "src", template, family, name, may_make).relative_to(root)
    return [
        f"made {path}; it trains as it is",
        "next: the card at its top, paper and claim, the settings, then the seat (docs/architecture.md lists all)",
        f"try:  just test-method {name}",
        f"      just dev {name}",
    ]


def workload(root: Path, family: str, name: str, may_make) -> list[str]:
    template = root / "harness" / "workloads" / "template.rs"
    path = in_family(root, root / "harness" / "workloads" / "src", template, family, name, may_make).relative_to(root)
    return [
        f"made {path}; methods train on it as it is",
        "next: the card at its top, the data (`load`), the network, then metrics, target and budget",
        f"try:  cargo test -p workloads {module(name)}",
        "      cargo test -p methods --test conformance",
    ]


def suite(root: Path, name: str) -> list[str]:
    text = (root / "scripts" / "new" / "suite.yaml").read_text(encoding="utf-8")
    path = root / "suites" / f"{checked(name)}.yaml"
    write(path, text.replace("@NAME@", name))
    return [
        f"made {path.relative_to(root)}; it runs as it is",
        "next: the question, the workloads with their targets, the arms; docs/suites.md lists every key",
        f"try:  palimpsest plan {path.relative_to(root)}",
        f"      just bench {path.relative_to(root)}",
    ]


def asked(family: str, known: list[str]) -> bool:
    """Asks whether to make a family, where somebody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"There is no family {family!r}; there are {', '.join(known)}.", file=sys.stderr)
    print(f"Make the family {family!r}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def new(words: list[str], root: Path = ROOT, ask=asked) -> list[str]:
    """Makes what `words` ask for; what to do next, line by line."""
    options = [word for word in words if word.startswith("-")]
    words = [word for word in words if not word.startswith("-")]
    unknown = [option for option in options if option != "--new-family"]
    if unknown:
        raise Refused(f"there is no option {unknown[0]}; the only one is --new-family")
    may_make = (lambda *_: True) if options else ask
    if words[:1] == ["suite"] and len(words) == 2:
        return suite(root, words[1])
    if words[:1] == ["workload"] and len(words) == 3:
        return workload(root, words[1], words[2], may_make)
    of_method = words[1:] if words[:1] == ["method"] else words
    if words[:1] not in (["suite"], ["workload"]) and len(of_method) in (2, 3):
        family, name, *seat = of_method
        return method(root, family, name, seat[0] if seat else "optimizer", may_make)
    raise Refused(f"{__doc__.strip()}\nSeats: {', '.join(seats(root))}.")


def main() -> int:
    if set(sys.argv[1:]) & {"-h", "--help"}:
        print(f"{__doc__.strip()}\nSeats: {', '.join(seats(ROOT))}.")
        return 0
    try:
        print("\n".join(new(sys.argv[1:])))
    except Refused as refusal:
        print(f"new: {refusal}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
