#!/usr/bin/env python3
"""Check the order transcript of a Palimpsest run without Palimpsest; needs NumPy only.

    python3 docs/verify_order.py RUN_FOLDER
        recomputes what the record's `order` section says about order.bin and sample_ids.bin,
        one line for each check: `ok`, `MISMATCH`, or `unchecked` with the reason.

            exit 0   all agrees, and the order of every epoch was computed anew from the seed
            exit 1   something does not agree
            exit 2   an input cannot be read
            exit 3   all that was checked agrees, but the order does not follow from the seed by a
                     rule that this script knows: it is what the record says that it was

    python3 docs/verify_order.py --seed K --n N --epoch E
        prints the uniform order of epoch E over N examples for the integer seed K.

Everything here follows from the order contract:

  seed            SHA-256("palimpsest/seed/v1" || K u64 LE)
  effective seed  seed, or with a beacon SHA-256(seed || dataset root || beacon)
  commitment      SHA-256("palimpsest/run/v2" || dataset root || config hash || examples u64 LE ||
                  epochs u32 LE || seed commitment || law || 0x00 || unit || 0x00), law and unit by
                  their names, the unit of an order with a layout followed by a space and the
                  layout, as in "pack support*5 query*15"; version 1 has "palimpsest/run/v1" and neither law nor unit
  uniform order   d = SHA-256("palimpsest/order/v1" || effective seed || epoch u32 LE);
                  PCG64 (XSL-RR 128/64) with state = d[0..16] LE, stream = d[16..32] LE;
                  Durstenfeld shuffle of 0..N-1 from the last index down: for i = N-1, ..., 1
                  swap i with a uniform j in 0..i; the draw is Lemire's multiply-shift of a
                  64-bit output with rejection.
  rs2             a round is r = round(ratio N) ids: without replacement the next r of the uniform
                  order of the pass, a new pass when fewer are left; with it the first r of the
                  uniform order of the round
  static-subset   the first r ids of the shuffle by the stream "method", that is by d = SHA-256(
                  "palimpsest/stream/v1" || effective seed || "method"); every epoch shuffles them,
                  in increasing order at first, by its own d

What is not computed anew: orders by the groups of a data set (replacement, blockwise), by scores or
by what the training showed. Cell id, config hash, index and manifest: `palimpsest verify`.

State and stream are the two arguments of PCG's `srandom`. NumPy wants the internal state instead:
modulo 2^128, inc = 2 * stream + 1 and state' = (state + inc) * M + inc, with PCG's multiplier M.
Both step before they output. The loops are plain on purpose: this file is meant to be read.
"""

import argparse
import hashlib
import json
import math
import pathlib
import re
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


def shuffle(digest, ids):
    """Durstenfeld's shuffle by the generator of a digest."""
    source, ids = draws(digest), list(ids)
    for i in range(len(ids) - 1, 0, -1):
        j = bounded(source, i + 1)
        ids[i], ids[j] = ids[j], ids[i]
    return ids


def epoch_digest(effective_seed, epoch):
    """What the generator of an epoch's order is made of."""
    return sha256(b"palimpsest/order/v1", effective_seed, u32(epoch))


def uniform_order(effective_seed, epoch, n):
    """The ids of one epoch as a list."""
    return shuffle(epoch_digest(effective_seed, epoch), range(n))


def share(ratio, n):
    """ratio * n to the nearest whole number, halves upwards, at least 1."""
    return max(1, min(n, math.floor(ratio * n) + (ratio * n % 1 >= 0.5)))


