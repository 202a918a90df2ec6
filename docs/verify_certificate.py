#!/usr/bin/env python3
"""Check a certificate of Palimpsest without Palimpsest; needs Python 3.9, NumPy and SciPy 1.9 only.

    python3 docs/verify_certificate.py CERTIFICATE.json [--order FILE | --positions FILE]
        [--scores FILE] [--reference FILE]... [--reference-order FILE]... [--ids FILE]
        [--units FILE] [--blocks FILE] [--promised FILE] [--plan FILE] [--key KEY.pub.pem]... [--complete]

prints one line for each thing checked: `ok`, `MISMATCH`, or `unchecked` with the reason.

    exit 0   all agrees, and statistic and p-value were computed anew from the files
    exit 1   something does not agree; with --complete also if something but the keys is unchecked
    exit 2   an input cannot be read
    exit 3   all that was checked agrees, but the answer was not computed anew

  form             known fields only, each of its type
  canonical form   the file is RFC 8785 canonical JSON and a line end, byte for byte
  digest           SHA-256 of the canonical JSON without the fields `digest` and `signatures`
  inputs, options  a combination that Palimpsest writes; the finding repeats the options
  finding          what follows from its other numbers: p from statistic and n where that is the
                   closed form, p of T draws at least 1/(T+1), the floor of the seed
  words            every sentence of the certificate follows from its numbers
  signatures       Ed25519 (RFC 8032) over the text "palimpsest/signature/v1", line end, kind, line
                   end, digest in hexadecimal, line end
  files            size and SHA-256 of each file given
  promise, plan    where the certificate names one: of these files and among those published; the
                   file with this SHA-256, and the test is one of those it declares
  statistic, p     computed anew from the files, and with them the whole finding, warnings included

Files are .npy, .csv, .tsv and, where pyarrow is installed, Parquet; a plan is JSON or simple YAML. A certificate about runs of a
store is checked as far as it goes without the store. Logarithms of probabilities are natural ones
in here and have any depth; no p-value is ever a product of rounded smaller ones.
"""

import argparse
import base64
import collections
import contextlib
import copy
import csv
import functools
import hashlib
import io
import itertools
import json
import math
import pathlib
import re
import sys
import unicodedata

import numpy as np
from scipy import linalg, special, stats

LN2, LN10 = math.log(2), math.log(10)


class Unreadable(Exception):
    """An input that cannot be read as what it should be."""


class Refused(Exception):
    """Inputs and options of which Palimpsest makes no test, so that no certificate can be true."""


class Cannot(Exception):
    """Something that this script does not compute."""


# ---- Ed25519 (RFC 8032, section 5.1), written to be read, not to be fast -------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P


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


# ---- Columns of numbers, read by the rules of Palimpsest ------------------------------------------


class Column:
    """Numbers of a file: int64 or float64, and for a table its number of columns."""

    def __init__(self, name, values, width=None):
        self.name, self.values, self.width = name, values, width

    def as_list(self, role):
        """The numbers as one list; a table of several rows and columns is none."""
        if self.width is not None and self.width > 1 and len(self.values) > self.width:
            raise Refused(f"{self.name} is a table, but {role} are one list")
        return self

    def as_ids(self):
        """Whole numbers from 0."""
        if self.values.dtype.kind == "f" or (self.values < 0).any():
            raise Refused(f"{self.name} does not hold whole numbers from 0")
        return self.values

    def as_scores(self):
        """Double-precision numbers; what would be rounded is refused."""
        if self.values.dtype.kind == "f":
            if np.isnan(self.values).any():
                raise Refused(f"{self.name}: row {int(np.argmax(np.isnan(self.values)))} is not a number")
            return self.values
        if not all(exact_double(int(value)) for value in self.values[np.abs(self.values) > 2**53]):
            raise Refused(f"{self.name} has a whole number beyond 2^53 that would be rounded")
        return self.values.astype(np.float64)


def exact_double(whole):
    """Whether a whole number survives the way to a double."""
    return abs(whole) <= 2**53 or whole % 2**11 == 0


def read_column(path, data, column, may_be_text=False):
    """One column of numbers, or of ids that may be text: by the first bytes of a file, else by its extension."""
    name = f"{path}:{column}" if column is not None else str(path)
    extension = path.suffix.lower()
    if data.startswith(b"\x93NUMPY"):
        if column is not None:
            raise Refused(f"{name}: a .npy file has no named columns")
        return read_npy(name, data)
    if data.startswith(b"PAR1"):
        return Column(name, read_parquet(name, data, column, may_be_text))
    if extension in (".csv", ".tsv"):
        return Column(name, read_text(name, data, "," if extension == ".csv" else "\t", column, may_be_text))
    raise Cannot(f"{name} is not .npy, .csv, .tsv or Parquet")


def read_npy(name, data):
    """An array of one or two dimensions of booleans, integers or floating-point numbers."""
    stream = io.BytesIO(data)
    try:
        array = np.load(stream, allow_pickle=False)
    except (ValueError, EOFError) as problem:
        raise Refused(f"{name}: {problem}") from problem
    if stream.tell() != len(data):
        raise Refused(f"{name} is longer than its header says")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 or array.ndim not in (1, 2):
        raise Refused(f"{name} is no list or table of numbers: {array.dtype}, {array.shape}")
    if array.dtype.kind == "u" and (array > 2**63 - 1).any():
        raise Refused(f"{name} has a number beyond 2^63 - 1")
    values = array.astype(np.float64 if array.dtype.kind == "f" else np.int64).reshape(-1)
    return Column(name, values, array.shape[1] if array.ndim == 2 else None)


