"""Reference values of the statistics of comparisons, by SciPy, statsmodels, mpmath and exact fractions.

    python3 statistics_reference.py > statistics.json      (under a minute)

The inputs are stored beside the results. The confidence sequence is checked here against a numerical integral of
noncentral t densities before its closed form is written.
"""

import itertools
import json
import math
import platform
from fractions import Fraction

import mpmath
import numpy
import scipy
import statsmodels
from scipy import integrate, stats
from statsmodels.stats import multitest

mpmath.mp.dps = 40

SAMPLES = {
    "eight": [0.031, 0.052, 0.047, 0.012, 0.066, 0.038, 0.059, 0.044],
    "two": [0.1, -0.35],
    "five": [1.5e-3, -2.25e-4, 7.0e-4, 3.0e-5, 1.1e-3],
    "twenty": [math.sin(7 * i) / 3 + 0.1 for i in range(20)],
    "far": [100.0 + 0.01 * ((i * 37) % 11) for i in range(12)],
}


def t_tests():
    for name, sample in SAMPLES.items():
        for null in (0.0, 0.04, -1.0):
            found = {side: stats.ttest_1samp(sample, null, alternative=side) for side in ("greater", "less", "two-sided")}
            yield {"name": name, "sample": sample, "null": null, "t": found["greater"].statistic, "p": {side: test.pvalue for side, test in found.items()}}


def equivalences():
    for name, sample in SAMPLES.items():
        for margin, alpha in ((0.05, 0.05), (0.5, 0.01), (200.0, 0.1)):
            below = stats.ttest_1samp(sample, -margin, alternative="greater").pvalue
            above = stats.ttest_1samp(sample, margin, alternative="less").pvalue
            mean, error = numpy.mean(sample), stats.sem(sample)
            low, high = stats.t.interval(1 - 2 * alpha, len(sample) - 1, mean, error)
            yield {"sample": sample, "margin": margin, "alpha": alpha, "p_below": below, "p_above": above, "low": low, "high": high}


def adjustments():
    sets = [
        [0.01, 0.04, 0.03, 0.005],
        [0.5],
        [1.0, 0.0, 0.2, 0.2, 0.2],
        [(i * 61 % 97) / 97 ** (1 + i % 3) for i in range(40)],
    ]
    for p in sets:
        yield {
            "p": p,
            "benjamini_hochberg": list(stats.false_discovery_control(p, method="bh")),
            "holm": list(multitest.multipletests(p, method="holm")[1]),
        }


def budgets():
    for trials in ([3.0, 1.0, 2.0, 6.0], [0.5, 0.5, 0.25], [math.cos(i * i) for i in range(12)]):
        for k in range(1, len(trials) + 1):
            for name, best in (("higher-is-better", max), ("lower-is-better", min)):
                subsets = list(itertools.combinations([Fraction(x) for x in trials], k))
                yield {"trials": trials, "budget": k, "direction": name, "expected": float(sum(map(best, subsets)) / len(subsets))}


def powers():
    """P(T > bound) of the noncentral t at 40 digits by integrating over the chi density; SciPy agrees to its own accuracy."""
    for pairs, effect, spread, level in ((2, 0.1, 0.05, 0.95), (3, 0.05, 0.03, 0.95), (8, 0.05, 0.0283, 0.95), (5, 0.3, 1.0, 0.9), (20, 0.02, 0.03, 0.99), (100, 0.1, 0.5, 0.95), (4, 0.1, 0.02, 0.9999), (1000, 0.01, 0.1, 0.95)):
        v = pairs - 1
        bound = stats.t.ppf(0.5 + level / 2, v)
        shift = effect / spread * math.sqrt(pairs)
        tail = chi_mean(mpmath.mpf(bound), v, mpmath.mpf(shift))
        assert abs(tail - stats.nct.sf(bound, v, shift)) < 1e-8, (pairs, tail, stats.nct.sf(bound, v, shift))
        yield {"pairs": pairs, "effect": effect, "spread": spread, "level": level, "power": float(tail)}