def rs2_order(effective_seed, epoch, n, settings):
    """A round of RS2."""
    size = share(settings["ratio"], n)
    if settings["replacement"] == "with":
        return uniform_order(effective_seed, epoch, n)[:size]
    rounds = max(1, n // size)
    start = epoch % rounds * size
    return uniform_order(effective_seed, epoch // rounds, n)[start : start + size]


def static_subset_order(effective_seed, epoch, n, settings):
    """An epoch over a fixed random subset."""
    all_ids = shuffle(sha256(b"palimpsest/stream/v1", effective_seed, b"method"), range(n))
    subset = sorted(all_ids[: share(settings["ratio"], n)])
    return shuffle(epoch_digest(effective_seed, epoch), subset)


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


def printable(text):
    """Text in which line ends, escape sequences and other invisible characters are written out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in str(text)
    )


class Report:
    """Prints one line for each check and remembers what became of them."""

    def __init__(self):
        self.failed = False
        self.order_unchecked = False

    def compare(self, name, recorded, recomputed):
        agrees = recorded == recomputed and type(recorded) is type(recomputed)
        self.failed |= not agrees
        if agrees:
            print(printable(f"ok        {name}"))
        else:
            print(printable(f"MISMATCH  {name}: recorded {recorded}, recomputed {recomputed}"))

    def skip(self, name, reason):
        print(printable(f"unchecked {name}: {reason}"))


# ---- Form of the record -----------------------------------------------------------------------------


def is_count(value):
    """A whole number from 0; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_hash(value):
    """64 hexadecimal digits and nothing else."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def is_beacon(value):
    """Whole bytes in hexadecimal, or nothing."""
    return value is None or isinstance(value, str) and re.fullmatch("([0-9a-fA-F]{2})+", value) is not None


def is_steps(value):
    """Pairs of the ids in a step and the number of such steps, none of them 0."""
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(is_count(part) and part for part in pair)
        for pair in value
    )


def is_layout(value):
    """Pairs of a role, a word, and its number of examples; at least one."""
    return isinstance(value, list) and len(value) > 0 and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
        and re.fullmatch("[a-z0-9-]+", pair[0]) is not None and is_count(pair[1]) and pair[1]
        for pair in value
    )


def is_list(value):
    return isinstance(value, list)


def is_text(value):
    return isinstance(value, str)


ORDER = {
    "version": is_count, "law": is_text, "unit": is_text, "randomness": is_text, "examples": is_count,
    "seed_hex": is_hash, "nonce_hex": is_hash, "beacon": is_beacon, "seed_commit": is_hash,
    "dataset_root": is_hash, "config_hash": is_hash, "epochs_planned": is_count,
    "commitment": is_hash, "chain": is_list, "epochs": is_list,
}
EPOCH = {
    "epoch": is_count, "offset": is_count, "n": is_count, "steps": is_steps, "order_hash": is_hash,
    "order_root": is_hash,
}
POINT = {"step": is_count, "chain": is_hash}


def require(place, value, fields):
    """Refuses an object that lacks a field, or has one of another type."""
    if not isinstance(value, dict):
        raise Unreadable(f"{place} is {str(value)[:40]!r}, not an object")
    for name, holds in fields.items():
        if name not in value or not holds(value[name]):
            raise Unreadable(f"{place}.{name} is {str(value.get(name, 'missing'))[:40]!r}")


def once(pairs):
    """A dictionary in which no key came twice."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Unreadable("a field stands there twice")
    return fields


def read_record(folder):
    """The record and its order section."""
    record = json.loads(read_bytes(folder / "record.json").decode("utf-8"), object_pairs_hook=once)
    require("the record", record, {})
    order = record.get("order")
    if order is None:
        raise Unreadable("the record has no order section: nothing of its order can be checked")
    require("order", order, ORDER)
    if "layout" in order:
        require("order", order, {"layout": is_layout})
    for place, epoch in enumerate(order["epochs"]):
        require(f"order.epochs[{place}]", epoch, EPOCH)
    for place, point in enumerate(order["chain"]):
        require(f"order.chain[{place}]", point, POINT)
    if order["version"] not in (1, 2):
        raise Unreadable(f"order.version is {order['version']}; this script knows versions 1 and 2")
    if order["examples"] >= 2**32:
        raise Unreadable(f"order.examples is {order['examples']}")
    return record, order


def read_bytes(path):
    """The bytes of a regular file; a pipe would wait for a writer."""
    if not path.is_file():
        raise Unreadable(f"{path} is not a file")
    return path.read_bytes()


def read_ids(folder, examples):
    """Ids in the order consumed, and the sample id of each example."""
    raw = read_bytes(folder / "order.bin")
    if len(raw) % 4:
        raise Unreadable(f"order.bin has {len(raw)} bytes, which is not a multiple of 4")
    ids = np.frombuffer(raw, dtype="<u4").tolist()
    blob = read_bytes(folder / "sample_ids.bin")
    if len(blob) != 32 * examples:
        raise Unreadable(f"sample_ids.bin has {len(blob)} bytes, not 32 for each example")
    if ids and max(ids) >= examples:
        raise Unreadable(f"order.bin names example {max(ids)} of {examples}")
    return ids, [blob[at : at + 32] for at in range(0, len(blob), 32)]


# ---- Checks ---------------------------------------------------------------------------------------------


def check_seed(record, order, report):
    """Seed and commitments; returns the effective seed."""
    seed = bytes.fromhex(order["seed_hex"])
    root = bytes.fromhex(order["dataset_root"])
    seed_commit = sha256(bytes.fromhex(order["nonce_hex"]), seed)
    report.compare("seed_commit", order["seed_commit"], seed_commit.hex())
    number = str(record.get("seed")).partition("+")[0]
    if order["randomness"] == "fixed" and re.fullmatch("[0-9]{1,19}", number):
        report.compare(f"seed of the integer {number}", order["seed_hex"], integer_seed(number).hex())
    version, bound = order["version"], b""
    if version == 1:
        report.skip("law and unit", "a commitment of version 1 does not hold them")
    else:
        roles = "".join(f" {role}*{count}" for role, count in layout_of(order))
        unit = order["unit"].encode("ascii") + roles.encode("ascii")
        bound = order["law"].encode("ascii") + b"\x00" + unit + b"\x00"
    commitment = sha256(
        f"palimpsest/run/v{version}".encode(),
        root,
        bytes.fromhex(order["config_hash"]),
        u64(order["examples"]),
        u32(order["epochs_planned"]),
        seed_commit,
        bound,
    )
    report.compare("commitment", order["commitment"], commitment.hex())
    if order["beacon"] is None:
        return seed
    return sha256(seed, root, bytes.fromhex(order["beacon"]))


def layout_of(order):
    """Roles and numbers of the examples that a unit is made of; none where examples are moved one by one."""
    return order.get("layout", [])


def is_whole(order):
    """Whether the law shuffles all examples, one by one or in the units of a layout."""
    unit = "pack" if layout_of(order) else "sample"
    return order["law"] in ("uniform", "uniform-same-each-epoch") and order["unit"] == unit


def units_order(effective_seed, epoch, n, size):
    """The uniform order of units of `size` examples that lie one after another."""
    units = uniform_order(effective_seed, epoch, n // size)
    return [unit * size + place for unit in units for place in range(size)]


def planned_order(record, order, epoch, effective_seed):
    """The name of the rule and the ids that it gives, or None where the seed alone does not tell."""
    n, method, settings = order["examples"], record.get("method"), record.get("settings")
    if is_whole(order):
        drawn = epoch if order["law"] == "uniform" else 0
        if layout_of(order):
            size = sum(count for _, count in layout_of(order))
            return "uniform order of units", units_order(effective_seed, drawn, n, size)
        return "uniform order", uniform_order(effective_seed, drawn, n)
    rules = {"rs2": rs2_order, "static-subset": static_subset_order}
    if order["law"] != "uniform-subset" or order["unit"] != "sample" or method not in rules:
        return None
    ratio = settings.get("ratio") if isinstance(settings, dict) else None
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio <= 1:
        raise Unreadable(f"settings.ratio of {method} is {ratio!r}")
    if method == "rs2" and settings.get("replacement") not in ("with", "without"):
        raise Unreadable(f"settings.replacement of rs2 is {settings.get('replacement')!r}")
    return f"order of {method}", rules[method](effective_seed, epoch, n, settings)


def check_drawn(record, order, epoch, ids, effective_seed, report):
    """A run may stop inside an epoch: what it consumed is then the start of the order."""
    planned = planned_order(record, order, epoch["epoch"], effective_seed)
    if planned is None:
        report.order_unchecked = True
        report.skip(
            f"epoch {epoch['epoch']}: order",
            f"law {order['law']}, unit {order['unit']} of {record.get('method')} does not follow from the seed "
            "by a rule that this script knows",
        )
        return
    rule, planned = planned
    recomputed = order_bytes(planned[: len(ids)])
    name = f"epoch {epoch['epoch']}: {rule}"
    report.compare(name, sha256(order_bytes(ids)).hex(), sha256(recomputed).hex())


def check_epoch(record, order, number, position, ids, sample_ids, effective_seed, report):
    """What the record says of one epoch; whether its steps can be walked."""
    epoch, name = order["epochs"][number], f"epoch {number}"
    report.compare(f"{name}: number", epoch["epoch"], number)
    report.compare(f"{name}: offset", epoch["offset"], position)
    report.compare(f"{name}: n", epoch["n"], len(ids))
    report.compare(f"{name}: order_hash", epoch["order_hash"], sha256(order_bytes(ids)).hex())
    root = merkle_root([sample_ids[i] for i in ids])
    report.compare(f"{name}: order_root", epoch["order_root"], root.hex())
    if epoch["epoch"] == number:
        check_drawn(record, order, epoch, ids, effective_seed, report)
    whole = sum(count for _, count in layout_of(order)) or 1
    torn = [size for size, _ in epoch["steps"] if size % whole]
    if layout_of(order):
        report.compare(f"{name}: steps within a unit", torn, [])
    in_steps = sum(size * count for size, count in epoch["steps"])
    report.compare(f"{name}: ids in steps", in_steps, len(ids))
    return in_steps == len(ids)


def check_chain(order, points, report):
    """Kept points of the chain rise, are those of commitment and ids, and end at the last step."""
    steps = [point["step"] for point in order["chain"]]
    report.compare("chain points rise", steps, sorted(set(steps)))
    for point in order["chain"]:
        name = f"chain at step {point['step']}"
        report.compare(name, point["chain"], points.get(point["step"], "no such step"))
    report.compare("chain's last step", steps[-1] if steps else "missing", len(points) - 1)


def check_run(folder):
    """All checks of one run; returns the exit code."""
    record, order = read_record(folder)
    all_ids, sample_ids = read_ids(folder, order["examples"])
    report = Report()
    report.compare("dataset_root", order["dataset_root"], merkle_root(sample_ids).hex())
    if record.get("external") is not None:
        report.skip("consumption", "a program of one's own told it; this is the order that it was given")
    effective_seed = check_seed(record, order, report)
    chain = bytes.fromhex(order["commitment"])
    points, position = {0: chain.hex()}, 0
    for number, epoch in enumerate(order["epochs"]):
        ids = all_ids[position : position + epoch["n"]]
        if not check_epoch(record, order, number, position, ids, sample_ids, effective_seed, report):
            return 1
        at = 0
        for size, count in epoch["steps"]:
            for _ in range(count):
                step = order_bytes(ids[at : at + size])
                chain = sha256(chain, u64(len(points) - 1), u32(size), step)
                points[len(points)] = chain.hex()
                at += size
        position += len(ids)
    report.compare("ids in epochs", position, len(all_ids))
    check_chain(order, points, report)
    if "steps" in record:
        report.compare("steps of the run", record["steps"], len(points) - 1)
    if report.failed:
        return 1
    return 3 if report.order_unchecked or not order["epochs"] else 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Check the order transcript of a run.")
    parser.add_argument("run", nargs="?", type=pathlib.Path, help="folder of the run")
    parser.add_argument("--seed", type=int, help="print an order for this integer seed instead")
    parser.add_argument("--n", type=int, default=10, help="number of examples (default 10)")
    parser.add_argument("--epoch", type=int, default=0, help="number of the epoch (default 0)")
    options = parser.parse_args(arguments)
    if (options.run is None) == (options.seed is None):
        parser.error("give a run folder or --seed")
    if options.seed is not None:
        ids = uniform_order(integer_seed(options.seed), options.epoch, options.n)
        print(" ".join(map(str, ids)))
        print(sha256(order_bytes(ids)).hex())
        return 0
    try:
        return check_run(options.run)
    except Unreadable as problem:
        reason = str(problem)
    except Exception as problem:  # whatever a hostile file leads to is no verdict
        reason = f"{type(problem).__name__}: {problem}"
    print(printable(f"cannot check {options.run}: {reason}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(main())
