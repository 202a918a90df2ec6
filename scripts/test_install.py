"""Tests of the installer with made-up programs.  Run: python3 scripts/test_install.py"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import install


class InstallTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source, self.folder = Path(folder.name) / "built", Path(folder.name) / "prefix/bin"
        self.source.mkdir()
        for name in install.PROGRAMS:
            self.program(name, "#!/bin/sh\necho new\n")

    def program(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)
        (self.source / name).chmod(0o755)

    def test_both_programs_lie_beside_each_other_and_run(self):
        install.install(self.source, self.folder)
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(install.PROGRAMS))
        for name in install.PROGRAMS:
            self.assertEqual(subprocess.check_output([str(self.folder / name)], text=True), "new\n")

    def test_an_older_pair_is_replaced_as_a_whole_or_kept_as_a_whole(self):
        install.install(self.source, self.folder)
        self.program("palimpsest-engine", "#!/bin/sh\necho libtorch_cpu.so: cannot open >&2; exit 127\n")
        self.program("palimpsest", "#!/bin/sh\necho newer\n")
        with self.assertRaisesRegex(install.InstallError, "does not run: libtorch_cpu.so"):
            install.install(self.source, self.folder)
        self.assertEqual(subprocess.check_output([str(self.folder / "palimpsest")], text=True), "new\n")
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(install.PROGRAMS))

    def test_a_program_that_was_not_built_is_named_before_anything_is_made(self):
        (self.source / "palimpsest-engine").unlink()
        with self.assertRaisesRegex(install.InstallError, "palimpsest-engine is missing"):
            install.install(self.source, self.folder)
        self.assertFalse(self.folder.exists())

    def test_a_folder_that_cannot_be_written_is_refused_with_the_remedy(self):
        self.folder.parent.mkdir()
        self.folder.write_text("a file where the folder should be")
        with self.assertRaisesRegex(install.InstallError, "cannot be written to") as caught:
            install.install(self.source, self.folder)
        self.assertIn("--prefix DIR", caught.exception.remedy)
        with mock.patch.object(install.tempfile, "mkdtemp", side_effect=PermissionError(13, "Permission denied")):
            with self.assertRaisesRegex(install.InstallError, "cannot be written to: Permission denied"):
                install.install(self.source, self.folder.parent)

    def test_the_folder_is_the_prefix_or_that_of_cargo(self):
        with mock.patch.dict(os.environ, {"CARGO_HOME": "/c", "CARGO_INSTALL_ROOT": ""}):
            self.assertEqual(install.target("/opt/p"), Path("/opt/p/bin"))
            self.assertEqual(install.target(None), Path("/c/bin"))
        with mock.patch.dict(os.environ, {"CARGO_INSTALL_ROOT": "/i"}):
            self.assertEqual(install.target(None), Path("/i/bin"))


if __name__ == "__main__":
    unittest.main()
