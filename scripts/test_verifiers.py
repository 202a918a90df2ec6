"""Tests of docs/verify_order.py and docs/verify_certificate.py: forged records, hostile inputs, exact p-values.

Run: python3 scripts/test_verifiers.py (needs NumPy and SciPy; scripts/forge_certificates.py has both verifiers
judge whole certificates)
"""

import contextlib
import hashlib
import io
import itertools
import json
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
sys.path.insert(0, str(DOCS))

try:
    import numpy as np
    from scipy import stats
except ImportError as missing:
    print(f"scripts/test_verifiers.py tests nothing here: {missing}")
    sys.exit(0)
import verify_certificate  # noqa: E402
import verify_order  # noqa: E402

EXAMPLES, STEP = 12, 5


def transcript(law="uniform", unit="sample", version=2, method="sgd", settings=None, beacon=None):
    """Record, order.bin and sample_ids.bin of a run of two epochs, the second one stopped early."""
    seed, nonce = verify_order.integer_seed(3), b"n" * 32
    sample_ids = [hashlib.sha256(bytes([number])).digest() for number in range(EXAMPLES)]
    root = verify_order.merkle_root(sample_ids)
    effective = seed if beacon is None else verify_order.sha256(seed, root, bytes.fromhex(beacon))
    order = {
        "version": version, "law": law, "unit": unit, "randomness": "fixed", "examples": EXAMPLES,
        "seed_hex": seed.hex(), "nonce_hex": nonce.hex(), "beacon": beacon,
        "seed_commit": verify_order.sha256(nonce, seed).hex(), "dataset_root": root.hex(),
        "config_hash": "c" * 64, "epochs_planned": 2, "index": None,
    }
    record = {"seed": "3" if beacon is None else f"3+{beacon}", "method": method, "settings": settings or {}}
    record["order"] = order
    bound = b"" if version == 1 else law.encode() + b"\0" + unit.encode() + b"\0"
    chain = verify_order.sha256(
        f"palimpsest/run/v{version}".encode(), root, bytes.fromhex("c" * 64), verify_order.u64(EXAMPLES),
        verify_order.u32(2), bytes.fromhex(order["seed_commit"]), bound,
    )
    order["commitment"] = chain.hex()
    epochs, points, consumed = [], [{"step": 0, "chain": chain.hex()}], []
    for number in range(2):
        planned = verify_order.planned_order(record, order, number, effective)
        ids = planned[1] if planned else list(range(EXAMPLES))
        ids = ids[: EXAMPLES - 4 * number]
        sizes = [STEP] * (len(ids) // STEP) + [len(ids) % STEP] * (len(ids) % STEP > 0)
        epochs.append({
            "epoch": number, "block": number, "offset": len(consumed), "n": len(ids),
            "steps": [[size, 1] for size in sizes],
            "order_hash": hashlib.sha256(verify_order.order_bytes(ids)).hexdigest(),
            "order_root": verify_order.merkle_root([sample_ids[i] for i in ids]).hex(),
        })
        at = 0
        for size in sizes:
            step = len(points) - 1
            chain = verify_order.sha256(
                chain, verify_order.u64(step), verify_order.u32(size), verify_order.order_bytes(ids[at : at + size])
            )
            points.append({"step": step + 1, "chain": chain.hex()})
            at += size
        consumed += ids
    order |= {"chain": points, "epochs": epochs}
    record["steps"] = len(points) - 1
    return record, verify_order.order_bytes(consumed), b"".join(sample_ids)


class Orders(unittest.TestCase):
    """What docs/verify_order.py says of a run."""

    def judge(self, record, order_bin, sample_ids):
        """Exit code and output on a folder with these files; a record of bytes is written as it is."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            text = record if isinstance(record, bytes) else json.dumps(record).encode()
            (folder / "record.json").write_bytes(text)
            (folder / "order.bin").write_bytes(order_bin)
            (folder / "sample_ids.bin").write_bytes(sample_ids)
            return self.said(str(folder))

    def said(self, *arguments):
        """Exit code and output of the script."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = verify_order.main(list(arguments))
        return code, said.getvalue()

    def test_runs_of_both_versions_agree(self):
        for version in (1, 2):
            for beacon in (None, "00ff"):
                code, said = self.judge(*transcript(version=version, beacon=beacon))
                self.assertEqual(code, 0, said)
                self.assertEqual("unchecked law and unit" in said, version == 1, said)

    def test_orders_of_shares_follow_from_the_seed(self):
        for method, settings in (
            ("rs2", {"ratio": 0.25, "replacement": "without"}),
            ("rs2", {"ratio": 0.25, "replacement": "with"}),
            ("static-subset", {"ratio": 0.5}),
        ):
            files = transcript("uniform-subset", method=method, settings=settings)
            code, said = self.judge(*files)
            self.assertEqual(code, 0, said)
            files[0]["settings"]["ratio"] = 0.125
            code, said = self.judge(*files)
            self.assertEqual(code, 1, said)
            self.assertRegex(said, f"MISMATCH  epoch [01]: order of {method}")

    def test_orders_of_shares_are_those_of_palimpsest(self):
        # Epoch 1 of runs of seed 0 over 1197 examples, from their records.
        seed = verify_order.integer_seed(0)
        for rule, settings, expected in (
            (verify_order.rs2_order, {"ratio": 0.3, "replacement": "without"}, "354d54db8a5551e5a97279c2a6f79c6a"),
            (verify_order.rs2_order, {"ratio": 0.3, "replacement": "with"}, "44cb2b37e921336885d90db0f7630282"),
            (verify_order.static_subset_order, {"ratio": 0.3}, "678b728f6f1894a4d0d35290fca2eb3d"),
        ):
            ids = rule(seed, 1, 1197, settings)
            self.assertEqual(hashlib.sha256(verify_order.order_bytes(ids)).hexdigest()[:32], expected)

    def test_a_law_by_which_nothing_follows_from_the_seed_is_said(self):
        for law, unit in (("blockwise", "sample"), ("uniform", "pack"), ("uniform-subset", "sample")):
            code, said = self.judge(*transcript(law, unit))
            self.assertEqual(code, 3, said)
            self.assertIn("unchecked epoch 0: order", said)

    def test_law_and_unit_are_in_the_commitment_of_version_2(self):
        for name, value in (("law", "uniform-subset"), ("unit", "pack")):
            files = transcript()
            files[0]["order"][name] = value
            code, said = self.judge(*files)
            self.assertEqual(code, 1, said)
            self.assertIn("MISMATCH  commitment", said)
            files = transcript(version=1)
            files[0]["order"][name] = value
            self.assertEqual(self.judge(*files)[0], 3)

    def test_an_order_of_another_seed_is_found(self):
        record, order_bin, sample_ids = transcript()
        record["order"] |= {"seed_hex": "d" * 64}
        code, said = self.judge(record, order_bin, sample_ids)
        self.assertEqual(code, 1, said)
        for name in ("seed_commit", "seed of the integer 3", "epoch 0: uniform order"):
            self.assertIn(f"MISMATCH  {name}", said)

    def test_chain_points_rise_and_end_with_the_run(self):
        for alter in (
            lambda chain: chain.insert(1, chain[1]),
            lambda chain: chain.reverse(),
            lambda chain: chain.pop(),
            lambda chain: chain.clear(),
        ):
            files = transcript()
            alter(files[0]["order"]["chain"])
            code, said = self.judge(*files)
            self.assertEqual(code, 1, said)
            self.assertIn("MISMATCH  chain", said)

    def test_what_is_no_record_ends_in_one_line(self):
        record, *files = transcript()
        wrong = [b"[" * 200_000, b"{}", b"[]", b"null", b"\xff", b'{"order":null}', b'{"order":{},"order":{}}']
        for place, value in (
            ("version", True), ("version", 3), ("law", 7), ("examples", -1), ("examples", 2**40),
            ("seed_hex", "0" * 63 + " "), ("beacon", "0"), ("epochs_planned", 2**32), ("epochs", {}),
            ("epochs", [[]]), ("chain", None),
            ("chain", [{"step": "0", "chain": "0" * 64}]),
        ):
            wrong.append(json.dumps(record | {"order": record["order"] | {place: value}}).encode())
        for steps in ([[0, 1]], [[1, 0]], [[5]], [5], [[1.5, 2]], [[True, 12]]):
            epochs = [record["order"]["epochs"][0] | {"steps": steps}]
            wrong.append(json.dumps(record | {"order": record["order"] | {"epochs": epochs}}).encode())
        for text in wrong:
            code, said = self.judge(text, *files)
            self.assertEqual(code, 2, text[:200])
            self.assertIn("cannot check", said.splitlines()[-1])

    def test_a_name_prints_no_line_of_its_own(self):
        files = transcript("blockwise", method="sgd\nok        epoch 0: uniform order")
        code, said = self.judge(*files)
        self.assertEqual(code, 3)
        self.assertNotIn("\nok        epoch 0: uniform order", said)


def rank_margin(column):
    """Mid-ranks of a column."""
    return verify_certificate.margin_of_ranks(np.unique(column, return_counts=True)[1])


def tables(metric, x, y):
    """The tails by adding up all tables."""
    sizes = [np.unique(column, return_counts=True)[1].tolist() for column in (x, y)]
    if metric == "kendall":
        found = verify_certificate.all_tables(*sizes, lambda used, deal, _: verify_certificate.pairs_gained(used, deal))
        return verify_certificate.tails_of(found, verify_certificate.pairs_of(x, y).difference, 0.5)
    if metric == "spearman":
        margins = map(rank_margin, (x, y))
    else:
        margins = (verify_certificate.margin_of_values(verify_certificate.deviations(1.0 * column)) for column in (x, y))
    return verify_certificate.over_tables(*margins, verify_certificate.coefficient(metric, x, y))


class ExactValues(unittest.TestCase):
    """Exact p-values under ties, beside all orders and SciPy."""

    def test_tables_of_ties_are_all_orders_of_few_examples(self):
        draw = np.random.default_rng(1)
        for metric, (groups, n) in itertools.product(verify_certificate.METRICS, ((2, 7), (3, 7), (3, 6))):
            x, y = draw.integers(groups, size=n), draw.integers(groups, size=n).astype(float)
            self.assertGreater(min(len(set(x)), len(set(y))), 1)
            np.testing.assert_allclose(tables(metric, x, y), verify_certificate.all_orders(metric, x, y), atol=1e-10)

    def test_two_by_two_is_hypergeometric(self):
        x = np.repeat([0, 1], [9_980, 20])
        y = np.zeros(10_000)
        y[[*range(28), 9_998, 9_999]] = 1.0
        expected = stats.hypergeom.sf(1, 10_000, 20, 30)
        for metric in verify_certificate.METRICS:
            found = verify_certificate.measure(metric, "greater", x, y)
            self.assertEqual(found.method, "exact")
            self.assertAlmostEqual(np.exp(found.tails.greater) / expected, 1.0, places=7)

    def test_saddlepoints_are_near_the_sums_over_all_tables(self):
        draw = np.random.default_rng(3)
        x = np.repeat([0, 1, 2], 15)
        y = np.round(2 * draw.normal(size=45) + 1.5 * x).clip(0, 4)
        exact = tables("spearman", x, y)
        rows, columns = map(rank_margin, (x, y))
        found, _ = verify_certificate.Saddlepoint(rows, columns).tails(verify_certificate.spearman(x, y).r)
        self.assertLess(exact.greater, -8)
        np.testing.assert_allclose(found[1:], exact[1:], atol=0.05)

    def test_kendall_saddlepoints_are_near_the_counts_of_inversions(self):
        draw = np.random.default_rng(4)
        x = np.arange(30)
        for slope in (0.0, 0.05, 0.2):
            y = draw.normal(size=30) + slope * x
            pairs = verify_certificate.pairs_of(x, y)
            found = verify_certificate.Inversions(np.ones(30, dtype=int)).tails(pairs.difference)
            np.testing.assert_allclose(found, verify_certificate.kendall_untied(pairs, 30), atol=1e-2)

    def test_kendall_without_ties_is_as_scipy_counts(self):
        draw = np.random.default_rng(2)
        for n in (10, 11, 33):
            x, y = np.arange(n), draw.permutation(n).astype(float)
            found = verify_certificate.kendall_untied(verify_certificate.pairs_of(x, y), n)
            for tail in verify_certificate.TAILS:
                expected = stats.kendalltau(x, y, method="exact", alternative=tail).pvalue
                self.assertAlmostEqual(np.exp(verify_certificate.of_tail(found, tail)) / expected, 1.0, places=9)

    def test_a_fused_multiply_add_rounds_once(self):
        a, b = np.array([0.1, 1 + 2**-30]), np.array([10.0, 1 - 2**-30])
        product, lost = verify_certificate.two_product(a, b)
        self.assertEqual((product + lost).tolist(), product.tolist())
        self.assertEqual(lost.tolist(), [2**-54, -(2.0**-60)])


class Certificates(unittest.TestCase):
    """What docs/verify_certificate.py prints."""

    def test_odds_are_told_as_palimpsest_tells_them(self):
        for log10_p, expected in (
            (0.0, "nearly always"),
            (-0.60206, "in about 1 of 4.0 cases"),
            (-1.3010299956639812, "in about 1 of 20 cases"),
            (-4.0, "in about 1 of 10,000 cases"),
            (-6.0, "in about 1 of 1.0 × 10⁶ cases"),
            (-51.3, "in about 1 of 2.0 × 10⁵¹ cases"),
            (-9.99999, "in about 1 of 1.0 × 10¹⁰ cases"),
            (-51301.85, "in about 1 of 7.1 × 10⁵¹³⁰¹ cases"),
        ):
            self.assertEqual(verify_certificate.odds(log10_p), expected)

    def test_invisible_characters_are_written_out(self):
        shown = verify_certificate.printable("a\n\x1b[2J\u202eb\udcff é")
        self.assertEqual(shown, "a\\n\\x1b[2J\\u202eb\\udcff é")

    def test_plans_are_read_in_json_and_in_simple_yaml(self):
        for text, fields in (
            ("---\nx: [a, 'it''s', \"b\\\"#\",\n  c.csv:d]  # e\ny:\n- a\n  - b # c\n\ntests: 0x10\n",
             {"x": ["a", "it's", 'b"#', "c.csv:d"], "y": ["a", "b"], "tests": 16}),
            ('{"x": ["a"], "tests": 2}', {"x": ["a"], "tests": 2}),
            ("x: []\ny: a\nz: '1'", {"x": [], "y": "a", "z": "1"}),
        ):
            self.assertEqual(verify_certificate.plan_fields(text), fields)
        for text in ("x: [a b]", "x: &a [b]", "x:\n- [a]", "x: {}", "x: ~", "x:a", " x: a", "x: 'a", "x: a\n- b",
                     "x: \u2028a", "x: [[a]]", "{x: a}"):
            with self.assertRaises(verify_certificate.Cannot, msg=text):
                verify_certificate.plan_fields(text)
        for text in ("x: a\nx: b", "- a", "x: [a"):
            with self.assertRaises(verify_certificate.Refused, msg=text):
                verify_certificate.plan_fields(text)

    def test_a_pipe_is_not_waited_for(self):
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(said):
            self.assertEqual(verify_certificate.main([folder]), 2)
        self.assertIn("is not a file", said.getvalue())


if __name__ == "__main__":
    unittest.main()
