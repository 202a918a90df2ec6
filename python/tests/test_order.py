"""The order is that of the Rust code, with NumPy and without, whole and in parts."""

import array
import hashlib
import unittest

from palimpsest import order

try:
    import numpy
except ImportError:
    numpy = None

# As pinned in harness/ledger/src/order.rs.
ORDERS = [
    (0, 0, [3, 6, 5, 4, 8, 0, 7, 2, 1, 9]),
    (0, 1, [9, 3, 0, 5, 6, 1, 4, 7, 2, 8]),
    (1, 0, [5, 1, 0, 4, 2, 7, 3, 9, 8, 6]),
]
HASHES = [
    (0, 1797, 0, "3a65ee0d4566ee82a4768462263523c85d4532b9f2ac1c0bbe0802a9cb292bc9"),
    (0, 1797, 1, "9e4d39dc405f19213bcd69beb4a6f418c85fa71c1030187e63a4eb354160f7e1"),
    (7, 60_000, 3, "5a4340f5635109357e90dca00b7d3cb81a1ace0eee9457435dc42b7af0b63b9f"),
]


class Orders(unittest.TestCase):
    def test_orders_and_hashes_are_those_of_the_rust_code(self):
        for seed, number, expected in ORDERS:
            self.assertEqual(order.epoch(order.integer_seed(seed), number, 10, fast=False), expected)
        for seed, n, number, expected in HASHES:
            ids = order.epoch(order.integer_seed(seed), number, n, fast=False)
            self.assertEqual(order.order_hash(ids), expected)

    @unittest.skipIf(numpy is None, "NumPy is not installed")
    def test_numpy_makes_the_same_orders(self):
        for seed, number, expected in ORDERS:
            self.assertEqual(order.epoch(order.integer_seed(seed), number, 10, fast=True).tolist(), expected)
        for seed, n, number, expected in HASHES:
            ids = order.epoch(order.integer_seed(seed), number, n, fast=True)
            self.assertEqual(order.order_hash(ids), expected)
        # More ids than are drawn at once.
        n = order._DRAWN_AT_ONCE + 1000
        slow, fast = (order.epoch(order.integer_seed(5), 0, n, fast=how) for how in (False, True))
        self.assertEqual(slow, fast.tolist())

    @unittest.skipIf(numpy is None, "NumPy is not installed")
    def test_a_rejected_draw_is_passed_over(self):
        # 2^64 mod 3 is 1: of the draws only 0 is rejected for a bound of 3.
        raw = numpy.array([0, 1 << 63, 5], dtype=numpy.uint64)
        bounds = numpy.array([3, 2, 2], dtype=numpy.uint64)
        places, taken = order._places(raw, bounds)
        self.assertEqual((places.tolist(), taken), ([], 1))
        places, taken = order._places(raw[1:], bounds[:2])
        self.assertEqual((places.tolist(), taken), ([1, 0], 2))
        source = iter([0, 1 << 63])
        self.assertEqual(order._bounded(source, 3), 1)

    def test_small_orders_and_wrong_seeds(self):
        seed = order.integer_seed(0)
        self.assertEqual(order.epoch(seed, 0, 0, fast=False), [])
        self.assertEqual(order.epoch(seed, 0, 1, fast=False), [0])
        for wrong in [(b"short", 0, 1), (seed, -1, 1), (seed, 0, 1 << 32)]:
            with self.assertRaises(ValueError):
                order.epoch(*wrong)

    def test_hashes_are_of_little_endian_words(self):
        expected = hashlib.sha256(bytes([1, 0, 0, 0, 0, 1, 0, 0])).hexdigest()
        self.assertEqual(order.order_hash([1, 256]), expected)
        self.assertEqual(order.order_hash(array.array("I", [1, 256])), expected)

    def test_a_beacon_changes_the_seed(self):
        seed = order.integer_seed(0)
        self.assertEqual(order.effective_seed(seed), seed)
        self.assertNotEqual(order.effective_seed(seed, b"r" * 32, b"b"), seed)


if __name__ == "__main__":
    unittest.main()
