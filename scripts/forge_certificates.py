#!/usr/bin/env python3
"""Makes honest and forged certificates and has both verifiers judge each; needs NumPy and SciPy.

    python3 scripts/forge_certificates.py PALIMPSEST [--table FILE] [--keep FOLDER]

PALIMPSEST is the program; `docs/verify_certificate.py` is the other verifier. Honest certificates go through
all coefficients, alternatives, adjustments, laws, units and forms of files; forged ones through a table of
alterations with the digest taken anew, with the files and without them. Every certificate must get the same
verdict from both: it holds (exit 0), it holds as far as it goes without the files (3), or it does not (1, 2).
Printed is a table of the forgeries in Markdown, to FILE if one is named, and every disagreement; exit 1 if
there is one, or if an honest certificate is rejected. All is drawn from fixed seeds.
"""

import argparse
import base64
import collections
import contextlib
import copy
import functools
import hashlib
import importlib.util
import io
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

# Small matrices: threads of a busy machine only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = 60
METRICS = ("spearman", "pearson", "kendall")
TAILS = ("two-sided", "less", "greater")

# A certificate to judge: its name, the options that name its files, and whether it is honest.
Case = collections.namedtuple("Case", "name kind files honest")


def script():
    """The verifier in Python, as a module; nothing is written beside it."""
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("verify_certificate", ROOT / "docs/verify_certificate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERIFIER = script()


def told(program, folder, *arguments):
    """Exit code and output of the program in a folder."""
    answer = subprocess.run(
        [program, *map(str, arguments)], cwd=folder, capture_output=True, text=True, errors="replace"
    )
    return answer.returncode, answer.stdout + answer.stderr


def judged_by_script(folder, *arguments):
    """Exit code and output of the script, in this process."""
    said = io.StringIO()
    arguments = [part if part.startswith("--") else str(folder / part) for part in arguments]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = VERIFIER.main(arguments)
        except SystemExit as stopped:
            code = stopped.code
    return code, said.getvalue()


# ---- Files --------------------------------------------------------------------------------------------------


def write_columns(folder):
    """The files of all tests; their numbers come from one generator."""
    draw = np.random.default_rng(20261129)
    n = EXAMPLES

    def save(name, values):
        np.save(folder / name, values)

    orders = np.array([draw.permutation(n) for _ in range(3)])
    positions = np.argsort(orders[0])
    noise = draw.normal(size=n)
    scores = noise - 0.02 * positions
    save("order.npy", orders[0].astype(np.uint32))
    save("orders.npy", orders.astype(np.int64))
    save("same.npy", np.array([orders[0]] * 3))
    save("row.npy", orders[:1])
    save("tail.npy", orders[0][: n - 4])
    save("subset.npy", orders[0][: n // 2])
    save("replacement.npy", draw.integers(n, size=2 * n))
    save("positions.npy", positions)
    save("scores.npy", scores)
    save("single.npy", scores.astype(np.float32))
    save("half.npy", scores.astype(np.float16))
    save("big.npy", scores.astype(">f8"))
    save("fortran.npy", np.asfortranarray(scores[:, None]))
    save("whole.npy", np.rint(scores * 2).astype(np.int16))
    save("bool.npy", scores > np.median(scores) + 0.3)
    save("coarse.npy", np.round(scores, 1))
    save("far.npy", scores * 1e-3 + 1e9)
    for number in range(3):
        save(f"reference{number}.npy", np.round(0.7 * noise + draw.normal(size=n), 1))
    save("smooth.npy", 0.7 * noise + draw.normal(size=n))
    save("units.npy", np.repeat(np.arange(n // 4), 4))
    units = np.concatenate([np.arange(4 * unit, 4 * unit + 4) for unit in draw.permutation(n // 4)])
    save("packs.npy", units)
    save("ids.npy", np.arange(0, n, 2))
    save("repeated.npy", np.repeat(np.arange(n // 4), 2))
    doubled = orders[0].copy()
    doubled[20] = doubled[10]
    save("doubled.npy", doubled)
    save("steep.npy", noise - 0.2 * positions)
    swapped = orders[0].copy()
    swapped[[3, 40]] = swapped[[40, 3]]
    save("swapped.npy", swapped)
    save("other.npy", draw.permutation(n))
    save("some.npy", scores[::2])
    save("blocks.npy", np.repeat(np.arange(6), n // 6))
    within = np.concatenate([10 * block + draw.permutation(10) for block in range(6)])
    save("within.npy", np.argsort(within))
    save("rows.npy", np.array([20 * block + draw.permutation(20) for block in range(3)]))
    save("two.npy", np.repeat([0, 1], [n - 12, 12]))
    recited = np.zeros(n, dtype=np.int64)
    recited[[1, 5, n - 1, n - 2, n - 3]] = 1
    save("recited.npy", recited)
    write_tables(folder, orders, scores, draw)
    save("thirds.npy", np.repeat([0, 1, 2], [n - 20, 10, 10]))
    for count in (8, 20):
        order = draw.permutation(count)
        save(f"order{count}.npy", order)
        save(f"scores{count}.npy", np.round(draw.normal(size=count) - 0.1 * np.argsort(order), 2))
    save("tied8.npy", np.array([1, 2, 2, 0, 1, 1, 2, 0]))
    save("up.npy", positions * 0.5)
    save("down.npy", -(positions // 2).astype(np.float64))
    save("pairs.npy", positions // 2)
    write_texts(folder, orders[0], positions, scores)


def write_tables(folder, orders, scores, draw):
    """Epochs that are cut, padded, laid out in other ways, or blocks; scores of tokens; many rows."""
    n = len(scores)

    def save(name, values):
        np.save(folder / name, values)

    save("first.npy", orders[0])
    save("second.npy", orders[1])
    save("cut.npy", orders[2][: n // 3])
    save("stub.npy", orders[0][: n // 3])
    save("padded.npy", np.concatenate([orders[0], orders[0][:4]]))
    save("padded2.npy", np.concatenate([orders[1], orders[1][:6]]))
    save("columns.npy", orders.T.copy())
    save("steps.npy", orders.reshape(-1, 6))
    save("dropped.npy", orders[:, : n - 4].reshape(-1, 8)[:20])
    save("uneven.npy", np.concatenate([orders[0], orders[1], orders[2][:36]]).reshape(-1, 12))
    # Two passes over three blocks.
    passes = [20 * block + draw.permutation(20) for _ in range(2) for block in range(3)]
    save("passes.npy", np.array(passes))
    for number, block in enumerate((passes[0], np.concatenate(passes[1:3])[5:], passes[3], passes[4])):
        save(f"block{number}.npy", block)
    save("tokens.npy", scores[:, None] + draw.normal(size=(n, 5)))
    save("tokens.reference.npy", draw.normal(size=(n, 3)).astype(np.float32))
    save("gaps.npy", orders[0] * 1_000_003 + 7)
    save("gap.ids.npy", np.arange(n) * 1_000_003 + 7)
    save("some.ids.npy", np.arange(0, n + 4))
    save("more.npy", draw.normal(size=n + 4))
    save("packed.npy", draw.permutation(n // 4))
    save("pack.ids.npy", np.repeat(np.arange(n // 4), 4))
    names = [f"doc {number:03}" for number in range(n)]
    (folder / "names.csv").write_text("name\n" + "".join(f"{names[at]}\n" for at in orders[0]), encoding="utf-8")
    (folder / "named.csv").write_text("name\n" + "".join(f"{name}\n" for name in names), encoding="utf-8")
    # Alike within tied positions.
    save("alike.positions.npy", np.repeat(draw.permutation(30), 2))
    save("alike.npy", np.repeat(draw.normal(size=30), 2))
    for size in (12, 120, 700):
        order = draw.permutation(size)
        noise = draw.normal(size=size)
        save(f"order{size}.npy", order)
        for name, slope in (("weak", 1), ("middle", 6), ("strong", 40)):
            values = noise - slope * np.argsort(order) / size
            save(f"{name}{size}.npy", values)
            save(f"{name}.coarse{size}.npy", np.round(values, 1))
        save(f"rare{size}.npy", (draw.random(size) < 0.06) | (np.argsort(order) < 2))
        save(f"heavy{size}.npy", np.exp(3 * noise) - (np.argsort(order) < 3) * 50.0)


def write_texts(folder, order, positions, scores):
    """The same numbers as text, and under names in capitals."""
    lines = [repr(float(score)) for score in scores]
    texts = {
        "bare.csv": "\n".join(lines) + "\n",
        "header.csv": "loss\n" + "\n".join(lines) + "\n",
        "space.csv": " loss \r\n" + "\r\n".join(lines) + "\r\n",
        "mark.csv": "\ufeffloss\n" + "\n".join(lines) + "\n\n",
        "quoted.csv": '"id","the ""loss"""\n' + "".join(f'{at},"{line}"\n' for at, line in enumerate(lines)),
        "table.csv": "id, loss ,place\n" + "".join(
            f"{at}, {line} ,{place}\n" for at, (line, place) in enumerate(zip(lines, positions))
        ),
        "table.tsv": "id\tloss\n" + "".join(f"{at}\t{line}\n" for at, line in enumerate(lines)),
        "UPPER.CSV": "\n".join(lines) + "\n",
        "places.csv": "\n".join(map(str, positions)) + "\n",
        "order.csv": "id\n" + "\n".join(map(str, order)) + "\n",
        "headless.csv": "\n".join(["3", *lines]) + "\n",
        "mixed.csv": "loss\n" + "\n".join(["3", *lines[1:]]) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    for name, text in PLANS.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    for name in ("order", "scores"):
        (folder / f"{name.upper()}.NPY").write_bytes((folder / f"{name}.npy").read_bytes())
    with contextlib.suppress(ImportError):
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table({"id": order.astype(np.uint32), "loss": scores})
        parquet.write_table(table, folder / "table.parquet")


PLANS = {
    "plan.yaml": """
# Declared before looking.
suspects: [scores.npy, "coarse.npy"]
metrics:
  - spearman
  - 'kendall'
tails: [two-sided, less]
tests: 9
""",
    "beside.json": """{"suspects": ["coarse.npy", "scores.npy"], "references": ["smooth.npy"], "metrics": ["pearson"],
    "adjusts": ["difference", "residual"], "tests": 4}""",
    "columns.yaml": "suspects: [table.csv:loss, 7]\nmetrics: [spearman]\nadjusts: []\ntests: 0x10\n",
    "own.yaml": "suspects: [scores.npy]\nmetrics: [spearman]\ntests: 1\n",
    # In YAML the last line of the list goes on with the entry before it; and an entry may hold spaces, however many.
    "deeper.yaml": "suspects:\n- scores.npy\n- coarse.npy\n - other.npy\nmetrics: [spearman]\ntests: 2\n",
    "wide.yaml": f"suspects: [scores.npy, a{' ' * 200_000}b]\nmetrics: [spearman]\ntests: 2\n",
    # What no certificate below may pass with.
    "pearson.yaml": "suspects: [scores.npy]\nmetrics: [pearson]\ntests: 9\n",
    "stranger.yaml": "suspects: [stranger.npy]\nmetrics: [spearman]\ntests: 9\n",
    "greater.yaml": "suspects: [scores.npy]\nmetrics: [spearman]\ntails: [greater]\ntests: 9\n",
    "referred.yaml": "suspects: [scores.npy]\nreferences: [smooth.npy]\nmetrics: [spearman]\ntests: 9\n",
    "few.yaml": "suspects: [scores.npy, coarse.npy]\nmetrics: [spearman, kendall]\ntests: 3\n",
    "twice.yaml": "suspects: [scores.npy, scores.npy]\nmetrics: [spearman]\ntests: 9\n",
    "unknown.yaml": "suspects: [scores.npy]\nmetrics: [spearman]\ntests: 9\njudge: yes\n",
    "field.twice.yaml": "suspects: [scores.npy]\nmetrics: [spearman]\ntests: 9\ntests: 99\n",
    "quoted.yaml": "suspects: [scores.npy]\nmetrics: [spearman]\ntests: '9'\n",
    "text.yaml": "suspects: scores.npy\nmetrics: [spearman]\ntests: 9\n",
    "none.yaml": "- scores.npy\n",
    "broken.yaml": "suspects: [scores.npy\n",
    "shallower.yaml": "suspects:\n  - scores.npy\n - coarse.npy\nmetrics: [spearman]\ntests: 9\n",
    "latin.yaml": "# Caf\udce9\nsuspects: [scores.npy]\nmetrics: [spearman]\ntests: 9\n",
    "key.twice.json": '{"suspects": ["scores.npy"], "metrics": ["spearman"], "tests": 9, "tests": 9}',
    "broken.json": '{"suspects": ["scores.npy"], "metrics": ["spearman"], "tests": 9',
}


def planned():
    """Tests that a plan declares."""
    for metric, tail in itertools.product(("spearman", "kendall"), ("two-sided", "less")):
        choice = f"--metric {metric} --tail {tail}"
        yield "--order order.npy --scores scores.npy --plan plan.yaml", choice
        yield "--order orders.npy --scores coarse.npy --plan plan.yaml", f"{choice} --monte-carlo 49"
    for adjust in ("difference", "residual"):
        yield "--order order.npy --scores scores.npy --reference smooth.npy --plan beside.json", (
            f"--metric pearson --adjust {adjust}"
        )
    yield "--order order.npy --scores table.csv:loss --plan columns.yaml", ""
    for plan in ("deeper.yaml", "wide.yaml"):
        yield f"--order order.npy --scores scores.npy --plan {plan}", ""


def planned_wrongly(folder, base, add):
    """A plan that is not the one named, that does not declare this test, or that is none."""
    files = words_of("--order order.npy --scores scores.npy")

    def of_plan(kind, name, plan):
        certificate = copy.deepcopy(base)
        if plan is None:
            certificate["options"].pop("plan")
        else:
            certificate["options"]["plan"] = plan
        add(f"plan: {kind}", sealed(certificate), [*files, "--plan", name])

    def of_file(name, tests=9):
        return {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(), "tests": tests}

    of_plan("another file", "pearson.yaml", of_file("plan.yaml"))
    of_plan("none in the certificate", "plan.yaml", None)
    of_plan("fewer tests than it declares", "plan.yaml", of_file("plan.yaml", 1))
    for kind, name in (
        ("another metric", "pearson.yaml"), ("another suspect", "stranger.yaml"), ("another tail", "greater.yaml"),
        ("a reference left out", "referred.yaml"), ("less declared than named", "few.yaml"),
        ("a suspect twice", "twice.yaml"), ("an unknown field", "unknown.yaml"),
        ("a field twice", "field.twice.yaml"), ("a number in quotes", "quoted.yaml"),
        ("a text for a list", "text.yaml"), ("a list", "none.yaml"), ("no YAML", "broken.yaml"),
        ("an entry before the others", "shallower.yaml"), ("no UTF-8", "latin.yaml"),
        ("a key of JSON twice", "key.twice.json"), ("no JSON", "broken.json"),
    ):
        of_plan(f"{kind}, with its digest", name, of_file(name, 3 if name == "few.yaml" else 9))
    of_plan("one of one's own, made afterwards", "own.yaml", of_file("own.yaml", 1))


# ---- Honest certificates ------------------------------------------------------------------------------------


def honest(folder):
    """Options of `provenance query` for every honest certificate: files, then how the test is made."""
    plain = "--order order.npy --scores scores.npy"
    references = " ".join(f"--reference reference{number}.npy" for number in range(3))
    adjusts = {"none": "", "difference": " --reference smooth.npy", "residual": f" {references}"}
    for metric, tail, (adjust, files) in itertools.product(METRICS, TAILS, adjusts.items()):
        choice = f"--metric {metric} --tail {tail} --adjust {adjust}"
        yield f"{plain}{files}", choice
        yield f"--order orders.npy --scores coarse.npy{files}", f"{choice} --gamma 0.7"
    for metric, (adjust, files) in itertools.product(METRICS, adjusts.items()):
        choice = f"--metric {metric} --adjust {adjust}"
        yield f"--order packs.npy --scores coarse.npy --units units.npy{files}", f"{choice} --unit pack"
        yield f"--positions positions.npy --scores coarse.npy{files}", choice
        yield f"--positions two.npy --scores coarse.npy{files}", choice
    for metric, tail in itertools.product(METRICS, TAILS):
        choice = f"--metric {metric} --tail {tail}"
        for files in few_or_tied(metric):
            yield files, choice
        yield plain, f"{choice} --monte-carlo 199 --seed 7"
        yield "--positions two.npy --scores recited.npy", f"{choice} --monte-carlo 99"
        yield "--positions within.npy --scores scores.npy --blocks blocks.npy", (
            f"{choice} --law blockwise --monte-carlo 99"
        )
        yield "--order replacement.npy --scores scores.npy", f"{choice} --law replacement --monte-carlo 49"
    yield "--order orders.npy --scores up.npy", "--law replacement --monte-carlo 19 --seed 123456789"
    yield from forms(folder)
    yield from laws()
    for metric, (size, tail) in itertools.product(METRICS, ((12, "two-sided"), (120, "less"))):
        yield from depths(size, f"--metric {metric} --tail {tail}")
    yield "--order order700.npy --scores middle700.npy", ""
    yield "--order order700.npy --scores strong.coarse700.npy", "--metric kendall"
    yield from layouts()
    yield from planned()


def depths(size, choice):
    """Where the closed form holds, where it does not, and where nothing does."""
    for scores in ("weak", "middle", "strong", "middle.coarse", "strong.coarse", "rare", "heavy"):
        yield f"--order order{size}.npy --scores {scores}{size}.npy", choice
        if "coarse" in scores or scores == "rare":
            yield f"--order order{size}.npy --scores {scores}{size}.npy", f"{choice} --batch-size {size // 4}"


def layouts():
    """Epochs in several files, cut, padded or in other tables; blocks; tokens; names; drawn combinations."""
    scores = "--scores scores.npy"
    for metric in METRICS:
        choice = f"--metric {metric}"
        yield f"--order first.npy --order second.npy --order cut.npy {scores}", choice
        yield f"--order first.npy --order second.npy {scores} --reference smooth.npy", f"{choice} --monte-carlo 99"
        yield "--order orders.npy --scores coarse.npy", f"{choice} --tail less --monte-carlo 99 --seed 5 --gamma 1"
        yield f"--order passes.npy {scores}", f"{choice} --law blockwise"
        yield f"--order passes.npy {scores}", f"{choice} --law blockwise --monte-carlo 49"
        yield f"--order block0.npy --order block1.npy --order block2.npy {scores}", f"{choice} --law blockwise"
        yield "--order order.npy --scores tokens.npy", f"{choice} --token-scores mean"
        yield f"--order uneven.npy {scores}", f"{choice} --steps"
        yield "--positions alike.positions.npy --scores alike.npy", choice
    yield f"--order padded.npy {scores}", ""
    yield f"--order padded.npy --order padded2.npy {scores}", "--batch-size 5"
    yield f"--order padded.npy {scores}", "--monte-carlo 99 --tail greater"
    yield f"--order first.npy --order second.npy --order cut.npy {scores}", "--epoch 2"
    yield f"--order first.npy --order padded.npy --order stub.npy {scores}", "--law uniform-same-each-epoch"
    yield f"--order columns.npy {scores}", "--epochs-in-columns"
    yield f"--order columns.npy {scores}", "--epochs-in-columns --epoch 1 --batch-size 7"
    yield f"--order steps.npy {scores}", "--steps"
    yield f"--order steps.npy {scores}", "--steps --epoch 0 --metric kendall"
    yield f"--order dropped.npy {scores}", "--steps"
    yield "--order order.npy --scores tokens.npy --reference tokens.reference.npy", "--token-scores mean"
    yield "--order order.npy --scores tokens.npy --reference smooth.npy", "--token-scores mean --adjust residual"
    yield "--order gaps.npy --scores scores.npy --ids gap.ids.npy", ""
    yield "--order order.npy --scores more.npy --ids some.ids.npy", ""
    yield "--order order.npy --order second.npy --scores some.npy --ids ids.npy", "--monte-carlo 49"
    yield "--order names.csv:name --scores scores.npy --ids named.csv:name", ""
    yield "--order packed.npy --scores scores.npy --ids pack.ids.npy --units pack.ids.npy", "--unit pack"
    yield f"--order orders.npy {scores} --reference smooth.npy --reference-order other.npy", ""
    yield f"--order first.npy {scores} --reference smooth.npy --reference-order second.npy", "--law uniform"
    yield f"--order orders.npy {scores}", "--randomness fixed --seed-bits 2"


def few_or_tied(metric):
    """Few examples, perfect correlations and ties on both sides."""
    yield "--order order8.npy --scores scores8.npy"
    yield "--order order8.npy --scores tied8.npy"
    yield "--order order20.npy --scores scores20.npy"
    yield "--order order.npy --scores up.npy"
    yield "--order order.npy --scores down.npy"
    yield "--positions pairs.npy --scores down.npy"
    yield "--positions pairs.npy --scores whole.npy"
    yield "--positions two.npy --scores whole.npy"
    if metric != "pearson":
        yield "--positions thirds.npy --scores recited.npy"


def forms(folder):
    """The same test from files of every form."""
    order = "--order order.npy"
    for scores in ("single.npy", "half.npy", "big.npy", "fortran.npy", "whole.npy", "bool.npy", "far.npy",
                   "bare.csv", "header.csv", "space.csv", "mark.csv", "table.csv:loss", 'quoted.csv:the "loss"',
                   "table.tsv:loss", "UPPER.CSV", "SCORES.NPY", "mixed.csv", "coarse.npy"):
        yield f"{order}\t--scores\t{scores}".replace(" ", "\t", 1), "--metric spearman"
        yield f"{order}\t--scores\t{scores}".replace(" ", "\t", 1), "--metric pearson"
    if (folder / "table.parquet").exists():
        yield f"{order} --scores table.parquet:loss", ""
        yield "--order table.parquet:id --scores scores.npy", ""
    for place in ("--order ORDER.NPY", "--order order.csv", "--order row.npy", "--positions places.csv",
                  "--positions table.csv:place", "--positions positions.npy"):
        yield f"{place} --scores scores.npy", "--adjust none"


def laws():
    """Orders that were drawn, cut or read in other ways."""
    scores = "--scores scores.npy"
    for epoch in range(3):
        yield f"--order orders.npy {scores}", f"--epoch {epoch}"
    for size in (1, 4, 7, 30):
        yield f"--order order.npy {scores}", f"--batch-size {size}"
        yield f"--order orders.npy {scores}", f"--batch-size {size} --gamma 1"
    yield "--order packs.npy --scores coarse.npy --units units.npy", "--unit pack --batch-size 8"
    yield "--order packs.npy --scores coarse.npy --units units.npy", "--unit step --monte-carlo 99"
    yield f"--order tail.npy {scores}", ""
    yield f"--order tail.npy {scores}", "--batch-size 8 --metric kendall"
    yield f"--order subset.npy {scores}", "--law uniform-subset"
    yield f"--order same.npy {scores}", "--law uniform-same-each-epoch"
    yield "--order rows.npy --scores scores.npy", "--law blockwise --gamma 1"
    yield "--order rows.npy --scores scores.npy", "--law blockwise --metric kendall"
    yield "--order order.npy --scores some.npy --ids ids.npy", ""
    yield "--order orders.npy --scores some.npy --ids ids.npy", "--metric pearson"
    yield "--order subset.npy --scores some.npy --ids ids.npy", "--law uniform-subset"
    yield f"--order order.npy {scores} --reference smooth.npy --reference-order other.npy", ""
    for kind in ("loss", "log-prob", "agreement"):
        yield f"--order order.npy {scores}", f"--kind {kind}"
    for bits in (1, 8, 256):
        for randomness in ("os", "fixed"):
            yield f"--order order.npy {scores}", f"--randomness {randomness} --seed-bits {bits}"
    yield "--order order.npy --scores up.npy", "--seed-bits 64"
    yield "--order order.npy --scores up.npy", "--randomness fixed --metric kendall"


def unsound():
    """Questions that have no valid p-value; a certificate of one is none, whoever made it.

    The program refuses them, so that each is made from a sound one: its files and options, what is altered of
    it, and the files that take the place of others.
    """
    plain = "--order order.npy --scores scores.npy"
    placed = "--positions positions.npy --scores scores.npy"
    law = functools.partial(put, "options.law")
    yield "examples scored twice", "--order order.npy --scores some.npy --ids ids.npy", "", nothing, {
        "ids": "repeated.npy"}
    yield "the law says the same order, the rows differ", plain, "", both(
        law("uniform-same-each-epoch"), put("options.gamma", 0.5)), {"order": "orders.npy"}
    yield "blocks under a uniform law", "--positions within.npy --scores scores.npy", "", nothing, {
        "blocks": "blocks.npy"}
    yield "positions with a batch size", placed, "", both(
        put("options.batch_size", 8), put("options.resolution", "step")), {}
    yield "positions with an epoch", placed, "", put("options.epoch", 1), {}
    yield "ties on both sides in the closed form", "--positions two.npy --scores recited.npy", "", in_closed_form, {}
    yield "the same, Kendall", "--positions two.npy --scores recited.npy", "--metric kendall", in_closed_form, {}
    yield "the same, Pearson", "--positions thirds.npy --scores recited.npy", (
        "--metric pearson --tail greater"), in_closed_form, {}
    yield "a saddlepoint in the closed form", "--order order.npy --scores steep.npy", "", in_closed_form, {}
    yield "a reference of nearly the same order", (
        f"{plain} --reference smooth.npy --reference-order other.npy"), "", nothing, {
        "reference-order": "swapped.npy"}
    yield "a blockwise order as one list", plain, "", law("blockwise"), {}
    yield "a sampler with replacement in closed form", plain, "", law("replacement"), {"order": "replacement.npy"}
    yield "a sorted order", plain, "", law("sorted"), {}
    yield "packs tested by example", plain, "", put("options.unit", "pack"), {}
    yield "an order that leaves out half", "--order subset.npy --scores scores.npy", "--law uniform-subset", law(
        "uniform"), {}
    yield "epochs of one order combined", "--order orders.npy --scores scores.npy", "", nothing, {"order": "same.npy"}
    yield "an id twice in an epoch", plain, "", nothing, {"order": "doubled.npy"}
    yield "a header that may be a value", "--order order.npy --scores header.csv", "", nothing, {
        "scores": "headless.csv"}


def nothing(certificate):
    """No alteration."""


def in_closed_form(certificate):
    """The closed form where it does not hold."""
    finding = certificate["finding"]
    finding.pop("saddlepoint", None)
    finding["exact"] = False
    closed = VERIFIER.closed_form(finding, finding["metric"], 0)
    log_p = VERIFIER.of_tail(closed, finding["tail"])
    finding |= {"p": float(np.exp(log_p)), "log10_p": log_p / np.log(10)}


def in_place(certificate, folder, role, name):
    """Another file, with its digest, in the place of the one of this role."""
    data = (folder / name).read_bytes()
    entry = {"role": role, "name": name, "column": None, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    files = certificate["tested"]["files"]
    at = next((at for at, file in enumerate(files) if file["role"] == role), len(files))
    files[at : at + 1] = [entry]


def words_of(text):
    """Options as a list: parted by tabs where there are any, since a column may have a space."""
    return text.split("\t") if "\t" in text else text.split()


def make_honest(program, folder):
    """Writes every honest certificate; returns the cases, and what the program refused to test."""
    cases, refused = [], []
    for number, (files, choice) in enumerate(honest(folder)):
        name = f"honest{number}.json"
        files = words_of(files)
        code, said = told(program, folder, "provenance", "query", *files, *choice.split(), "--certificate", name)
        if code:
            refused.append((" ".join([*files, choice]), said.strip().splitlines()[-1]))
            continue
        cases.append(Case(name, " ".join([*files, choice]), named(folder / name, files), True))
    return cases, refused


def named(path, files):
    """The options for the files that a certificate names; it knows their columns itself."""
    tested = VERIFIER.json.loads(path.read_text(encoding="utf-8"))["tested"]["files"]
    roles = {"--plan", *(f"--{file['role']}" for file in tested)}
    pairs = [pair for pair in zip(files[::2], files[1::2]) if pair[0] in roles]
    return [part for role, file in pairs for part in (role, file.partition(":")[0])]


# ---- Forged certificates ------------------------------------------------------------------------------------


def sealed(certificate, words=True):
    """The certificate with a true digest and, if wanted, the words that go with its numbers."""
    if words:
        finding = certificate["finding"]
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
            certificate["headline"] = VERIFIER.headline(finding)
            certificate["meaning"] = VERIFIER.meaning(finding)
            certificate["limits"] = VERIFIER.limits(certificate)
    body = {name: value for name, value in certificate.items() if name not in ("digest", "signatures")}
    certificate["digest"] = hashlib.sha256(VERIFIER.canonical(body).encode()).hexdigest()
    return (VERIFIER.canonical(certificate) + "\n").encode()


def put(place, value):
    """An alteration that sets what stands at a place like `finding.log10_p`."""
    def alter(certificate):
        *path, last = place.split(".")
        for name in path:
            certificate = certificate[int(name) if name.isdigit() else name]
        certificate[int(last) if last.isdigit() else last] = value
    return alter


def drop(place):
    """An alteration that takes a field away."""
    def alter(certificate):
        *path, last = place.split(".")
        for name in path:
            certificate = certificate[int(name) if name.isdigit() else name]
        del certificate[last]
    return alter


def both(*alterations):
    """Several alterations one after another."""
    def alter(certificate):
        for alteration in alterations:
            alteration(certificate)
    return alter


def stronger(certificate):
    """p and its logarithm together, as strong as a copy's."""
    certificate["finding"] |= {"p": 1e-54, "log10_p": -54.0}


def consistent(certificate):
    """Statistic and p-value that fit each other, but not the files."""
    finding = certificate["finding"]
    finding["statistic"] = -0.9
    log_p = VERIFIER.of_tail(VERIFIER.student(-0.9, 1 - 0.81, finding["n"]), finding["tail"])
    finding |= {"p": float(np.exp(log_p)), "log10_p": log_p / np.log(10)}
    finding["direction"] = VERIFIER.direction(certificate)


ORIGIN = {
    "run": "0123456789abcdef", "run_digest": "1" * 64, "law": "uniform", "unit": "sample", "randomness": "os",
    "examples": EXAMPLES, "dataset_root": "2" * 64, "seed_commit": "3" * 64, "commitment": "4" * 64,
    "order_hashes": ["5" * 64], "index": {"sequence": 0, "digest": "6" * 64}, "promises": 2, "abandoned": 1,
    "head": "7" * 64,
}


def transplanted(certificate):
    """The promise of a run on a certificate of plain files."""
    origin = dict(ORIGIN)
    if certificate["version"] > 1:
        origin |= {"order_version": 2, "follows_from_seed": True}
    certificate["origin"] = origin
    certificate["options"] |= {"randomness": "os"}
    certificate["finding"] |= {"randomness": "os"}


def claims_draws(certificate):
    """A Monte Carlo p-value far below what its draws can give."""
    stronger(certificate)
    draws = {"draws": 9, "seed": 0}
    certificate["finding"] |= {"monte_carlo": draws, "log10_p": -1000.0, "p": 0.0}
    certificate["options"]["monte_carlo"] = draws


def renamed(certificate):
    """A file name with a line of its own."""
    certificate["tested"]["files"][0]["name"] = "order.npy\nok         signed by given key 499d8feb309fea03"


# What is altered in the certificate of one order, its scores and a reference: name, how, and whether the words
# are made to fit again.
ALTERATIONS = [
    ("headline: smaller odds", put("headline", "If the suspect had nothing to do with this training order, chance "
     "alone would give an association at least this strong in about 1 of 2.0 × 10⁵⁴ cases."), False),
    ("headline: a verdict", put("headline", "The suspect stole the model."), False),
    ("meaning: another sentence", put("meaning.0", "The suspect stole the model."), False),
    ("meaning: a sentence more", lambda c: c["meaning"].append("This is certain."), False),
    ("meaning: none", put("meaning", []), False),
    ("limits: a sentence less", lambda c: c["limits"].pop(0), False),
    ("limits: another sentence", put("limits.1", "This is certain."), False),
    ("about: another text", put("about", "A verdict."), False),
    ("finding: log10_p and p", stronger, True),
    ("finding: log10_p alone", put("finding.log10_p", -54.0), True),
    ("finding: p alone", put("finding.p", 1e-9), True),
    ("finding: p of 0", put("finding.p", 0.0), True),
    ("finding: log10_p a text", put("finding.log10_p", "-54"), False),
    ("finding: log10_p above 0", put("finding.log10_p", 1.0), True),
    ("finding: statistic", put("finding.statistic", -0.9), True),
    ("finding: statistic by 1e-9", lambda c: c["finding"].update(statistic=c["finding"]["statistic"] + 1e-9), True),
    ("finding: statistic and p-value that fit each other", consistent, True),
    ("finding: statistic of 2", put("finding.statistic", 2.0), True),
    ("finding: n", put("finding.n", 6000), True),
    ("finding: n of 1", put("finding.n", 1), True),
    ("finding: ties", put("finding.ties", 30), True),
    ("finding: exact", put("finding.exact", True), True),
    ("finding: a saddlepoint that is none", both(stronger, put("finding.saddlepoint", True)), True),
    ("finding: saddlepoint said to be none", put("finding.saddlepoint", False), True),
    ("finding: rows left out", put("finding.rows_left_out", 3), True),
    ("finding: exact a number", put("finding.exact", 1), False),
    ("finding: direction", put("finding.direction", "negative: the suspect is guilty"), True),
    ("finding: a warning more", lambda c: c["finding"]["warnings"].append("all is well"), True),
    ("finding: floor without bits", put("finding.floor_log10_p", -77.06), True),
    ("finding: randomness os", put("finding.randomness", "os"), True),
    ("finding: simulation", put("finding.simulation", True), True),
    ("finding: tail", put("finding.tail", "greater"), True),
    ("finding: metric", put("finding.metric", "kendall"), True),
    ("finding: adjust", put("finding.adjust", "residual"), True),
    ("finding: draws", put("finding.monte_carlo", {"draws": 999, "seed": 0}), True),
    ("finding: an epoch table", put("finding.epochs", {"gamma": 0.5, "rows": []}), True),
    ("finding: an unknown field", put("finding.audited", "by NIST"), True),
    ("finding: a field less", drop("finding.exact"), False),
    ("finding: no object", put("finding", "guilty"), False),
    ("draws: p of 10^-1000 from 9", claims_draws, True),
    ("options: tail", put("options.tail", "less"), True),
    ("options and finding: tail", both(put("options.tail", "less"), put("finding.tail", "less")), True),
    ("options: metric", put("options.metric", "kendall"), True),
    ("options: adjust", put("options.adjust", "residual"), True),
    ("options and finding: adjust", both(put("options.adjust", "residual"), put("finding.adjust", "residual")), True),
    ("options: kind", put("options.kind", "log-prob"), True),
    ("options: law sorted", put("options.law", "sorted"), True),
    ("options: law uniform-subset", put("options.law", "uniform-subset"), True),
    ("options: law unknown", put("options.law", "fair"), True),
    ("options: unit", put("options.unit", "pack"), True),
    ("options: resolution", put("options.resolution", "step"), True),
    ("options: epoch 7", put("options.epoch", 7), True),
    ("options: epoch 0", put("options.epoch", 0), True),
    ("options: gamma", put("options.gamma", 0.1), True),
    ("options: batch_size", put("options.batch_size", 8), True),
    ("options: randomness os", put("options.randomness", "os"), True),
    ("options: seed_bits", put("options.seed_bits", 4096), True),
    ("options and finding: seed_bits", both(put("options.seed_bits", 4096),
     put("finding.floor_log10_p", -4096 * float(np.log10(2)))), True),
    ("options and finding: randomness os", both(put("options.randomness", "os"), put("finding.randomness", "os")),
     True),
    ("options: monte_carlo", put("options.monte_carlo", {"draws": 999, "seed": 0}), True),
    ("options: access", put("options.access", "top-one"), True),
    ("options: documents", put("options.documents", "whole"), True),
    ("options: template", put("options.template", {"profile": [0.0, 1.0], "shadows": 1}), True),
    ("options: an unknown one", put("options.note", "audited by NIST"), True),
    ("options: metric missing", drop("options.metric"), True),
    ("options: tail missing", drop("options.tail"), True),
    ("options: adjust missing", drop("options.adjust"), True),
    ("options: kind missing", drop("options.kind"), True),
    ("options: law missing", drop("options.law"), True),
    ("options: unit missing", drop("options.unit"), True),
    ("options: resolution missing", drop("options.resolution"), True),
    ("options: none", put("options", {}), True),
    ("origin of a run on plain files", transplanted, True),
    ("tested: a run beside files", lambda c: c["tested"]["runs"].append(a_run(c, "scores")), True),
    ("tested: no reference", lambda c: c["tested"]["files"].pop(), True),
    ("tested: a reference twice", lambda c: c["tested"]["files"].append(c["tested"]["files"][-1]), True),
    ("tested: no files", put("tested.files", []), True),
    ("tested: order as positions", put("tested.files.0.role", "positions"), True),
    ("tested: an unknown role", put("tested.files.0.role", "judge"), True),
    ("tested: a column of a .npy file", put("tested.files.1.column", "loss"), True),
    ("tested: sha256 of the scores", put("tested.files.1.sha256", "0" * 64), True),
    ("tested: size of the scores", put("tested.files.1.size", 1), True),
    ("tested: size a text", put("tested.files.1.size", "608"), True),
    ("tested: an unknown field", put("tested.files.0.origin", "the court"), True),
    ("tested: a name with a line end", renamed, True),
    ("tested: a name with escape sequences", put("tested.files.0.name", "\x1b[2J\x1b[31mok"), True),
    ("tested: another name", put("tested.files.0.name", "order_of_the_court.npy"), True),
    ("software: a field more", lambda c: c["software"].update({"certified by": "National Institute"}), True),
    ("software: none", put("software", {}), True),
    ("software: another version", lambda c: c["software"].update({max(c["software"]): "9.9.9"}), True),
    ("type: another", put("type", "palimpsest/verdict"), True),
    ("version: true", put("version", True), True),
    ("version: 0", put("version", 0), True),
    ("version: 99", put("version", 99), True),
    ("version: 1.5", put("version", 1.5), True),
    ("an unknown field", put("verdict", "guilty"), True),
    ("a field less", drop("limits"), False),
    ("signatures: no list", put("signatures", {}), True),
    ("signatures: an empty one", put("signatures", [{}]), True),
    ("origin: an empty one", put("origin", {}), False),
]


def a_run(certificate, role):
    """A run as a certificate names it."""
    run = {"role": role, "run": ORIGIN["run"] if role == "order" else "fedcba9876543210", "run_digest": "1" * 64}
    if certificate["version"] > 1 and role != "order":
        run["scores"] = {"on": ORIGIN["run"], "parameters_sha256": "8" * 64, "sha256": "9" * 64, "size": 608}
    return run


# What is altered in a certificate of version 2, which has these fields.
ALTERATIONS_2 = [
    ("version: 1 with the fields of 2", put("version", 1), True),
    ("options: a plan of no tests", put("options.plan", {"sha256": "0" * 64, "tests": 0}), True),
    ("options: a plan without its file", put("options.plan", {"tests": 1}), True),
    ("options: an unknown field of the plan", put("options.plan", {"sha256": "0" * 64, "tests": 1, "by": "court"}),
     True),
    ("tested: a reference order as ids", lambda c: c["tested"]["files"].append(
        c["tested"]["files"][0] | {"role": "ids"}), True),
]


# What is altered in a certificate about runs of a store, which nobody has here.
RUN_ALTERATIONS = [
    ("runs: nothing is altered", lambda c: None),
    ("runs: abandoned promises hidden", put("origin.abandoned", 0)),
    ("runs: more abandoned than promised", put("origin.abandoned", 3)),
    ("runs: no origin", put("origin", None)),
    ("runs: the origin of another run", put("origin.run", "fedcba9876543210")),
    ("runs: the run digest of another run", put("origin.run_digest", "e" * 64)),
    ("runs: randomness of the origin", put("origin.randomness", "fixed")),
    ("runs: law of the origin", put("origin.law", "uniform-subset")),
    ("runs: an adaptive law", both(put("origin.law", "adaptive"), put("options.law", "adaptive"))),
    ("runs: no suspect", lambda c: c["tested"]["runs"].pop()),
    ("runs: two suspects", lambda c: c["tested"]["runs"].append(c["tested"]["runs"][-1])),
    ("runs: a role that runs have not", put("tested.runs.1.role", "ids")),
    ("runs: fewer bits of seed", both(put("options.seed_bits", 1), put("finding.floor_log10_p", -float(np.log10(2))))),
    ("runs: no access", drop("options.access")),
    ("runs: no order hashes", put("origin.order_hashes", [])),
    ("runs: a place behind the index", put("origin.index.sequence", 9)),
    ("runs: an unknown field of the origin", put("origin.witness", "the court")),
    ("runs: a digest in capitals", put("origin.head", "A" * 64)),
]


RUN_ALTERATIONS_2 = [
    ("runs: scores without a digest", put("tested.runs.1.scores", None)),
    ("runs: scores of the order", put("tested.runs.0.scores", {"on": ORIGIN["run"], "parameters_sha256": None,
                                                               "sha256": "9" * 64, "size": 608})),
    ("runs: an unknown field of the scores", put("tested.runs.1.scores.by", "the court")),
    ("runs: scores of no size", drop("tested.runs.1.scores.size")),
    ("runs: order_version 3", put("origin.order_version", 3)),
    ("runs: follows_from_seed a number", put("origin.follows_from_seed", 1)),
    ("runs: no follows_from_seed", drop("origin.follows_from_seed")),
]


def of_runs(certificate):
    """A certificate about runs: that of files with other inputs."""
    made = copy.deepcopy(certificate)
    origin = dict(ORIGIN)
    if made["version"] > 1:
        origin |= {"order_version": 2, "follows_from_seed": True}
    made["tested"] = {"files": [], "runs": [a_run(made, "order"), a_run(made, "scores")]}
    made["options"] |= {
        "adjust": "none", "randomness": "os", "seed_bits": 256, "resolution": "step", "access": "log-probs",
        "documents": "whole",
    }
    made["finding"] |= {"adjust": "none", "randomness": "os", "floor_log10_p": -256 * float(np.log10(2))}
    made["finding"]["direction"] = VERIFIER.direction(made)
    made["origin"] = origin
    return made


def signature_alterations(certificate):
    """What is altered in the one signature of a certificate."""
    (signature,) = certificate["signatures"]
    point = "0" * 63 + "1"
    small = "0100000000000000000000000000000000000000000000000000000000000000"
    scalar = int.from_bytes(bytes.fromhex(signature["signature"])[32:], "little") + VERIFIER.ORDER
    shifted = signature["signature"][:64] + scalar.to_bytes(32, "little").hex()
    spaced = " ".join(signature["signature"][at : at + 2] for at in range(0, 128, 2))
    return [
        ("signature: nothing is altered", {}),
        ("signature: a bit", {"signature": ("0" if signature["signature"][0] != "0" else "1")
                              + signature["signature"][1:]}),
        ("signature: s + L", {"signature": shifted}),
        ("signature: spaces in the hexadecimal", {"signature": spaced}),
        ("signature: a key of small order", {"public_key": small, "signature": small + "0" * 64}),
        ("signature: no point of the curve", {"public_key": point}),
        ("signature: of another kind", {"kind": "file"}),
        ("signature: of another digest", {"digest": "0" * 64}),
        ("signature: another algorithm", {"algorithm": "none"}),
        ("signature: version true", {"version": True}),
        ("signature: an unknown field", {"role": "judge"}),
    ]


def formatted(data):
    """Alterations of the bytes, after which the fields are the same or none."""
    text = data.decode()
    return [
        ("bytes: a space", text.replace('":', '": ', 1).encode()),
        ("bytes: no line end", data.rstrip(b"\n")),
        ("bytes: a byte-order mark", b"\xef\xbb\xbf" + data),
        ("bytes: UTF-16", text.encode("utf-16")),
        ("bytes: a field twice", text.replace('{"about"', '{"about":"x","about"', 1).encode()),
        ("bytes: cut", data[: len(data) // 2]),
        ("bytes: nothing", b""),
        ("bytes: NaN", text.replace('"adjust"', '"x":NaN,"adjust"', 1).encode()),
        ("bytes: 1e400", text.replace('"adjust"', '"x":1e400,"adjust"', 1).encode()),
        ("bytes: half a pair of surrogates", text.replace('"adjust"', '"x":"\\ud800","adjust"', 1).encode()),
        ("bytes: 100,000 brackets", b"[" * 100_000),
        ("bytes: digest of before", text.replace('"n":60', '"n":90', 1).encode()),
    ]


def write_key(folder):
    """A fixed key of Ed25519 in PEM (RFC 8410)."""
    der = bytes.fromhex("302e020100300506032b657004220420") + bytes(range(32))
    text = base64.b64encode(der).decode()
    (folder / "key.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")


def make_forged(program, folder):
    """Writes every forged certificate; returns the cases. Those that hold as they are come too."""
    files = words_of("--order order.npy --scores coarse.npy --reference smooth.npy")
    told(program, folder, "provenance", "query", *files, "--certificate", "base.json")
    base = VERIFIER.json.loads((folder / "base.json").read_text(encoding="utf-8"))
    cases = []

    def add(kind, data, with_files):
        name = f"forged{len(cases)}.json"
        (folder / name).write_bytes(data)
        cases.append(Case(name, kind, with_files, False))

    for kind, alter, words in ALTERATIONS + (ALTERATIONS_2 if base["version"] > 1 else []):
        certificate = copy.deepcopy(base)
        alter(certificate)
        add(kind, sealed(certificate, words), files)
    told(program, folder, "provenance", "query", *files, "--randomness", "fixed", "--certificate", "warned.json")
    warned = VERIFIER.json.loads((folder / "warned.json").read_text(encoding="utf-8"))
    warned["finding"]["warnings"].pop()
    add("finding: a warning less", sealed(warned), files)
    placed_files = words_of("--positions positions.npy --scores coarse.npy")
    told(program, folder, "provenance", "query", *placed_files, "--certificate", "placed.json")
    placed = VERIFIER.json.loads((folder / "placed.json").read_text(encoding="utf-8"))
    transplanted(placed)
    add("origin of a run on plain positions", sealed(placed), placed_files)
    for kind, inputs, choice, alter, files_in_place in unsound():
        code, said = told(
            program, folder, "provenance", "query", *inputs.split(), *choice.split(), "--certificate", "sound.json"
        )
        if code:
            raise SystemExit(f"{inputs} {choice} is refused: {said}")
        made = VERIFIER.json.loads((folder / "sound.json").read_text(encoding="utf-8"))
        alter(made)
        parts = inputs.split()
        for role, name in files_in_place.items():
            in_place(made, folder, role, name)
            option = f"--{role}"
            if option in parts:
                parts[parts.index(option) + 1] = name
            else:
                parts += [option, name]
        add(f"unsound: {kind}", sealed(made), parts)
    for kind, data in formatted((folder / "base.json").read_bytes()):
        add(kind, data, files)
    add_other_files(folder, base, add)
    told(program, folder, "provenance", "query", *words_of("--order order.npy --scores scores.npy --plan plan.yaml"),
         "--certificate", "planned.json")
    planned_wrongly(folder, VERIFIER.json.loads((folder / "planned.json").read_text(encoding="utf-8")), add)
    for kind, alter in RUN_ALTERATIONS + (RUN_ALTERATIONS_2 if base["version"] > 1 else []):
        certificate = of_runs(base)
        alter(certificate)
        add(kind, sealed(certificate), [])
    (folder / "signed.json").write_bytes((folder / "base.json").read_bytes())
    write_key(folder)
    told(program, folder, "sign", "signed.json", "--key", "key.pem")
    signed = VERIFIER.json.loads((folder / "signed.json").read_text(encoding="utf-8"))
    for kind, change in signature_alterations(signed):
        certificate = copy.deepcopy(signed)
        certificate["signatures"][0] |= change
        add(kind, (VERIFIER.canonical(certificate) + "\n").encode(), files)
    certificate = copy.deepcopy(signed)
    consistent(certificate)
    add("signature: over another finding", sealed(certificate), files)
    return cases


def add_other_files(folder, base, add):
    """Files that were changed, with the certificate's digests of them changed too, or not."""
    order = np.load(folder / "order.npy")
    scores = np.load(folder / "coarse.npy")
    fitted = folder / "fitted.npy"
    np.save(fitted, np.round(scores - 0.05 * np.argsort(order), 1))
    files = words_of("--order order.npy --scores fitted.npy --reference smooth.npy")
    add("files: other scores than the certificate's", (folder / "base.json").read_bytes(), files)
    certificate = copy.deepcopy(base)
    data = fitted.read_bytes()
    certificate["tested"]["files"][1] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    add("files: other scores, with their digest", sealed(certificate), files)
    columns = {
        role: [VERIFIER.read_column(folder / name, (folder / name).read_bytes(), None)]
        for role, name in (("order", "order.npy"), ("scores", "fitted.npy"), ("reference", "smooth.npy"))
    }
    certificate["finding"].pop("saddlepoint", None)
    certificate["finding"] |= VERIFIER.answer(certificate["options"], columns)
    certificate["finding"]["direction"] = VERIFIER.direction(certificate)
    add("files: other scores, with digest, finding and words", sealed(certificate), files)
    swapped = words_of("--order order.npy --scores smooth.npy --reference coarse.npy")
    add("files: scores and reference exchanged", (folder / "base.json").read_bytes(), swapped)
    add("files: one more than it names", (folder / "base.json").read_bytes(),
        words_of("--order order.npy --scores coarse.npy --reference smooth.npy --reference smooth.npy"))


# ---- Verdicts ---------------------------------------------------------------------------------------------------

HOLDS, ALONE, FAILS = "holds", "not computed anew", "does not hold"


def verdict(code):
    """What an exit code says; that a document is none, and that it does not hold, is the same to a court."""
    return {0: HOLDS, 3: ALONE, 1: FAILS, 2: FAILS}.get(code, f"exit {code}")


Judged = collections.namedtuple("Judged", "case given rust python said")


def judge(program, folder, case, files):
    """Both verdicts on a certificate with these files."""
    rust = told(program, folder, "verify-certificate", case.name, *files)
    python = judged_by_script(folder, case.name, *files)
    given = "with the files" if files else "without files"
    return Judged(case, given, rust[0], python[0], (rust[1], python[1]))


def judge_complete(program, folder, cases):
    """Verdicts of both with --complete on some honest certificates, if the program knows it."""
    judged = []
    if "--complete" in told(program, folder, "verify-certificate", "--help")[1]:
        for case in cases[:60:20]:
            for files, given in ((case.files, COMPLETE), ([], INCOMPLETE)):
                one = judge(program, folder, case, [*files, "--complete"])
                judged.append(one._replace(given=given))
    return judged


COMPLETE, INCOMPLETE = "--complete with the files", "--complete without files"


def injected(said):
    """Whether a line of the output is one that a name put there."""
    return any(line.startswith("ok         signed by given key 499d8feb309fea03") for line in said.splitlines())


def table(judged):
    """The forgeries in Markdown: who caught what, with the files and without."""
    by_kind = collections.defaultdict(dict)
    for one in judged:
        if not one.case.honest:
            by_kind[one.case.kind][one.given] = one
    lines = ["| altered | with the files | without them |", "| --- | --- | --- |"]
    for kind, found in by_kind.items():
        cells = [caught(found.get(given)) for given in ("with the files", "without files")]
        lines.append(f"| {kind} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def caught(one):
    """Who rejects it, in a cell of the table."""
    if one is None:
        return "–"
    who = [name for name, code in (("Rust", one.rust), ("Python", one.python)) if verdict(code) == FAILS]
    return " and ".join(who) if who else "nothing: see signature"


def main():
    parser = argparse.ArgumentParser(description="Have both verifiers judge honest and forged certificates.")
    parser.add_argument("program", type=pathlib.Path, help="the program palimpsest")
    parser.add_argument("--table", type=pathlib.Path, help="file for the table; else it is printed")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the certificates, which then stay")
    options = parser.parse_args()
    program = options.program.resolve()
    with contextlib.ExitStack() as stack:
        folder = options.keep or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        write_columns(folder)
        cases, refused = make_honest(program, folder)
        judged = judge_complete(program, folder, cases)
        cases += make_forged(program, folder)
        for case in cases:
            judged += [judge(program, folder, case, files) for files in ([case.files, []] if case.files else [[]])]
    return conclude(judged, refused, options.table)


def problems_of(one):
    """What is wrong with two verdicts."""
    expected = {"with the files": HOLDS, "without files": ALONE, COMPLETE: HOLDS, INCOMPLETE: FAILS}[one.given]
    rust, python = verdict(one.rust), verdict(one.python)
    problems = [] if rust == python else ["they disagree"]
    if one.case.honest and (rust, python) != (expected, expected):
        problems.append("an honest certificate")
    names = zip(("Rust", "Python"), one.said)
    return problems + [f"{who} prints a line of a name" for who, said in names if injected(said)]


def conclude(judged, refused, where):
    """Prints the table and what is wrong; returns the exit code."""
    text = table(judged)
    if where:
        where.write_text(text, encoding="utf-8")
    else:
        print(text)
    for files, reason in refused:
        print(f"refused    {files}: {reason}")
    wrong = [one for one in judged if problems_of(one)]
    for one in wrong:
        print(
            f"WRONG      {one.case.name} ({one.case.kind}, {one.given}): Rust exit {one.rust}, Python exit "
            f"{one.python}: {', '.join(problems_of(one))}"
        )
        for line in itertools.chain(*(said.splitlines() for said in one.said)):
            if line.startswith(("MISMATCH", "unchecked  the st", "cannot", "error")):
                print(f"           {line[:200]}")
    print(f"{len(judged)} verdicts on {len({one.case.name for one in judged})} certificates, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
