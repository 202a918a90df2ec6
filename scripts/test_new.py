"""Tests of `just new` in a copy of the folders that it knows.  Run: python3 scripts/test_new.py"""

from __future__ import annotations

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import new

METHODS, WORKLOADS = "methods/src", "harness/workloads/src"


def never(*_: object) -> bool:
    return False


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


class New(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for known in ("methods", "harness/workloads", "scripts/new", "suites"):
            shutil.copytree(new.ROOT / known, self.root / known)
        self.before = files(self.root)

    def made(self, *words: str, ask=never) -> tuple[str, list[str]]:
        """The only file that a call adds, and what it says."""
        old = {path: (self.root / path).read_bytes() for path in self.before}
        said = new.new(list(words), self.root, ask)
        (path,) = files(self.root) - self.before
        for other, content in old.items():
            self.assertEqual((self.root / other).read_bytes(), content, other)
        self.before = files(self.root)
        return path, said

    def refused(self, *words: str, ask=never) -> str:
        with self.assertRaises(new.Refused) as caught:
            new.new(list(words), self.root, ask)
        self.assertEqual(files(self.root), self.before)
        self.assertFalse((self.root / METHODS / "fresh").exists())
        return str(caught.exception)

    def test_a_method_is_one_file_from_the_template_of_its_seat_and_nothing_else(self) -> None:
        for seat in new.seats(self.root):
            name = f"my-{seat}"
            path, said = self.made("method", "optim", name, seat)
            self.assertEqual(path, f"{METHODS}/optim/my_{seat}.rs")
            template = (self.root / f"methods/templates/{seat}.rs").read_text()
            self.assertEqual((self.root / path).read_text(), template.replace("@NAME@", name))
            self.assertTrue(template.startswith("//! # @NAME@\n"))
            self.assertIn(path, said[0])
        self.assertIn("constraint", new.seats(self.root))

    def test_the_word_method_and_the_seat_may_be_left_out(self) -> None:
        path, _ = self.made("optim", "short")
        template = (self.root / "methods/templates/optimizer.rs").read_text()
        self.assertEqual((self.root / path).read_text(), template.replace("@NAME@", "short"))
        path, _ = self.made("select", "shorter", "order")
        self.assertEqual(path, f"{METHODS}/select/shorter.rs")

    def test_a_workload_and_a_suite_are_one_file_each(self) -> None:
        path, said = self.made("workload", "classification", "two-rings")
        self.assertEqual(path, f"{WORKLOADS}/classification/two_rings.rs")
        self.assertNotIn("@NAME@", (self.root / path).read_text())
        self.assertTrue(any("cargo test -p workloads two_rings" in line for line in said))
        path, said = self.made("suite", "my-question")
        self.assertEqual(path, "suites/my-question.yaml")
        self.assertIn('suite: "my-question"\n', (self.root / path).read_text())

    def test_nothing_is_overwritten_and_no_name_is_given_twice(self) -> None:
        self.assertIn("methods/src/optim/sgd.rs exists already", self.refused("optim", "sgd"))
        self.assertIn("optim/sgd.rs exists already", self.refused("select", "sgd"))
        self.assertIn("optim/sgd.rs exists already", self.refused("workload", "tasks", "sgd"))
        self.assertIn("tasks/task_grid.rs exists already", self.refused("optim", "task-grid"))
        self.assertIn("digits.yaml exists already", self.refused("suite", "digits"))

    def test_a_family_is_made_only_after_a_yes_or_with_the_option(self) -> None:
        said = self.refused("fresh", "first")
        self.assertIn("there is no family 'fresh'; there are ", said)
        self.assertIn(" derive, distill, ", said)
        self.assertIn("--new-family", said)
        self.assertNotIn("shared", self.refused("workload", "fresh", "first"))
        asked = []
        path, _ = self.made("fresh", "first", ask=lambda family, known: asked.append(family) is None)
        self.assertEqual((path, asked), (f"{METHODS}/fresh/first.rs", ["fresh"]))
        path, _ = self.made("--new-family", "workload", "fresher", "second")
        self.assertEqual(path, f"{WORKLOADS}/fresher/second.rs")

    def test_names_that_rust_or_the_house_cannot_have_are_refused(self) -> None:
        for name in ("My-Method", "a--b", "-", "../up", "a/b", "1st", ""):
            if name.startswith("-"):
                continue
            self.assertIn("is not lower-case words", self.refused("optim", name), name)
        self.assertIn("Rust's own", self.refused("optim", "match"))
        self.assertIn("a family is one lower-case word", self.refused("workload", "shared", "it"))
        self.assertIn("a family is one lower-case word", self.refused("--new-family", "a-b", "it"))
        self.assertIn("no template for the seat 'chair'", self.refused("optim", "it", "chair"))
        self.assertIn("there is no option --force", self.refused("optim", "it", "--force"))
        for words in ((), ("one",), ("suite",), ("workload", "one"), ("a", "b", "c", "d")):
            self.assertIn("just new workload FAMILY NAME", self.refused(*words))


if __name__ == "__main__":
    unittest.main()