def read_parquet(name, data, column, may_be_text):
    """A flat column without nulls; needs pyarrow."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise Cannot(f"{name} is Parquet, and pyarrow is not installed") from None
    try:
        table = parquet.read_table(io.BytesIO(data))
    except ArrowException as problem:
        raise Refused(f"{name}: {problem}") from problem
    names = table.column_names
    wanted = names[0] if column is None and len(names) == 1 else column
    if wanted not in names:
        raise Refused(f"{name}: its columns are {names}")
    found = table.column(names.index(wanted))
    if found.null_count:
        raise Refused(f"{name} has nulls")
    if str(found.type) in ("string", "large_string") and may_be_text:
        return text_ids(name, found.to_pylist())
    if "list" in str(found.type):
        raise Cannot(f"{name}, whose rows are lists")
    values = found.to_numpy()
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "u" and (values > 2**63 - 1).any()):
        raise Refused(f"{name} is not a column of numbers: {values.dtype}")
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def read_text(name, data, separator, column, may_be_text):
    """A column of CSV or TSV. A lone column may come without a name: then its first row is a number."""
    text = data.decode("utf-8-sig", errors="replace")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    rows = list(itertools.dropwhile(lambda row: not row, rows))
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise Refused(f"{name} has no rows")
    names = [cell.strip(BLANKS) for cell in rows[0]]
    wanted = names[0] if column is None and len(names) == 1 else column
    if names.count(wanted) != 1:
        raise Refused(f"{name}: its columns are {names}")
    at = names.index(wanted)
    if len(names) > 1:
        rows = [row for row in rows if row]
    if any(len(row) != len(names) for row in rows):
        raise Refused(f"{name} has rows of different lengths, or an empty line")
    if column is not None and all(map(reads_as_number, names)):
        if not all(re.fullmatch("[0-9]+", other, re.ASCII) for other in names):
            raise Refused(f"{name}: its first row holds numbers")
    nameless = column is None and reads_as_number(names[0])
    cells = [row[at].strip(BLANKS) for row in rows[0 if nameless else 1 :]]
    if may_be_text and not all(map(reads_as_number, cells)) and "" not in cells:
        if column is None:
            raise Refused(f"{name} holds text, whose first line may be a header or a value")
        return text_ids(name, [row[at] for row in rows[1:]])
    found = numbers(name, cells)
    if nameless and may_be_a_name(cells, found):
        raise Refused(f"{name}: its first line is {cells[0]}, which may be a header or a value")
    return found


def may_be_a_name(cells, found):
    """Whether the first line may be a header, as pandas writes those of nameless columns: a whole number among
    fractions only, or one digit where the lines are not the numbers from 0 or 1 on, each once."""
    whole = [cell for cell in cells if WHOLE.fullmatch(cell)]
    if not WHOLE.fullmatch(cells[0]):
        return False
    counts = len(whole) == len(cells) and any(
        (np.sort(found) == np.arange(start, start + len(found))).all() for start in (0, 1)
    )
    among_fractions = len(whole) == 1 and len(cells) > 1
    return among_fractions or (re.fullmatch("[0-9]", cells[0], re.ASCII) is not None and not counts)


def text_ids(name, texts):
    """Names of examples, letter by letter."""
    if any(text is None or not text.strip() for text in texts):
        raise Refused(f"{name} has an empty text")
    return np.array(texts, dtype=object)


BLANKS = " \t\n\r\f"
WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
FRACTION = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)", re.ASCII | re.I)


def reads_as_number(cell):
    """Whether a cell of text is a number."""
    if WHOLE.fullmatch(cell):
        return -(2**63) <= int(cell) < 2**63
    return FRACTION.fullmatch(cell) is not None


def numbers(name, cells):
    """Whole numbers if all cells are, else double-precision numbers."""
    wrong = next((row for row, cell in enumerate(cells) if not reads_as_number(cell)), None)
    if wrong is not None:
        raise Refused(f"{name}: row {wrong} is {cells[wrong]!r}, not a number")
    whole = [bool(WHOLE.fullmatch(cell)) for cell in cells]
    if all(whole):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    if not all(exact_double(int(cell)) for cell, is_whole in zip(cells, whole) if is_whole):
        raise Refused(f"{name} has a whole number beyond 2^53 among fractions")
    return np.array([float(cell) for cell in cells])


# ---- Three coefficients -----------------------------------------------------------------------------

# The coefficient, 1 - r² without cancellation, and the rows that share a position or a score.
Correlation = collections.namedtuple("Correlation", "r complement ties")
# Natural logarithms of P(S <= s), P(S >= s) and P(|S| >= |s|).
Tails = collections.namedtuple("Tails", "less greater two_sided")


def of_tail(tails, tail):
    """The one that the alternative asks for."""
    return {"less": tails.less, "greater": tails.greater, "two-sided": tails.two_sided}[tail]


def ranks(values):
    """Twice the mid-rank, centred: whole numbers that add up to 0."""
    return np.rint(2 * stats.rankdata(values)).astype(np.int64) - (len(values) + 1)


def dot(a, b):
    """The sum of products of ranks as an integer of any size."""
    stretch = max(1, 2**62 // len(a) ** 2)
    return sum(int(part) for part in np.add.reduceat(a * b, np.arange(0, len(a), stretch)))


def tied_rows(x, y):
    """How many rows share their position or their score with another."""
    shared = np.zeros(len(x), dtype=bool)
    for column in (x, y):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        shared |= counts[inverse] > 1
    return int(shared.sum())


def ratio(a, b):
    """a / b of integers of any size."""
    shift = max(a.bit_length(), b.bit_length()) - 1000
    return a / b if shift < 0 else (a >> shift) / (b >> shift)


def spearman(x, y):
    """rho from exact integer sums of ranks."""
    a, b = ranks(x), ranks(y)
    ab, aa, bb = dot(a, b), dot(a, a), dot(b, b)
    complement = ratio(aa * bb - ab * ab, aa * bb)
    if complement == 0:
        return Correlation(math.copysign(1.0, ab), 0.0, tied_rows(x, y))
    most = math.nextafter(1.0, 0.0)
    r = max(-most, min(most, ab / math.sqrt(aa * bb)))
    return Correlation(r, complement, tied_rows(x, y))


def power_below(size):
    """A power of two that brings a size near 1; 1 for zero."""
    return 1.0 if size == 0 else 2.0 ** -max(-1000, min(1000, math.floor(math.log2(size))))


def deviations(values):
    """Deviations from the mean, scaled by a power of two; every sum is exact and rounded once."""
    column = values * power_below(float(np.abs(values).max()))
    for _ in range(2):
        column = column - math.fsum(column) / len(column)
    return column * power_below(float(np.abs(column).max()))


def two_product(a, b):
    """a·b as the rounded product and what the rounding lost (Dekker 1971)."""
    product = a * b
    halves = []
    for factor in (a, b):
        big = 134217729.0 * factor  # 2^27 + 1 (Veltkamp)
        high = big - (big - factor)
        halves.append((high, factor - high))
    (a1, a2), (b1, b2) = halves
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def residuals(x, y):
    """What the least-squares line leaves: y - slope·x in one rounding (a fused multiply-add)."""
    slope = math.fsum(x * y) / math.fsum(x * x)
    product, lost = two_product(np.float64(slope), -x)
    return np.array([math.fsum(terms) for terms in zip(product, lost, y)])


def pearson(positions, scores, rank_based):
    """r from exact sums of rounded products."""
    x, y = deviations(positions.astype(np.float64)), deviations(scores)
    xx, yy = math.fsum(x * x), math.fsum(y * y)
    r = max(-1.0, min(1.0, math.fsum(x * y) / math.sqrt(xx * yy)))
    if abs(r) > 0.9:
        complement = math.fsum(residuals(x, y) ** 2) / yy
    else:
        complement = (1 - r) * (1 + r)
    if complement <= PERFECT["pearson"] and rank_based.complement == 0:
        r = math.copysign(1.0, r)
    return Correlation(r, complement, rank_based.ties)


# A coefficient with a complement up to this is perfect: for Pearson, rounding leaves as much.
PERFECT = {"spearman": 0.0, "pearson": 1e-27, "kendall": 0.0}


# Pairs: concordant less discordant, all, and those that differ in position and in score.
Pairs = collections.namedtuple("Pairs", "difference all positions_differ scores_differ")


def tie_sum(values, term):
    """The sum of a function of t over groups of t equal values, in whole numbers."""
    return sum(term(int(t)) for t in np.unique(values, return_counts=True)[1])


def pairs_of(x, y):
    """Counts over all pairs of rows; the difference is a whole number that tau-b gives back."""
    every = len(x) * (len(x) - 1) // 2
    differ = [every - tie_sum(column, lambda t: t * (t - 1) // 2) for column in (x, y)]
    tau = float(stats.kendalltau(x, y, method="asymptotic").statistic)
    return Pairs(round(tau * math.sqrt(differ[0]) * math.sqrt(differ[1])), every, *differ)


def kendall(x, y, pairs):
    """tau-b."""
    all_pairs = pairs.positions_differ * pairs.scores_differ
    complement = ratio(all_pairs - pairs.difference**2, all_pairs)
    r = pairs.difference / math.sqrt(all_pairs)
    if complement == 0:
        r = math.copysign(1.0, pairs.difference)
    return Correlation(r, complement, tied_rows(x, y))


# ---- Closed forms of the p-value --------------------------------------------------------------------


def symmetric(two_sided, sign):
    """One-sided tails of a symmetric continuous law."""
    near, far = two_sided - LN2, math.log1p(-0.5 * math.exp(two_sided))
    return Tails(near, far, two_sided) if sign < 0 else Tails(far, near, two_sided)


def student(r, complement, n):
    """The t form of a correlation: P(|R| >= |r|) = I_x((n-2)/2, 1/2) with x = 1 - r²."""
    if r == 0:
        return Tails(-LN2, -LN2, 0.0)
    half_df = (n - 2) / 2
    direct = special.betainc(half_df, 0.5, complement)
    if direct > 1e-250:
        return symmetric(min(0.0, math.log(direct)), r)
    # x^a (1-x)^(1/2) / (a B(a, 1/2)) * (1 + sum of prod (a + 1/2 + j)/(a + 1 + j) x).
    term, total, j = 1.0, 1.0, 0
    while term > 1e-18 * total:
        term *= (half_df + 0.5 + j) / (half_df + 1.0 + j) * complement
        total += term
        j += 1
    log_x = math.log1p(-r * r) if r * r < 0.5 else math.log(complement)
    log = half_df * log_x + math.log(abs(r)) - math.log(half_df)
    return symmetric(log - float(special.betaln(half_df, 0.5)) + math.log(total), r)


def normal(z):
    """Tails of a standard normal deviate."""
    near = float(special.log_ndtr(-abs(z)))
    far = math.log1p(-math.exp(near))
    two_sided = min(0.0, near + LN2)
    return Tails(near, far, two_sided) if z < 0 else Tails(far, near, two_sided)


def kendall_variance(x, y):
    """Variance of concordant less discordant pairs over all orders, ties included (Kendall 1970)."""
    n = len(x)
    two, three, five = (
        [tie_sum(column, term) for column in (x, y)]
        for term in (
            lambda t: t * (t - 1),
            lambda t: t * (t - 1) * (t - 2),
            lambda t: t * (t - 1) * (2 * t + 5),
        )
    )
    ordered = n * (n - 1)
    variance = (ordered * (2 * n + 5) - five[0] - five[1]) / 18
    return variance + two[0] * two[1] / (2 * ordered) + three[0] * three[1] / (9 * ordered * (n - 2))


def log_share(count, whole):
    """The logarithm of a share of orders, also where it is next to 1."""
    if 2 * count > whole:
        return math.log1p(-ratio(whole - count, whole))
    return math.log(count) - math.log(whole)


def kendall_untied(pairs, n):
    """Exact tails from the numbers of orders by inversions; None beyond 33 rows, as it grows."""
    discordant = (pairs.all - pairs.difference) // 2
    fewer = min(discordant, pairs.all - discordant)
    if n > 33 and fewer > 1:
        return None
    orders = math.factorial(n)
    if n > 33:
        # One order has no inversion, n - 1 have one.
        at_most = {0: 1, 1: n, pairs.all: orders, pairs.all - 1: orders - 1}
    else:
        counts = [1]
        for size in range(2, n + 1):
            sums = [0, *itertools.accumulate(counts)]
            length = len(counts) + size - 1
            counts = [sums[min(k + 1, len(counts))] - sums[max(0, k - size + 1)] for k in range(length)]
        at_most = dict(enumerate(itertools.accumulate(counts)))
    less = log_share(at_most[pairs.all - discordant], orders)
    greater = log_share(at_most[discordant], orders)
    two_sided = 0.0 if 2 * discordant == pairs.all else min(0.0, min(less, greater) + LN2)
    return Tails(less, greater, two_sided)


def perfect(y, sign):
    """The share of orders that keep the values where they are; reversed ones if they mirror."""
    sizes = np.unique(y, return_counts=True)[1].tolist()
    near = sum(math.lgamma(size + 1) for size in sizes) - math.lgamma(len(y) + 1)
    two_sided = near + LN2 if sizes == sizes[::-1] else near
    return Tails(near, 0.0, two_sided) if sign < 0 else Tails(0.0, near, two_sided)


# ---- Exact permutation distributions ----------------------------------------------------------------


def extreme_shares(sums, counts, observed, slack):
    """Tails from all values of a statistic that is centred at 0 and how many orders have each."""
    whole = sum(counts)
    close = [
        sum(count for value, count in zip(sums, counts) if is_extreme(value))
        for is_extreme in (
            lambda value: value <= observed + slack,
            lambda value: value >= observed - slack,
            lambda value: abs(value) >= abs(observed) - slack,
        )
    ]
    return Tails(*(log_share(count, whole) for count in close))


@functools.lru_cache(maxsize=None)
def orders_of(n):
    """All orders of n rows, one a row."""
    return np.array(list(itertools.permutations(range(n))), dtype=np.int8)


def all_orders(metric, x, y):
    """All orders of at most 9 rows."""
    orders = orders_of(len(x))
    if metric == "kendall":
        sums = np.zeros(len(orders), dtype=np.int64)
        for i, j in itertools.combinations(range(len(x)), 2):
            if x[i] != x[j]:
                sums += int(np.sign(x[j] - x[i])) * np.sign(ranks(y)[orders[:, j]] - ranks(y)[orders[:, i]])
        slack = 0
    elif metric == "spearman":
        sums, slack = ranks(y)[orders] @ ranks(x), 0
    else:
        # Sums in units of 1e-15 of the largest possible one; 100 of them are the rounding.
        u, v = deviations(x.astype(np.float64)), deviations(y)
        unit = 1e15 / (np.abs(u).sum() * np.abs(v).max())
        sums, slack = np.rint((v[orders] @ u) * unit).astype(np.int64), 100
    observed = int(sums[0])  # the first order is the identity
    values, counts = np.unique(sums, return_counts=True)
    return extreme_shares(values.tolist(), counts.tolist(), observed, slack)


# ---- All orders that ties leave ----------------------------------------------------------------------
#
# Given its ties, a correlation is S = Σ n_ij a_i b_j over a table that counts how often position value i
# meets score value j; over all orders its margins are fixed and the rest is random.

# A column as its distinct values, standardised, with their counts; ranks before that, and the greatest
# common divisor of the distances of the values (0 where they are no ranks).
Margin = collections.namedtuple("Margin", "values counts ranks step")
# k3/k2^(3/2) and k4/k2² of Fisher's k-statistics, and the same divisor in standard deviations.
Shape = collections.namedtuple("Shape", "skewness kurtosis step")
# A closed form of n examples: skewness and excess kurtosis that it leaves out, and the distance of the
# values of the statistic.
Closed = collections.namedtuple("Closed", "n skewness kurtosis step")

# Largest error of ln p that a closed form may have, and that gaps between values may make.
CLOSED_WITHIN, MOST_RIPPLE = 0.05 * LN10, 0.03 * LN10
# Tables, partial ones included, that are added up at most.
MOST_TABLES = 2**20


def total(values):
    """The sum from first to last, which decides on which side of a limit the same numbers fall."""
    return float(np.cumsum(values)[-1])


def shape_of(values, step=0):
    """The shape of a column of mean 0."""
    n, squares = len(values), values * values
    second = total(squares) / n
    third = total(squares * values) / n / second**1.5
    fourth = total(squares * squares) / n / second**2 - 3
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * fourth + 6)
    return Shape(third * math.sqrt(n * (n - 1)) / (n - 2), kurtosis, step / math.sqrt(second))


def rank_shape(column):
    """The shape of a column of ranks."""
    distinct = np.unique(column)
    return shape_of(column.astype(np.float64), int(np.gcd.reduce(np.diff(distinct))))


def t_form(n, a, b):
    """The t form beside the moments of r over all orders (Pitman 1937)."""
    kurtosis = (n - 2) * (n - 3) / (n * (n + 1) * (n - 1)) * (a.kurtosis * b.kurtosis)
    skewness = (n - 2) / (n * math.sqrt(n - 1)) * a.skewness * b.skewness
    return Closed(n, skewness, kurtosis, a.step * b.step * math.sqrt(n - 1) / n)


def closed_error(form, z):
    """About how far ln p of the form is off at a deviate."""
    z = max(2.0, abs(z))
    return abs(form.skewness) * z**3 / 6 + abs(form.kurtosis) * z**4 / 24 + form.step * z / 2


def closed_holds(form, r):
    """Whether the closed form is to be used for this coefficient."""
    return abs(r) <= 0.5 and closed_error(form, r * math.sqrt(form.n - 1)) <= CLOSED_WITHIN


def standardised(values, counts):
    """Mean 0 and mean square 1."""
    n = int(counts.sum())
    values = values - total(values * counts) / n
    return Margin(values / math.sqrt(total(values * values * counts) / n), counts, None, 0.0)


def margin_of_ranks(sizes):
    """Mid-ranks of tie groups; of very many, neighbours are taken together."""
    if len(sizes) > 65_536:
        together = -(-len(sizes) // 65_536)
        coarse = margin_of_ranks(np.add.reduceat(sizes, np.arange(0, len(sizes), together)))
        return coarse._replace(ranks=None, step=0.0)
    places = 2 * (np.cumsum(sizes) - sizes) + sizes - int(sizes.sum())
    margin = standardised(places.astype(np.float64), sizes)
    scale = (margin.values[-1] - margin.values[0]) / int(places[-1] - places[0])
    return margin._replace(ranks=places, step=int(np.gcd.reduce(np.diff(places))) * scale)


def margin_of_values(column):
    """Numbers, in any order."""
    return standardised(*np.unique(column, return_counts=True))


def states(sizes):
    """Ways to have used up a part of all groups but the largest."""
    sizes = [int(size) for size in sizes]
    logs = sum(math.log2(size + 1) for size in sizes) - math.log2(max(sizes) + 1)
    return 2.0**logs if logs > 60 else math.prod(size + 1 for size in sizes) // (max(sizes) + 1)


def merged(margin, most):
    """At most so many groups, evenly by rows and by their share of the fourth powers."""
    if len(margin.values) <= most:
        return margin
    squares = margin.values * margin.values
    share = [weights / total(weights) for weights in (1.0 * margin.counts, squares * squares * margin.counts)]
    weights = 0.5 * (share[0] + share[1])
    before = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
    bins = np.minimum(((before + 0.5 * weights) * most).astype(np.int64), most - 1)
    rows = np.bincount(bins, margin.counts, most)
    sums = np.bincount(bins, margin.values * margin.counts, most)[rows > 0]
    rows = rows[rows > 0]
    return standardised(sums / rows, rows.astype(np.int64))


@functools.lru_cache(maxsize=1_000_000)
def ln_choose(n, k):
    """The logarithm of a number of choices."""
    return 0.0 if k in (0, n) else math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def ln_sum(logs):
    """The logarithm of a sum."""
    if len(logs) == 0:
        return -math.inf
    most = float(np.max(logs))
    return most + math.log(float(np.exp(logs - most).sum()))


def log_rest(log):
    """ln(1 - p)."""
    return -math.inf if log >= 0 else math.log1p(-math.exp(log))


def deals(free, size):
    """All ways to put `size` equal things into places with so much room."""
    if len(free) == 1:
        if size <= free[0]:
            yield (size,)
        return
    rest = sum(free[1:])
    for part in range(max(0, size - rest), min(free[0], size) + 1):
        for others in deals(free[1:], size - part):
            yield (part, *others)


def ways_to_deal(free, size):
    """How many those are."""
    if size == sum(free):
        return 1
    ways = np.zeros(size + 1)
    ways[0] = 1
    for room in free:
        sums = np.cumsum(ways)
        ways = sums.copy()
        if room < size:
            ways[room + 1 :] -= sums[: size - room]
    return int(ways[size])


def all_tables(rows, columns, gain):
    """Every value of a statistic over all tables with these margins and ln of its probability.

    Column by column: a state is what earlier columns left of each row. None beyond `MOST_TABLES`.
    """
    if states(rows) > 2**64 / (max(rows) + 1):
        return None
    layer, looked_at, left = {tuple(rows): (np.zeros(1, dtype=np.int64), np.zeros(1))}, 0, sum(rows)
    for column, size in enumerate(columns):
        for free, (sums, _) in layer.items():
            looked_at += len(sums) * ways_to_deal(free, size)
            if looked_at > MOST_TABLES:
                return None
        after = {}
        for free, (sums, logs) in layer.items():
            used = [whole - room for whole, room in zip(rows, free)]
            for deal in deals(free, size):
                chance = sum(map(ln_choose, free, deal)) - ln_choose(left, size)
                state = tuple(room - part for room, part in zip(free, deal))
                after.setdefault(state, []).append((sums + gain(used, deal, column), logs + chance))
        layer = {state: added_up(parts) for state, parts in after.items()}
        left -= size
    ((sums, logs),) = layer.values()
    return sums, logs


def added_up(parts):
    """Equal values as one."""
    sums, logs = (np.concatenate(column) for column in zip(*parts))
    order = np.argsort(sums, kind="stable")
    sums, logs = sums[order], logs[order]
    starts = np.flatnonzero(np.concatenate([[True], sums[1:] != sums[:-1]]))
    return sums[starts], np.logaddexp.reduceat(logs, starts)


def tails_of(found, observed, slack):
    """Tails of an observed value; values within the slack of it count as equal."""
    sums, logs = found
    extreme = (sums <= observed + slack, sums >= observed - slack, np.abs(sums) >= abs(observed) - slack)
    return Tails(*(min(0.0, ln_sum(logs[these])) for these in extreme))


def two_by_two(rows, columns, both):
    """Fisher's exact test: `both` marked rows are among the marked columns."""
    n, marked, wanted = sum(rows), rows[1], columns[1]
    counts = np.arange(max(0, marked + wanted - n), min(marked, wanted) + 1)
    logs = ln_binomial(wanted, counts) + ln_binomial(n - wanted, marked - counts)
    logs -= ln_binomial(n, np.array(marked))
    far = abs(both * n - marked * wanted)
    either = ln_sum(logs[np.abs(counts * n - marked * wanted) >= far])
    sides = [(counts <= both), (counts >= both)]
    sides = [log_rest(ln_sum(logs[~these])) if ln_sum(logs[these]) > -LN2 else ln_sum(logs[these]) for these in sides]
    return Tails(*sides, min(0.0, either) if far else 0.0)


def ln_binomial(n, k):
    """The logarithm of numbers of choices."""
    return special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)


def linear(found, n, shapes, margins):
    """Tails of a rank or product-moment correlation: the t form where it holds, else over all orders."""
    if closed_holds(t_form(n, *shapes), found.r):
        return student(found.r, found.complement, n), "closed"
    rows, columns = margins()
    counts = [margin.counts.tolist() for margin in (rows, columns)]
    if len(counts[0]) == 2 == len(counts[1]):
        spread = math.sqrt(math.prod(counts[0] + counts[1]))
        return two_by_two(*counts, round((counts[0][1] * counts[1][1] + found.r * spread) / n)), "exact"
    exact = over_tables(rows, columns, found.r)
    if exact is not None:
        return exact, "exact"
    tails, ripple = Saddlepoint(rows, columns).tails(found.r)
    if ripple > MOST_RIPPLE:
        raise Refused("ties leave the statistic too few values for a p-value that is not drawn")
    return tails, "saddlepoint"


def over_tables(rows, columns, r):
    """The tails of a linear statistic by adding up all tables; None if they are many."""
    if states(rows.counts) > states(columns.counts):
        rows, columns = columns, rows
    if states(rows.counts) > MOST_TABLES:
        return None
    n = int(rows.counts.sum())
    order = np.argsort(columns.counts, kind="stable")
    if rows.ranks is not None and columns.ranks is not None:
        kind = np.int64 if n < 1_000_000 else object
        products = np.multiply.outer(columns.ranks[order].astype(kind), rows.ranks.astype(kind))
        unit = math.prod(
            int(side.ranks[-1] - side.ranks[0]) / (side.values[-1] - side.values[0]) for side in (rows, columns)
        )
    else:
        # Units of 2^-60 of the largest possible sum.
        unit = 2.0**60 / (n * np.abs(rows.values).max() * np.abs(columns.values).max())
        products = np.rint(np.multiply.outer(columns.values[order], rows.values) * unit).astype(np.int64)

    def gain(_, deal, column):
        return int(sum(part * int(product) for part, product in zip(deal, products[column])))

    found = all_tables(rows.counts.tolist(), columns.counts[order].tolist(), gain)
    return None if found is None else tails_of(found, r * n * unit, 1e-13 * n * unit)


class Unsolved(Exception):
    """Equations that have no solution in double precision."""


