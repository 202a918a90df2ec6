"""SciPy's spearmanr on columns like those of the bench `provenance`: the median of several calls on one thread.

    python3 harness/ledger/benches/provenance_peer.py [--examples 1000000] [--calls 7]
"""

import argparse
import os
import statistics
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy
import scipy
from scipy import stats


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=7)
    options = parser.parse_args()
    rng = numpy.random.Generator(numpy.random.PCG64(7))
    positions = rng.permutation(options.examples)
    scores = -0.1 / options.examples * positions + rng.random(options.examples)
    for name, column in (("f64", scores), ("f32", scores.astype(numpy.float32))):
        times = []
        for _ in range(options.calls):
            start = time.perf_counter()
            found = stats.spearmanr(positions, column)
            times.append(time.perf_counter() - start)
        print(
            f"scipy {scipy.__version__} spearmanr, {name}, n = {options.examples}: median {statistics.median(times):.3f} s, "
            f"{min(times):.3f} to {max(times):.3f} s, rho {found.statistic:.6f}"
        )


if __name__ == "__main__":
    main()
