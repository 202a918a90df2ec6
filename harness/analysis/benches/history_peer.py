"""The peer of the history bench: Apache Otava's change points over the same shape of history.

`python3 history_peer.py`, with apache-otava and numpy installed. Times a few metrics of 10,000
commits each and scales to 100 metrics; reading and verifying a file is not in it.
"""

import time

import numpy as np
from otava.analysis import compute_change_points

COMMITS, METRICS, TIMED = 10_000, 100, 4

rng = np.random.default_rng(7)
moved = np.where((np.arange(COMMITS) // 1000) % 2 == 1, 1.05, 1.0)
started = time.perf_counter()
found = 0
for metric in range(TIMED):
    values = (moved if metric % 2 == 0 else 1.0) * np.exp(0.02 * rng.normal(size=COMMITS))
    points, _ = compute_change_points(list(values))
    found += len(points)
seconds = (time.perf_counter() - started) / TIMED
print(f"{seconds:.2f} s a metric, {seconds * METRICS:.0f} s for {METRICS}; {found} changes in {TIMED} metrics")