class Saddlepoint:
    """The double saddlepoint of a linear statistic over all orders (Skovgaard 1987).

    With μ_ij = x_i y_j exp(t a_i b_j) the table of the given margins whose statistic is s,
    P(S >= s) = Φ(-w) + φ(w)(1/u - 1/w), w² = 2 Σ μ ln(μ_ij n/(r_i c_j)), u² = t² |H(t)|/|H_0|.
    """

    def __init__(self, rows, columns):
        self.symmetric = any(
            (margin.counts == margin.counts[::-1]).all()
            and (np.abs(margin.values + margin.values[::-1]) < 1e-9).all()
            for margin in (rows, columns)
        )
        # Between ranks without ties there are no gaps.
        self.untied = any(
            margin.ranks is not None and len(margin.ranks) == margin.counts.sum() for margin in (rows, columns)
        )
        self.coarsened = max(len(rows.values), len(columns.values)) > 128
        rows, columns = merged(rows, 128), merged(columns, 128)
        self.step = rows.step * columns.step
        if len(rows.values) < len(columns.values):
            rows, columns = columns, rows
        self.a, self.r = rows.values, rows.counts
        self.b, self.c = columns.values, columns.counts
        self.n = int(self.r.sum())

    def turned(self):
        """The same statistic with the other sign."""
        other = copy.copy(self)
        other.a, other.r = -self.a[::-1], self.r[::-1]
        return other

    def tails(self, r):
        """The tails of a coefficient, and about how far gaps put ln p off."""
        try:
            return self.solved(r)
        except Unsolved:
            raise Refused("the saddlepoint equations have no solution") from None

    def solved(self, r):
        s, step = abs(r) * self.n, self.step
        same, other = (self.turned(), self) if r < 0 else (self, self.turned())
        near, t = same.upper(s)
        beyond = same.upper(s + step)[0] if step > 0 and near > -7 else near
        if s == 0:
            either = 0.0
        elif self.symmetric:
            either = near + LN2
        else:
            # The next value that is attained at -s or beyond.
            over = math.ceil(2 * s / step - 1e-6) * step - s if step > 0 else s
            either = float(np.logaddexp(near, other.upper(over)[0]))
        sides = (near, log_rest(beyond)) if r < 0 else (log_rest(beyond), near)
        return Tails(*sides, min(0.0, either)), 0.0 if self.untied else self.ripple(abs(t))

    def upper(self, s):
        """ln P(S >= s), and the tilt that it was found at."""
        n, step = self.n, self.step
        largest, chance = self.largest()
        if not self.coarsened and s > largest - 0.25 * step - 1e-12 * n:
            return (-math.inf if s > largest + 0.25 * step + 1e-12 * n else chance), 0.0
        s -= 0.5 * step
        if self.coarsened:
            s = min(s, 0.99 * n)
        deviation = n / math.sqrt(n - 1)
        # Next to a perfect correlation there may be no solution; the tail of a smaller value is larger.
        for _ in range(20):
            with contextlib.suppress(Unsolved):
                tilt = self.tilt(s)
                break
            s -= 0.01 * largest
        else:
            tilt = self.tilt(s)
        if abs(tilt[1]) >= 0.05:
            return lugannani_rice(*tilt[1:]), tilt[0]
        sides = [lugannani_rice(*self.tilt(s + shift * deviation)[1:]) for shift in (-0.2, 0.2)]
        return math.log(0.5 * (math.exp(sides[0]) + math.exp(sides[1]))), 1 / deviation

    def largest(self):
        """The largest S, and ln of the share of orders that reach it: those of one table."""
        row = column = 0
        in_row, in_column, row_left = int(self.r[0]), int(self.c[0]), int(self.r[0])
        left, value, chance = self.n, 0.0, 0.0
        while True:
            both = min(in_row, in_column)
            value += both * self.a[row] * self.b[column]
            in_row, in_column = in_row - both, in_column - both
            chance += ln_choose(row_left, both)
            row_left -= both
            left -= both
            if in_row == 0:
                row += 1
                if row == len(self.r):
                    return value, chance - ln_multinomial(self.c)
                in_row = row_left = int(self.r[row])
            if in_column == 0 and left > 0:
                column += 1
                in_column = int(self.c[column])

    def tilt(self, s):
        """t, w and u where the statistic is s; from independence, else from two normal columns."""
        size = len(self.c)
        with contextlib.suppress(Unsolved):
            return self.tilt_from(np.zeros(size), s)
        r = s / self.n
        t = r / max(1 - r * r, 1e-6)
        start = 0.5 * r * t * (self.b[-1] ** 2 - self.b**2)
        start[-1] = t
        return self.tilt_from(start, s)

    def point(self, terms, s):
        """Value of the function that is minimised, and the shares of the columns in each row."""
        beta = np.append(terms[:-1], 0.0)
        logs = np.log(self.c / self.n) + beta + terms[-1] * np.outer(self.a, self.b)
        most = logs.max(axis=1, keepdims=True)
        shares = np.exp(logs - most)
        sums = shares.sum(axis=1, keepdims=True)
        value = self.r @ (most + np.log(sums))[:, 0] - self.c[:-1] @ terms[:-1] - terms[-1] * s
        return float(value), shares / sums

    def derivatives(self, shares, s):
        """First and second derivatives in the columns' terms but the last, and in t."""
        mean = shares @ self.b
        apart = self.b - mean[:, None]
        weights = self.r[:, None] * shares
        gradient, hessian = weights.sum(axis=0) - self.c, np.diag(weights.sum(axis=0)) - weights.T @ shares
        gradient[-1] = self.r @ (self.a * mean) - s
        hessian[-1] = hessian[:, -1] = (weights * self.a[:, None] * apart).sum(axis=0)
        hessian[-1, -1] = (weights * (self.a[:, None] * apart) ** 2).sum()
        return gradient, hessian

    def tilt_from(self, terms, s):
        """Minimises Σ r_i ln Σ_j (c_j/n) exp(β_j + t a_i b_j) - Σ c β - t s by Newton; the minimum is -w²/2."""
        value, shares = self.point(terms, s)
        for _ in range(200):
            gradient, hessian = self.derivatives(shares, s)
            try:
                factor = np.linalg.cholesky(hessian)
            except np.linalg.LinAlgError:
                raise Unsolved from None
            move = linalg.cho_solve((factor, True), gradient)
            decrement, size, after = float(move @ gradient), 1.0 + abs(value), None
            if math.isnan(decrement):
                raise Unsolved
            if decrement > 1e-13 * size:
                for halved in range(60):
                    step = 0.5**halved
                    lower, its_shares = self.point(terms - step * move, s)
                    if lower <= value - 1e-4 * step * decrement:
                        after = terms - step * move
                        break
            if after is None:
                # Where rounding hides the descent it must be a small one.
                if decrement > 1e-7 * size:
                    raise Unsolved
                t = float(terms[-1])
                w = math.copysign(math.sqrt(max(0.0, -2 * value)), t)
                log_det = 2 * float(np.log(np.diag(factor)).sum())
                log_det -= float(np.log(self.c).sum()) - math.log(self.n)
                lattice = 2 / self.step * math.sinh(0.5 * self.step * t) if self.step > 0 else t
                return t, w, lattice * math.exp(0.5 * log_det)
            terms, value, shares = after, lower, its_shares
        raise Unsolved

    def ripple(self, t):
        """How much of p is due to gaps between the values of S: a lattice within S is a frequency at which
        the characteristic function is large again."""
        rows = merged(Margin(self.a, self.r, None, 0.0), 32)
        columns = merged(Margin(self.b, self.c, None, 0.0), 32)
        n = self.n
        i, k = np.tril_indices(len(rows.values), -1)
        apart = np.multiply.outer(rows.values[i] - rows.values[k], columns.values)
        pairs = 2 * (rows.counts[i] / n) * (rows.counts[k] / n)
        deviation = n / math.sqrt(n - 1)
        last = min(math.pi / self.step, 10 * t) if self.step > 0 else 10 * t
        frequency = 1 / deviation
        spacing = max(0.5 / deviation, (last - frequency) / 300)
        largest, before, risen = 0.0, 1.0, False
        while frequency < last:
            square = np.abs(np.exp(1j * frequency * apart) @ columns.counts) ** 2 / n**2
            size = math.exp(-n * n / (4 * (n - 1)) * float(pairs @ (1 - square)))
            risen |= size > before
            before = size
            if risen:
                largest = max(largest, size * t / math.hypot(t, frequency))
            frequency += spacing
        return largest


def ln_multinomial(counts):
    """ln of n!/Π c!."""
    return math.lgamma(int(counts.sum()) + 1) - float(special.gammaln(counts + 1.0).sum())


def lugannani_rice(w, u):
    """ln of Φ(-w) + φ(w)(1/u - 1/w)."""
    if w < 0:
        p = math.exp(special.log_ndtr(-w)) + math.exp(-0.5 * w * w) / math.sqrt(2 * math.pi) * (1 / u - 1 / w)
        return math.log(min(1.0, p)) if p > 0 else -math.inf
    tail = float(special.log_ndtr(-w))
    share = math.exp(-0.5 * w * w - 0.5 * math.log(2 * math.pi) - tail) * (1 / u - 1 / w)
    if share > -1:
        return min(0.0, tail + math.log1p(share))
    return float(special.log_ndtr(-(w + math.log(u / w) / w)))


# ---- Kendall over all orders -------------------------------------------------------------------------


def kendall_tails(pairs, x, y, rank_based, shapes):
    """The normal form where it holds, else saddlepoint, tables or, with ties on both sides, an upper bound."""
    n, deviation = len(x), math.sqrt(kendall_variance(x, y))
    z = pairs.difference / deviation
    form = t_form(n, *shapes)
    excess = form.kurtosis - 6 / (n + 1)
    closed = form._replace(kurtosis=max(abs(excess), 2.2 / n), step=2 / deviation)
    if closed_holds(closed, z / math.sqrt(n - 1)):
        return normal(z), "closed"
    sizes = [np.unique(column, return_counts=True)[1] for column in (x, y)]
    untied = [len(side) == n for side in sizes]
    if any(untied):
        return Inversions(sizes[1] if untied[0] else sizes[0]).tails(pairs.difference), "saddlepoint"
    if min(map(len, sizes)) == 2:
        # S is linear in the mid-ranks of the other side.
        return linear(rank_based, n, shapes, lambda: list(map(margin_of_ranks, sizes)))
    rows, columns = sorted((side.tolist() for side in sizes), key=states)
    found = all_tables(rows, columns, lambda used, deal, _: pairs_gained(used, deal))
    if found is not None:
        return tails_of(found, pairs.difference, 0.5), "exact"
    if closed_error(form._replace(kurtosis=max(excess, 0.0), step=0.0), z) > CLOSED_WITHIN:
        raise Refused("ties leave the statistic too few values for a p-value that is not drawn")
    # The tails of S are lighter than normal ones; its values are at most 2 apart.
    return normal(math.copysign(max(0.0, abs(pairs.difference) - 1.0), z) / deviation), "bound"


def pairs_gained(used, deal):
    """Pairs of a dealt row and an earlier one: those in the same order count for, the others against."""
    below, above, gained = 0, sum(used), 0
    for before, part in zip(used, deal):
        above -= before
        gained += part * (below - above)
        below += before
    return gained


class Inversions:
    """Pairs in the wrong order when tie groups are shuffled against a column without ties.

    With g(x) = ln((e^x - 1)/x) the cumulant function is Σ g(kt) over k up to n less the same sums up to
    each group's size.
    """

    def __init__(self, sizes):
        n = int(sizes.sum())
        ends = np.bincount(sizes, minlength=n + 1)
        self.k = np.arange(1.0, n + 1)
        self.weights = 1.0 - (len(sizes) - np.cumsum(ends)[:-1])
        self.most = (n * (n - 1) - sum(size * (size - 1) for size in sizes.tolist())) // 2
        self.none = -ln_multinomial(sizes)

    def tails(self, difference):
        """Of S = most - 2·(pairs in the wrong order), which is symmetric."""
        size = abs(difference)
        many = (self.most + size) // 2
        near = self.at_least(many)
        far = 0.0 if many == self.most else log_rest(self.at_least(many + 1))
        sides = (near, far) if difference < 0 else (far, near)
        return Tails(*sides, min(0.0, near + LN2) if size else 0.0)

    def at_least(self, many):
        """ln P of at least so many, from the mean on (Lugannani and Rice; Daniels 1987)."""
        if many == self.most:
            return self.none
        target, t, low, high = many - 0.5, 0.0, -math.inf, math.inf
        k0, k1, k2 = self.cumulants(t)
        for _ in range(200):
            missing = target - k1
            if abs(missing) <= 1e-9 * target:
                break
            low, high = (t, high) if missing > 0 else (low, t)
            after = t + missing / k2
            if math.isfinite(low) and math.isfinite(high):
                t = after if low < after < high else (low + high) / 2
            elif math.isfinite(low):
                t = min(after, 2 * low + 1 / len(self.k))
            else:
                t = after
            k0, k1, k2 = self.cumulants(t)
        w = math.copysign(math.sqrt(max(0.0, 2 * (t * target - k0))), t)
        if abs(w) < 1e-3:
            return float(special.log_ndtr(-w))
        tail, u = float(special.log_ndtr(-w)), 2 * math.sinh(0.5 * t) * math.sqrt(k2)
        share = math.exp(-0.5 * w * w - 0.5 * math.log(2 * math.pi) - tail) * (1 / u - 1 / w)
        return min(0.0, tail + math.log1p(share))

    def cumulants(self, t):
        """K, K' and K'' at t."""
        x = self.k * t
        small = np.abs(x) < 1e-2
        large = np.where(small, 1.0, x)
        square, size = x * x, np.abs(large)
        decay = np.exp(-size)
        upwards = 1 / (1 - decay)
        g = np.where(small, 0.5 * x + square / 24 - square**2 / 2880,
                     0.5 * large + 0.5 * size + np.log1p(-decay) - np.log(size))
        first = np.where(small, 0.5 + x / 12 - x * square / 720,
                         np.where(large > 0, upwards, 1 - upwards) - 1 / large)
        second = np.where(small, 1 / 12 - square / 240 + square**2 / 6048,
                          1 / large**2 - decay / (1 - decay) ** 2)
        return [float(self.weights @ term) for term in (g, self.k * first, self.k**2 * second)]


# ---- One test -----------------------------------------------------------------------------------------

# A correlation, its tails, how they were found, and what is to be said of it.
Measured = collections.namedtuple("Measured", "correlation tails method warnings")


def measure(metric, tail, x, y):
    """Coefficient and tails."""
    n = len(x)
    rank_based = spearman(x, y)
    pairs = pairs_of(x, y) if metric == "kendall" else None
    found = {
        "spearman": lambda: rank_based,
        "pearson": lambda: pearson(x, y, rank_based),
        "kendall": lambda: kendall(x, y, pairs),
    }[metric]()
    if n <= 9:
        tails, method = all_orders(metric, x, y), "exact"
    elif found.complement <= PERFECT[metric]:
        tails, method = perfect(y, found.r), "exact" if rank_based.complement == 0 else "closed"
    else:
        tails, method = over_orders(metric, x, y, found, rank_based, pairs)
    lines = []
    if method == "bound":
        lines.append(
            "p is an upper bound: with ties on both sides the normal form of Kendall's tau is too large in the "
            "tail; spearman or Monte Carlo come closer"
        )
    rarest = -math.lgamma(n + 1)
    if of_tail(tails, tail) < rarest - 1e-9 * abs(rarest):
        lines.append(
            f"p is below 1/{n}! (log10 {rarest / LN10:.2f}), the probability of a single order: quote that bound "
            "instead"
        )
    return Measured(found, tails, method, lines)


def over_orders(metric, x, y, found, rank_based, pairs):
    """Tails of more than a handful of examples that are not perfectly correlated."""
    n = len(x)
    if metric == "pearson":
        u, v = deviations(x.astype(np.float64)), deviations(y)
        shapes = [shape_of(u), shape_of(v)]
        return linear(found, n, shapes, lambda: [margin_of_values(u), margin_of_values(v)])
    shapes = [rank_shape(ranks(column)) for column in (x, y)]
    if metric == "spearman":
        sizes = [np.unique(column, return_counts=True)[1] for column in (x, y)]
        return linear(found, n, shapes, lambda: list(map(margin_of_ranks, sizes)))
    untied = pairs.all == pairs.positions_differ == pairs.scores_differ
    exact = kendall_untied(pairs, n) if untied else None
    return (exact, "exact") if exact is not None else kendall_tails(pairs, x, y, rank_based, shapes)


def adjusted(how, scores, references):
    """The scores with the difficulty of the examples taken off, in Palimpsest's order of operations."""
    for column in [scores, *references]:
        if not np.isfinite(column).all():
            raise Refused("a score is not finite")
    if (scores == scores[0]).all():
        raise Refused("all scores are equal")
    if (how == "none") != (not references):
        raise Refused(f"the adjustment {how} with {len(references)} references")
    if how == "none":
        return scores
    sum_of_all = references[0]
    for column in references[1:]:
        sum_of_all = sum_of_all + column
    mean = sum_of_all / len(references)
    if how == "difference":
        left = scores - mean
    else:
        if not np.isfinite(mean).all() or (mean == mean[0]).all():
            raise Refused("the mean of the references is constant or not finite")
        left = residuals(deviations(mean), deviations(scores))
    if not np.isfinite(left).all() or float(np.ptp(left)) <= rounding(how, [scores, *references]):
        raise Refused("the adjusted scores are constant, up to rounding, or not finite")
    return left


