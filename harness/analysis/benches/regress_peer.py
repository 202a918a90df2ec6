"""The peer of the gate's bench: SciPy's BCa bootstrap over the same shape of measurements.

`python3 regress_peer.py`, with scipy and numpy installed. 1,000 metrics of 20 paired log ratios, 10,000 resamples
each: all metrics in one vectorised call (in batches of resamples that fit the memory), and metric by metric. Only the intervals are timed;
the tests, the adjustment and the verdicts that the gate's bench includes are not.
"""

import statistics
import time

import numpy as np
from scipy.stats import bootstrap

METRICS, PAIRS, RESAMPLES, REPEATS = 1_000, 20, 10_000, 3

effects = 0.03 * np.random.default_rng(7).normal(size=(METRICS, PAIRS))


def together():
    rng = np.random.default_rng(0)
    return bootstrap((effects,), np.mean, axis=1, n_resamples=RESAMPLES, batch=500, method="BCa", vectorized=True, rng=rng)


def one_by_one():
    rng = np.random.default_rng(0)
    return [bootstrap((row,), np.mean, n_resamples=RESAMPLES, method="BCa", vectorized=True, rng=rng) for row in effects]


for name, run in (("one call for all metrics", together), ("metric by metric", one_by_one)):
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    print(f"{name}: median {statistics.median(seconds):.2f} s of {REPEATS}")
