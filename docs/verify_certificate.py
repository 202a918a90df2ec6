#!/usr/bin/env python3
"""Check a certificate of Palimpsest without Palimpsest; needs Python 3.9, NumPy and SciPy 1.9 only.

    python3 docs/verify_certificate.py CERTIFICATE.json [--order FILE | --positions FILE]
        [--scores FILE] [--reference FILE]... [--reference-order FILE]... [--ids FILE]
        [--units FILE] [--blocks FILE] [--key KEY.pub.pem]... [--complete]

prints one line for each thing checked: `ok`, `MISMATCH`, or `unchecked` with the reason.

    exit 0   all agrees, and statistic and p-value were computed anew from the files
    exit 1   something does not agree; with --complete also if something but the keys is unchecked
    exit 2   an input cannot be read
    exit 3   all that was checked agrees, but the answer was not computed anew

  form             known fields only, each of its type
  canonical form   the file is RFC 8785 canonical JSON and a line end, byte for byte
  digest           SHA-256 of the canonical JSON without the fields `digest` and `signatures`
  inputs, options  a combination that Palimpsest writes; the finding repeats the options
  finding          what follows from its other numbers: p from statistic and n where there is a
                   closed form, p of T draws at least 1/(T+1), the floor of the seed, warnings
  words            every sentence of the certificate follows from its numbers
  signatures       Ed25519 (RFC 8032) over the text "palimpsest/signature/v1", line end, kind, line
                   end, digest in hexadecimal, line end
  files            size and SHA-256 of each file given
  statistic, p     computed anew from the files, and with them the whole finding

Files are .npy, .csv, .tsv and, where pyarrow is installed, Parquet. A certificate about runs of a
store is checked as far as it goes without the store. Logarithms of probabilities are natural ones
in here and have any depth; no p-value is ever a product of rounded smaller ones.
"""

import argparse
import base64
import collections
import csv
import fractions
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
from scipy import special, stats

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


def read_column(path, data, column):
    """One column of numbers from the bytes of a file: by its first bytes, else by its extension."""
    name = f"{path}:{column}" if column is not None else str(path)
    extension = path.suffix.lower()
    if data.startswith(b"\x93NUMPY"):
        if column is not None:
            raise Refused(f"{name}: a .npy file has no named columns")
        return read_npy(name, data)
    if data.startswith(b"PAR1"):
        return Column(name, read_parquet(name, data, column))
    if extension in (".csv", ".tsv"):
        return Column(name, read_text(name, data, "," if extension == ".csv" else "\t", column))
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


def read_parquet(name, data, column):
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
    values = found.to_numpy()
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "u" and (values > 2**63 - 1).any()):
        raise Refused(f"{name} is not a column of numbers: {values.dtype}")
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def read_text(name, data, separator, column):
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
    first = 0 if column is None and reads_as_number(names[0]) else 1
    cells = [row[at].strip(BLANKS) for row in rows[first:]]
    return numbers(name, cells)


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


def kendall_normal(x, y, pairs):
    """The normal form of Kendall's statistic with the variance under ties (Kendall 1970)."""
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
    variance += two[0] * two[1] / (2 * ordered) + three[0] * three[1] / (9 * ordered * (n - 2))
    return normal(pairs.difference / math.sqrt(variance))


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


comb = functools.lru_cache(maxsize=100_000)(math.comb)
# Operations that the exact distribution over tie groups may take.
MOST_OPERATIONS = 3_000_000


