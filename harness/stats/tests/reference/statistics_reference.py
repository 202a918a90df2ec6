"""Reference values of every statistic, by SciPy, statsmodels, mpmath and exact fractions.

    python3 statistics_reference.py > statistics.json      (under a minute)

The inputs are stored beside the results. Resampled statistics are checked in full: the seeded draws are made again in
plain Python, and SciPy's BCa formula and NumPy's percentiles are applied to the same replicates. The confidence sequence is checked here against a numerical integral of
noncentral t densities before its closed form is written.
"""

import hashlib
import itertools
import json
import math
import platform
from fractions import Fraction

import mpmath
import numpy
import scipy
import statsmodels
from scipy import integrate, optimize, stats
from scipy.stats._resampling import _bca_interval
from statsmodels.duration.survfunc import SurvfuncRight
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


PCG_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
OUTCOMES = {
    "five": [(12.1, True), (9.8, True), (14.3, True), (11.0, True), (10.4, True)],
    "two of eight censored": [(3.5, True), (4.0, True), (9.0, False), (4.0, True), (6.25, True), (5.5, True), (9.0, False), (7.75, True)],
    "censored at different times": [(2.0, False), (3.0, True), (5.0, True), (5.0, False), (6.5, True), (8.0, False), (11.0, True), (12.5, True), (13.0, False), (20.0, True)],
    "most censored": [(1.0, True), (2.0, True), (9.0, False), (9.0, False), (9.0, False)],
}


class Draws:
    """The draws of `ledger::stats` in plain Python: PCG XSL-RR 128/64 seeded by SHA-256, bounded by Lemire's method."""

    def __init__(self, seed, purpose):
        digest = hashlib.sha256(b"palimpsest/stats/v1" + seed.to_bytes(8, "little") + purpose.encode()).digest()
        self.increment = (2 * int.from_bytes(digest[16:], "little") + 1) % 2**128
        self.state = ((int.from_bytes(digest[:16], "little") + self.increment) * PCG_MULTIPLIER + self.increment) % 2**128

    def word(self):
        self.state = (self.state * PCG_MULTIPLIER + self.increment) % 2**128
        mixed, turn = (self.state >> 64) ^ (self.state % 2**64), self.state >> 122
        return ((mixed >> turn) | (mixed << (64 - turn))) % 2**64

    def index(self, bound):
        while True:
            product = self.word() * bound
            if product % 2**64 >= (2**64 - bound) % bound:
                return product >> 64

    def resample(self, values):
        return [values[self.index(len(values))] for _ in values]


def isotonic_crossings():
    curves = [
        [0.31, 0.52, 0.48, 0.61, 0.70, 0.66, 0.64, 0.79, 0.78, 0.83, 0.81, 0.86],
        [math.sin(5 * i) / 4 + math.sqrt(i) for i in range(40)],
        [3.0, 2.0, 1.0],
    ]
    for values in curves:
        seconds = [1.5 * (i + 1) + 0.25 * math.cos(i) for i in range(len(values))]
        fit = optimize.isotonic_regression(values).x
        crossings = []
        for share in (0.1, 0.37, 0.5, 0.83):
            target = float(fit[0] + share * (fit[-1] - fit[0]))
            if fit[-1] - fit[0] > 0 and target not in fit:
                root = optimize.brentq(lambda t: numpy.interp(t, seconds, fit) - target, seconds[0], seconds[-1], xtol=1e-13, rtol=1e-15)
                crossings.append({"target": target, "seconds": root})
        yield {"values": values, "seconds": seconds, "fit": list(map(float, fit)), "crossings": crossings}


def survivals():
    for outcomes in OUTCOMES.values():
        reached, censored = [t for t, event in outcomes if event], [t for t, event in outcomes if not event]
        curve = stats.ecdf(stats.CensoredData(uncensored=reached, right=censored)).sf
        drops = [(float(t), float(s)) for t, s in zip(curve.quantiles, curve.probabilities) if t in reached]
        other = SurvfuncRight([t for t, _ in outcomes], [int(event) for _, event in outcomes])
        assert numpy.allclose(other.surv_prob, [s for _, s in drops], rtol=0, atol=1e-12)
        median = next((t for t, s in drops if s <= 0.5 + 1e-12), None)
        tau = 0.9 * max(t for t, _ in outcomes)
        yield {"outcomes": outcomes, "steps": drops, "median": median, "tau": tau, **restricted_mean(outcomes, tau)}


def restricted_mean(outcomes, tau):
    """Area and Greenwood standard error in exact fractions."""
    exact = [(Fraction(t), event) for t, event in outcomes]
    tau, survival, drops = Fraction(tau), Fraction(1), []
    for t in sorted({t for t, event in exact if event and t < tau}):
        at_risk, events = sum(s >= t for s, _ in exact), sum(event and s == t for s, event in exact)
        survival *= Fraction(at_risk - events, at_risk)
        drops.append((t, survival, at_risk, events))
    ends = [t for t, *_ in drops[1:]] + [tau]
    areas = [(end - t) * s for (t, s, *_), end in zip(drops, ends)]
    mean = (drops[0][0] if drops else tau) + sum(areas)
    terms = ((sum(areas[i:]), n, d) for i, (_, _, n, d) in enumerate(drops))
    variance = sum(area**2 * Fraction(d, n * (n - d)) for area, n, d in terms if n > d)
    return {"mean": float(mean), "standard_error": math.sqrt(variance)}


