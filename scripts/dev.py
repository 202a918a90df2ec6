#!/usr/bin/env python3
"""Runs a method for a few steps: `just dev METHOD`.

    python3 scripts/dev.py PROGRAM METHOD [ARGUMENT…]

A method that the smoke suite has runs its cell there. Any other, such as one just started from a
template, runs on the cheapest workload that offers what it needs, from a suite written to target/dev/.
"""

import json
import pathlib
import subprocess
import sys

# Cheapest first; a workload that is not named here comes last.
CHEAPEST = ["digits-mlp", "hurdle-car", "ring8", "quad", "blobs-cnn", "slp-resolve", "chain-sum", "slp-trace"]


def suite(method, explained):
    """The text of a suite in which the method takes a few steps; None where no workload fits."""
    offered = explained["runs_on"]
    fitting = [name for name in CHEAPEST if name in offered] + sorted(set(offered) - set(CHEAPEST))
    if not fitting:
        return None
    batched = any(setting["name"] == "batch_size" for setting in explained["settings"])
    return "\n".join([
        f"suite: dev-{method}",
        f"question: Does {method} run at all?",
        f"workloads: [{{ workload: {fitting[0]}, epochs: 0.1, evaluate_every: 0.05 }}]",
        "seeds: 1",
        "arms:",
        f"  - {{ method: {method}" + (", with: { batch_size: 32 } }" if batched else " }"),
        "",
    ])


def main(program, method, *arguments):
    in_smoke = subprocess.run([program, "plan", "smoke", "--methods", method, "--json"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if in_smoke.returncode == 0:
        command = [program, "run", "smoke", "--methods", method]
    else:
        explained = subprocess.run([program, "explain", method, "--json"], stdout=subprocess.PIPE)
        if explained.returncode != 0:
            return explained.returncode
        text = suite(method, json.loads(explained.stdout))
        if text is None:
            print(f"dev: no workload offers what {method} needs; `palimpsest explain {method}` says what that is",
                  file=sys.stderr)
            return 2
        file = pathlib.Path(__file__).resolve().parent.parent / "target" / "dev" / f"{method}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        command = [program, "run", str(file)]
    return subprocess.run([*command, "--seeds", "1", "--force", *arguments]).returncode


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: just dev METHOD [ARGUMENT…]")
    sys.exit(main(*sys.argv[1:]))