def rounding(how, columns):
    """How far apart rounding alone may put what is left of these columns."""
    with np.errstate(over="ignore"):
        single = any((column.astype(np.float32) == column).all() for column in columns)
    precision = 2.0**-23 if single else 2.0**-52
    sizes = [float(np.abs(column).max()) for column in columns]
    if how == "difference":
        return 8 * precision * max(sizes)
    ranges = [float(np.ptp(column)) for column in columns]
    return max(1e-13, 8 * precision * sum(size / width for size, width in zip(sizes, ranges) if width > 0))


def adjusted_of(options, rows):
    """The adjusted scores of rows."""
    if len(rows.scores) == 0:
        raise Refused("the order saw none of the rows")
    return adjusted(options["adjust"], rows.scores, rows.references)


def checked(options, rows):
    """The adjusted scores of rows that can be tested."""
    if len(rows.scores) < 5:
        raise Refused(f"{len(rows.scores)} examples are too few")
    if (rows.positions == rows.positions[0]).all():
        raise Refused("all examples have one position")
    return adjusted_of(options, rows)


# ---- Several epochs ------------------------------------------------------------------------------------


def deviate(log_p, other):
    """The normal deviate of a one-sided p, from the other side where p is near 1."""
    continuous = abs(math.exp(log_p) + math.exp(other) - 1) < 1e-9
    if log_p > -LN2 and continuous:
        return -deviate_of(other)
    return deviate_of(log_p)


def deviate_of(log_p):
    """z with P(Z >= z) = p."""
    return -math.inf if log_p >= 0 else -float(special.ndtri_exp(log_p))


def stouffer(tests):
    """Weighted combination of (tails, weight), each direction apart; two-sided is twice the smaller."""
    norm = math.sqrt(math.fsum(weight * weight for _, weight in tests))
    less = sum(weight * deviate(tails.less, tails.greater) for tails, weight in tests) / norm
    greater = sum(weight * deviate(tails.greater, tails.less) for tails, weight in tests) / norm
    less, greater = float(special.log_ndtr(-less)), float(special.log_ndtr(-greater))
    return Tails(less, greater, min(0.0, min(less, greater) + LN2))


# ---- Monte Carlo ---------------------------------------------------------------------------------------

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
MASK32, MASK128 = np.uint64(2**32 - 1), 2**128 - 1
# Rows times draws that are drawn again here: some tens of seconds.
MOST_DRAWN = 200_000_000


def stream(generator, seed, draw):
    """Sets the generator (PCG64) to the stream of one draw; docs/verify_order.py explains the seeding."""
    root = hashlib.sha256(b"palimpsest/seed/v1" + seed.to_bytes(8, "little")).digest()
    keys = (draw % 2**32).to_bytes(4, "little") + (draw >> 32).to_bytes(4, "little")
    name = b"provenance/monte-carlo"
    digest = hashlib.sha256(b"palimpsest/stream-keyed/v1" + root + keys + name).digest()
    increment = (2 * int.from_bytes(digest[16:], "little") + 1) & MASK128
    state = (int.from_bytes(digest[:16], "little") + increment) * MULTIPLIER + increment
    state = {"state": state & MASK128, "inc": increment}
    generator.state = {"bit_generator": "PCG64", "state": state, "has_uint32": 0, "uinteger": 0}


def bounded(generator, bounds):
    """Uniform integers below each bound (Lemire): the upper half of a 64-bit output times the bound."""
    raw = generator.random_raw(len(bounds))
    bounds = bounds.astype(np.uint64)
    if (raw * bounds < bounds).any():
        # Once in 2^64 / bound a product may have to be drawn again.
        raise Cannot("draws with a rejection; try another seed")
    low = (raw & MASK32) * bounds >> np.uint64(32)
    return ((raw >> np.uint64(32)) * bounds + low >> np.uint64(32)).astype(np.int64)


def shuffles(draws, seed, blocks, rows):
    """Orders of the rows, each block shuffled by itself (Durstenfeld, from the last place down)."""
    generator = np.random.PCG64()
    bounds = np.concatenate([np.arange(len(block), 1, -1) for block in blocks])
    at_once = max(1, 20_000_000 // rows)
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        picks = np.empty((len(bounds), count), dtype=np.int64)
        for draw in range(count):
            stream(generator, seed, start + draw)
            picks[:, draw] = bounded(generator, bounds)
        orders = np.repeat(np.arange(rows)[:, None], count, axis=1)
        each, step = np.arange(count), 0
        for block in blocks:
            drawn = np.repeat(block[:, None], count, axis=1)
            for place in range(len(block) - 1, 0, -1):
                pick = picks[step]
                drawn[place], drawn[pick, each] = drawn[pick, each], drawn[place].copy()
                step += 1
            orders[block] = drawn
        yield from orders.T


def resampled(draws, seed, ids, examples, sampled):
    """Positions when a sampler with replacement runs again: that of the last draw, 0 if never drawn."""
    generator = np.random.PCG64()
    for draw in range(draws):
        stream(generator, seed, draw)
        last = np.zeros(examples, dtype=np.int64)
        picks = bounded(generator, np.full(sampled, examples))
        np.maximum.at(last, picks, np.arange(1, sampled + 1))
        yield last[ids]


def drawn_statistics(metric, rows, y, draws, seed, examples):
    """The observed statistic, that of every draw, and how close counts as equal."""
    x = rows.positions
    if rows.sampled:
        values = [0.0 if (p == p[0]).all() else coefficient(metric, p, y)
                  for p in resampled(draws, seed, rows.ids, examples, rows.sampled)]
        return coefficient(metric, x, y), values, 1e-12
    blocks = [np.arange(len(x))] if rows.blocks is None else blocks_of(rows.blocks)
    orders = shuffles(draws, seed, blocks, len(x))
    if metric == "spearman":
        a, b = ranks(x), ranks(y)
        if len(x) > 2_000_000:
            raise Cannot("draws of so many rows")
        return int(a @ b), [int(a[order] @ b) for order in orders], 0
    if metric == "kendall":
        return pairs_of(x, y).difference, [pairs_of(x[order], y).difference for order in orders], 0
    u, v = deviations(x.astype(np.float64)), deviations(y)
    scale = math.sqrt(math.fsum(u * u) * math.fsum(v * v))
    return math.fsum(u * v), [float(u[order] @ v) for order in orders], 1e-12 * scale


def coefficient(metric, x, y):
    """The coefficient alone."""
    if metric == "kendall":
        return kendall(x, y, pairs_of(x, y)).r
    rank_based = spearman(x, y)
    return rank_based.r if metric == "spearman" else pearson(x, y, rank_based).r


def blocks_of(labels):
    """Rows of each block of two or more, blocks in increasing order of their label."""
    by_label = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[by_label])) + 1
    blocks = [block for block in np.split(by_label, starts) if len(block) > 1]
    if not blocks:
        raise Refused("no block has two examples")
    return blocks


def monte_carlo(options, rows, y, examples):
    """ln of p = (b + 1)/(T + 1), b of T draws being at least as extreme; and what is said of it."""
    draws, seed = options["monte_carlo"]["draws"], options["monte_carlo"]["seed"]
    refuse_many(options, max(rows.sampled, examples) if rows.sampled else len(y), rows.sampled > 0)
    observed, values, slack = drawn_statistics(options["metric"], rows, y, draws, seed, examples)
    less = sum(value <= observed + slack for value in values)
    greater = sum(value >= observed - slack for value in values)
    if options["tail"] != "two-sided":
        extreme, sides = (less if options["tail"] == "less" else greater), 1
    elif rows.blocks is not None:
        # Within blocks the null is not centred at 0.
        extreme, sides = min(less, greater), 2
    else:
        extreme, sides = sum(abs(value) >= abs(observed) - slack for value in values), 1
    return math.log(min(1.0, sides * (extreme + 1) / (draws + 1))), none_as_extreme(extreme, sides, draws)


def none_as_extreme(extreme, sides, draws):
    """The warning of the least p-value that draws can give."""
    if extreme:
        return []
    return [f"no draw is as extreme: p is {sides}/(draws + 1), the least that {draws} draws can give"]


def refuse_many(options, per_draw, slow):
    """What would take too long is not drawn again."""
    draws = options["monte_carlo"]["draws"]
    if draws < 1:
        raise Refused("there are no draws")
    if draws * per_draw * (100 if slow or options["metric"] == "kendall" else 1) > MOST_DRAWN:
        raise Cannot(f"{draws} draws of {per_draw} rows, which would take too long")
    if per_draw >= 2**32:
        raise Cannot("draws from so many examples")


def drawn_together(options, tests, scores, weights):
    """ln p of each epoch and of all together: every draw gives each of them a fresh order of its own.

    What is compared is Σ w z / sqrt(Σ w²), where z is the epoch's coefficient in standard deviations over all
    orders.
    """
    draws, seed = options["monte_carlo"]["draws"], options["monte_carlo"]["seed"]
    ends = np.cumsum([0, *map(len, scores)])
    refuse_many(options, int(ends[-1]), False)
    blocks = [np.arange(start, end) for start, end in zip(ends, ends[1:])]
    parts = [standardised_statistic(options["metric"], rows.positions, y) for rows, y in zip(tests, scores)]
    zs = [[part(np.arange(len(block))) for part, block in zip(parts, blocks)]]
    for order in shuffles(draws, seed, blocks, int(ends[-1])):
        zs.append([part(order[block] - block[0]) for part, block in zip(parts, blocks)])
    zs = np.array(zs)
    together = (zs * weights).sum(axis=1) / math.sqrt(sum(weight * weight for weight in weights))

    def extreme(values):
        observed, drawn = values[0], values[1:]
        return int({
            "less": drawn <= observed + 1e-12,
            "greater": drawn >= observed - 1e-12,
            "two-sided": np.abs(drawn) >= abs(observed) - 1e-12,
        }[options["tail"]].sum())

    logs = [math.log((extreme(column) + 1) / (draws + 1)) for column in zs.T]
    count = extreme(together)
    return logs, math.log((count + 1) / (draws + 1)), none_as_extreme(count, 1, draws)


def standardised_statistic(metric, x, y):
    """A function of an order of the rows that has variance 1 over all orders."""
    n = len(x)
    if metric == "kendall":
        scale = 1 / math.sqrt(kendall_variance(x, y))
        return lambda order: scale * pairs_of(x[order], y).difference
    if metric == "spearman":
        u, v = ranks(x), ranks(y)
    else:
        u, v = deviations(x.astype(np.float64)), deviations(y)
    scale = math.sqrt((n - 1) / (float(u @ u) * float(v @ v)))
    return lambda order: scale * float(u[order] @ v)


# ---- From order and options to the finding ---------------------------------------------------------------

# One epoch, or block of one: its number, the ids in the order consumed, and the step of each place where steps
# are counted.
Epoch = collections.namedtuple("Epoch", "number ids steps")
# One test: positions and scores row by row, the examples (or units) of the rows, the ids that a
# sampler with replacement drew (0 for other laws), and their blocks.
Rows = collections.namedtuple("Rows", "epoch positions scores references ids sampled blocks")
# All tests, the number of examples, what is said of the epochs, and the rows that none of them has.
Tests = collections.namedtuple("Tests", "rows examples said left_out")

WHOLE_LAWS = ("uniform", "uniform-same-each-epoch")


def all_different(ids):
    """Whether no id comes twice."""
    return len(np.unique(ids)) == len(ids)


def epochs_in(column, options, scored):
    """The epochs of one file as (ids, steps)."""
    ids, law, layout = column.as_ids(), options["law"], options.get("layout")
    width = column.width or 0
    rows = len(ids) // width if width > 1 else 0
    if rows < 2:
        if layout is not None:
            raise Refused(f"{column.name} is a single list of ids, which has no {layout}")
        return [(ids, None)]
    examples = len(np.unique(ids)) if scored is None else scored
    table = ids.reshape(rows, width)
    if layout == "epochs-in-columns":
        return [(row.copy(), None) for row in table.T]
    if layout == "steps":
        whole = examples // width * width
        for length in (examples, whole):
            starts = range(0, len(ids), length) if length else []
            if length and all(all_different(ids[start : start + length]) for start in starts):
                places = np.arange(len(ids)) // width
                return [(ids[s : s + length], places[s : s + length] - places[s]) for s in starts]
        raise Refused(f"{column.name}: epochs of {examples} examples do not lie in these steps")
    if law not in ("blockwise", "replacement"):
        first = min(rows, examples // width)
        if first > 1 and all_different(ids[: first * width]):
            raise Refused(f"the rows of {column.name} are steps, not epochs")
        if rows > width and rows >= examples - examples // 10 and all(map(all_different, table.T)):
            raise Refused(f"the columns of {column.name} are epochs, not its rows")
    return [(row, None) for row in table]


def coded(columns):
    """Ids that are text as numbers: of all files or of none."""
    named = [column for role in ID_ROLES for column in columns.get(role, [])]
    text = [column.values.dtype.kind == "O" for column in named]
    if not any(text):
        return
    if not all(text) or "ids" not in columns:
        raise Refused("ids are text in some files, and numbers or none in others")
    numbers_of = {}
    for column in named:
        column.values = np.array([numbers_of.setdefault(name, len(numbers_of)) for name in column.values])


ID_ROLES = ("order", "ids", "reference-order")


def epochs_of(options, columns):
    """Epochs of an order; the number of examples; and the example of each row, where not all were scored."""
    wanted = columns["ids"][0].as_ids() if "ids" in columns else None
    scored = len(columns["scores"][0].values) if wanted is None else None
    epochs = [epoch for column in columns["order"] for epoch in epochs_in(column, options, scored)]
    for column in columns.get("reference-order", []):
        width = column.width or max(1, len(column.values))
        ids = column.as_ids().tolist()
        other = [ids[start : start + width] for start in range(0, len(ids), width)]
        if dependence([ids.tolist() for ids, _ in epochs], other):
            raise Refused(f"{column.name} goes along with the order")
    numbered = list(enumerate(epochs))
    if options.get("epoch") is not None:
        if options["epoch"] >= len(epochs):
            raise Refused(f"epoch {options['epoch']} of an order of {len(epochs)}")
        numbered = [numbered[options["epoch"]]]
    size = options.get("batch_size")
    epochs = [
        Epoch(number, ids, np.arange(len(ids)) // size if size else steps) for number, (ids, steps) in numbered
    ]
    if wanted is None:
        return epochs, scored, None
    consumed = np.unique(np.concatenate([epoch.ids for epoch in epochs]))
    known = np.unique(np.concatenate([consumed, wanted]))
    if options["law"] == "replacement":
        if len(known) and known[-1] >= 8 * (len(consumed) + len(wanted)) + 2**16:
            raise Refused("the ids do not tell the size of the data set")
    else:
        absent = int((~np.isin(wanted, consumed)).sum())
        if options["law"] in WHOLE_LAWS and absent > len(wanted) // 10:
            raise Refused(f"{absent} of the {len(wanted)} scored examples are not in the order")
        if len(known) and known[-1] >= len(known):
            # Ids with gaps are counted anew.
            epochs = [epoch._replace(ids=np.searchsorted(known, epoch.ids)) for epoch in epochs]
            wanted, known = np.searchsorted(known, wanted), np.arange(len(known))
    return epochs, int(known.max(initial=-1)) + 1, wanted


def padding(ids):
    """How many ids at the end of an epoch repeat its beginning, up to a tenth of it; any other repeat is none."""
    again = np.flatnonzero(ids[1:] == ids[:1])
    if len(again) == 0:
        return 0
    whole = int(again[0]) + 1
    padded = len(ids) - whole
    return padded if 10 * padded <= whole and (ids[whole:] == ids[:padded]).all() else 0


def seen_in(epoch, examples, wanted, law):
    """Rows that an epoch saw, and their positions: the inverse of the list of ids."""
    order = epoch.ids
    if not 1 <= examples <= 2**32:
        raise Refused(f"{examples} examples")
    if (order >= examples).any():
        raise Refused(f"the order names example {int(order.max())} of {examples}")
    if law in (*WHOLE_LAWS, "uniform-subset"):
        # Of an example that pads the end the first occurrence counts.
        order = order[: len(order) - padding(order)]
    by_id = np.argsort(order, kind="stable")
    sorted_ids = order[by_id]
    if law != "replacement" and (np.diff(sorted_ids) == 0).any():
        raise Refused("the order names an id twice")
    if law in WHOLE_LAWS and examples - len(order) > examples // 10:
        raise Refused(f"the order leaves out {examples - len(order)} of {examples} examples")
    if len(order) == 0:
        return np.arange(0), np.arange(0)
    # With replacement the last draw counts.
    at = np.searchsorted(sorted_ids, wanted, side="right") - 1
    found = (at >= 0) & (sorted_ids[np.maximum(at, 0)] == wanted)
    places = by_id[np.maximum(at, 0)]
    if law == "replacement":
        # Never drawn is 0, tied at the bottom.
        return np.arange(len(wanted)), np.where(found, places + 1, 0)
    if epoch.steps is not None:
        places = epoch.steps[places]
    return np.flatnonzero(found), places[found]


def told_of(epoch, examples, law):
    """What a reader must know of an epoch that is not each example once."""
    if law == "replacement":
        return []
    lines, padded = [], padding(epoch.ids)
    if padded:
        lines.append(
            f"the last {padded} ids of epoch {epoch.number} repeat its first ones, which looks like a sampler's "
            "padding: their first place counts"
        )
    held = len(epoch.ids) - padded
    if law == "uniform" and held + examples // 10 < examples:
        lines.append(
            f"epoch {epoch.number} was cut short: it has {held} of {examples} examples, and is tested on those"
        )
    return lines


def alike(positions, scores):
    """A warning when scores within tied positions are alike beyond a trend over the order."""
    order = np.argsort(positions, kind="stable")
    sorted_positions, sorted_scores = positions[order], scores[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(sorted_positions) != 0]))
    ties = [group for group in np.split(sorted_scores, starts[1:]) if len(group) > 1]
    sizes = np.array([len(group) for group in ties], dtype=np.float64)
    count, rows = len(ties), sizes.sum()
    if count < 5 or 2 * rows < len(positions):
        return []
    means = np.array([total(group) / len(group) for group in ties])
    within = sum(total((group - mean) ** 2) for group, mean in zip(ties, means)) / (rows - count)
    between = total(np.diff(means) ** 2) / (2 * (count - 1))
    shared = between - within * total(1 / sizes) / count
    if shared <= 0 or shared / (shared + within) < 0.3 or (count < 20 and within > 1e-12 * between):
        return []
    return [
        f"scores are alike wherever positions are tied (intraclass correlation {shared / (shared + within):.2f} in "
        f"{count} ties of {rows / count:.1f} rows): if rows of a tie are one document, pack or example, p is far too "
        "small; average them by units"
    ]