def by_tie_groups(metric, x, y):
    """The exact permutation distribution of a statistic of few tie groups; None if they are many.

    The orders of the rows fall into tables of counts: how many rows of each group of scores stand
    in each group of positions. Groups of one side are dealt one after another to the places of the
    other; a state is how many places of each group are taken, with the number of ways by value.
    """
    sides = [np.unique(column, return_inverse=True, return_counts=True) for column in (x, y)]
    counts = [side[2].tolist() for side in sides]
    # The side with fewer states keeps them; what is taken of its largest group follows from the rest.
    states = [math.prod(count + 1 for count in sizes) // (max(sizes) + 1) for sizes in counts]
    kept, dealt = (0, 1) if states[0] <= states[1] else (1, 0)
    if states[kept] > 100_000:
        return None
    places, hands = counts[kept], counts[dealt]
    slack = 0
    if metric == "pearson":
        values = [centred_numbers(side[0], side[2]) for side in sides]
        slack = largest_sum(values, counts) // 10**13  # the rounding of scores, as for few rows
    else:
        values = [centred_ranks(sizes) for sizes in counts]
    table = np.zeros((len(places), len(hands)), dtype=np.int64)
    np.add.at(table, (sides[kept][1], sides[dealt][1]), 1)
    ways, operations = {(0,) * len(places): {0: 1}}, 0
    for hand, size in enumerate(hands):
        after = {}
        for taken, sums in ways.items():
            free = [place - used for place, used in zip(places, taken)]
            for deal in deals(free, size):
                operations += len(sums)
                if operations > MOST_OPERATIONS:
                    return None
                factor = math.prod(comb(room, part) for room, part in zip(free, deal))
                gain = gained(metric, deal, taken, values[kept], values[dealt][hand])
                state = tuple(used + part for used, part in zip(taken, deal))
                found = after.setdefault(state, {})
                for value, count in sums.items():
                    found[value + gain] = found.get(value + gain, 0) + factor * count
        ways = after
    observed, taken = 0, (0,) * len(places)
    for hand in range(len(hands)):
        deal = tuple(table[:, hand].tolist())
        observed += gained(metric, deal, taken, values[kept], values[dealt][hand])
        taken = tuple(used + part for used, part in zip(taken, deal))
    (sums,) = ways.values()
    return extreme_shares(list(sums.keys()), list(sums.values()), observed, slack)


def centred_numbers(values, sizes):
    """The values of tie groups less their mean, as whole numbers of one unit."""
    exact = [fractions.Fraction(value) for value in values.tolist()]
    unit = math.lcm(*(value.denominator for value in exact))
    whole = [int(value * unit) for value in exact]
    total = sum(value * size for value, size in zip(whole, sizes.tolist()))
    return [sum(sizes.tolist()) * value - total for value in whole]


def largest_sum(values, counts):
    """A bound of all sums of products."""
    return sum(abs(value) * count for value, count in zip(values[0], counts[0])) * max(map(abs, values[1]))


def centred_ranks(sizes):
    """Twice the centred mid-rank of each tie group, from the sizes in order."""
    before = itertools.accumulate([0, *sizes[:-1]])
    return [2 * start + size - sum(sizes) for start, size in zip(before, sizes)]


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


def gained(metric, deal, taken, place_ranks, hand_rank):
    """What a dealt group adds to the statistic: products of ranks, or pairs with those before it."""
    if metric != "kendall":
        return hand_rank * sum(part * rank for part, rank in zip(deal, place_ranks))
    below = list(itertools.accumulate([0, *taken]))
    return sum(part * (below[at] - (below[-1] - below[at + 1])) for at, part in enumerate(deal))


def rarest_table(x, y, sign):
    """The probability of the most extreme table of the tie groups: no p-value of an order is less."""
    a, b = np.sort(x), np.sort(y) if sign > 0 else np.sort(y)[::-1]
    cells = np.unique(np.column_stack([a.astype(np.float64), b]), axis=0, return_counts=True)[1]
    groups = [np.unique(column, return_counts=True)[1] for column in (x, y)]
    log = sum(float(special.gammaln(sizes + 1.0).sum()) for sizes in groups)
    return log - math.lgamma(len(x) + 1) - float(special.gammaln(cells + 1.0).sum())


# ---- One test -----------------------------------------------------------------------------------------

# A correlation, its tails, whether they are exact, and what is wrong with a closed form under ties.
Measured = collections.namedtuple("Measured", "correlation tails exact objection")


def measure(metric, tail, x, y, claimed_exact):
    """Coefficient and tails; among forms that both hold, the one that the certificate claims."""
    n = len(x)
    rank_based = spearman(x, y)
    pairs = pairs_of(x, y) if metric == "kendall" else None
    found = {
        "spearman": lambda: rank_based,
        "pearson": lambda: pearson(x, y, rank_based),
        "kendall": lambda: kendall(x, y, pairs),
    }[metric]()
    if n <= 9:
        return Measured(found, all_orders(metric, x, y), True, None)
    if found.complement <= PERFECT[metric]:
        is_exact = metric != "pearson" or rank_based.complement == 0
        return Measured(found, perfect(y, found.r), is_exact, None)
    if metric == "kendall":
        untied = pairs.all == pairs.positions_differ == pairs.scores_differ
        exact = kendall_untied(pairs, n) if untied else None
        if exact is not None:
            return Measured(found, exact, True, None)
        closed = kendall_normal(x, y, pairs)
    else:
        closed = student(found.r, found.complement, n)
    if len(np.unique(x)) == n or len(np.unique(y)) == n:
        return Measured(found, closed, False, None)
    return under_ties(metric, tail, x, y, Measured(found, closed, False, None), claimed_exact)


def under_ties(metric, tail, x, y, closed, claimed_exact):
    """Ties on both sides: the exact distribution where it is small, and whether it belies the form."""
    exact = by_tie_groups(metric, x, y)
    if exact is None:
        if claimed_exact:
            raise Cannot("the exact distribution over so many tie groups")
        least = rarest_table(x, y, closed.correlation.r)
        if of_tail(closed.tails, tail) < least - 1e-9 * abs(least):
            objection = f"no order is rarer than log10 {least / LN10:.2f}, by its ties"
            return closed._replace(objection=objection)
        return closed
    if claimed_exact:
        return closed._replace(tails=exact, exact=True)
    log, true = of_tail(closed.tails, tail), of_tail(exact, tail)
    if log < true - max(LN2, 0.1 * abs(true)):
        objection = f"under these ties the exact log10 p is {true / LN10:.6f}"
        return closed._replace(objection=objection)
    return closed


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
    total = references[0]
    for column in references[1:]:
        total = total + column
    mean = total / len(references)
    if how == "difference":
        left = scores - mean
    else:
        if not np.isfinite(mean).all() or (mean == mean[0]).all():
            raise Refused("the mean of the references is constant or not finite")
        left = residuals(deviations(mean), deviations(scores))
        if (np.abs(left) < 1e-13).all():
            raise Refused("the references leave nothing of the scores")
    if not np.isfinite(left).all() or (left == left[0]).all():
        raise Refused("the adjusted scores are constant or not finite")
    return left


def checked(options, rows):
    """The adjusted scores of rows that can be tested."""
    if len(rows.scores) < 5:
        raise Refused(f"{len(rows.scores)} examples are too few")
    if (rows.positions == rows.positions[0]).all():
        raise Refused("all examples have one position")
    return adjusted(options["adjust"], rows.scores, rows.references)


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
    """Natural logarithm of p = (b + 1)/(T + 1), b of T draws being at least as extreme."""
    draws, seed = options["monte_carlo"]["draws"], options["monte_carlo"]["seed"]
    per_draw = max(rows.sampled, examples) if rows.sampled else len(y)
    slow = 100 if rows.sampled or options["metric"] == "kendall" else 1
    if draws * per_draw * slow > MOST_DRAWN:
        raise Cannot(f"{draws} draws of {per_draw} rows, which would take too long")
    if per_draw >= 2**32:
        raise Cannot("draws from so many examples")
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
    return math.log(min(1.0, sides * (extreme + 1) / (draws + 1)))


# ---- From order and options to the finding ---------------------------------------------------------------

# One test: positions and scores row by row, the examples (or units) of the rows, the ids that a
# sampler with replacement drew (0 for other laws), and their blocks.
Rows = collections.namedtuple("Rows", "epoch positions scores references ids sampled blocks")

WHOLE_LAWS = ("uniform", "uniform-same-each-epoch")


def epochs_of(options, columns):
    """Epochs of an order as rows of ids, after the choice of one; and the number of examples."""
    if len(columns["order"]) > 1 or "layout" in options or "token_scores" in options:
        raise Cannot("epochs in several files, tables of steps, or scores of tokens")
    column = columns["order"][0]
    ids = column.as_ids()
    width = column.width or len(ids)
    table = ids.reshape(-1, width) if len(ids) else ids.reshape(0, 0)
    wanted = columns["ids"][0].as_ids() if "ids" in columns else None
    if wanted is None:
        examples = len(columns["scores"][0].values)
    else:
        examples = int(max(table.max(initial=-1), wanted.max(initial=-1))) + 1
    if len(table) == 0:
        raise Refused("the order has no ids")
    numbered = list(enumerate(table))
    if options.get("epoch") is not None:
        if options["epoch"] >= len(table):
            raise Refused(f"epoch {options['epoch']} of an order of {len(table)}")
        numbered = [numbered[options["epoch"]]]
    return numbered, examples, wanted


def seen_in(order, examples, wanted, law, batch_size):
    """Rows that an epoch saw, and their positions: the inverse of the list of ids."""
    if (order >= examples).any():
        raise Refused(f"the order names example {int(order.max())} of {examples}")
    by_id = np.argsort(order, kind="stable")
    sorted_ids = order[by_id]
    if law != "replacement" and (np.diff(sorted_ids) == 0).any():
        raise Refused("the order names an id twice")
    if law in WHOLE_LAWS and examples - len(order) > examples // 10:
        raise Refused(f"the order leaves out {examples - len(order)} of {examples} examples")
    # With replacement the last draw counts.
    at = np.searchsorted(sorted_ids, wanted, side="right") - 1
    found = (at >= 0) & (sorted_ids[np.maximum(at, 0)] == wanted)
    places = by_id[np.maximum(at, 0)]
    if batch_size is not None:
        places = places // batch_size
    if law == "replacement":
        # Never drawn is 0, tied at the bottom.
        return np.arange(len(wanted)), np.where(found, places + 1, 0)
    return np.flatnonzero(found), places[found]


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
    """The tests that the options ask for: one, or one for each epoch; and the number of examples."""
    if "positions" in columns:
        positions = columns["positions"][0].as_ids()
        same_lengths(columns, len(positions))
        every = np.arange(len(positions))
        return [rows_of(columns, 0, every, positions, every, 0)], len(positions)
    epochs, examples, wanted = epochs_of(options, columns)
    same_lengths(columns, examples if wanted is None else len(wanted))
    law, sampled = options["law"], 0
    if wanted is None:
        wanted = np.arange(examples)
    elif len(np.unique(wanted)) < len(wanted):
        one_unit = "units" in columns and len(np.unique(wanted)) == len(
            np.unique(np.column_stack([wanted, columns["units"][0].as_ids()]), axis=0)
        )
        if not one_unit:
            raise Refused("an example was scored twice: its rows share one position")
    if law == "uniform-same-each-epoch":
        if any((ids != epochs[0][1]).any() for _, ids in epochs):
            raise Refused("the law is uniform-same-each-epoch, but the epochs differ")
        epochs = epochs[:1]
    if law == "replacement":
        epochs = [(0, np.concatenate([ids for _, ids in epochs]))]
        sampled = len(epochs[0][1])
    if law == "blockwise" and len(epochs) == 1:
        raise Refused("one list of ids does not say where the blocks end")
    if len({ids.tobytes() for _, ids in epochs}) < len(epochs):
        raise Refused("two epochs have the same order: that is one randomisation")
    tests = []
    for epoch, ids in epochs:
        seen, positions = seen_in(ids, examples, wanted, law, options.get("batch_size"))
        tests.append(rows_of(columns, epoch, seen, positions, wanted, sampled))
    return tests, examples


def same_lengths(columns, expected):
    """All columns of scores, references, units and blocks have one entry for each row."""
    for role in ("scores", "reference", "units", "blocks"):
        for column in columns.get(role, []):
            if len(column.values) != expected:
                raise Refused(f"{column.name} has {len(column.values)} rows, not {expected}")


def answer(options, columns, claimed):
    """The finding computed anew, and what is to be objected to a closed form under ties."""
    tests, examples = tests_of(options, columns)
    metric, tail = options["metric"], options["tail"]
    finding = {"metric": metric, "tail": tail, "adjust": options["adjust"], "monte_carlo": None}
    if len(tests) > 1:
        return over_epochs(options, tests, finding, claimed)
    (rows,) = tests
    y = checked(options, rows)
    if options.get("monte_carlo") is not None:
        rank_based = spearman(rows.positions, y)
        r = coefficient(metric, rows.positions, y)
        log_p = monte_carlo(options, rows, y, examples)
        finding |= {"statistic": r, "ties": rank_based.ties, "exact": False}
        finding |= {"monte_carlo": options["monte_carlo"]}
        objection = None
    else:
        found, tails, exact, objection = measure(metric, tail, rows.positions, y, claimed["exact"])
        log_p = of_tail(tails, tail)
        finding |= {"statistic": found.r, "ties": found.ties, "exact": exact}
    return finding | {"n": len(y), "p": math.exp(log_p), "log10_p": log_p / LN10}, objection


def over_epochs(options, tests, finding, claimed):
    """The finding of several epochs, later ones weighing more."""
    if options.get("monte_carlo") is not None:
        raise Refused("a Monte Carlo p-value is of one epoch")
    metric, tail, gamma = options["metric"], options["tail"], options["gamma"]
    claims = (claimed.get("epochs") or {}).get("rows", [])
    table, combined, objections = [], [], []
    for place, rows in enumerate(tests):
        exact = claims[place]["exact"] if place < len(claims) else False
        found, tails, exact, objection = measure(
            metric, tail, rows.positions, checked(options, rows), exact
        )
        weight, log_p = gamma ** (len(tests) - 1 - place), of_tail(tails, tail)
        row = {"epoch": rows.epoch, "n": len(rows.scores), "statistic": found.r, "weight": weight}
        table.append(row | {"p": math.exp(log_p), "log10_p": log_p / LN10, "exact": exact})
        combined.append((tails, weight))
        objections += [objection] if objection else []
    log_p = of_tail(stouffer(combined), tail)
    mean = weighted_mean(table)
    finding |= {"statistic": mean, "ties": found.ties, "exact": False, "n": table[-1]["n"]}
    finding |= {"epochs": {"gamma": gamma, "rows": table}}
    return finding | {"p": math.exp(log_p), "log10_p": log_p / LN10}, "; ".join(objections) or None


def weighted_mean(table):
    """The mean of the epochs' statistics by their weights."""
    return sum(row["weight"] * row["statistic"] for row in table) / sum(row["weight"] for row in table)


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
    "layout": one_of("steps", "epochs-in-columns"), "token_scores": one_of("mean"),
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
        (not several or not {"epoch", "monte_carlo", "template"} & options.keys(),
         "one epoch, a Monte Carlo p-value or a template beside several epochs"),
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
            (options["resolution"] == ("step" if "batch_size" in options else "sample"),
             "positions count steps where a batch size is given"),
            (not roles["positions"] or not {"epoch", "batch_size", "gamma"} & options.keys(),
             "positions have no epochs and no batch size"),
            (not roles["positions"] or law != "replacement", "a sampler with replacement is tested by its order"),
            (roles["blocks"] == 0 or law == "blockwise", f"blocks, but the law is {law}"),
            (law != "blockwise" or several or "monte_carlo" in options and roles["blocks"] == 1,
             "a blockwise order is tested by rows, or within blocks by Monte Carlo"),
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


def of_one_test(test, metric):
    """Warnings of one closed-form or exact p-value."""
    n, lines = test["n"], []
    if not test["exact"] and n < 50:
        lines.append(
            f"with {n} examples the p-value is an approximation, poor in the far tail: ask for Monte Carlo to "
            "have a valid one"
        )
    if not test["exact"] and metric == "pearson":
        lines.append(
            "Pearson's t form takes the scores for nearly normal, which heavy-tailed losses are not: spearman "
            "or Monte Carlo need no such assumption"
        )
    rarest = -math.lgamma(n + 1) / LN10
    if test["log10_p"] < rarest - 1e-9 * abs(rarest):
        lines.append(
            f"p is below 1/{n}! (log10 {rarest:.2f}), the probability of a single order: quote that bound instead"
        )
    return lines


def warnings(certificate):
    """What a reader must know, as it follows from the finding."""
    options, finding = certificate["options"], certificate["finding"]
    draws, lines = finding["monte_carlo"], []
    if "template" in options:
        if finding["tail"] == "less":
            lines.append(
                "tail less asks whether the scores run against the imprint; a derivative follows it: use greater"
            )
    elif draws is not None:
        least = sides(certificate) / (draws["draws"] + 1)
        if near(finding["p"], min(1.0, least), 0.0) and least <= 1:
            lines.append(
                f"no draw is as extreme: p is {sides(certificate)}/(draws + 1), the least that "
                f"{draws['draws']} draws can give"
            )
    elif "epochs" in finding:
        rows = finding["epochs"]["rows"]
        for row in rows:
            lines += [line for line in of_one_test(row, finding["metric"]) if line not in lines]
        opposed = any(row["statistic"] * finding["statistic"] < 0 for row in rows)
        if finding["tail"] == "two-sided" and opposed:
            lines.append("the epochs do not all have the same sign; opposite signs cancel")
    else:
        lines += of_one_test(finding, finding["metric"])
    if finding["randomness"] == "fixed":
        lines.append(
            "simulation: the seed of the order is a public number, so the p-value shows what the test can do and "
            "proves nothing"
        )
    floor = log10_floor(options)
    if floor is not None and finding["log10_p"] < floor:
        bits = options["seed_bits"]
        lines.append(
            f"p is below 2^-{bits} (log10 {floor:.2f}), the least that a seed of {bits} bits supports: quote that "
            "bound instead"
        )
    return lines


def closed_form(test, metric, ties):
    """Tails that follow from a coefficient and n alone; None where they do not, or are exact."""
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


def epochs_fault(finding):
    """What is wrong with the table of epochs, or None."""
    table, metric, tail = finding["epochs"], finding["metric"], finding["tail"]
    rows, gamma = table["rows"], table["gamma"]
    for place, row in enumerate(rows):
        if not near(row["weight"], gamma ** (len(rows) - 1 - place), 0.0):
            return f"the weight of row {place} does not follow from gamma"
        if not p_fits(row["p"], row["log10_p"]):
            return f"p and log10_p of row {place} differ"
        if place and row["epoch"] <= rows[place - 1]["epoch"]:
            return "the epochs are not in order"
        if not fits(row, metric, tail, True):
            return f"log10_p of row {place} is not that of its statistic and n"
    if not near(weighted_mean(rows), finding["statistic"], 1e-12):
        return "the statistic is not the weighted mean of the epochs"
    if finding["n"] != rows[-1]["n"]:
        return "n is not that of the last epoch"
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
    found = faults("finding", finding, FINDING, {"epochs": is_object})
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
        if finding["exact"] or finding["monte_carlo"] is not None:
            return "a combination over epochs is neither exact nor drawn"
        return epochs_fault(finding)
    if finding["monte_carlo"] is not None:
        return draws_fault(certificate)
    if "template" in options:
        if finding["metric"] != "pearson" or finding["exact"]:
            return "a template is tested by Pearson's closed form"
    elif finding["exact"] != (finding["n"] <= 9) and not may_be_exact(finding):
        return f"exact is {finding['exact']}, which this test is not"
    if not fits(finding, finding["metric"], finding["tail"], finding["ties"]):
        return "log10_p is not that of statistic and n"
    return None


def may_be_exact(finding):
    """Whether more than nine examples can have an exact p-value, and need not."""
    perfect_one = abs(finding["statistic"]) == 1
    untied = finding["metric"] == "kendall" and not finding["ties"]
    return finding["n"] > 9 and (perfect_one or untied or finding["ties"] > 0)


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


def other_order(columns, options):
    """Refuses a reference that was trained on the order that is tested, or nearly so."""
    if "reference-order" not in columns:
        return
    epochs, _, _ = epochs_of(options, columns)
    for column in columns["reference-order"]:
        ids = column.as_ids()
        for other in ids.reshape(-1, column.width or len(ids)):
            # Of an id that comes twice, the first place counts.
            names, places = np.unique(other, return_index=True)
            for epoch, order in epochs:
                shared = np.flatnonzero(np.isin(order, names))
                there = places[np.searchsorted(names, order[shared])]
                if len(shared) >= 5 and dependent(shared, there):
                    raise Refused(f"{column.name} goes along with epoch {epoch} of the order")


def dependent(here, there):
    """Whether the places of the same examples in two orders go together beyond chance."""
    if len(here) <= 9:
        return bool((stats.rankdata(here) == stats.rankdata(there)).all())
    found = spearman(here, there)
    return found.complement == 0 or student(found.r, found.complement, len(here)).two_sided < -6 * LN10


def check_answer(certificate, files, report):
    """Statistic, p-value and the rest of the finding, computed anew."""
    claimed, options = certificate["finding"], certificate["options"]
    columns = {role: [read_column(*one) for one in some] for role, some in files.items()}
    for role, some in columns.items():
        if role not in ("order", "reference-order"):
            some[:] = [column.as_list(role) for column in some]
    other_order(columns, options)
    found, objection = answer(options, columns, claimed)
    report.check("n", claimed["n"] == found["n"], f"{claimed['n']}, but {found['n']} rows")
    for name, shown_as, slack in (("statistic", "statistic", 1e-12), ("log10_p", "log10 p", 1e-6)):
        agrees = near(claimed[name], found[name], slack, 0.0 if name == "statistic" else 1e-9)
        report.check(f"{shown_as} {found[name]!r}", agrees, f"the certificate says {claimed[name]!r}")
    if objection is not None:
        report.check("closed form", False, objection)
    wrong = [name for name in found if not same(claimed.get(name), found[name])]
    report.check("the rest of the finding", not wrong, f"{', '.join(wrong)} is not that of the files")
    report.answered = True


def same(claimed, found):
    """Equal values, floating-point numbers up to their last digits."""
    if isinstance(found, dict):
        return is_object(claimed) and claimed.keys() == found.keys() and all(
            same(claimed[name], found[name]) for name in found
        )
    if isinstance(found, list):
        return is_list(claimed) and len(claimed) == len(found) and all(map(same, claimed, found))
    if isinstance(found, float):
        return is_number(claimed) and near(claimed, found, 1e-6 if found < -1 else 1e-11, 1e-6)
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
