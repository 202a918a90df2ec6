#!/usr/bin/env python3
"""Runs a suite and reports on that run: `just bench SUITE [ARGUMENT…]`.

    python3 scripts/bench.py PROGRAM SUITE [ARGUMENT…]

Arguments go to `palimpsest run`, but for those that only `palimpsest report` takes; both must look into
the same store. With --json the analysis stands alone on standard output, and the report's words beside it.
"""

import signal
import subprocess
import sys

# Options that take a value, of `report` alone and of both verbs.
OF_REPORT = ["--out", "--format"]
OF_BOTH = ["--store", "--data-dir"]


def parted(arguments):
    """The arguments of `run` and those of `report`."""
    run, report = [], []
    rest = iter(arguments)
    for argument in rest:
        name, given, _ = argument.partition("=")
        words = [argument]
        if name in OF_REPORT + OF_BOTH and not given:
            words += [word for word in [next(rest, None)] if word is not None]
        if name not in OF_REPORT:
            run += words
        if name in OF_REPORT + OF_BOTH:
            report += words
    return run, report


def main(program, suite, *arguments):
    run, report = parted(arguments)
    # The program gets Ctrl-C, too, and says how to go on. A handler, since children would inherit what is ignored.
    signal.signal(signal.SIGINT, lambda *_: None)
    ran = subprocess.run([program, "run", suite, *run]).returncode
    # What failed, some cells of it or a claim, is reported too; a dry run has made nothing.
    if ran not in (0, 1, 3, 4) or {"--dry-run", "--help", "-h"} & set(run):
        return ran
    aside = {"stdout": sys.stderr} if "--json" in run else {}
    reported = subprocess.run([program, "report", suite, "--run", "last", *report], **aside).returncode
    return ran or reported


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: just bench SUITE [ARGUMENT…]")
    sys.exit(main(*sys.argv[1:]))
