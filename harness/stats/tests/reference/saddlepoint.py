"""Reference values of the saddlepoint approximation of a correlation over all orders.

Written from the formulas (Skovgaard 1987) and not from the Rust code: the margins are fitted by iterative
scaling and the tilt is found by bisection with Newton steps, where the Rust code minimises one function.

    python3 saddlepoint.py > saddlepoint.json

Values made with Python 3.11, NumPy 2.4.6, SciPy 1.17.1.
"""

import json
import math

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import rankdata

from provenance import columns


def margin(values):
    """Distinct values, standardised to mean 0 and mean square 1, with their counts."""
    values, counts = np.unique(values, return_counts=True)
    mean = (counts @ values) / counts.sum()
    values = values - mean
    return values / math.sqrt((counts @ values**2) / counts.sum()), counts.astype(float)


def merged(values, counts, most=128):
    """At most so many groups, as the Rust code takes them together where there are more distinct values: evenly by
    half of the share of rows and half of the share of fourth powers up to the middle of a value."""
    if len(values) <= most:
        return values, counts
    n, fourth = counts.sum(), counts * values**4
    weights = 0.5 * (counts / n + fourth / fourth.sum())
    middle = np.cumsum(weights) - 0.5 * weights
    bins = np.minimum((middle * most).astype(int), most - 1)
    rows = np.bincount(bins, counts, most)
    sums = np.bincount(bins, counts * values, most)
    values, counts = (sums / np.where(rows, rows, 1))[rows > 0], rows[rows > 0]
    values = values - (counts @ values) / n
    return values / math.sqrt((counts @ values**2) / n), counts


def fitted(weights, rows, cols):
    """The table x_i y_j w_ij with these margins."""
    x = np.ones(len(rows))
    for _ in range(20_000):
        y = cols / (weights.T @ x)
        new = rows / (weights @ y)
        done = np.max(np.abs(np.log(new / x))) < 1e-14
        x = new
        if done:
            break
    return x[:, None] * weights * y[None, :]


def solve(a, rows, b, cols, s):
    """The tilt whose table has the statistic s."""
    t, low, high = 0.0, -math.inf, math.inf
    for _ in range(200):
        exponent = t * np.outer(a, b)
        table = fitted(np.exp(exponent - exponent.max()), rows, cols)
        missing = s - a @ table @ b
        variance, log_det = residual(a, b, table, rows, cols)
        if abs(missing) < 1e-11 * rows.sum():
            break
        low, high = (t, high) if missing > 0 else (low, t)
        new = t + missing / variance
        if not low < new < high:
            new = (low + high) / 2 if math.isfinite(low + high) else t + math.copysign(0.5, missing)
        t = new
    return t, table, variance, log_det


def residual(a, b, table, rows, cols):
    """Variance of S given the margins, and ln of the determinant of the columns' covariance."""
    f = np.outer(a, b)
    covariance = np.diag(cols) - table.T @ (table / rows[:, None])
    of_rows, of_cols = (table * f).sum(1), (table * f).sum(0)
    right = (of_cols - table.T @ (of_rows / rows))[:-1]
    part = covariance[:-1, :-1]
    variance = (table * f * f).sum() - (of_rows**2 / rows).sum() - right @ np.linalg.solve(part, right)
    return variance, np.linalg.slogdet(part)[1]


def ln_upper(a, rows, b, cols, s, step):
    """ln P(S >= s)."""
    n = rows.sum()
    t, table, variance, log_det = solve(a, rows, b, cols, s - step / 2)
    w = math.copysign(math.sqrt(2 * (table * np.log(table * n / np.outer(rows, cols))).sum()), t)
    lattice = 2 / step * math.sinh(step * t / 2) if step else t
    u = lattice * math.sqrt(variance * math.exp(log_det - np.log(cols).sum() + math.log(n)))
    tail = float(log_ndtr(-w))
    density = -0.5 * w * w - 0.5 * math.log(2 * math.pi)
    return tail + math.log1p(math.exp(density - tail) * (1 / u - 1 / w))


def case(recipe):
    positions, scores = columns(recipe)
    found = {}
    for metric in ("spearman", "pearson"):
        x, y = np.asarray(positions, float), np.asarray(scores, float)
        step = 0.0
        if metric == "spearman":
            x, y = 2 * rankdata(x) - len(x) - 1, 2 * rankdata(y) - len(y) - 1
        r = float(np.corrcoef(x, y)[0, 1])
        a, rows = margin(x)
        b, cols = margin(math.copysign(1, r) * y)
        whole = max(len(a), len(b)) <= 128
        (a, rows), (b, cols) = merged(a, rows), merged(b, cols)
        if metric == "spearman" and whole:
            distance = [math.gcd(*np.diff(np.unique(v)).astype(int).tolist()) for v in (x, y)]
            step = distance[0] * distance[1] / math.sqrt((x @ x) * (y @ y)) * len(x)
        found[metric] = {
            "statistic": r,
            "log10_p": ln_upper(a, rows, b, cols, abs(r) * len(x), step) / math.log(10),
        }
    return {"recipe": recipe, "metrics": found}


def main():
    recipes = [
        {"seed": 10 * n + batch + levels, "slope": slope, "offset": 0.0, "levels": levels, "batch": batch, "n": n}
        for n, batch, levels, slope in [
            (20, 1, 0, 1.0),
            (20, 1, 0, -3.0),
            (60, 1, 0, 1.0),
            (60, 4, 0, -1.0),
            (60, 4, 9, 2.0),
            (120, 1, 0, -1.0),
            (120, 8, 0, 0.7),
            (120, 8, 12, -2.0),
            (1000, 1, 0, 0.8),
            (1000, 16, 0, -0.8),
        ]
    ]
    print(json.dumps([case(recipe) for recipe in recipes], separators=(",", ":")))


if __name__ == "__main__":
    main()
