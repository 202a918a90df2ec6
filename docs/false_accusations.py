"""How often a membership test accuses models that never saw the order, when its conditions do not hold.

    python3 docs/false_accusations.py [--runs 1000]

Needs NumPy and SciPy, no model and none of our code. An example has a difficulty (standard normal), which every model shares; a
model's loss is that difficulty plus a standard normal number of its own. No suspect here has anything to do with the order that is
tested, so that a valid test has 5 % of its p-values below 0.05. Each run has an order of its own.
"""

import argparse

import numpy
from scipy.stats import spearmanr

N = 4000


def loss(rng, difficulty):
    return difficulty + rng.standard_normal(difficulty.size)


def uniform(rng, beside):
    """A uniform order: the control. With and without a reference."""
    difficulty = rng.standard_normal(N)
    suspect = loss(rng, difficulty) - (loss(rng, difficulty) if beside else 0)
    return rng.permutation(N), suspect


def leaning(rng, strength, beside):
    """A curriculum: examples sorted by strength times difficulty plus noise, easy ones first. The reference is somewhat better on
    easy examples than the suspect (its losses span 1.2 times the difficulty), as models of other sizes are."""
    difficulty = rng.standard_normal(N)
    position = (strength * difficulty + rng.standard_normal(N)).argsort().argsort()
    suspect = loss(rng, difficulty) - (loss(rng, 1.2 * difficulty) if beside else 0)
    return position, suspect


def packed(rng, averaged):
    """Packs of 8 documents are shuffled; half of a difficulty's variance is that of its pack."""
    packs = N // 8
    difficulty = (numpy.repeat(rng.standard_normal(packs), 8) + rng.standard_normal(N)) / 2**0.5
    pack, suspect = rng.permutation(packs), loss(rng, difficulty)
    if averaged:
        return pack, suspect.reshape(packs, 8).mean(axis=1)
    return 8 * numpy.repeat(pack, 8) + numpy.tile(numpy.arange(8), packs), suspect


def dependent(rng):
    """A reference that was trained in the order tested and remembers late examples better by half a deviation."""
    difficulty, position = rng.standard_normal(N), rng.permutation(N)
    reference = loss(rng, difficulty) - 0.5 * position / N
    return position, loss(rng, difficulty) - reference


CASES = [
    ("uniform order, no reference", uniform, (False,)),
    ("uniform order, reference", uniform, (True,)),
    ("sorted with strength 0.1, no reference", leaning, (0.1, False)),
    ("sorted with strength 0.1, reference", leaning, (0.1, True)),
    ("sorted with strength 1, reference", leaning, (1.0, True)),
    ("packs of 8, tested by document", packed, (False,)),
    ("packs of 8, averaged", packed, (True,)),
    ("reference trained in the order tested", dependent, ()),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    print(f"{runs} runs of each case, seeds 0 to {runs - 1}, n = {N}, two-sided Spearman")
    for name, case, options in CASES:
        p = numpy.array([spearmanr(*case(numpy.random.default_rng(seed), *options)).pvalue for seed in range(runs)])
        print(f"{name:40} p < 0.05: {(p < 0.05).mean():7.1%}   p < 1e-6: {(p < 1e-6).mean():7.1%}   median p {numpy.median(p):.1e}")


if __name__ == "__main__":
    main()