def medians():
    """Order statistics whose coverage is 1 - 2 P(Binomial(n, 1/2) < k)."""
    for outcomes in OUTCOMES.values():
        for level in (0.5, 0.9, 0.95):
            n = len(outcomes)
            enough = [k for k in range(1, n // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= level - 1e-12]
            k = max(enough, default=1)
            high = sorted(t if event else math.inf for t, event in outcomes)[n - k]
            yield {
                "outcomes": outcomes,
                "level": level,
                "low": sorted(t for t, _ in outcomes)[k - 1],
                "high": None if math.isinf(high) else high,
                "coverage": float(1 - 2 * stats.binom.cdf(k - 1, n, 0.5)),
            }


def wilsons():
    for k, n, level in ((0, 5, 0.95), (3, 5, 0.95), (5, 5, 0.95), (17, 40, 0.9), (1, 1, 0.99), (999, 1000, 0.9999), (1, 3, 0.5)):
        found = stats.binomtest(k, n).proportion_ci(level, method="wilson")
        yield {"successes": k, "trials": n, "level": level, "low": found.low, "high": found.high}


def means():
    for sample in SAMPLES.values():
        for level in (0.5, 0.95, 0.9999):
            low, high = stats.t.interval(level, len(sample) - 1, numpy.mean(sample), stats.sem(sample))
            case = {"sample": sample, "level": level, "low": low, "high": high}
            logs = [math.log(1 + abs(x)) for x in sample]
            low, high = stats.t.interval(level, len(logs) - 1, numpy.mean(logs), stats.sem(logs))
            positive = [1 + abs(x) for x in sample]
            yield {**case, "positive": positive, "geometric": stats.gmean(positive), "log_low": math.exp(low), "log_high": math.exp(high)}


def paired_speed_ups():
    baseline, treatment = [14.2, 13.0, 15.9, 13.8, 14.6], [10.9, 11.8, 10.1, 11.2, 10.7]
    for n in (2, 3, 5):
        logs = numpy.log(baseline[:n]) - numpy.log(treatment[:n])
        low, high = stats.t.interval(0.95, n - 1, logs.mean(), stats.sem(logs))
        yield {"baseline": baseline[:n], "treatment": treatment[:n], "value": math.exp(logs.mean()), "low": math.exp(low), "high": math.exp(high)}


def bca_intervals():
    """SciPy's own BCa formula over the replicates that the seed draws."""
    for name, seed, level in (("twenty", 0, 0.95), ("far", 7, 0.9), ("eight", 3, 0.95)):
        sample = SAMPLES[name]
        draws = Draws(seed, "the BCa bootstrap")
        value = numpy.mean(sample)
        replicates = numpy.array([sum(draws.resample(sample)) / len(sample) for _ in range(2000)])
        # The same elements summed in another order are the same mean; SciPy compares bits.
        replicates[abs(replicates - value) <= 1e-12 * abs(replicates).max()] = value
        mean = lambda x, axis: numpy.mean(x, axis=axis)
        low, high, acceleration = _bca_interval((numpy.array(sample),), mean, -1, (1 - level) / 2, replicates, None, numpy)
        bias = stats.norm.ppf((numpy.mean(replicates < value) + numpy.mean(replicates <= value)) / 2)
        ends = numpy.percentile(replicates, [100 * float(low), 100 * float(high)])
        yield {"sample": sample, "seed": seed, "level": level, "resamples": 2000, "bias": bias, "acceleration": float(acceleration), "low": ends[0], "high": ends[1]}


def sign_flips():
    sets = [SAMPLES["eight"], [0.12, -0.03, 0.31, 0.08, 0.22, -0.11, 0.17, 0.05], [1.0, 2.0, 3.0], SAMPLES["two"], [((i * 37) % 23 - 9.5) / 10 for i in range(16)]]
    for differences in sets:
        p = {side: stats.permutation_test((differences,), lambda x, axis: numpy.mean(x, axis=axis), permutation_type="samples", vectorized=True, n_resamples=numpy.inf, alternative=side).pvalue for side in ("two-sided", "greater")}
        yield {"differences": differences, "seed": None, "p": p}
    # Above 20 pairs: the signs that the seed draws.
    differences = [math.sin(7 * i) / 3 + 0.05 for i in range(21)]
    p = {}
    for side, purpose, size in (("two-sided", "the sign-flip test", abs), ("greater", "the one-sided sign-flip test", float)):
        draws = Draws(11, purpose)
        observed = size(sum(differences)) - 1e-9
        extreme = sum(size(sum(x if draws.word() >> 63 == 0 else -x for x in differences)) >= observed for _ in range(99_999))
        p[side] = (extreme + 1) / 100_000
    yield {"differences": differences, "seed": 11, "p": p}


def wilcoxons():
    spread = lambda n: [((i * 17 % 31) - 11.3) / 10 for i in range(n)]
    tied = [1.0, -1.0, 2.0, 2.0, -3.0, 4.0, 0.0, 5.0, 5.0, 5.0, -6.0, 7.0]
    for differences, method in (
        (SAMPLES["eight"], "exact"), (SAMPLES["two"], "exact"), (spread(25), "exact"), (spread(31), "approx"),
        (tied, "signs"), ([0.3] * 5, "signs"),
    ):
        nonzero = numpy.array([d for d in differences if d])
        ranks = stats.rankdata(abs(nonzero))
        found = float(ranks[nonzero > 0].sum())
        if method == "signs":
            # Every assignment of signs to the midranks, one by one: SciPy's "exact" knows no ties.
            sums = [float(numpy.dot(ranks, signs)) for signs in itertools.product((0, 1), repeat=len(ranks))]
            tails = [sum(s <= found for s in sums), sum(s >= found for s in sums)]
            p = min(1.0, 2 * min(tails) / len(sums))
        else:
            p = stats.wilcoxon(differences, correction=True, method=method).pvalue
        yield {"differences": differences, "exact": method != "approx", "positive_ranks": found, "p": p}


def interquartile_means():
    values = [9.5, 1.25, 4.0, 2.0, 7.75, 3.5, 100.0, 0.5, -3.0, 6.0, 11.0]
    for n in range(1, 12):
        yield {"values": values[:n], "expected": stats.trim_mean(values[:n], 0.25)}


def stratified(purpose, strata, resamples, seed, statistic):
    draws = Draws(seed, purpose)
    replicates = [statistic([draws.resample(seeds) for seeds in strata]) for _ in range(resamples)]
    return numpy.percentile(replicates, [2.5, 97.5], axis=0).tolist()


def win(pair):
    """1 where the second of two outcomes is better, one half for a tie."""
    (base, base_reached), (treatment, reached) = pair
    if reached and base_reached:
        return (numpy.sign(base - treatment) + 1) / 2
    return (int(reached) - int(base_reached) + 1) / 2


def over_workloads():
    """Speed-up, probability of improvement, profile and interquartile mean over workloads with unequal numbers of seeds."""
    wave = lambda i: 4 + 2 * math.sin(3.7 * i)
    times = [[(wave(i + 20 * w), wave(2.3 * i + 5 + w)) for i in range(n)] for w, n in enumerate((5, 3, 8))]
    limit = 5.6
    cut = lambda t: (t, True) if t <= limit else (limit, False)
    outcomes = [[(cut(a), cut(b)) for a, b in workload] for workload in times]
    ratio = lambda rows: math.exp(numpy.mean([numpy.mean([math.log(a) - math.log(b) for a, b in row]) for row in rows]))
    wins = lambda rows: numpy.mean([numpy.mean([win(pair) for pair in row]) for row in rows])
    # The percentile is taken of the mean logarithm.
    logs = stratified("the geometric-mean speed-up", times, 1000, 5, lambda rows: math.log(ratio(rows)))
    low, high = math.exp(logs[0]), math.exp(logs[1])
    case = {"outcomes": outcomes, "times": times, "seed": 5, "resamples": 1000}
    gmeans = [stats.gmean([a / b for a, b in row]) for row in times]
    case["speed_up"] = {"value": stats.gmean(gmeans), "low": low, "high": high}
    low, high = stratified("the probability of improvement", outcomes, 1000, 5, wins)
    case["improvement"] = {"value": float(wins(outcomes)), "low": low, "high": high}
    low, high = stratified("the performance profile", outcomes, 1000, 5, profile_scores)
    case["profile"] = [{"value": v, "low": l, "high": h} for v, l, h in zip(profile_scores(outcomes), low, high)]
    scores = [[a for a, _ in row] for row in times]
    middle = lambda rows: float(stats.trim_mean(numpy.concatenate(rows), 0.25))
    low, high = stratified("the interquartile mean over workloads", scores, 1000, 5, middle)
    case["iqm"] = {"value": middle(scores), "low": low, "high": high}
    yield case


def profile_scores(rows):
    """1/3 of the integral of the profile from 1 to 4, summed over the steps of the step function; each workload weighs the same."""
    scores = []
    for arm in (0, 1):
        shares = []
        for row in rows:
            ratios = [pair[arm][0] / min(t for t, reached in pair if reached) if pair[arm][1] else math.inf for pair in row]
            knots = [1.0, *sorted(r for r in ratios if 1 < r < 4), 4.0]
            shares.append(sum((b - a) * numpy.mean([r <= a for r in ratios]) for a, b in zip(knots, knots[1:])) / 3)
        scores.append(numpy.mean(shares))
    return scores


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
    "isotonic": list(isotonic_crossings()),
    "survival": list(survivals()),
    "median": list(medians()),
    "wilson": list(wilsons()),
    "mean": list(means()),
    "speed_up": list(paired_speed_ups()),
    "bca": list(bca_intervals()),
    "sign_flip": list(sign_flips()),
    "wilcoxon": list(wilcoxons()),
    "iqm": list(interquartile_means()),
    "across": list(over_workloads()),
}, indent=1))