def by_unit(units, positions, columns):
    """Rows by unit: its rank in the order, and the exactly summed mean of each column."""
    order = np.lexsort((positions, units))
    if len(order) == 0:
        raise Refused("the order saw none of the rows")
    members = np.split(order, np.flatnonzero(np.diff(units[order])) + 1)
    first = np.array([positions[rows[0]] for rows in members])
    last = np.array([positions[rows[-1]] for rows in members])
    means = [np.array([math.fsum(column[rows]) / len(rows) for rows in members]) for column in columns]
    place, rank = np.zeros(len(members), dtype=np.int64), 0
    in_order = np.lexsort((last, first))
    for before, after in zip(in_order, in_order[1:]):
        tied = (first[before], last[before]) == (first[after], last[after])
        if first[after] <= last[before] and not (tied and first[before] == last[before]):
            raise Refused("a unit is spread over the order")
        rank += not tied
        place[after] = rank
    return np.array([int(units[rows[0]]) for rows in members]), place, means


def rows_of(columns, epoch, seen, positions, wanted, sampled):
    """The rows of one test, averaged by unit where the order moved units."""
    scores, *references = [
        column.as_scores()[seen] for column in [*columns["scores"], *columns.get("reference", [])]
    ]
    blocks = columns["blocks"][0].as_ids()[seen] if "blocks" in columns else None
    ids = wanted[seen]
    if "units" in columns:
        for column in [scores, *references]:
            if not np.isfinite(column).all():
                raise Refused("a score is not finite")
        units = columns["units"][0].as_ids()[seen]
        ids, positions, (scores, *references) = by_unit(units, positions, [scores, *references])
    return Rows(epoch, positions, scores, references, ids, sampled, blocks)


def tests_of(options, columns):
    """The tests that the options ask for: one, or one for each epoch."""
    law = options["law"]
    if "positions" in columns:
        positions = columns["positions"][0].as_ids()
        same_lengths(columns, len(positions))
        every = np.arange(len(positions))
        rows = rows_of(columns, None, every, positions, every, 0)
        return Tests([rows], len(positions), alike(rows.positions, checked(options, rows)), 0)
    epochs, examples, wanted = epochs_of(options, columns)
    same_lengths(columns, examples if wanted is None else len(wanted))
    sampled = 0
    if wanted is None:
        wanted = np.arange(examples)
    elif len(np.unique(wanted)) < len(wanted):
        one_unit = "units" in columns and len(np.unique(wanted)) == len(
            np.unique(np.column_stack([wanted, columns["units"][0].as_ids()]), axis=0)
        )
        if not one_unit:
            raise Refused("an example was scored twice: its rows share one position")
    if law == "uniform-same-each-epoch":
        require_same(epochs)
        epochs = epochs[:1]
    if law == "replacement":
        epochs = [Epoch(0, np.concatenate([epoch.ids for epoch in epochs]), None)]
        sampled = len(epochs[0].ids)
    if law == "blockwise" and len(epochs) == 1:
        raise Refused("one list of ids does not say where the blocks end")
    tests, said, used = [], [], np.zeros(len(wanted), dtype=bool)
    for place, epoch in enumerate(epochs):
        # The last epoch of a training may have been cut short anywhere.
        cut = law == "uniform" and place == len(epochs) - 1 and (place > 0 or epoch.number > 0)
        seen, positions = seen_in(epoch, examples, wanted, "uniform-subset" if cut else law)
        used[seen] = True
        tests.append(rows_of(columns, epoch, seen, positions, wanted, sampled))
        said += told_of(epoch, examples, law)
        said += alike(tests[-1].positions, adjusted_of(options, tests[-1]))
    left_out = int((~used).sum())
    if left_out:
        said.append(
            f"{left_out} of {len(wanted)} rows are left out of the test: the order does not have their examples"
        )
    return Tests(tests, examples, said, left_out)


def require_same(epochs):
    """Refuses epochs of different orders; the last may be cut short."""
    one = epochs[0].ids
    whole = len(one) - padding(one)
    for place, epoch in enumerate(epochs[1:], 1):
        held = len(epoch.ids) - padding(epoch.ids)
        common = min(whole, held)
        cut = held < whole and place < len(epochs) - 1
        if cut or held > whole or (one[:common] != epoch.ids[:common]).any():
            raise Refused("the law is uniform-same-each-epoch, but the epochs differ")


def same_lengths(columns, expected):
    """All columns of scores, references, units and blocks have one entry for each row."""
    for role in ("scores", "reference", "units", "blocks"):
        for column in columns.get(role, []):
            if len(column.values) != expected:
                raise Refused(f"{column.name} has {len(column.values)} rows, not {expected}")


# ---- Orders that depend on each other --------------------------------------------------------------------


def dependence(audited, other, tries=1):
    """Whether lists of ids agree with epochs beyond chance, which is once in a million over all comparisons."""
    lists = {tuple(ids) for ids in other}
    for ids in audited:
        if (len(ids) >= 10 or (len(audited) == 1 and ids)) and tuple(ids) in lists:
            return True
    pieces = stretches(other)
    chance = -6.0 - math.log10(tries)
    least = chance - math.log10(max(1, len(audited) * len(pieces)))
    all_kept, all_expected = 0, 0.0
    for ids in audited:
        # The last occurrence counts where an id comes back.
        places = dict(zip(ids, range(len(ids))))
        for piece in pieces:
            common = np.array([places[name] for name in piece if name in places], dtype=np.int64)
            if agreement(common) < least:
                return True
            # Of k ids one in k follows its predecessor.
            kept, expected = int((np.diff(common) == 1).sum()), 1 - 1 / max(1, len(common))
            if ln_chance(kept, expected) / LN10 < least:
                return True
            all_kept, all_expected = all_kept + kept, all_expected + expected
    # Many small blocks tell together what none of them tells alone.
    return ln_chance(all_kept, all_expected) / LN10 < chance


def stretches(other):
    """The lists and all of them one after another, cut where an id comes back, and whole by last occurrence."""
    found = []
    for ids in [*other, list(itertools.chain(*other))] if len(other) > 1 else other:
        pieces, seen = [[]], set()
        for name in ids:
            if name in seen:
                seen.clear()
                pieces.append([])
            seen.add(name)
            pieces[-1].append(name)
        if len(pieces) > 1:
            found.append(tuple(dict.fromkeys(reversed(ids)))[::-1])
        found += map(tuple, pieces)
    return [piece for piece in dict.fromkeys(found) if piece]


def agreement(places):
    """log10 of the two-sided p of places that stand in another order; 0 for too few."""
    if len(places) < 5:
        return 0.0
    try:
        found = measure("spearman", "two-sided", places, np.arange(len(places), dtype=np.float64))
    except Refused:
        return 0.0
    return found.tails.two_sided / LN10


def ln_chance(kept, expected):
    """Chernoff's bound of a Poisson variable."""
    return 0.0 if kept <= expected else kept - expected - kept * math.log(kept / expected)


