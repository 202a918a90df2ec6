#!/usr/bin/env python3
"""Check a certificate of Palimpsest without Palimpsest; needs NumPy and SciPy only.

    python3 docs/verify_certificate.py CERTIFICATE.json [--order FILE | --positions FILE]
        [--scores FILE] [--reference FILE]... [--key KEY.pub.pem]...

prints one line for each thing checked; exit 0 all agree, 1 something does not, 2 unreadable input.
What is left out is printed as `unchecked`, with the reason.

  canonical form   the file is RFC 8785 canonical JSON and a line end, byte for byte
  digest           SHA-256 of the canonical JSON without the fields `digest` and `signatures`
  signatures       Ed25519 (RFC 8032) over the text "palimpsest/signature/v1", line end, kind, line
                   end, digest in hexadecimal, line end
  files            size and SHA-256 of each file given
  statistic, p     computed anew from the files: Spearman, Pearson or Kendall's tau-b, after the
                   adjustment by references; log10 p in log space, so that it has any depth

Files are .npy (one column) or .csv (with a header, column as the certificate names it). The words of
the certificate are not checked here; `palimpsest verify-certificate` does that.
"""

import argparse
import base64
import csv
import hashlib
import itertools
import json
import math
import pathlib
import sys

import numpy as np
from scipy import special, stats

# ---- Ed25519 (RFC 8032, section 5.1), written to be read, not to be fast -------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P


class Unreadable(Exception):
    """An input that cannot be read as what it should be."""


class Cannot(Exception):
    """Something that this script does not compute."""


def recover_x(y, sign):
    """The x of a point with this y and sign bit; None where there is none."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x % 2 != sign else x


BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def add(a, b):
    """Sum of two points in extended coordinates (X, Y, Z, T)."""
    u = (a[1] - a[0]) * (b[1] - b[0]) % P
    v = (a[1] + a[0]) * (b[1] + b[0]) % P
    w = 2 * a[3] * b[3] * D % P
    z = 2 * a[2] * b[2] % P
    e, f, g, h = v - u, z - w, z + w, v + u
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def decode_point(data):
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def ed25519_verifies(public, message, signature):
    """Whether 64 bytes are the signature of this 32-byte key; points of small order are refused."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, r = decode_point(public), decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    neutral = (0, 1, 1, 0)
    if key is None or r is None or s >= ORDER:
        return False
    if equal(times(8, key), neutral) or equal(times(8, r), neutral):
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    h = int.from_bytes(digest, "little") % ORDER
    return equal(times(s, BASE), add(r, times(h, key)))


def read_public_key(path):
    """The 32 bytes of a key in PEM form (RFC 8410)."""
    lines = path.read_text(encoding="ascii").split()
    text = "".join(path.read_text(encoding="ascii").splitlines()[1:-1])
    der = base64.b64decode(text, validate=True)
    prefix = bytes.fromhex("302a300506032b6570032100")
    if lines[:2] != ["-----BEGIN", "PUBLIC"] or len(der) != 44 or not der.startswith(prefix):
        raise Unreadable(f"{path} is not an ed25519 public key in PEM form")
    return der[12:]


# ---- Canonical JSON (RFC 8785) -------------------------------------------------------------------


def number_text(number):
    """A number as ECMAScript writes it: the shortest digits that come back as the same double."""
    value = float(number)
    if not math.isfinite(value):
        raise Unreadable(f"{number} is no number of JSON")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole.lstrip("0")) if whole.strip("0") else len(fraction.lstrip("0")) - len(fraction)
    point += int(exponent or 0)
    digits = digits.rstrip("0")
    k = len(digits)
    if k <= point <= 21:
        return sign + digits + "0" * (point - k)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    shown = digits if k == 1 else digits[0] + "." + digits[1:]
    return f"{sign}{shown}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def canonical(value):
    """The canonical JSON of a value, as text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"


def once(pairs):
    """A dictionary in which no key came twice."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Unreadable("a field stands there twice")
    return fields


# ---- The statistic and its p-value ---------------------------------------------------------------


def read_column(path, column):
    """One column of numbers."""
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        if column is not None:
            raise Cannot(f"{path} has a named column {column}, which .npy files do not have")
        if array.ndim == 2 and 1 in array.shape:
            array = array.reshape(-1)
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise Cannot(f"{path} is not one column of numbers: {array.dtype}, {array.shape}")
    elif path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            names = rows.fieldnames or []
            name = column if column is not None else (names[0] if len(names) == 1 else None)
            if name not in names:
                raise Unreadable(f"{path} has no column {name!r}, but {names}")
            cells = [row[name] for row in rows]
        try:
            array = np.array([int(cell) for cell in cells], dtype=np.int64)
        except ValueError:
            array = np.array([float(cell) for cell in cells])
    else:
        raise Cannot(f"{path}: this script reads .npy and .csv only")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Unreadable(f"{path}: row {int(np.argmin(np.isfinite(array)))} is not finite")
    return array