def chi_mean(bound, v, shift):
    v = mpmath.mpf(v)
    scale = 2 * (v / 2) ** (v / 2) / mpmath.gamma(v / 2)
    width = 14 / mpmath.sqrt(2 * v)
    low, high = max(mpmath.mpf(0), 1 - width), 1 + width
    knee = shift / bound
    cuts = sorted({low, high, *[low + (high - low) * i / 24 for i in range(25)], *([knee] if low < knee < high else [])})
    return mpmath.quad(lambda s: scale * s ** (v - 1) * mpmath.exp(-v * s * s / 2) * mpmath.ncdf(shift - bound * s), cuts)


def sizes():
    for effect, spread, level, power in ((0.05, 0.0283, 0.95, 0.8), (0.05, 0.1, 0.95, 0.8), (0.02, 0.03, 0.95, 0.9), (1.0, 0.5, 0.99, 0.95), (0.01, 0.1, 0.95, 0.8)):
        pairs = 2
        while stats.nct.sf(stats.t.ppf(0.5 + level / 2, pairs - 1), pairs - 1, effect / spread * math.sqrt(pairs)) < power:
            pairs += 1
        yield {"effect": effect, "spread": spread, "level": level, "power": power, "pairs": pairs}


def spreads():
    for spread, n, confidence in ((0.03, 5, 0.8), (1.0, 2, 0.95), (0.5, 40, 0.8), (2.0, 10, 0.5)):
        yield {"spread": spread, "n": n, "confidence": confidence, "bound": spread * math.sqrt((n - 1) / stats.chi2.ppf(1 - confidence, n - 1))}


def sequences():
    """Half width of one interval after all of the sample: where the mixture ratio is exactly 1/alpha."""
    for sample, level, g in ((SAMPLES["eight"], 0.95, 4.0), (SAMPLES["five"], 0.95, 4.0), (SAMPLES["twenty"], 0.95, 1.0), (SAMPLES["twenty"], 0.99, 0.5), (SAMPLES["far"], 0.9, 9.0)):
        n, alpha = len(sample), mpmath.mpf(1) - mpmath.mpf(level)
        mean = mpmath.fsum(map(mpmath.mpf, sample)) / n
        squares = mpmath.fsum((mpmath.mpf(x) - mean) ** 2 for x in sample)
        growth = 1 + n * mpmath.mpf(g)
        root = (growth / alpha**2) ** (mpmath.mpf(1) / n)
        assert root < growth
        half = mpmath.sqrt(squares / n * (root - 1) / (1 - root / growth))
        t = float(half / mpmath.sqrt(squares / (n - 1) / n))

        def weighed(d):
            return stats.norm.pdf(d, 0, math.sqrt(g)) * stats.nct.pdf(t, n - 1, d * math.sqrt(n)) / stats.t.pdf(t, n - 1)

        centre = t / math.sqrt(n)
        ratio = integrate.quad(weighed, centre - 12, centre + 12, points=[centre], limit=400)[0]
        assert abs(ratio * float(alpha) - 1) < 1e-6, (sample, ratio, float(alpha))
        yield {"sample": sample, "level": level, "prior_variance": g, "mean": float(mean), "half": float(half)}


print(json.dumps({
    "origin": f"statistics_reference.py; scipy {scipy.__version__}, numpy {numpy.__version__}, statsmodels {statsmodels.__version__}, mpmath {mpmath.__version__}, Python {platform.python_version()}",
    "t_test": list(t_tests()),
    "equivalence": list(equivalences()),
    "multiple": list(adjustments()),
    "best_of": list(budgets()),
    "power": list(powers()),
    "sample_size": list(sizes()),
    "spread": list(spreads()),
    "sequence": list(sequences()),
}, indent=1))
