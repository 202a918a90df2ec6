#!/usr/bin/env python3
"""Compares two stores run by two builds: what training decides must be the same, bit for bit.

    python3 scripts/same_bits.py RUNS_BEFORE RUNS_AFTER

Runs are paired by workload, method, settings and seed. Of record.json everything is compared but what
names the build, the machine and the time (cell ids and commitments hold the build's code digest); of
order.bin, sample_ids.bin, messages.bin and checkpoints every byte; of events.jsonl everything but clocks.
"""

import hashlib
import json
import pathlib
import sys

# What differs between two builds, machines or moments, wherever it stands in a document.
APART = {
    # A cell that two suites share names the one that ran first.
    "suite", "cell", "environment", "clocks", "config_hash", "commitment", "chain", "index", "suite_digest",
    "train_seconds", "warnings", "isotonic", "first", "held3", "diverged_at",
}
# Facts that are measured times.
TIMES = ("seconds", "_ms")


def comparable(value):
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()
                if key not in APART and not key.endswith(TIMES)}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def runs(store):
    found = {}
    for path in sorted(pathlib.Path(store).glob("*/record.json")):
        record = json.loads(path.read_text())
        lineage = record.get("lineage") or {}
        parents = sorted((kind, parent.get("parameters")) for kind, parent in lineage.items())
        key = json.dumps([record["workload"], record["workload_settings"], record["method"],
                          record["settings"], record["seed"], record["goal"], record.get("given_order"),
                          parents], sort_keys=True)
        found[key] = (path.parent, record)
    return found


def events(folder):
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [comparable(json.loads(line)) for line in lines]


def main():
    before, after = (runs(store) for store in sys.argv[1:3])
    missing = sorted(set(before) - set(after))
    different = 0
    for key in sorted(set(before) & set(after)):
        (old, record), (new, again) = before[key], after[key]
        faults = []
        for name in sorted(set(record) | set(again)):
            if name in APART or name.endswith(TIMES):
                continue
            if comparable(record.get(name)) != comparable(again.get(name)):
                faults.append(f"record.json: {name}")
        for name in ("order.bin", "sample_ids.bin", "messages.bin", "checkpoints/final.safetensors"):
            if digest(old / name) != digest(new / name):
                faults.append(name)
        if events(old) != events(new):
            faults.append("events.jsonl")
        if faults:
            different += 1
            print(f"DIFFERENT {record['workload']} {record['method']} seed {record['seed']} "
                  f"({old.name}, {new.name}): {', '.join(faults)}")
    same = len(set(before) & set(after)) - different
    print(f"{same} runs are the same, {different} differ, {len(missing)} were not made again, "
          f"{len(set(after) - set(before))} are new")
    return 1 if different or missing else 0


if __name__ == "__main__":
    sys.exit(main())
