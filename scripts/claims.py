#!/usr/bin/env python3
"""Judges the claims of suites again: tune where settings are not chosen, run, record, and write the page.

    just claims --because WHY (--results-seen | --results-unseen) [SUITE…] [-- ARGUMENT…]
    just claims --dry-run [SUITE…]

Without SUITE, all at or below suites/ that have claims. What is due is said first, with what it takes as far as the store
knows. All of it can be stopped at any time: trials and runs are cells that are kept, so the same command goes on.
A suite whose data are not here is skipped; one that fails is named at the end, and the others go on. ARGUMENTs go
to `palimpsest tune` and `palimpsest run`, such as `-- --jobs 2`; PALIMPSEST_STORE and PALIMPSEST_DATA say where
runs and data are.
"""

import argparse
import json
import pathlib
import subprocess
import sys


class Failed(Exception):
    """A command did not end well; the text says which and what it said."""


def asked(program, *arguments):
    """What a command answers as JSON."""
    answer = subprocess.run([program, *arguments], capture_output=True, text=True)
    if answer.returncode != 0:
        raise Failed(answer.stderr.strip() or f"`palimpsest {' '.join(arguments)}` ended with {answer.returncode}")
    return json.loads(answer.stdout)


def done(program, *arguments):
    """Runs a command before the user's eyes."""
    code = subprocess.run([program, *arguments]).returncode
    if code != 0:
        raise Failed(f"`palimpsest {' '.join(arguments)}` ended with {code}")


def found():
    """The suites of the repository; `<name>.tuned.yaml` holds settings, not a suite."""
    folder = pathlib.Path("suites")
    files = [path for path in folder.rglob("*.yaml") if "." not in path.stem]
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files)


class Due:
    """What is to be done for a suite: (cells to train, seconds of those that are known, cells that are not)."""

    def __init__(self, program, suite):
        plan = asked(program, "plan", suite, "--json")
        self.absent = plan["data_absent"]
        self.cells = len(plan["cells"])
        self.run = self.of(plan)
        states = [arm["state"] for arm in (plan["tuning"] or {"arms": []})["arms"]]
        # Without its data a suite cannot be tuned, either.
        self.tunes = not self.absent and any(state != "chosen" for state in states)
        self.tune = self.of(asked(program, "tune", suite, "--dry-run", "--json")) if self.tunes else (0, 0.0, 0)

    @staticmethod
    def of(plan):
        due = plan["to_train"]
        return due["cells"], due["seconds_at_least"], due["cells_of_unknown_cost"]

    @property
    def seconds(self):
        return self.tune[1] + self.run[1]

    @property
    def unknown(self):
        return self.tune[2] + self.run[2]

    def words(self):
        if self.absent:
            names = ", ".join(self.absent)
            return f"skipped: the data of {names} are not here; `palimpsest data fetch {self.absent[0]}`"
        parts = [f"tune by {self.tune[0]} trials' cells"] if self.tunes else []
        parts.append(f"run {self.run[0]} of {self.cells} cells")
        return ", ".join(parts) + f", record: {cost(self.seconds, self.unknown)}"


def cost(seconds, unknown):
    if unknown == 0:
        return f"about {duration(seconds)}"
    known = f"at least {duration(seconds)}" if seconds else "cost unknown until a first run"
    return f"{known} ({unknown} cells have not run yet)"


def duration(seconds):
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def say(text):
    print(text, flush=True)


def outlook(program, suites):
    """What is due, suite by suite, said; and what cannot be said, with the reason."""
    due, failed = {}, {}
    for suite in suites or found():
        try:
            if asked(program, "claims", "show", suite):
                due[suite] = Due(program, suite)
            elif suites:
                failed[suite] = "it has no claims"
        except Failed as reason:
            failed[suite] = str(reason)
    width = max((len(suite) for suite in [*due, *failed]), default=0)
    for suite, work in due.items():
        say(f"{suite:{width}}  {work.words()}")
    for suite, reason in failed.items():
        say(f"{suite:{width}}  cannot be judged: {reason}")
    due = {suite: work for suite, work in due.items() if not work.absent}
    together = cost(sum(work.seconds for work in due.values()), sum(work.unknown for work in due.values()))
    say(f"{len(due)} suites, {together}")
    return due, failed


def judge(program, suite, work, reason, arguments):
    if work.tunes:
        done(program, "tune", suite, *arguments)
    done(program, "run", suite, *arguments)
    done(program, "claims", "record", suite, *reason)


def main(program, arguments):
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="just claims", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--because", metavar="WHY", help="why something that was judged may have changed")
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--results-seen", dest="seen", action="store_const", const="--results-seen")
    seen.add_argument("--results-unseen", dest="seen", action="store_const", const="--results-unseen")
    parser.add_argument("--dry-run", action="store_true", help="say what is due, and stop")
    options = parser.parse_args(arguments[:split])
    if not options.dry_run and not (options.because and options.seen):
        parser.error("a register takes a change only with --because WHY and --results-seen or --results-unseen")
    due, failed = outlook(program, options.suites)
    if options.dry_run:
        return 1 if failed else 0
    recorded = False
    for suite, work in due.items():
        say(f"\n== {suite}")
        try:
            judge(program, suite, work, ["--because", options.because, options.seen], arguments[split + 1:])
            recorded = True
        except Failed as reason:
            failed[suite] = str(reason)
            say(f"{suite}: {reason}; the others go on")
    if recorded:
        try:
            done(program, "claims", "page")
        except Failed as reason:
            failed["the page"] = str(reason)
    for suite, reason in failed.items():
        print(f"not judged: {suite}: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: just claims --because WHY (--results-seen | --results-unseen) [SUITE…] [-- ARGUMENT…]")
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        sys.exit(130)
