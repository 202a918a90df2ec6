"""Reference values of the provenance statistics, by SciPy and mpmath.

    python3 provenance.py > provenance.json      (some minutes)

Inputs are not stored but described by a recipe that any language repeats bit for bit (see `columns`); the Rust tests do.
Statistics are exact rationals rounded once; deep tails come from mpmath at 50 digits; everything that SciPy computes is
compared with it here before it is written.
"""

import itertools
import json
import math
import platform
import sys
from fractions import Fraction

import mpmath
import numpy
import scipy
from scipy import stats
from scipy.stats import _ksstats

mpmath.mp.dps = 50
MASK = (1 << 64) - 1
LN10 = mpmath.log(10)


def splitmix(seed: int):
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def columns(recipe: dict):
    """Positions and scores. Rank the first n outputs to have a permutation (no two are equal); the next n, divided by
    2^53 after dropping 11 bits, are the noise; score = offset + slope * (permutation / n) + noise. `levels` > 0 rounds
    score * levels down to a whole number, `batch` > 1 divides positions by it."""
    n = recipe["n"]
    draws = splitmix(recipe["seed"])
    keys = [next(draws) for _ in range(n)]
    place = {key: rank for rank, key in enumerate(sorted(keys))}
    permutation = [place[key] for key in keys]
    noise = [(next(draws) >> 11) * 2.0**-53 for _ in range(n)]
    scores = [recipe["offset"] + (recipe["slope"] * (p / n) + u) for p, u in zip(permutation, noise)]
    if recipe["levels"]:
        scores = [math.floor(s * recipe["levels"]) * 1.0 for s in scores]
    return [p // recipe["batch"] for p in permutation], scores


def doubled_ranks(values):
    return [int(2 * r) - (len(values) + 1) for r in stats.rankdata(values)]


def whole(values):
    """The values times their common power of two: every f64 is a dyadic rational."""
    scale = max(Fraction(v).denominator for v in values)
    return [int(Fraction(v) * scale) for v in values]


def centred(values):
    """n times the deviations from the mean, as whole numbers up to a common factor."""
    values = whole(values)
    total = sum(values)
    return [len(values) * v - total for v in values]


def rational_r(xs, ys):
    """Numerator and the product of the two sums of squares, exact up to a common factor."""
    xs, ys = centred(xs), centred(ys)
    return sum(x * y for x, y in zip(xs, ys)), sum(x * x for x in xs) * sum(y * y for y in ys)


def ln_upper_gamma(a, x):
    return mpmath.log(mpmath.gammainc(a, x, mpmath.inf, regularized=True))


def ln_two_sided_t(complement, r2, n):
    """ln I_complement(a, 1/2): by its positive series where that converges fast, else by quadrature or 1 - I."""
    a, half = mpmath.mpf(n - 2) / 2, mpmath.mpf(1) / 2
    front = a * mpmath.log(complement) + mpmath.log(r2) / 2 - mpmath.log(mpmath.beta(a, half))
    if r2 < 0.5 and a * r2 < 30:
        # I_y(1/2, a) = front/(1/2) * sum prod (1/2 + a + j)/(3/2 + j) y^j
        term = total = mpmath.mpf(1)
        j = 0
        while term > total * mpmath.mpf(10) ** -45:
            term *= (half + a + j) / (half + 1 + j) * r2
            total += term
            j += 1
        return mpmath.log1p(-2 * mpmath.exp(front) * total)
    # sum prod (a + 1/2 + j)/(a + 1 + j) x^j needs about 100/r2 terms.
    term = total = mpmath.mpf(1)
    j = 0
    while term > total * mpmath.mpf(10) ** -30:
        term *= (a + half + j) / (a + 1 + j) * complement
        total += term
        j += 1
    return front - mpmath.log(a) + mpmath.log(total)


def tails_t(complement, r2, sign, n):
    ln_two = ln_two_sided_t(complement, r2, n) if r2 > 0 else mpmath.mpf(0)
    near, far = ln_two - mpmath.log(2), mpmath.log1p(-mpmath.exp(ln_two) / 2)
    less, greater = (near, far) if sign < 0 else (far, near)
    return tails(ln_two, less, greater)


def tails(two, less, greater):
    """p and log10 p from the natural logarithms of the three tails."""
    return {
        name: {"p": float(mpmath.exp(ln)), "log10_p": float(ln / LN10)}
        for name, ln in (("two-sided", two), ("less", less), ("greater", greater))
    }


def exact_tails(statistic, ys):
    """Over all orders of ys; `statistic` gives exact numbers."""
    observed = statistic(ys)
    two = less = greater = total = 0
    for order in itertools.permutations(ys):
        value = statistic(order)
        two += abs(value) >= abs(observed)
        less += value <= observed
        greater += value >= observed
        total += 1
    return tails(*(mpmath.log(mpmath.mpf(count) / total) for count in (two, less, greater)))


def t_or_exact(xs, ys, n):
    top, bottom = rational_r(xs, ys)
    r2 = mpmath.mpf(top * top) / mpmath.mpf(bottom)
    statistic = float(mpmath.sign(top) * mpmath.sqrt(r2))
    if n <= 9:
        exact_x = centred(xs)
        return statistic, True, exact_tails(lambda order: sum(x * y for x, y in zip(exact_x, order)), centred(ys))
    if top * top == bottom:
        groups = [len(list(g)) for _, g in itertools.groupby(sorted(ys))]
        near = sum(mpmath.log(mpmath.factorial(g)) for g in groups) - mpmath.log(mpmath.factorial(n))
        two = near + (mpmath.log(2) if groups == groups[::-1] else 0)
        zero = mpmath.mpf(0)
        return statistic, True, tails(two, *((near, zero) if top < 0 else (zero, near)))
    complement = mpmath.mpf(bottom - top * top) / mpmath.mpf(bottom)
    return statistic, False, tails_t(complement, r2, top, n)


def check(name, n, found, p, reference, limit=1e-300):
    assert abs(found - reference.statistic) < 1e-11, (name, n, found, reference)
    if p > limit and abs(found) < 0.99999:
        assert abs(p / reference.pvalue - 1) < 1e-6, (name, n, p, reference)


def kendall(positions, scores, n):
    result = {alt: stats.kendalltau(positions, scores, alternative=alt) for alt in ("two-sided", "less", "greater")}
    tau = result["two-sided"].statistic
    sign = lambda v: (v > 0) - (v < 0)
    if n <= 9:
        pairs = list(itertools.combinations(range(n), 2))
        count = lambda order: sum(sign(positions[i] - positions[j]) * sign(order[i] - order[j]) for i, j in pairs)
        return tau, True, exact_tails(count, scores)
    untied = len(set(positions)) == n and len(set(scores)) == n
    if untied and n <= 33:
        return tau, True, {alt: {"p": r.pvalue, "log10_p": math.log10(r.pvalue)} for alt, r in result.items()}
    # One pair out of place at n = 10^4 changes tau by 4e-8.
    if abs(tau) > 1 - 1e-9:
        return t_or_exact(doubled_ranks(positions), doubled_ranks(scores), n)
    # The same normal deviate, carried to any depth: z from the counts and the variance under ties.
    xt = numpy.unique(positions, return_counts=True)[1].astype(object)
    yt = numpy.unique(scores, return_counts=True)[1].astype(object)
    f = lambda t, g: sum(g(int(v)) for v in t)
    two, three = lambda v: v * (v - 1), lambda v: v * (v - 1) * (v - 2)
    full = lambda v: v * (v - 1) * (2 * v + 5)
    m = n * (n - 1)
    var = (
        Fraction(m * (2 * n + 5) - f(xt, full) - f(yt, full), 18)
        + Fraction(f(xt, two) * f(yt, two), 2 * m)
        + Fraction(f(xt, three) * f(yt, three), 9 * m * (n - 2))
    )
    product = Fraction(m - f(xt, two), 2) * Fraction(m - f(yt, two), 2)
    con_minus_dis = round(float(tau) * math.sqrt(product)) if n < 2000 else concordance(positions, scores)
    z = mpmath.mpf(con_minus_dis) / mpmath.sqrt(mpmath.mpf(var.numerator) / var.denominator)
    upper = lambda v: mpmath.log(mpmath.erfc(v / mpmath.sqrt(2)) / 2)
    found = tails(upper(abs(z)) + mpmath.log(2), upper(-z), upper(z))
    for alt, r in result.items():
        if r.pvalue > 1e-290:
            assert abs(found[alt]["p"] / r.pvalue - 1) < 1e-6, (n, alt, found[alt], r)
    return float(mpmath.mpf(con_minus_dis) / mpmath.sqrt(mpmath.mpf(product.numerator) / product.denominator)), False, found


def concordance(positions, scores):
    """C - D by rows: O(n^2), but vectorised."""
    x, y = numpy.array(positions), numpy.array(scores)
    return int(sum((numpy.sign(x[i + 1 :] - x[i]) * numpy.sign(y[i + 1 :] - y[i])).sum() for i in range(len(x))))


def query_case(recipe):
    positions, scores = columns(recipe)
    n = recipe["n"]
    a, b = doubled_ranks(positions), doubled_ranks(scores)
    groups_a, groups_b = (
        {value for value, count in zip(*numpy.unique(v, return_counts=True)) if count > 1} for v in (a, b)
    )
    print(recipe, file=sys.stderr)
    case = {"recipe": recipe, "ties": sum(x in groups_a or y in groups_b for x, y in zip(a, b)), "metrics": {}}
    r, exact, ps = t_or_exact(a, b, n)
    case["metrics"]["spearman"] = {"statistic": r, "exact": exact, "tails": ps}
    if not exact:
        check("spearman", n, r, ps["two-sided"]["p"], stats.spearmanr(positions, scores))
    r, exact, ps = t_or_exact(positions, scores, n)
    case["metrics"]["pearson"] = {"statistic": r, "exact": exact, "tails": ps}
    if not exact and abs(recipe["offset"]) < 1e6:
        check("pearson", n, r, ps["two-sided"]["p"], stats.pearsonr(positions, scores))
    if n <= 10_000:
        r, exact, ps = kendall(positions, scores, n)
        case["metrics"]["kendall"] = {"statistic": r, "exact": exact, "tails": ps}
    return case


def recipes():
    base = {"seed": 1, "slope": 0.0, "offset": 0.0, "levels": 0, "batch": 1}
    for n in (5, 6, 7, 8, 9):
        yield base | {"n": n, "seed": n}
        yield base | {"n": n, "seed": 50 + n, "slope": -1.0, "levels": 3}
        if n < 9:
            yield base | {"n": n, "seed": 80 + n, "slope": -2.0, "batch": 2}
            yield base | {"n": n, "seed": 90 + n, "slope": 100.0}
    for n in (10, 12, 20, 33, 34, 50, 100, 500, 1000, 10_000, 100_000):
        for slope in (0.0, -0.1, 0.5, -3.0):
            yield base | {"n": n, "seed": n, "slope": slope}
        yield base | {"n": n, "seed": n + 1, "slope": -0.3, "levels": 2}
        yield base | {"n": n, "seed": n + 2, "slope": -0.3, "levels": 10, "batch": 4}
        yield base | {"n": n, "seed": n + 3, "slope": 0.3, "batch": 4}
        yield base | {"n": n, "seed": n + 4, "slope": -0.5, "offset": 1048576.0}
        yield base | {"n": n, "seed": n + 5, "slope": -1e9}
    yield base | {"n": 100, "seed": 7, "slope": -0.5, "offset": 2.0**40}
    yield base | {"n": 4000, "seed": 8, "slope": -0.7}
    yield base | {"n": 100_000, "seed": 9, "slope": -30.0}


def student():
    for n in (5, 10, 100, 10_000, 100_000, 1_000_000, 100_000_000):
        for r in (-0.95, 3e-4, 1e-9, 0.01, -0.0778918, 0.3, -0.48, 0.7, 0.9, -0.999999):
            r = float(r)
            exact = mpmath.mpf(r)
            complement = (1 - exact) * (1 + exact)
            yield {"n": n, "r": r, "complement": float(complement), "tails": tails_t(complement, exact * exact, r, n)}


def normal():
    for z in (0.0, 1e-9, 0.3, 1.0, 1.96, 3.0, 3.999, 4.0, 4.001, 5.0, 8.3, 20.0, 40.0, 500.0, 5000.0):
        ln = mpmath.log(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2)
        other = mpmath.log1p(-mpmath.exp(ln))
        yield {"z": z, "ln_tail": float(ln), "ln_other": float(other)}


def chi_squared():
    for freedom in (1, 2, 3, 4, 9, 20, 100, 1000):
        for x in (0.01, 0.5, 3.0, 10.0, 90.0, 1500.0, 100_000.0):
            ln = ln_upper_gamma(mpmath.mpf(freedom) / 2, mpmath.mpf(x) / 2)
            yield {"freedom": freedom, "x": x, "ln_tail": float(ln)}


def kolmogorov():
    for n in (1, 2, 5, 10, 50, 200, 1000, 5000, 20_000):
        for scaled in (0.3, 0.45, 0.6, 0.83, 1.0, 1.36, 1.6, 2.5, 4.0):
            d = scaled / math.sqrt(n)
            if d < 1 and d > 0.5 / n:
                # kstwo is an expansion good to 6 digits from n = 141 on; Durbin's matrix is exact.
                exact = n <= 10_000 and scaled < 1.45
                p = 1 - _ksstats._kolmogn_DMTW(n, d, cdf=True) if exact else stats.kstwo.sf(d, n)
                yield {"n": n, "d": d, "p": float(p)}
    draws = splitmix(5)
    for n in (5, 40, 200):
        values = [(next(draws) >> 11) * 2.0**-53 for _ in range(n)]
        found = stats.kstest(values, "uniform")
        yield {"seed": 5, "n": n, "values": values, "d": found.statistic, "p": found.pvalue}


def kruskal():
    for recipe in (
        {"n": 60, "seed": 3, "slope": -0.5, "offset": 0.0, "levels": 0, "batch": 1},
        {"n": 500, "seed": 4, "slope": -0.5, "offset": 0.0, "levels": 7, "batch": 1},
        {"n": 500, "seed": 4, "slope": 0.0, "offset": 0.0, "levels": 0, "batch": 1},
    ):
        positions, scores = columns(recipe)
        for bins in (2, 8):
            groups = [[] for _ in range(bins)]
            for position, score in zip(positions, scores):
                groups[position * bins // recipe["n"]].append(score)
            found = stats.kruskal(*groups)
            yield {"recipe": recipe, "bins": bins, "h": found.statistic, "p": found.pvalue}


def combine():
    for ps, weights in (
        ([0.5, 0.03], [1, 1]),
        ([0.2, 0.9, 0.001], [0.25, 0.5, 1]),
        ([1e-5, 1e-20, 0.999], [1, 2, 3]),
        ([0.999999, 0.9, 0.8], [1, 1, 1]),
    ):
        yield {
            "p": ps,
            "weights": weights,
            "stouffer": stats.combine_pvalues(ps, "stouffer", weights=weights).pvalue,
            "fisher": stats.combine_pvalues(ps, "fisher").pvalue,
        }


def main():
    print(
        json.dumps(
            {
                "origin": {
                    "script": "harness/ledger/tests/reference/provenance.py",
                    "python": platform.python_version(),
                    "numpy": numpy.__version__,
                    "scipy": scipy.__version__,
                    "mpmath": mpmath.__version__,
                },
                "query": [query_case(recipe) for recipe in recipes()],
                "student": list(student()),
                "normal": list(normal()),
                "chi_squared": list(chi_squared()),
                "kolmogorov": list(kolmogorov()),
                "kruskal": list(kruskal()),
                "combine": list(combine()),
            },
            indent=None,
            separators=(",", ":"),
        ).replace('},{"', '},\n{"')
    )


if __name__ == "__main__":
    main()
