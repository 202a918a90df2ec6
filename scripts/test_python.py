"""Tests of the Python package in python/, which need the standard library alone; with NumPy they test more."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "python"
sys.path.insert(0, str(PACKAGE / "src"))

if __name__ == "__main__":
    found = unittest.TestLoader().discover(str(PACKAGE / "tests"))
    sys.exit(not unittest.TextTestRunner().run(found).wasSuccessful())
