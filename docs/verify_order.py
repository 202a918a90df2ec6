#!/usr/bin/env python3
"""Check the order transcript of a Palimpsest run without Palimpsest; needs NumPy only.

    python3 docs/verify_order.py RUN_FOLDER
        recomputes what the record's `order` section says about order.bin and sample_ids.bin,
        one line for each check; exit 0 all agree, 1 something does not, 2 unreadable input.

    python3 docs/verify_order.py --seed K --n N --epoch E
        prints the uniform order of epoch E over N examples for the integer seed K.

Everything here follows from the order contract, version 1:

  seed            SHA-256("palimpsest/seed/v1" || K u64 LE)
  effective seed  seed, or with a beacon SHA-256(seed || dataset root || beacon)
  uniform order   d = SHA-256("palimpsest/order/v1" || effective seed || epoch u32 LE);
                  PCG64 (XSL-RR 128/64) with state = d[0..16] LE, stream = d[16..32] LE;
                  Durstenfeld shuffle of 0..N-1 from the last index down: for i = N-1, ..., 1
                  swap i with a uniform j in 0..i; the draw is Lemire's multiply-shift of a
                  64-bit output with rejection.

State and stream are the two arguments of PCG's `srandom`. NumPy wants the internal state instead:
modulo 2^128, inc = 2 * stream + 1 and state' = (state + inc) * M + inc, with PCG's multiplier M.
Both step before they output. The loops are plain on purpose: this file is meant to be read.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import numpy as np

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
MASK64 = 2**64 - 1
MASK128 = 2**128 - 1


class Unreadable(Exception):
    """The run folder lacks something, or it has another form than expected."""


def sha256(*parts):
    """SHA-256 of the concatenation of byte strings."""
    return hashlib.sha256(b"".join(parts)).digest()


def u32(number):
    return int(number).to_bytes(4, "little")


def u64(number):
    return int(number).to_bytes(8, "little")


def integer_seed(k):
    return sha256(b"palimpsest/seed/v1", u64(k))


def draws(digest):
    """The 64-bit outputs of the generator seeded by a digest, drawn in bulk, yielded one by one."""
    state = int.from_bytes(digest[:16], "little")
    stream = int.from_bytes(digest[16:], "little")
    increment = (2 * stream + 1) & MASK128
    state = ((state + increment) * MULTIPLIER + increment) & MASK128
    generator = np.random.PCG64()
    generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": increment},
        "has_uint32": 0,
        "uinteger": 0,
    }
    while True:
        yield from generator.random_raw(4096).tolist()


def bounded(source, n):
    """A uniform integer in 0..n-1 (Lemire)."""
    product = next(source) * n
    if product & MASK64 < n:
        threshold = (2**64 - n) % n
        while product & MASK64 < threshold:
            product = next(source) * n
    return product >> 64


def uniform_order(effective_seed, epoch, n):
    """The ids of one epoch as a list."""
    source = draws(sha256(b"palimpsest/order/v1", effective_seed, u32(epoch)))
    ids = list(range(n))
    for i in range(n - 1, 0, -1):
        j = bounded(source, i + 1)
        ids[i], ids[j] = ids[j], ids[i]
    return ids


def order_bytes(ids):
    return np.asarray(ids, dtype="<u4").tobytes()


def merkle_root(leaves):
    """RFC 6962 root over byte strings; a node without a sibling moves up unchanged."""
    level = [sha256(b"\x00", leaf) for leaf in leaves]
    if not level:
        return sha256()
    while len(level) > 1:
        pairs = [sha256(b"\x01", a, b) for a, b in zip(level[::2], level[1::2])]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


class Report:
    """Prints one line for each check and remembers whether one failed."""

    def __init__(self):
        self.failed = False

    def compare(self, name, recorded, recomputed):
        agrees = recorded == recomputed
        self.failed |= not agrees
        if agrees:
            print(f"ok        {name}")
        else:
            print(f"MISMATCH  {name}: recorded {recorded}, recomputed {recomputed}")

    def skip(self, name, reason):
        print(f"skipped   {name}: {reason}")


def check_seed(order, report):
    """Seed and commitments; returns the effective seed."""
    seed = bytes.fromhex(order["seed_hex"])
    root = bytes.fromhex(order["dataset_root"])
    seed_commit = sha256(bytes.fromhex(order["nonce_hex"]), seed)
    report.compare("seed_commit", order["seed_commit"], seed_commit.hex())
    commitment = sha256(
        b"palimpsest/run/v1",
        root,
        bytes.fromhex(order["config_hash"]),
        u64(order["examples"]),
        u32(order["epochs_planned"]),
        seed_commit,
    )
    report.compare("commitment", order["commitment"], commitment.hex())
    if order.get("beacon") is None:
        return seed
    return sha256(seed, root, bytes.fromhex(order["beacon"]))


def check_uniform(order, epoch, ids, effective_seed, report):
    """A run may stop inside an epoch: what it consumed is then the start of the order."""
    name = f"epoch {epoch['epoch']}: uniform order"
    law = order["law"]
    if law not in ("uniform", "uniform-same-each-epoch") or order["unit"] != "sample":
        report.skip(name, f"law {law}, unit {order['unit']} does not follow from the seed alone")
        return
    drawn = epoch["epoch"] if law == "uniform" else 0
    planned = uniform_order(effective_seed, drawn, order["examples"])
    recomputed = order_bytes(planned[: len(ids)])
    report.compare(name, sha256(order_bytes(ids)).hex(), sha256(recomputed).hex())


def check_run(folder):
    """All checks of one run; returns whether one failed."""
    order = json.loads((folder / "record.json").read_text(encoding="utf-8"))["order"]
    if order["version"] != 1:
        raise Unreadable(f"order.version is {order['version']}; this script knows version 1")
    raw = (folder / "order.bin").read_bytes()
    if len(raw) % 4:
        raise Unreadable(f"order.bin has {len(raw)} bytes, which is not a multiple of 4")
    all_ids = np.frombuffer(raw, dtype="<u4").tolist()
    blob = (folder / "sample_ids.bin").read_bytes()
    if len(blob) != 32 * order["examples"]:
        raise Unreadable(f"sample_ids.bin has {len(blob)} bytes, not 32 for each example")
    sample_ids = [blob[at : at + 32] for at in range(0, len(blob), 32)]
    if all_ids and max(all_ids) >= len(sample_ids):
        raise Unreadable(f"order.bin names example {max(all_ids)} of {len(sample_ids)}")

    report = Report()
    report.compare("dataset_root", order["dataset_root"], merkle_root(sample_ids).hex())
    effective_seed = check_seed(order, report)
    chain = bytes.fromhex(order["commitment"])
    points = {0: chain.hex()}
    position = 0
    for number, epoch in enumerate(order["epochs"]):
        name = f"epoch {number}"
        report.compare(f"{name}: number", epoch["epoch"], number)
        report.compare(f"{name}: offset", epoch["offset"], position)
        ids = all_ids[position : position + epoch["n"]]
        report.compare(f"{name}: n", epoch["n"], len(ids))
        report.compare(f"{name}: order_hash", epoch["order_hash"], sha256(order_bytes(ids)).hex())
        root = merkle_root([sample_ids[i] for i in ids])
        report.compare(f"{name}: order_root", epoch["order_root"], root.hex())
        check_uniform(order, epoch, ids, effective_seed, report)
        if any(size < 1 or count < 1 for size, count in epoch["steps"]):
            raise Unreadable(f"{name}: a step without ids, or an entry without steps")
        in_steps = sum(size * count for size, count in epoch["steps"])
        report.compare(f"{name}: ids in steps", in_steps, len(ids))
        if in_steps != len(ids):
            return True
        at = 0
        for size, count in epoch["steps"]:
            for _ in range(count):
                step = order_bytes(ids[at : at + size])
                chain = sha256(chain, u64(len(points) - 1), u32(size), step)
                points[len(points)] = chain.hex()
                at += size
        position += len(ids)
    report.compare("ids in epochs", position, len(all_ids))
    for point in order["chain"]:
        name = f"chain at step {point['step']}"
        report.compare(name, point["chain"], points.get(point["step"], "no such step"))
    last = order["chain"][-1]["step"] if order["chain"] else "missing"
    report.compare("chain's last step", last, len(points) - 1)
    return report.failed


def main():
    parser = argparse.ArgumentParser(description="Check the order transcript of a run.")
    parser.add_argument("run", nargs="?", type=pathlib.Path, help="folder of the run")
    parser.add_argument("--seed", type=int, help="print an order for this integer seed instead")
    parser.add_argument("--n", type=int, default=10, help="number of examples (default 10)")
    parser.add_argument("--epoch", type=int, default=0, help="number of the epoch (default 0)")
    options = parser.parse_args()
    if (options.run is None) == (options.seed is None):
        parser.error("give a run folder or --seed")
    if options.seed is not None:
        ids = uniform_order(integer_seed(options.seed), options.epoch, options.n)
        print(" ".join(map(str, ids)))
        print(sha256(order_bytes(ids)).hex())
        return 0
    try:
        return 1 if check_run(options.run) else 0
    except (Unreadable, OSError, ValueError, KeyError, TypeError, OverflowError) as problem:
        print(f"cannot check {options.run}: {problem!r}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