def refuse_repeats(tests, backs):
    """Two epochs of one order are one randomisation, also where one is cut short or edited."""
    longest = max(len(rows.epoch.ids) for rows in tests)
    # The same ids of every epoch: by a hash, so that they are no stretch of the data.
    share = np.uint64((2**64 - 1) // max(1, -(-longest // 4096)))
    epochs = collections.defaultdict(list)
    for rows, back in zip(tests, backs):
        ids = rows.epoch.ids.astype(np.uint64)
        kept = (ids + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) <= share
        epochs[back].append(rows.epoch.ids[kept].tolist())
    orders = list(epochs.values())
    for earlier, later in itertools.combinations(orders, 2):
        if dependence(earlier, later, max(1, len(orders) ** 2 // 2)):
            raise Refused("two epochs have the same order: that is one randomisation")


# ---- The finding -----------------------------------------------------------------------------------------


def answer(options, columns):
    """The finding computed anew, but for direction and the words about its randomness."""
    tests = tests_of(options, columns)
    metric, tail, draws = (options.get(name) for name in ("metric", "tail", "monte_carlo"))
    finding = {"metric": metric, "tail": tail, "adjust": options["adjust"], "monte_carlo": draws}
    if tests.left_out:
        finding["rows_left_out"] = tests.left_out
    if len(tests.rows) > 1:
        log_p, lines = over_epochs(options, tests, finding)
    else:
        (rows,) = tests.rows
        y = checked(options, rows)
        finding["n"] = len(y)
        if draws is not None:
            log_p, lines = monte_carlo(options, rows, y, tests.examples)
            ties = spearman(rows.positions, y).ties
            finding |= {"statistic": coefficient(metric, rows.positions, y), "ties": ties, "exact": False}
        else:
            found = measure(metric, tail, rows.positions, y)
            log_p, lines = of_tail(found.tails, tail), found.warnings
            finding |= {"statistic": found.correlation.r, "ties": found.correlation.ties}
            finding |= methods([found])
    finding |= {"p": math.exp(log_p), "log10_p": log_p / LN10}
    return finding | {"warnings": lines + tests.said + about_randomness(options, finding["log10_p"])}


def methods(found):
    """What a finding says of how its p-value was found."""
    exact = len(found) == 1 and found[0].method == "exact"
    return {"exact": exact} | ({"saddlepoint": True} if any(one.method == "saddlepoint" for one in found) else {})


def passes_after(tests):
    """For each block the epochs after its own: an epoch is over when an id comes back."""
    seen, number, passes = set(), 0, []
    for rows in tests:
        ids = rows.epoch.ids.tolist()
        if not seen.isdisjoint(ids):
            seen.clear()
            number += 1
        seen.update(ids)
        passes.append(number)
    return [number - of for of in passes]


def over_epochs(options, tests, finding):
    """ln p and warnings of several epochs, later and larger ones weighing more; their table in the finding."""
    metric, tail, gamma = options["metric"], options["tail"], options["gamma"]
    blockwise = options["law"] == "blockwise"
    backs = passes_after(tests.rows) if blockwise else list(range(len(tests.rows)))[::-1]
    refuse_repeats(tests.rows, backs)
    sizes = [len(rows.scores) for rows in tests.rows]
    weights = [gamma**back * math.sqrt(size / max(1, *sizes)) for back, size in zip(backs, sizes)]
    scores = [checked(options, rows) for rows in tests.rows]
    lines = []
    if options.get("monte_carlo") is not None:
        statistics = [coefficient(metric, rows.positions, y) for rows, y in zip(tests.rows, scores)]
        ties = [spearman(rows.positions, y).ties for rows, y in zip(tests.rows, scores)]
        logs, log_p, lines = drawn_together(options, tests.rows, scores, weights)
        exact = [False] * len(logs)
        finding["exact"] = False
    else:
        found = [measure(metric, tail, rows.positions, y) for rows, y in zip(tests.rows, scores)]
        statistics = [one.correlation.r for one in found]
        ties = [one.correlation.ties for one in found]
        logs = [of_tail(one.tails, tail) for one in found]
        exact = [one.method == "exact" for one in found]
        log_p = of_tail(stouffer([(one.tails, weight) for one, weight in zip(found, weights)]), tail)
        lines = list(dict.fromkeys(line for one in found for line in one.warnings))
        finding |= methods(found)
    table = [
        {"epoch": rows.epoch.number, "n": size, "statistic": r, "weight": weight, "p": math.exp(log),
         "log10_p": log / LN10, "exact": is_exact}
        for rows, size, r, weight, log, is_exact in zip(tests.rows, sizes, statistics, weights, logs, exact)
    ]
    mean = weighted_mean(table)
    last = [place for place, back in enumerate(backs) if back == 0]
    finding |= {"statistic": mean, "ties": sum(ties[place] for place in last)}
    finding |= {"n": sum(sizes[place] for place in last), "epochs": {"gamma": gamma, "rows": table}}
    # A block is no epoch: chance alone turns the sign of some of many small ones.
    one_each = all(here != there for here, there in zip(backs, backs[1:]))
    if tail == "two-sided" and one_each and any(r * mean < 0 for r in statistics):
        lines.append("the epochs do not all have the same sign; opposite signs cancel")
    return log_p, lines


def weighted_mean(table):
    """The mean of the epochs' statistics by their weights."""
    return sum(row["weight"] * row["statistic"] for row in table) / sum(row["weight"] for row in table)


def about_randomness(options, log10_p):
    """Warnings about the seed of the order."""
    lines, floor = [], log10_floor(options)
    if options.get("randomness") == "fixed":
        lines.append(
            "simulation: the seed of the order is a public number, so the p-value shows what the test can do and "
            "proves nothing"
        )
    if floor is not None and log10_p < floor:
        bits = options["seed_bits"]
        lines.append(
            f"p is below 2^-{bits} (log10 {floor:.2f}), the least that a seed of {bits} bits supports: quote that "
            "bound instead"
        )
    return lines


# ---- Form: which fields there are, and of which type -----------------------------------------------------

LARGEST = 2**53  # integers beyond it are rounded by many readers of JSON


def is_count(value):
    """A whole number from 0; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def is_number(value):
    """A finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_text(value):
    return isinstance(value, str)


def is_flag(value):
    return isinstance(value, bool)


def is_hex(value, digits=64):
    """Lower-case hexadecimal of this many digits and nothing else."""
    return is_text(value) and re.fullmatch(f"[0-9a-f]{{{digits}}}", value) is not None


def is_run(value):
    return is_hex(value, 16)


def is_texts(value):
    return isinstance(value, list) and all(map(is_text, value))


def is_list(value):
    return isinstance(value, list)


def is_object(value):
    return isinstance(value, dict)


def one_of(*choices):
    """Exactly one of these texts."""
    return lambda value: is_text(value) and value in choices


def or_null(holds):
    """That, or null."""
    return lambda value: value is None or holds(value)


LAWS = ("uniform", "uniform-same-each-epoch", "uniform-subset", "replacement", "blockwise")
UNITS = ("sample", "pack", "step")
METRICS = ("spearman", "pearson", "kendall")
TAILS = ("two-sided", "less", "greater")
ADJUSTS = ("none", "difference", "residual")
FILE_ROLES = ("order", "positions", "scores", "reference", "ids", "units", "blocks")
INDEX = {"sequence": is_count, "digest": is_hex}
DRAWS = {"draws": is_count, "seed": is_count}
TOP = {
    "type": is_text, "version": is_count, "about": is_text, "tested": is_object, "options": is_object,
    "finding": is_object, "origin": or_null(is_object), "headline": is_text, "meaning": is_texts,
    "limits": is_texts, "software": is_object, "digest": is_hex, "signatures": is_list,
}
TESTED = {"files": is_list, "runs": is_list}
FILE = {
    "role": one_of(*FILE_ROLES, "reference-order"), "name": is_text, "column": or_null(is_text),
    "size": is_count, "sha256": is_hex,
}
RUN = {"role": one_of("order", "scores", "reference", "template"), "run": is_run, "run_digest": is_hex}
PROMISE = {"commitment": is_hex, "nonce": is_hex, "law": one_of(*LAWS, "sorted", "adaptive"),
           "unit": one_of(*UNITS), "files": is_list}
SCORES = {"on": is_run, "parameters_sha256": or_null(is_hex), "sha256": is_hex, "size": is_count}
ORIGIN = {
    "run": is_run, "run_digest": is_hex, "law": one_of(*LAWS, "sorted", "adaptive"),
    "unit": one_of(*UNITS), "randomness": one_of("os", "beacon", "fixed"), "examples": is_count,
    "dataset_root": is_hex, "seed_commit": is_hex, "commitment": is_hex, "order_hashes": is_list,
    "index": or_null(is_object), "promises": is_count, "abandoned": is_count, "head": is_hex,
}
ORIGIN_2 = ORIGIN | {"order_version": lambda value: is_count(value) and value in (1, 2),
                     "follows_from_seed": is_flag}
BEACON = {"beacon_source": is_text}
SIGNATURE = {
    "version": is_count, "algorithm": is_text, "kind": is_text, "digest": is_hex,
    "public_key": is_text, "signature": is_text,
}
FINDING = {
    "metric": one_of(*METRICS), "statistic": lambda value: is_number(value) and -1 <= value <= 1,
    "n": lambda value: is_count(value) and value >= 2, "ties": is_count, "tail": one_of(*TAILS),
    "adjust": one_of(*ADJUSTS), "p": lambda value: is_number(value) and 0 <= value <= 1,
    "log10_p": lambda value: is_number(value) and value <= 0, "exact": is_flag, "direction": is_text,
    "randomness": one_of("os", "beacon", "fixed", "undeclared"), "simulation": is_flag,
    "floor_log10_p": or_null(lambda value: is_number(value) and value <= 0),
    "monte_carlo": or_null(is_object), "warnings": is_texts,
}
def is_version(value):
    """The name of a version: one short line."""
    return is_text(value) and len(value.encode()) <= 200 and not any(map(is_control, value))


def is_control(sign):
    """A control character of Unicode."""
    return unicodedata.category(sign) == "Cc"


def is_weight(value):
    """A factor that makes earlier epochs count less, or as much."""
    return is_number(value) and 0 < value <= 1


EPOCHS = {"gamma": is_weight, "rows": lambda value: is_list(value) and len(value) > 1}
EPOCH = {name: FINDING[name] for name in ("n", "statistic", "p", "log10_p", "exact")}
EPOCH |= {"epoch": is_count, "weight": is_number}
OPTIONS = {
    "metric": one_of(*METRICS), "tail": one_of(*TAILS), "adjust": one_of(*ADJUSTS),
    "kind": one_of("loss", "log-prob", "agreement"), "law": one_of(*LAWS), "unit": one_of(*UNITS),
    "resolution": one_of("sample", "step"),
}
MORE_OPTIONS = {
    "epoch": is_count, "gamma": is_weight,
    "batch_size": lambda value: is_count(value) and value > 0, "randomness": one_of("os", "beacon", "fixed"),
    "seed_bits": lambda value: is_count(value) and 1 <= value <= 65_536, "monte_carlo": is_object,
    "access": one_of("log-probs", "top-one", "sampled"),
    "documents": one_of("whole", "apart", "averaged"), "template": is_object,
    "layout": one_of("steps", "epochs-in-columns"), "row_scores": one_of("mean"),
}
PLAN = {"sha256": is_hex, "tests": lambda value: is_count(value) and value > 0}
TEMPLATE = {"profile": lambda value: is_list(value) and all(map(is_number, value)), "shadows": is_count}


def faults(place, value, fields, optional=None):
    """What is wrong with the fields of an object: (whether the field is unknown, in words)."""
    if not is_object(value):
        return [(False, f"{place} is no object")]
    known = fields | (optional or {})
    unknown = [(True, f"{place} has an unknown field {name!r}") for name in value if name not in known]
    missing = [(False, f"{place} has no field {name!r}") for name in fields if name not in value]
    wrong = [
        (False, f"{place}.{name} is {short(value[name])}, which it cannot be")
        for name, holds in known.items()
        if name in value and not holds(value[name])
    ]
    return unknown + missing + wrong


def short(value):
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def check_form(certificate, report):
    """Fields of the document. Unknown ones do not agree; without one, or of another type, it is none."""
    found = faults("the certificate", certificate, TOP)
    wrong = [text for unknown, text in found if not unknown]
    if wrong:
        raise Unreadable(f"not a certificate: {wrong[0]}")
    version = certificate["version"]
    if version not in (1, 2):
        raise Unreadable(f"certificate version {version}; this script knows 1 and 2")
    tested, origin = certificate["tested"], certificate["origin"]
    found += faults("tested", tested, TESTED, {} if version == 1 else {"promise": is_object})
    if is_object(tested.get("promise")):
        found += faults("tested.promise", tested["promise"], PROMISE)
    if not (is_list(tested.get("files")) and is_list(tested.get("runs"))):
        raise Unreadable("not a certificate: tested lists no files and no runs")
    scored = {} if version == 1 else {"scores": is_object}
    for place, entry in enumerate(tested["files"]):
        found += faults(f"tested.files[{place}]", entry, FILE)
        if version == 1 and is_object(entry) and entry.get("role") == "reference-order":
            found.append((False, f"tested.files[{place}].role is of version 2"))
    for place, entry in enumerate(tested["runs"]):
        found += faults(f"tested.runs[{place}]", entry, RUN, scored)
        scores = entry.get("scores") if is_object(entry) else None
        if scores is not None:
            found += faults(f"tested.runs[{place}].scores", scores, SCORES)
    if origin is not None:
        if version == 1:
            found += faults("origin", origin, ORIGIN)
        else:
            found += faults("origin", origin, ORIGIN_2, BEACON)
        hashes = origin.get("order_hashes")
        if not (is_list(hashes) and hashes and all(map(is_hex, hashes))):
            found.append((False, "origin.order_hashes is not a list of digests"))
        if origin.get("index") is not None:
            found += faults("origin.index", origin["index"], INDEX)
    found += faults("software", certificate["software"], {"palimpsest": is_version})
    for place, signature in enumerate(certificate["signatures"]):
        found += faults(f"signatures[{place}]", signature, SIGNATURE)
    wrong = [text for unknown, text in found if not unknown]
    if wrong:
        raise Unreadable(f"not a certificate: {wrong[0]}")
    unknown = [text for _, text in found]
    report.check("form", not unknown, "; ".join(unknown))


# ---- What Palimpsest can have written ---------------------------------------------------------------------


def inputs_fault(certificate):
    """What is wrong with the inputs taken together, or None."""
    files, runs = certificate["tested"]["files"], certificate["tested"]["runs"]
    origin = certificate["origin"]
    roles = collections.Counter(file["role"] for file in files)
    of_runs = collections.Counter(run["role"] for run in runs)
    if files and (runs or origin is not None):
        return "it names files and runs; a test has one of them"
    if runs and "promise" in certificate["tested"]:
        return "the promise of a run stands in its origin"
    if not files and not runs:
        return "it names no input"
    if files:
        if roles["scores"] != 1 or roles["positions"] > 1 or (roles["order"] > 0) == (roles["positions"] > 0):
            return "a test has one file of scores, and an order or positions"
        if any(roles[role] > 1 for role in ("ids", "units", "blocks")):
            return "it names two files as ids, units or blocks"
        if roles["positions"] and (roles["ids"] or roles["reference-order"]):
            return "positions are of the rows as they are: there are no ids and no reference order"
        if roles["blocks"] and (roles["order"] or roles["units"]):
            return "blocks belong to positions without units"
        return None
    if of_runs["order"] != 1 or of_runs["scores"] != 1:
        return "a test of runs has one order and one suspect"
    if origin is None:
        return "it tests the order of a run, but has no origin"
    (order,) = (run for run in runs if run["role"] == "order")
    if (order["run"], order["run_digest"]) != (origin["run"], origin["run_digest"]):
        return "the run whose order was tested is not that of the origin"
    if origin["abandoned"] > origin["promises"]:
        return f"{origin['abandoned']} of {origin['promises']} promises are abandoned"
    if origin["index"] is not None and origin["index"]["sequence"] >= origin["promises"]:
        return "its promise stands behind the end of the index"
    if certificate["version"] > 1:
        if any(("scores" in run) == (run["role"] == "order") for run in runs):
            return "a run gives either the order or scores"
        if origin["follows_from_seed"] and origin["law"] not in LAWS:
            return f"an order of the law {origin['law']} does not follow from its seed"
    return None


def options_form(certificate):
    """What is wrong with the fields of the options."""
    options = certificate["options"]
    more = MORE_OPTIONS | ({"plan": is_object} if certificate["version"] > 1 else {})
    found = faults("options", options, OPTIONS, more)
    for name, fields in (("monte_carlo", DRAWS), ("plan", PLAN), ("template", TEMPLATE)):
        if name in options:
            found += faults(f"options.{name}", options[name], fields)
    return found


def options_fault(certificate):
    """What is wrong with the options, by themselves and beside inputs and finding, or None."""
    options, finding, origin = (certificate[name] for name in ("options", "finding", "origin"))
    found = options_form(certificate)
    if found:
        return found[0][1]
    roles = collections.Counter(file["role"] for file in certificate["tested"]["files"])
    references = roles["reference"] + sum(
        run["role"] == "reference" for run in certificate["tested"]["runs"]
    )
    law, several = options["law"], "epochs" in finding
    rules = [
        (options["tail"] == finding["tail"], f"tail was fixed as {options['tail']}, but the finding has another"),
        (options["adjust"] == finding["adjust"],
         f"adjust was fixed as {options['adjust']}, but the finding has another"),
        (options["metric"] == finding["metric"] or "template" in options,
         f"metric was fixed as {options['metric']}, but the finding has {finding['metric']}"),
        ((options["adjust"] == "none") == (references == 0),
         f"adjust is {options['adjust']} with {references} references"),
        (options.get("randomness", "undeclared") == finding["randomness"],
         "the randomness of the finding is not that of the options"),
        (options.get("monte_carlo") == finding["monte_carlo"], "the draws of the finding are not those of the options"),
        (not several or options.get("gamma") == finding["epochs"]["gamma"],
         "gamma of the finding is not that of the options"),
        (several or "gamma" not in options or law in ("replacement", "uniform-same-each-epoch"),
         "gamma weighs several epochs, but the finding has one"),
        (not several or not {"epoch", "template"} & options.keys(), "one epoch or a template beside several epochs"),
        (law != "replacement" or "monte_carlo" in options, "a sampler with replacement has no closed form"),
        (("template" in options) == any(run["role"] == "template" for run in certificate["tested"]["runs"]),
         "a template and the runs that it is learnt from"),
        ("template" not in options or "monte_carlo" not in options, "a template is tested by its closed form"),
    ]
    if origin is None:
        rules += [
            ("access" not in options and "documents" not in options, "access and documents belong to runs"),
            (options["unit"] == "sample" or roles["units"] > 0,
             "an order of whole units is tested by the unit of each example"),
            (options["resolution"] == ("step" if "batch_size" in options or options.get("layout") == "steps" else
                                       "sample"), "positions count steps where a batch size is given"),
            (not roles["positions"] or not {"epoch", "batch_size", "gamma"} & options.keys(),
             "positions have no epochs and no batch size"),
            (not roles["positions"] or law != "replacement", "a sampler with replacement is tested by its order"),
            (roles["blocks"] == 0 or law == "blockwise", f"blocks, but the law is {law}"),
            (law != "blockwise" or roles["order"] > 0 or "monte_carlo" in options and roles["blocks"] == 1,
             "a blockwise order is tested by rows, or within blocks by Monte Carlo"),
            ("layout" not in options or roles["order"] + roles["reference-order"] > 0,
             "a layout without a table of ids"),
        ]
    else:
        rules += [
            ("access" in options and "documents" in options, "access and documents are missing"),
            (options["resolution"] == "step" and "batch_size" not in options, "positions of runs count steps"),
            (law == origin["law"], f"law is {law}, but the run's is {origin['law']}"),
            (options.get("randomness") == origin["randomness"], f"the run's randomness is {origin['randomness']}"),
            (options.get("seed_bits") == 256, "the seed of a run has 256 bits"),
            (options["unit"] == (origin["unit"] if options.get("documents") == "whole" else "pack"),
             "the unit is not that of the run"),
            (options["kind"] == ("loss" if options.get("access") == "log-probs" else "agreement"),
             "the kind of score is not that of the access"),
            (not {"layout", "row_scores"} & options.keys(), "files are laid out, runs are not"),
        ]
    return next((text for holds, text in rules if not holds), None)


# ---- What follows from the other numbers of a finding ------------------------------------------------------


def near(a, b, absolute=1e-6, relative=1e-9):
    """Equal up to the last digits, in which machines may differ."""
    return abs(a - b) <= max(absolute, relative * max(abs(a), abs(b)))


def log10_floor(options):
    """The least log10 p that the bits of the seed support."""
    bits = options.get("seed_bits")
    return None if bits is None else -bits * math.log10(2)


def direction(certificate):
    """The sign of the statistic in words."""
    options, r = certificate["options"], certificate["finding"]["statistic"]
    if "template" in options:
        if r > 0:
            return "positive: the scores follow the imprint of the shadow runs"
        return "negative: the scores run against the imprint of the shadow runs"
    if r == 0:
        return "zero: later examples score neither higher nor lower"
    sign, comparative = ("negative", "lower") if r < 0 else ("positive", "higher")
    noun = {"loss": "loss", "log-prob": "log-probability", "agreement": "agreement"}[options["kind"]]
    beside = "" if options["adjust"] == "none" else ", beside the reference"
    return f"{sign}: later examples have {comparative} {noun}{beside}"


def sides(certificate):
    """2 where a two-sided p-value is twice the smaller side of a null that is not centred."""
    options = certificate["options"]
    within = any(file["role"] == "blocks" for file in certificate["tested"]["files"])
    return 2 if within and options["tail"] == "two-sided" else 1


def closed_form(test, metric, ties):
    """Tails that follow from a coefficient and n alone; None where they do not."""
    r, n = test["statistic"], test["n"]
    if test["exact"] or n <= 9 or abs(r) > 1 - 1e-9:
        return None
    if metric != "kendall":
        return student(r, (1 - r) * (1 + r), n)
    if ties:
        return None
    return normal(r * (n * (n - 1) / 2) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18))


def fits(test, metric, tail, ties):
    """Whether the p-value is that of statistic and n, as far as they tell it."""
    tails = closed_form(test, metric, ties)
    if tails is None:
        return True
    # 1 - r² from r has lost digits near 1.
    slack = 1e-6 + test["n"] * 1e-15 / (1 - abs(test["statistic"]))
    return near(of_tail(tails, tail) / LN10, test["log10_p"], slack)


def p_fits(p, log10_p):
    """Whether p and its logarithm are the same number; below 1e-300 a double loses digits."""
    return near(math.log10(p), log10_p) if p > 1e-300 else log10_p < -299


def epochs_fault(finding, law):
    """What is wrong with the table of epochs, or None."""
    table, metric, tail = finding["epochs"], finding["metric"], finding["tail"]
    rows, gamma = table["rows"], table["gamma"]
    # How many blocks an epoch has, and so how they are weighed, shows in the order only.
    blocks = law == "blockwise"
    largest = max(row["n"] for row in rows)
    for place, row in enumerate(rows):
        expected = gamma ** (len(rows) - 1 - place) * math.sqrt(row["n"] / largest)
        if not blocks and not near(row["weight"], expected, 0.0):
            return f"the weight of row {place} does not follow from gamma and its size"
        if row["weight"] <= 0:
            return f"row {place} has no weight"
        if not p_fits(row["p"], row["log10_p"]):
            return f"p and log10_p of row {place} differ"
        if place and row["epoch"] <= rows[place - 1]["epoch"]:
            return "the epochs are not in order"
    if not near(weighted_mean(rows), finding["statistic"], 1e-12):
        return "the statistic is not the weighted mean of the epochs"
    if not blocks and finding["n"] != rows[-1]["n"]:
        return "n is not that of the last epoch"
    if finding["monte_carlo"] is not None or finding.get("saddlepoint"):
        return None
    for place, row in enumerate(rows):
        if not fits(row, metric, tail, True):
            return f"log10_p of row {place} is not that of its statistic and n"
    tests = [(closed_form(row, metric, True), row["weight"]) for row in rows]
    if all(tails is not None for tails, _ in tests):
        combined = of_tail(stouffer(tests), tail) / LN10
        if not near(combined, finding["log10_p"], 1e-4):
            return f"log10_p of the combination is {combined:.6f}"
    return None


def draws_fault(certificate):
    """What is wrong with a Monte Carlo p-value, or None: it is a whole number of draws."""
    finding, factor = certificate["finding"], sides(certificate)
    draws = finding["monte_carlo"]["draws"]
    if draws < 1:
        return "there are no draws"
    if finding["exact"]:
        return "a Monte Carlo p-value is not called exact"
    extreme = finding["p"] * (draws + 1) / factor - 1
    if finding["p"] < 1 and not near(extreme, round(extreme), 1e-6):
        return f"p is no multiple of {factor}/(draws + 1)"
    if round(extreme) < 0:
        return f"p is below {factor}/(draws + 1), the least that {draws} draws can give"
    return None


def finding_form(finding):
    """What is wrong with the fields of a finding."""
    more = {"epochs": is_object, "saddlepoint": is_flag, "rows_left_out": is_count}
    found = faults("finding", finding, FINDING, more)
    if not found and finding["monte_carlo"] is not None:
        found += faults("finding.monte_carlo", finding["monte_carlo"], DRAWS)
    if not found and "epochs" in finding:
        found += faults("finding.epochs", finding["epochs"], EPOCHS)
        for place, row in enumerate(finding["epochs"]["rows"] if not found else []):
            found += faults(f"finding.epochs.rows[{place}]", row, EPOCH)
    return found


def finding_fault(certificate):
    """What is wrong with the finding by itself, or None."""
    options, finding = certificate["options"], certificate["finding"]
    found = finding_form(finding)
    if found:
        return found[0][1]
    if not p_fits(finding["p"], finding["log10_p"]):
        return f"p is {finding['p']}, but log10_p is {finding['log10_p']}"
    if finding["simulation"] != (finding["randomness"] == "fixed"):
        return "a simulation is what has a fixed seed, and nothing else"
    if finding["ties"] > finding["n"]:
        return f"{finding['ties']} of {finding['n']} examples are tied"
    if finding["n"] < 5:
        return f"n is {finding['n']}; a test has at least 5 examples"
    if any(not unknown for unknown, _ in options_form(certificate)):
        return None  # what follows from the options cannot be told; they are refused themselves
    floor = log10_floor(options)
    if (floor is None) != (finding["floor_log10_p"] is None):
        return "floor_log10_p does not follow from the bits of the seed"
    if floor is not None and not near(floor, finding["floor_log10_p"], 0.0):
        return f"floor_log10_p is {finding['floor_log10_p']}, but {options['seed_bits']} bits give {floor}"
    if finding["direction"] != direction(certificate):
        return "direction does not follow from the statistic and the kind of score"
    if "epochs" in finding:
        if finding["exact"]:
            return "a combination over epochs is not called exact"
        found = epochs_fault(finding, options["law"])
        return found or (draws_fault(certificate) if finding["monte_carlo"] is not None else None)
    if finding["monte_carlo"] is not None:
        return draws_fault(certificate)
    if "template" in options:
        if finding["metric"] != "pearson":
            return "a template is tested by Pearson's correlation"
    elif finding["n"] <= 9 and not finding["exact"]:
        return f"the p-value of {finding['n']} examples is exact"
    if finding.get("saddlepoint"):
        return None
    if not fits(finding, finding["metric"], finding["tail"], finding["ties"]):
        return "log10_p is not that of statistic and n"
    return None


# ---- Words: every sentence follows from the numbers ---------------------------------------------------------

ABOUT = (
    "Result of a test whether a suspect model or its outputs depend on the order in which a training run saw its "
    "examples. Canonical JSON (RFC 8785); digest = SHA-256 of the canonical JSON without the fields digest and "
    "signatures. Check it with `palimpsest verify-certificate` or docs/verify_certificate.py of Palimpsest, together "
    "with the files named under tested."
)


def odds(log10_p):
    """A probability in words: `in about 1 of 2.0 × 10⁵¹ cases`."""
    times = -log10_p
    if times < 0.005:
        return "nearly always"
    if times < 6:
        cases = math.pow(10.0, times)
        return f"in about 1 of {cases:.1f} cases" if cases < 10 else f"in about 1 of {cases:,.0f} cases"
    exponent = math.floor(times)
    # To one digit after the point, halves upwards.
    tenths = math.pow(10.0, times - exponent) * 10
    mantissa = (math.floor(tenths) + (tenths % 1 >= 0.5)) / 10
    if mantissa >= 10:
        mantissa, exponent = 1.0, exponent + 1
    raised = str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"in about 1 of {mantissa:.1f} × 10{raised} cases"


def headline(finding):
    """The answer in one sentence; the seed supports no probability below its floor."""
    floor = finding["floor_log10_p"]
    told = odds(finding["log10_p"] if floor is None else max(finding["log10_p"], floor))
    if finding["simulation"]:
        return (
            "Simulation: the order came from a public fixed seed. Had it been drawn at random, chance alone would "
            f"give an association at least this strong {told}."
        )
    return (
        "If the suspect had nothing to do with this training order, chance alone would give an association at least "
        f"this strong {told}."
    )


def meaning(finding):
    """What the p-value means."""
    sign = {
        "less": "Only a negative association counts; this was fixed before looking.",
        "greater": "Only a positive association counts; this was fixed before looking.",
        "two-sided": "Associations of either sign count.",
    }[finding["tail"]]
    lines = [
        "A training run saw its examples in an order drawn by chance. The test asks whether the suspect's scores on "
        f"{finding['n']} of these examples go along with their places in that order ({finding['metric']}).",
        "The p-value is the probability of an association at least as strong as the one found, if the suspect is "
        "independent of the order. It needs no assumption about the data, the models or how the suspect was made, "
        f"only that the order was drawn uniformly at random. {sign}",
        f"What was found: {finding['direction'].rstrip('.')}.",
    ]
    if finding["log10_p"] > -2:
        lines.append(
            "A p-value of this size is common when there is no dependence at all. It is no evidence of dependence, "
            "and no proof of independence either."
        )
    floor = finding["floor_log10_p"]
    if floor is not None and finding["log10_p"] < floor:
        lines.append(
            "The computed p-value is smaller than the randomness of the seed supports. The sentence at the top uses "
            f"that limit, log10 p = {floor:.1f}, instead of log10 p = {finding['log10_p']:.1f}."
        )
    return lines


def limits(certificate):
    """What it does not mean."""
    finding, origin = certificate["finding"], certificate["origin"]
    lines = []
    if finding["simulation"]:
        lines.append(
            "This is a simulation: anybody could know the order beforehand. The number shows how the method works; "
            "it is no evidence about a person or a model."
        )
    promise = certificate["tested"].get("promise")
    if origin is None and promise is not None:
        lines.append(
            f"The order is taken from files that the promise {promise['commitment']} fixed. When it was made is shown "
            "only by whoever published it then; nothing here shows that the order was drawn at random, or that the "
            "training followed it."
        )
    elif origin is None:
        lines.append(
            "The order is taken from files. Nothing here shows that it was drawn at random, that it was fixed before "
            "training, or that the training followed it; whoever relies on the result must show this otherwise."
        )
    else:
        lines.append(from_a_run(origin))
        lines += left_open(origin)
    if certificate["tested"]["runs"] and certificate["version"] > 1:
        lines.append(
            "The scores are the bytes named under tested. That they are the scores of these models is shown by "
            "computing them anew (verify-certificate --rescore)."
        )
    if origin is None and finding["randomness"] == "os":
        lines.append(
            "That the order is random is what the maker of this certificate says; the files cannot show it."
        )
    return lines + [
        "The p-value is not the probability that the suspect is innocent, and it does not say how much was taken, by "
        "which way, or whether that was wrong. Dependence on the order can come from copying, fine-tuning, merging, "
        "distilling, or from training on the same examples in the same order.",
        counted(certificate["options"].get("plan")),
        "References must come from models that never met this order. A reference that depends on it can accuse an "
        "independent suspect.",
        "A large p-value does not clear the suspect: long further training and training schedules can wash the "
        "traces out.",
    ]


def counted(plan):
    """How many tests the p-value is one of."""
    if plan is None:
        return (
            "It counts one test, chosen before looking. Whoever tried several suspects, metrics, references or orders "
            "must correct for all of them."
        )
    return (
        f"It is one of {plan['tests']} tests of the plan named under options, and is not corrected for the others. That "
        "the plan was fixed before looking is shown by whoever published it then."
    )


def left_open(origin):
    """What of the order nothing has held or recomputed."""
    lines = []
    if origin.get("order_version") == 1:
        lines.append(
            "The promise is of version 1 and does not hold the law of the order: that it is "
            f"{origin['law']} is the record's word."
        )
    if origin.get("follows_from_seed") is False:
        lines.append(
            "The order was not recomputed from the seed by its law; whoever made the record could have chosen it."
        )
    return lines


def from_a_run(origin):
    """What the promise behind an order shows."""
    beacon = "a seed and public randomness to come"
    if "beacon_source" in origin:
        beacon = f"a seed and the public randomness to come of {origin['beacon_source']}"
    seed = {
        "os": "a seed from the operating system", "fixed": "a public fixed seed", "beacon": beacon,
    }[origin["randomness"]]
    others = "Every promise of its index has a run."
    if origin["abandoned"]:
        others = (
            f"{origin['abandoned']} of the {origin['promises']} promises of its index have no run. If runs were "
            f"abandoned because of their results, multiply the p-value by {origin['abandoned'] + 1}."
        )
    return (
        f"The order is that of run {origin['run']}, which committed to {seed} before its first step. This binds the "
        "order; that the training followed it is shown by running it again, and when the promise was made only by "
        f"whoever published it then. {others}"
    )


def words_fault(certificate):
    """The first part whose words are not those of the numbers, or None."""
    finding = certificate["finding"]
    expected = {
        "about": ABOUT, "headline": headline(finding), "meaning": meaning(finding),
        "limits": limits(certificate),
    }
    wrong = [name for name, words in expected.items() if certificate[name] != words]
    return f"{' and '.join(wrong)} is not what follows from the finding" if wrong else None


# ---- The certificate ----------------------------------------------------------------------------------------


def printable(text):
    """Text in which line ends, escape sequences and other invisible characters are written out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in str(text)
    )


class Report:
    """Prints one line for each check and remembers what became of them."""

    def __init__(self):
        self.failed, self.answered, self.unchecked = False, False, 0

    def check(self, name, agrees, detail=""):
        self.failed |= not agrees
        print(printable(f"ok         {name}" if agrees else f"MISMATCH   {name}: {detail}"))

    def fault(self, name, problem):
        """A check of which only the problem is known, if there is one."""
        self.check(name, problem is None, problem or "")

    def skip(self, name, reason, about_keys=False):
        self.unchecked += not about_keys
        print(printable(f"unchecked  {name}: {reason}"))


def signed_by(signature, digest):
    """The public key whose valid signature of the digest this is, or None."""
    message = f"palimpsest/signature/v1\ncertificate\n{digest}\n".encode()
    known = (signature["version"], signature["algorithm"], signature["kind"]) == (1, "ed25519", "certificate")
    if not (known and signature["digest"] == digest):
        return None
    if not (is_hex(signature["public_key"]) and is_hex(signature["signature"], 128)):
        return None
    public = bytes.fromhex(signature["public_key"])
    return public if ed25519_verifies(public, message, bytes.fromhex(signature["signature"])) else None


def check_signatures(certificate, keys, report):
    """All signatures hold, and the keys that are asked for have signed."""
    valid = []
    for signature in certificate["signatures"]:
        public = signed_by(signature, certificate["digest"])
        name = "signature" if public is None else f"signature by key {hashlib.sha256(public).hexdigest()[:16]}"
        report.check(name, public is not None, "it does not sign this certificate")
        valid += [public] if public else []
    for path in keys:
        public = read_public_key(path)
        report.check(f"signed by {path}", public in valid, "this key did not sign the certificate")
    if not valid:
        report.skip("who made it", "the certificate has no signature", about_keys=True)
    elif not keys:
        report.skip("whose the signing key is", "give the key you trust with --key", about_keys=True)


def read_bytes(path):
    """The bytes of a regular file; a pipe would wait for a writer."""
    if not path.is_file():
        raise Unreadable(f"{path} is not a file")
    return path.read_bytes()


def promise_fault(certificate):
    """What is wrong with the promise that fixed the files of the order, or None."""
    promise, options = certificate["tested"]["promise"], certificate["options"]
    parts = [b"palimpsest/files/v1", bytes.fromhex(promise["nonce"])]
    parts += [promise[name].encode() + b"\0" for name in ("law", "unit")]
    parts += [bytes.fromhex(digest) for digest in promise["files"] if is_hex(digest)]
    if hashlib.sha256(b"".join(parts)).hexdigest() != promise["commitment"]:
        return "the commitment is not that of its fields"
    if (promise["law"], promise["unit"]) != (options["law"], options["unit"]):
        return "it is of another law or unit"
    files = certificate["tested"]["files"]
    if promise["files"] != [file["sha256"] for file in files if file["role"] in ("order", "positions")]:
        return "it is of other files than those of the order"
    return None


def check_promise(certificate, published, report):
    """The promise is of these files, and among those that were published before training."""
    promise, origin = certificate["tested"].get("promise"), certificate["origin"]
    if promise is not None:
        report.fault("promise", promise_fault(certificate))
    made = origin["commitment"] if origin is not None else promise["commitment"] if promise else None
    if published is not None:
        rows = json.loads(read_bytes(published))
        known = [row["commitment"] for row in rows if row["commitment"] is not None]
        report.check("published commitments", made in known, "the promise is none of them")
    elif made is not None:
        report.skip("when the promise was made", "give what was published then with --promised")


# Lists of a plan: whether it must have them, and what stands in them; None: any text.
PLAN_LISTS = {
    "suspects": (True, None), "references": (False, None), "metrics": (True, METRICS), "tails": (False, TAILS),
    "adjusts": (False, ADJUSTS),
}
LARGEST_PLAN = 1 << 20


def check_plan(certificate, path, report):
    """The test is one of those that the plan declares, and the plan is the one that the certificate names."""
    named = certificate["options"].get("plan")
    if path is None:
        if named is not None:
            name = f"plan of {named['tests']} tests, sha256 {named['sha256'][:16]}"
            report.skip(name, "give its file with --plan")
        return
    data = read_bytes(path)
    if len(data) > LARGEST_PLAN:
        raise Unreadable(f"{path} has {len(data)} bytes; a plan has at most {LARGEST_PLAN}")
    name = f"plan {path}"
    try:
        place = place_in_plan(certificate, named, data)
    except Refused as reason:
        report.check(name, False, str(reason))
    except Cannot as reason:
        report.skip(name, f"this script does not read {reason}")
    else:
        report.check(f"{name}: test {place} of {named['tests']}", True)


def place_in_plan(certificate, named, data):
    """The number of the certificate's test among those that the plan declares, from 1."""
    if named is None:
        raise Refused("the certificate names no plan")
    found = hashlib.sha256(data).hexdigest()
    if found != named["sha256"]:
        raise Refused(f"the certificate names a plan of sha256 {named['sha256']}, this one has {found}")
    plan = read_plan(data)
    if plan["tests"] != named["tests"]:
        raise Refused(f"the certificate says {named['tests']} tests, the plan declares {plan['tests']}")
    options = certificate["options"]
    (suspect,), references = names_in_plan(certificate, "scores"), names_in_plan(certificate, "reference")
    of_run = bool(certificate["tested"]["runs"])

    def fits(declared, name):
        """A file is named whole, a run by at least eight characters of its id."""
        return declared == name or of_run and len(declared.encode()) >= 8 and name.startswith(declared)

    for name in references:
        if not any(fits(declared, name) for declared in plan["references"]):
            raise Refused(f"reference {name} is not among its references")
    for declared in plan["references"]:
        if not any(fits(declared, name) for name in references):
            raise Refused(f"its reference {declared} is not used: a test without it was not declared")
    place = next((at for at, declared in enumerate(plan["suspects"]) if fits(declared, suspect)), None)
    if place is None:
        raise Refused(f"suspect {suspect} is not among its suspects")
    for name in ("metric", "tail", "adjust"):
        declared = plan[f"{name}s"]
        if options[name] not in declared:
            raise Refused(f"{options[name]} is not among its {name}s")
        place = place * len(declared) + declared.index(options[name])
    return place + 1


def names_in_plan(certificate, role):
    """Inputs of a role by the names that a plan has for them."""
    tested = certificate["tested"]
    files = [file for file in tested["files"] if file["role"] == role]
    names = [file["name"] if file["column"] is None else f"{file['name']}:{file['column']}" for file in files]
    return names + [run["run"] for run in tested["runs"] if run["role"] == role]


def read_plan(data):
    """The lists of a plan and the number of its tests, with what is left out."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("the plan is no UTF-8") from None
    plan = plan_fields(text)
    known = {**PLAN_LISTS, "tests": None}
    for name in plan:
        if name not in known:
            raise Refused(f"the plan has an unknown field {name!r}")
    for name, (needed, words) in PLAN_LISTS.items():
        if name not in plan and not needed:
            continue
        values = plan.get(name)
        if not is_texts(values) or (words and not set(values) <= set(words)):
            raise Refused(f"{name} of the plan is no list of such names")
        if len(set(values)) < len(values):
            raise Refused(f"{name} of the plan names something twice")
    plan.setdefault("references", [])
    plan.setdefault("tails", ["two-sided"])
    plan["adjusts"] = plan.get("adjusts") or ["difference" if plan["references"] else "none"]
    tests = plan.get("tests")
    if not is_count(tests) or not 0 < tests <= 1 << 53:
        raise Refused("tests of the plan is no number of tests")
    declared = math.prod(len(plan[name]) for name in ("suspects", "metrics", "tails", "adjusts"))
    if not 0 < declared <= tests:
        raise Refused(f"the plan names {declared} tests and declares {tests}")
    return plan


# Of YAML this script reads what a plan needs: a field to a line, lists in brackets or one entry to a line.
QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'"
ENTRY = rf"(?:{QUOTED}|[\w./+](?:[\w./+~=@%:-]*[\w./+~=@%-])?)"
OTHERWISE = "a plan that is written otherwise than docs/provenance.md shows"


def plan_fields(text):
    """The fields of a plan in JSON, or in simple YAML: lists of text, and the whole number `tests`."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=once)
        except (Unreadable, RecursionError) as problem:
            raise Refused(f"the plan is not read: {problem}") from None
        except ValueError:
            # It may be YAML in braces, if all that it opens has an end.
            bare = re.sub(QUOTED, "", text)
            if "#" not in bare and any(bare.count(begin) > bare.count(end) for begin, end in ("{}", "[]")):
                raise Refused("the plan has brackets without an end") from None
            raise Cannot(OTHERWISE) from None
    lines = collections.deque(map(without_comment, re.split("\r\n|[\r\n]", text)))
    fields, name, listed, deep = {}, None, None, ""
    while lines:
        line = lines.popleft()
        field = re.fullmatch(r"(\w+):(?: +(.*))?", line)
        entry = re.fullmatch(rf"( *)- +({ENTRY})", line)
        if field:
            name, value = field[1], field[2] or ""
            if name in fields:
                raise Refused(f"the plan has the field {name!r} twice")
            parts = [value]
            while value.startswith("[") and "]" not in parts[-1]:
                if not lines:
                    raise Refused(f"the list of {name} has no end")
                parts.append(lines.popleft().strip())
            fields[name] = plan_value(" ".join(parts))
        elif entry and not fields:
            raise Refused("the plan is a list, without fields")
        elif entry and (fields[name] is None or listed is fields[name]):
            if fields[name] is None:
                listed, deep = [], entry[1]
                fields[name] = listed
            elif len(entry[1]) < len(deep):
                raise Refused(f"the list of {name} has an entry that begins before the others")
            elif entry[1] != deep:  # in YAML such a line goes on with the entry before it
                raise Cannot(OTHERWISE)
            listed.append(unquoted(entry[2]))
        elif line and not (line == "---" and not fields):
            raise Cannot(OTHERWISE)
    return fields


def without_comment(line):
    """A line without the spaces and the comment at its end."""
    kept = [""]
    for found in re.finditer(rf"{QUOTED}|[^\"'#]+|.", line):
        part = found[0]
        if part == "#" and (kept[-1][-1:] or " ").isspace():
            break
        if part in ('"', "'") or not part.replace("\t", " ").isprintable():
            raise Cannot(OTHERWISE)
        kept.append(part)
    return "".join(kept).rstrip()


def plan_value(text):
    """A list in brackets, a whole number, or text; None where entries are to follow."""
    if not text:
        return None
    if re.fullmatch("[+]?(0x[0-9A-Fa-f]+|0o[0-7]+|0b[01]+|0|[1-9][0-9]*)", text):
        return int(text, 0) if len(text) < 99 else text
    if re.fullmatch(ENTRY, text):
        return unquoted(text)
    if not re.fullmatch(rf"\[\s*(?:{ENTRY}\s*(?:,\s*{ENTRY}\s*)*(?:,\s*)?)?\]", text):
        raise Cannot(OTHERWISE)
    return [unquoted(entry) for entry in re.findall(ENTRY, text)]


def unquoted(entry):
    """The text of an entry."""
    if entry.startswith("'"):
        return entry[1:-1].replace("''", "'")
    if not entry.startswith('"'):
        return entry
    try:
        return json.loads(entry)
    except ValueError:
        raise Cannot(OTHERWISE) from None


def check_files(certificate, given, report):
    """Columns by role as (path, bytes, column); None when one is missing or differs."""
    columns, whole = {}, True
    given = {role: list(paths) for role, paths in given.items()}
    for file in certificate["tested"]["files"]:
        role = file["role"]
        if not given[role]:
            report.skip(f"{role} {file['name']}", f"give the file with --{role}")
            whole = False
            continue
        path = given[role].pop(0)
        data = read_bytes(path)
        found = (len(data), hashlib.sha256(data).hexdigest())
        agrees = found == (file["size"], file["sha256"])
        detail = f"it has {found[0]} bytes, sha256 {found[1]}, which is not the file of the certificate"
        report.check(f"{role} {path}", agrees, detail)
        whole &= agrees
        columns.setdefault(role, []).append((path, data, file["column"]))
    for role, left in given.items():
        if left:
            report.check(f"{role} {left[0]}", False, "the certificate does not name it")
            whole = False
    return columns if whole else None


def token_means(options, columns):
    """Scores as one list; where they are those of tokens, the exactly summed mean of each row."""
    meant = False
    for column in [*columns["scores"], *columns.get("reference", [])]:
        if column.width is None or column.width < 2 or len(column.values) <= column.width:
            continue
        if "row_scores" not in options:
            raise Refused(f"{column.name} is a table, but scores are one number a row")
        table = column.as_scores().reshape(-1, column.width)
        if not np.isfinite(table).all():
            raise Refused(f"{column.name} has a score that is not finite")
        column.values, column.width, meant = np.array([math.fsum(row) / len(row) for row in table]), None, True
    if "row_scores" in options and not meant:
        raise Refused("no row has several scores")


# How far log10 p of a saddlepoint may be off. Its equations are solved by Newton's method until a step gains less
# than 1e-13 of the objective, which leaves 7 digits of the tilt, and so of p, to the order of operations; with the
# same start and steps as here 1e-11 is what is seen.
SADDLEPOINT_SLACK = 1e-5


def check_answer(certificate, files, report):
    """Statistic, p-value and the rest of the finding, computed anew."""
    claimed, options = certificate["finding"], certificate["options"]
    columns = {role: [read_column(*one, role in ID_ROLES) for one in some] for role, some in files.items()}
    for role, some in columns.items():
        if role not in ("order", "reference-order", "scores", "reference"):
            some[:] = [column.as_list(role) for column in some]
    token_means(options, columns)
    coded(columns)
    found = answer(options, columns)
    slack = SADDLEPOINT_SLACK if "saddlepoint" in found else 1e-6
    report.check("n", claimed["n"] == found["n"], f"{claimed['n']}, but {found['n']} rows")
    for name, shown_as, absolute in (("statistic", "statistic", 1e-12), ("log10_p", "log10 p", slack)):
        agrees = near(claimed[name], found[name], absolute, 0.0 if name == "statistic" else 1e-9)
        report.check(f"{shown_as} {found[name]!r}", agrees, f"the certificate says {claimed[name]!r}")
    known = [name for name in ("epochs", "saddlepoint", "rows_left_out") if name in claimed]
    wrong = [name for name in {**dict.fromkeys(known), **found} if not same(claimed.get(name), found.get(name), slack)]
    report.check("the rest of the finding", not wrong, f"{', '.join(wrong)} is not that of the files")
    report.answered = True


def same(claimed, found, slack):
    """Equal values, floating-point numbers up to their last digits."""
    if isinstance(found, dict):
        return is_object(claimed) and claimed.keys() == found.keys() and all(
            same(claimed[name], found[name], slack) for name in found
        )
    if isinstance(found, list):
        return is_list(claimed) and len(claimed) == len(found) and all(
            same(one, other, slack) for one, other in zip(claimed, found)
        )
    if isinstance(found, float):
        return is_number(claimed) and near(claimed, found, slack if found < -1 else 1e-11, 10 * slack)
    return type(claimed) is type(found) and claimed == found


def check_run_order(certificate, path, report):
    """The ids of a file, row by row, are orders that the run committed to."""
    column = read_column(path, read_bytes(path), None)
    ids = column.as_ids()
    hashes = [
        hashlib.sha256(row.astype("<u4").tobytes()).hexdigest()
        for row in ids.reshape(-1, column.width or max(1, len(ids)))
    ]
    known = certificate["origin"]["order_hashes"]
    agrees = bool(hashes) and (ids < 2**32).all() and all(one in known for one in hashes)
    report.check(f"order {path}", agrees, f"it is not an order of run {certificate['origin']['run']}")


def read_certificate(path):
    """The bytes and the document; every field once, no numbers that JSON does not have."""
    data = read_bytes(path)
    certificate = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    if not is_object(certificate) or certificate.get("type") != "palimpsest/certificate":
        raise Unreadable(f"{path} is not a certificate of Palimpsest")
    return data, certificate


def check_certificate(options):
    """Makes all checks and says in the end what they came to; returns the exit code."""
    data, certificate = read_certificate(options.certificate)
    report = Report()
    check_form(certificate, report)
    as_written = (canonical(certificate) + "\n").encode() == data
    report.check("canonical form", as_written, "formatted anew or changed; ask for the original")
    body = {name: value for name, value in certificate.items() if name not in ("digest", "signatures")}
    digest = hashlib.sha256(canonical(body).encode()).hexdigest()
    report.check("digest", digest == certificate["digest"], f"{certificate['digest']}, found {digest}")
    sound = check_statement(certificate, report)
    check_signatures(certificate, options.key, report)
    if sound:
        check_promise(certificate, options.promised, report)
        check_plan(certificate, options.plan, report)
    check_inputs(certificate, options, sound, report)
    return conclude(certificate, options.complete, report)


def check_statement(certificate, report):
    """Inputs, finding, words and options by themselves; whether they say which test was made."""
    inputs = inputs_fault(certificate)
    report.fault("inputs", inputs)
    report.fault("finding", finding_fault(certificate))
    if finding_form(certificate["finding"]):
        report.skip("words and options", "they follow from a finding that is none")
        return False
    report.fault("words", words_fault(certificate))
    fixed = options_fault(certificate)
    report.fault("options", fixed)
    return inputs is None and fixed is None


def check_inputs(certificate, options, sound, report):
    """The files that are given, and with all of them the answer."""
    given = {role: getattr(options, role.replace("-", "_")) for role in (*FILE_ROLES, "reference-order")}
    if certificate["origin"] is not None and not certificate["tested"]["files"]:
        for path in given.pop("order"):
            checked_or_said(lambda path=path: check_run_order(certificate, path, report), f"order {path}", report)
    columns = check_files(certificate, given, report)
    if certificate["tested"]["runs"] or certificate["origin"] is not None:
        report.skip("the runs and the commitment", "palimpsest verify-certificate --store checks them")
        report.skip("the statistic and its p-value", "they are computed from the store")
    elif columns is None:
        report.skip("the statistic and its p-value", "they need every file that the certificate names, unchanged")
    elif not sound:
        report.skip("the statistic and its p-value", "the certificate does not say which test was made")
    else:
        checked_or_said(
            lambda: check_answer(certificate, columns, report), "the statistic and its p-value", report
        )


def checked_or_said(check, name, report):
    """Makes a check; says so where the files allow none, or this script does not compute it."""
    try:
        check()
    except Refused as reason:
        report.check(name, False, f"no such test is made: {reason}")
    except Cannot as reason:
        report.skip(name, f"this script does not compute {reason}")


def conclude(certificate, complete, report):
    """The last words, which are those derived from the numbers, and the exit code."""
    if report.failed:
        print("\nthe certificate does NOT hold; what it says is not to be relied on")
        return 1
    if complete and report.unchecked:
        print(f"\nnot complete: {report.unchecked} things are unchecked")
        return 1
    if report.answered:
        print("\nall that was checked agrees")
    else:
        print("\nall that was checked agrees, but nothing of the answer was computed anew; unconfirmed it says:")
    print(headline(certificate["finding"]))
    return 0 if report.answered else 3


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Check a certificate of an order test.", allow_abbrev=False)
    parser.add_argument("certificate", type=pathlib.Path)
    for role, what in (
        ("order", "file with the order"),
        ("positions", "file with the positions"),
        ("scores", "file with the suspect's scores"),
        ("reference", "file with the scores of a reference; in the order of the certificate"),
        ("reference-order", "file with the order that a reference was trained on"),
        ("ids", "file with the id of each scored example"),
        ("units", "file with the unit of each scored example"),
        ("blocks", "file with the block of each scored example"),
    ):
        parser.add_argument(f"--{role}", type=pathlib.Path, action="append", default=[], metavar="FILE", help=what)
    parser.add_argument("--key", type=pathlib.Path, action="append", default=[], help="key that must have signed")
    parser.add_argument("--promised", type=pathlib.Path, metavar="FILE",
                        help="commitments published before training; the order's must be one of them")
    parser.add_argument("--plan", type=pathlib.Path, metavar="FILE",
                        help="the plan that it names: the test must be one of those declared there")
    parser.add_argument("--complete", action="store_true", help="fail where something but keys is unchecked")
    options = parser.parse_args(arguments)
    try:
        return check_certificate(options)
    except Unreadable as problem:
        reason = str(problem)
    except Exception as problem:  # whatever a hostile file leads to is no verdict
        reason = f"{type(problem).__name__}: {problem}"
    print(printable(f"cannot check {options.certificate}: {reason}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    for stream_of_text in (sys.stdout, sys.stderr):
        stream_of_text.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(main())