def positions_of(order, ids=None):
    """Where each example, or each of the ids, stands in the order: the inverse permutation."""
    n = len(order)
    if ids is not None:
        places = {int(example): t for t, example in enumerate(order)}
        if len(places) != n or any(int(example) not in places for example in ids):
            raise Cannot("the order names an id twice, or not all that were scored")
        return np.array([places[int(example)] for example in ids], dtype=np.int64)
    if sorted(order.tolist()) != list(range(n)):
        raise Cannot("the order does not name each of 0..n-1 once; give --positions instead")
    positions = np.empty(n, dtype=np.int64)
    positions[order.astype(np.int64)] = np.arange(n)
    return positions


def averaged(units, positions, columns):
    """Rows by unit: the rank of its first position, and the mean of each column."""
    names, inverse, counts = np.unique(units, return_inverse=True, return_counts=True)
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, inverse, positions.astype(np.int64))
    means = [np.bincount(inverse, column.astype(np.float64)) / counts for column in columns]
    return np.unique(first, return_inverse=True)[1], means


def adjusted(scores, references, how):
    scores = scores.astype(np.float64)
    if how == "none":
        return scores
    reference = np.mean([column.astype(np.float64) for column in references], axis=0)
    if how == "difference":
        return scores - reference
    centred = reference - reference.mean()
    slope = centred @ (scores - scores.mean()) / (centred @ centred)
    return scores - scores.mean() - slope * centred


def pearson(x, y):
    """The correlation r and 1 - r², each without cancellation."""
    x, y = x - x.mean(), y - y.mean()
    x, y = x / math.sqrt(x @ x), y / math.sqrt(y @ y)
    r = float(x @ y)
    # For unit vectors 1 - r² = |x - r y|².
    rest = x - r * y
    return max(-1.0, min(1.0, r)), float(rest @ rest)


def spearman(x, y):
    """From mid-ranks, in exact integers: twice each centred rank is whole."""
    n = len(x)
    a, b = ((2 * stats.rankdata(column)).astype(np.int64) - (n + 1) for column in (x, y))
    if n <= 100_000:
        # Each product is below n², a sum of n of them below 2^63.
        products = [int(u @ v) for u, v in ((a, b), (a, a), (b, b))]
    else:
        products = [sum(int(part) for part in np.add.reduceat(u * v, np.arange(0, n, 10_000)))
                    for u, v in ((a, b), (a, a), (b, b))]
    xy, xx, yy = products
    scale = math.isqrt(xx * yy << 128)
    return (xy << 64) / scale, (xx * yy - xy * xy) / (xx * yy)


def log10_beta_tail(x, half_df):
    """log10 of the regularised incomplete beta I_x(half_df, 1/2), to any depth."""
    direct = special.betainc(half_df, 0.5, x)
    if direct > 1e-250:
        return math.log10(direct)
    # x^a (1-x)^(1/2) / (a B(a, 1/2)) * (1 + sum of prod (a + 1/2 + j)/(a + 1 + j) x).
    term, total, j = 1.0, 1.0, 0
    while term > 1e-18 * total:
        term *= (half_df + 0.5 + j) / (half_df + 1.0 + j) * x
        total += term
        j += 1
    log = half_df * math.log(x) + 0.5 * math.log1p(-x) - math.log(half_df)
    return (log - special.betaln(half_df, 0.5) + math.log(total)) / math.log(10)


def one_tail(log10_two_sided, r, tail):
    """The p-value of a tail from the two-sided one of a symmetric law."""
    if tail == "two-sided":
        return log10_two_sided
    with_it = (r < 0) == (tail == "less") or r == 0
    half = log10_two_sided - math.log10(2)
    return half if with_it else math.log10(1 - 10**half)


def statistic(metric, x, y):
    if metric == "spearman":
        return spearman(x, y)
    if metric == "pearson":
        return pearson(x.astype(np.float64), y)
    if metric == "kendall":
        tau = float(stats.kendalltau(x, y).statistic)
        return tau, 1 - tau * tau
    raise Cannot(f"the metric {metric!r}")


def exact_p(metric, x, y, tail):
    """Over all orders of at most 9 examples; sums within a rounding of the observed count as it."""
    if metric == "spearman":
        x, y = stats.rankdata(x), stats.rankdata(y)
    if metric == "kendall":
        upper = np.triu_indices(len(x), 1)
        signs = np.sign(np.subtract.outer(x, x))[upper]

        def score(order):
            column = y[list(order)]
            return float(signs @ np.sign(np.subtract.outer(column, column))[upper])
    else:
        u, v = x - x.mean(), y - y.mean()

        def score(order):
            return float(u @ v[list(order)])

    found = score(range(len(x)))
    all_sums = np.array([score(order) for order in itertools.permutations(range(len(x)))])
    slack = 1e-9 * max(1.0, np.abs(all_sums).max())
    if tail == "two-sided":
        return float(np.mean(np.abs(all_sums) >= abs(found) - slack))
    signed = all_sums if tail == "greater" else -all_sums
    return float(np.mean(signed >= (found if tail == "greater" else -found) - slack))


