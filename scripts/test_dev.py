"""Tests of scripts/dev.py: which suite a method is tried in."""

import unittest

import dev


class Suite(unittest.TestCase):
    def test_the_cheapest_workload_that_fits_is_taken(self):
        explained = {"runs_on": ["mnist-cnn", "blobs-cnn", "digits-mlp"], "settings": [{"name": "batch_size"}]}
        text = dev.suite("mine", explained)
        self.assertIn("workload: digits-mlp", text)
        self.assertIn("{ method: mine, with: { batch_size: 32 } }", text)

    def test_a_method_without_batches_gets_none(self):
        text = dev.suite("mine", {"runs_on": ["text-char", "ring8"], "settings": []})
        self.assertIn("workload: ring8", text)
        self.assertIn("- { method: mine }", text)

    def test_a_method_that_fits_nowhere_has_no_suite(self):
        self.assertIsNone(dev.suite("mine", {"runs_on": [], "settings": []}))


if __name__ == "__main__":
    unittest.main(argv=["test_dev"])