def kendall_log10_p(x, y, tail):
    """SciPy's variance under ties, the normal tail in log space; exact for few untied examples."""
    untied = len(set(x.tolist())) == len(x) and len(set(y.tolist())) == len(y)
    if untied and len(x) <= 33:
        return math.log10(stats.kendalltau(x, y, method="exact", alternative=tail).pvalue)
    n = len(x)
    ties = [np.unique(column, return_counts=True)[1].astype(object) for column in (x, y)]
    (x0, x1, x2), (y0, y1, y2) = (
        (
            int((t * (t - 1)).sum()),
            int((t * (t - 1) * (t - 2)).sum()),
            int((t * (t - 1) * (2 * t + 5)).sum()),
        )
        for t in ties
    )
    m = n * (n - 1)
    variance = (m * (2 * n + 5) - x2 - y2) / 18 + 2 * (x0 // 2) * (y0 // 2) / m
    variance += x1 * y1 / (9 * m * (n - 2))
    tau = stats.kendalltau(x, y).statistic
    surplus = tau * math.sqrt((m - x0) / 2) * math.sqrt((m - y0) / 2)
    z = round(surplus) / math.sqrt(variance)
    if tail == "two-sided":
        return float(special.log_ndtr(-abs(z)) + math.log(2)) / math.log(10)
    return float(special.log_ndtr(z if tail == "less" else -z)) / math.log(10)


def log10_p(finding, x, y, r, complement):
    metric, tail, n = finding["metric"], finding["tail"], len(x)
    if finding.get("monte_carlo") is not None:
        raise Cannot("a Monte Carlo p-value follows from Palimpsest's random numbers")
    if finding.get("epochs") is not None:
        raise Cannot("a p-value combined over epochs")
    if n <= 9:
        return math.log10(exact_p(metric, x, y, tail))
    if complement <= 1e-27:
        raise Cannot("the p-value of a perfect correlation")
    if metric == "kendall":
        return kendall_log10_p(x, y, tail)
    return one_tail(log10_beta_tail(complement, (n - 2) / 2), r, tail)


# ---- The certificate -----------------------------------------------------------------------------


class Report:
    """Prints one line for each check and remembers whether one failed."""

    def __init__(self):
        self.failed = False

    def check(self, name, agrees, detail=""):
        self.failed |= not agrees
        print(f"ok         {name}" if agrees else f"MISMATCH   {name}: {detail}")

    def skip(self, name, reason):
        print(f"unchecked  {name}: {reason}")


def check_signatures(certificate, keys, report):
    valid = []
    message = f"palimpsest/signature/v1\ncertificate\n{certificate['digest']}\n".encode()
    for signature in certificate["signatures"]:
        public = bytes.fromhex(signature["public_key"])
        holds = (
            (signature["version"], signature["algorithm"]) == (1, "ed25519")
            and signature["kind"] == "certificate"
            and signature["digest"] == certificate["digest"]
            and ed25519_verifies(public, message, bytes.fromhex(signature["signature"]))
        )
        name = f"signature by key {hashlib.sha256(public).hexdigest()[:16]}"
        report.check(name, holds, "it does not sign this certificate")
        if holds:
            valid.append(public)
    for path in keys:
        public = read_public_key(path)
        report.check(f"signed by {path}", public in valid, "this key did not sign the certificate")
    if not valid:
        report.skip("who made it", "the certificate has no signature")
    elif not keys:
        report.skip("whose the signing key is", "give the key you trust with --key")


def check_files(certificate, given, report):
    """Columns by role; None when one is missing or differs."""
    columns, whole = {}, bool(certificate["tested"]["files"])
    for file in certificate["tested"]["files"]:
        role = file["role"]
        if not given[role]:
            report.skip(f"{role} {file['name']}", f"give the file with --{role}")
            whole = False
            continue
        path = given[role].pop(0)
        data = path.read_bytes()
        found = (len(data), hashlib.sha256(data).hexdigest())
        agrees = found == (file["size"], file["sha256"])
        report.check(f"{role} {file['name']}", agrees, f"{path} has {found[0]} bytes, sha256 {found[1]}")
        whole &= agrees
        if agrees:
            columns.setdefault(role, []).append((path, file["column"]))
    for role, left in given.items():
        if left:
            report.check(role, False, f"the certificate does not name {left[0]}")
            whole = False
    return columns if whole else None


def check_answer(certificate, columns, report):
    finding = certificate["finding"]
    columns = {role: [read_column(*one) for one in files] for role, files in columns.items()}
    if "positions" in columns:
        positions = columns["positions"][0]
    elif "order" in columns:
        positions = positions_of(columns["order"][0], *columns.get("ids", []))
    else:
        raise Cannot("the certificate names neither an order nor positions")
    scores, references = columns["scores"][0], columns.get("reference", [])
    if any(len(column) != len(positions) for column in [scores, *references]):
        raise Cannot("the columns differ in length")
    options = certificate["options"]
    if options.get("law", "uniform") not in ("uniform", "uniform-same-each-epoch", "uniform-subset"):
        raise Cannot(f"orders of the law {options['law']!r}")
    if options.get("batch_size") is not None:
        raise Cannot("positions that count steps")
    if "units" in columns:
        units = columns["units"][0]
        if len(units) != len(positions):
            raise Cannot("the columns differ in length")
        positions, (scores, *references) = averaged(units, positions, [scores, *references])
    if (finding["adjust"] == "none") != (not references):
        raise Unreadable(f"the adjustment {finding['adjust']!r} with {len(references)} references")
    y = adjusted(scores, references, finding["adjust"])
    report.check("n", finding["n"] == len(positions), f"{finding['n']}, but {len(positions)} rows")
    r, complement = statistic(finding["metric"], positions, y)
    close = abs(r - finding["statistic"]) <= 1e-12
    report.check(f"statistic {r!r}", close, f"the certificate says {finding['statistic']!r}")
    found = log10_p(finding, positions, y, r, complement)
    close = abs(found - finding["log10_p"]) <= max(1e-6, 1e-9 * abs(found))
    report.check(f"log10 p {found!r}", close, f"the certificate says {finding['log10_p']!r}")
    p = 10**finding["log10_p"]
    close = abs(p - finding["p"]) <= 1e-6 * p + 1e-300
    report.check("p", close, f"{finding['p']!r} does not fit log10 p {finding['log10_p']!r}")


def check_certificate(options):
    data = options.certificate.read_bytes()
    certificate = json.loads(data, object_pairs_hook=once)
    if not isinstance(certificate, dict) or certificate.get("type") != "palimpsest/certificate":
        raise Unreadable(f"{options.certificate} is not a certificate of Palimpsest")
    if certificate["version"] != 1:
        raise Unreadable(f"certificate version {certificate['version']}; this script knows version 1")
    report = Report()
    as_written = (canonical(certificate) + "\n").encode() == data
    report.check("canonical form", as_written, "formatted anew or changed; ask for the original")
    body = {name: value for name, value in certificate.items() if name not in ("digest", "signatures")}
    digest = hashlib.sha256(canonical(body).encode()).hexdigest()
    report.check("digest", digest == certificate["digest"], f"{certificate['digest']}, found {digest}")
    check_signatures(certificate, options.key, report)
    given = {
        "order": [options.order] if options.order else [],
        "positions": [options.positions] if options.positions else [],
        "scores": [options.scores] if options.scores else [],
        "reference": list(options.reference),
        "ids": [options.ids] if options.ids else [],
        "units": [options.units] if options.units else [],
        "blocks": [options.blocks] if options.blocks else [],
    }
    columns = check_files(certificate, given, report)
    if columns is None:
        report.skip("statistic and p-value", "they need every file that the certificate names")
    else:
        try:
            check_answer(certificate, columns, report)
        except Cannot as reason:
            report.skip("statistic and p-value", f"this script does not compute: {reason}")
    if certificate["tested"]["runs"] or certificate["origin"] is not None:
        report.skip("runs and commitment", "palimpsest verify-certificate --store checks them")
    print("\nthe certificate does NOT hold" if report.failed else "\nall that was checked agrees")
    if not report.failed:
        print(certificate["headline"])
    return report.failed


def main():
    parser = argparse.ArgumentParser(description="Check a certificate of an order test.")
    parser.add_argument("certificate", type=pathlib.Path)
    parser.add_argument("--order", type=pathlib.Path, help="file with the order")
    parser.add_argument("--positions", type=pathlib.Path, help="file with the positions")
    parser.add_argument("--scores", type=pathlib.Path, help="file with the suspect's scores")
    parser.add_argument("--reference", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--ids", type=pathlib.Path, help="file with the id of each scored example")
    parser.add_argument("--units", type=pathlib.Path, help="file with the unit of each scored example")
    parser.add_argument("--blocks", type=pathlib.Path, help="file with the block of each scored example")
    parser.add_argument("--key", type=pathlib.Path, action="append", default=[])
    options = parser.parse_args()
    try:
        return 1 if check_certificate(options) else 0
    except (Unreadable, OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        print(f"cannot check {options.certificate}: {problem!r}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
