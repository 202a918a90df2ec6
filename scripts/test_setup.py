"""Tests of set-up with small made-up wheels: they need pip and no network.  Run: python3 scripts/test_setup.py"""

from __future__ import annotations

import base64
import errno
import hashlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup

NAME = "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"
MEMBERS = {
    "torch/include/ATen/a.h": b"// a\n",
    "torch/lib/libc10.so": b"library " * 300_000,
    "torch/lib/libshm.so": b"not asked for",
    "torch/version.py": b"__version__ = '2.11.0+test'\n",
}
TAKE = (("torch/include/**", "include"), ("torch/version.py", "."), ("torch/lib/libc10.so", "lib"))


def make_wheel(folder: Path, members: dict[str, bytes], lie_about: str = "") -> Path:
    """Write a wheel that pip accepts; `lie_about` names a member whose RECORD line is wrong."""
    info = "torch-2.11.0.dist-info/"
    meta = {
        info + "METADATA": b"Metadata-Version: 2.1\nName: torch\nVersion: 2.11.0\n",
        info + "WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_28_x86_64\n",
    }
    lines = []
    for name, data in {**members, **meta}.items():
        digest = hashlib.sha256(data + b"!" * (name == lie_about)).digest()
        lines.append(f"{name},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{len(data)}")
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, **meta, info + "RECORD": "\n".join(lines).encode()}.items():
            archive.writestr(name, data)
    return path


def bundle_of(path: Path, needs: int = 0) -> setup.Bundle:
    return setup.Bundle("libtorch-test", (setup.Wheel(path.name, setup.sha256_of(path), TAKE),), needs, stub=True)


class SetUpTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.index, self.cache = Path(folder.name) / "index", Path(folder.name) / "cache"
        self.index.mkdir()
        pip_sees_only_the_index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index)}
        for patch in (mock.patch.dict(os.environ, pip_sees_only_the_index), mock.patch.object(setup, "say")):
            patch.start()
            self.addCleanup(patch.stop)
        self.wheel = make_wheel(self.index, MEMBERS)
        self.bundle = bundle_of(self.wheel)

    def assert_nothing_was_made(self):
        self.assertFalse((self.cache / self.bundle.folder).exists())
        self.assertFalse((self.cache / ".staging").exists())

    def test_every_pin_is_a_sha256_of_one_file(self):
        wheels = {w for b in (*setup.LIBTORCH.values(), setup.DIGITS) for w in b.wheels}
        pins = {(w.filename, w.sha256) for w in wheels}
        self.assertEqual(len({name for name, _ in pins}), len(pins))
        for name, sha256 in pins | {pin for tool in setup.TOOLS for pin in tool.wheels.values()}:
            self.assertRegex(sha256, "^[0-9a-f]{64}$", name)
        self.assertEqual(len({sha256 for _, sha256 in pins}), len(pins))

    def test_the_folder_holds_what_was_asked_for_and_nothing_else(self):
        folder = setup.ensure(self.cache, self.bundle)
        files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        expected = {"include/ATen/a.h", "lib/libc10.so", "lib/libtorch.so", "version.py", "build-version", "manifest.json"}
        self.assertEqual(files, expected)
        self.assertEqual((folder / "lib/libc10.so").read_bytes(), MEMBERS["torch/lib/libc10.so"])
        self.assertEqual(setup.torch_version(folder), "2.11.0+test")
        self.assertEqual(os.listdir(self.cache / "downloads"), [])

    def test_the_manifest_has_the_sha256_of_every_file(self):
        folder = setup.ensure(self.cache, self.bundle)
        manifest = setup.json.loads((folder / "manifest.json").read_text())
        self.assertEqual(len(manifest["files"]), 5)
        for name, entry in manifest["files"].items():
            self.assertEqual(setup.sha256_of(folder / name), entry["sha256"], name)

    def test_second_run_fetches_and_writes_nothing(self):
        folder = setup.ensure(self.cache, self.bundle)
        before = folder.stat().st_ino
        with mock.patch.object(setup, "fetch", side_effect=AssertionError("fetched again")):
            self.assertEqual(setup.ensure(self.cache, self.bundle), folder)
        self.assertEqual(folder.stat().st_ino, before)

    def test_tampered_wheel_is_refused(self):
        make_wheel(self.index, {**MEMBERS, "torch/lib/libc10.so": b"evil"})
        with self.assertRaisesRegex(setup.SetupError, "does not have the pinned sha256"):
            setup.ensure(self.cache, self.bundle)
        self.assert_nothing_was_made()
        self.assertEqual(os.listdir(self.cache / "downloads"), [])

    def test_damaged_kept_wheel_is_fetched_again(self):
        (self.cache / "downloads").mkdir(parents=True)
        (self.cache / "downloads" / NAME).write_bytes(self.wheel.read_bytes()[:1000])
        setup.ensure(self.cache, self.bundle)
        self.assertTrue(setup.is_ready(self.cache, self.bundle))

    def test_member_that_differs_from_the_record_is_refused(self):
        bundle = bundle_of(make_wheel(self.index, MEMBERS, lie_about="torch/lib/libc10.so"))
        with self.assertRaisesRegex(setup.SetupError, "torch/lib/libc10.so .* not what its RECORD says"):
            setup.ensure(self.cache, bundle)
        self.assert_nothing_was_made()

    def test_wheel_without_a_wanted_file_is_refused_by_name(self):
        members = {k: v for k, v in MEMBERS.items() if k != "torch/lib/libc10.so"}
        with self.assertRaisesRegex(setup.SetupError, "lacks torch/lib/libc10.so"):
            setup.ensure(self.cache, bundle_of(make_wheel(self.index, members)))
        self.assert_nothing_was_made()

    def test_interrupted_unpacking_starts_over_from_the_kept_wheel(self):
        with mock.patch.object(setup, "make_stub", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
            setup.ensure(self.cache, self.bundle)
        self.assert_nothing_was_made()
        self.wheel.unlink()  # So that a second download would fail.
        setup.ensure(self.cache, self.bundle)
        self.assertTrue(setup.is_ready(self.cache, self.bundle))

    def test_what_a_killed_set_up_left_is_removed(self):
        left = self.cache / ".staging/new/lib"
        left.mkdir(parents=True)
        (left / "half.so").write_bytes(b"half")
        folder = setup.ensure(self.cache, self.bundle)
        self.assertFalse((folder / "lib/half.so").exists())
        self.assertFalse((self.cache / ".staging").exists())

    def test_truncated_library_is_noticed_and_made_again(self):
        folder = setup.ensure(self.cache, self.bundle)
        (folder / "lib/libc10.so").write_bytes(b"short")
        self.assertFalse(setup.is_ready(self.cache, self.bundle))
        setup.ensure(self.cache, self.bundle)
        self.assertEqual((folder / "lib/libc10.so").read_bytes(), MEMBERS["torch/lib/libc10.so"])

    def test_other_pins_make_the_folder_again(self):
        setup.ensure(self.cache, self.bundle)
        newer = bundle_of(make_wheel(self.index, {**MEMBERS, "torch/include/new.h": b"// new\n"}))
        self.assertFalse(setup.is_ready(self.cache, newer))
        self.assertTrue((setup.ensure(self.cache, newer) / "include/new.h").is_file())

    def test_set_ups_at_once_agree(self):
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=setup.ensure, args=(self.cache, self.bundle)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual([worker.exitcode for worker in workers], [0, 0, 0])
        self.assertTrue(setup.is_ready(self.cache, self.bundle))

    def test_no_network_names_the_wheel_and_the_remedy(self):
        self.wheel.unlink()
        with self.assertRaisesRegex(setup.SetupError, f"could not get {NAME}") as caught:
            setup.ensure(self.cache, self.bundle)
        self.assertIn("network", caught.exception.remedy)
        self.assert_nothing_was_made()

    def test_too_small_a_disk_is_named_before_anything_is_fetched(self):
        with self.assertRaisesRegex(setup.SetupError, "GB free and set-up needs 1000000.0 GB"):
            setup.ensure(self.cache, bundle_of(self.wheel, needs=10**15))
        self.assertFalse((self.cache / "downloads").exists())

    def test_disk_that_fills_up_leaves_nothing_half_written(self):
        with mock.patch.object(setup, "copy_member", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            with self.assertRaises(OSError):
                setup.ensure(self.cache, self.bundle)
        self.assert_nothing_was_made()

    def test_the_tool_on_path_is_preferred_and_an_unknown_machine_named(self):
        with mock.patch.object(setup.shutil, "which", return_value="/usr/bin/cargo-nextest"):
            self.assertEqual(setup.nextest(), Path("/usr/bin/cargo-nextest"))
        with mock.patch.object(setup.shutil, "which", return_value=None), mock.patch.object(setup.platform, "machine", return_value="vax"):
            with self.assertRaisesRegex(setup.SetupError, "no cargo-nextest is pinned for .* vax") as caught:
                setup.nextest()
        self.assertIn("cargo install cargo-nextest --locked", caught.exception.remedy)

    def test_missing_pip_names_the_remedy(self):
        with mock.patch.object(setup.importlib.util, "find_spec", return_value=None), mock.patch.dict(os.environ, PATH=""):
            with self.assertRaisesRegex(setup.SetupError, "has no pip") as caught:
                setup.ensure(self.cache, self.bundle)
        self.assertIn("python3-pip", caught.exception.remedy)


class CloneTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def test_cargo_learns_libtorch_and_the_run_path(self):
        setup.write_config(self.root, Path("/opt/lib torch"), Path("/opt/my cache"))
        text = (self.root / ".cargo/config.toml").read_text()
        self.assertIn('LIBTORCH = { value = "/opt/lib torch", force = true }', text)
        self.assertIn('OMP_NUM_THREADS = "1"', text)
        self.assertIn('PALIMPSEST_BUILT_CACHE = { value = "/opt/my cache", force = true }', text)
        self.assertIn('"link-arg=-Wl,-rpath,/opt/lib torch/lib"', text)

    def test_a_config_of_the_user_is_not_replaced(self):
        path = self.root / ".cargo/config.toml"
        path.parent.mkdir()
        path.write_text("[build]\njobs = 1\n")
        with self.assertRaisesRegex(setup.SetupError, "was not written by set-up"):
            setup.write_config(self.root, Path("/opt/libtorch"), Path("/opt/cache"))
        self.assertEqual(path.read_text(), "[build]\njobs = 1\n")

    def test_a_path_the_linker_would_split_is_refused(self):
        for libtorch, cache in (("/opt/a,b", "/opt/cache"), ("/opt/libtorch", "/opt/a,b")):
            with self.assertRaisesRegex(setup.SetupError, "/opt/a,b"):
                setup.write_config(self.root, Path(libtorch), Path(cache))

    def test_a_clone_keeps_its_device(self):
        config = self.root / ".cargo/config.toml"
        with mock.patch.object(setup, "gpu_driver", return_value=True):
            self.assertEqual(setup.choose_device(config, "auto"), "cuda")
            setup.write_config(self.root, Path("/cache") / setup.LIBTORCH["cpu"].folder, Path("/cache"))
            self.assertEqual(setup.choose_device(config, "auto"), "cpu")
            self.assertEqual(setup.choose_device(config, "cuda"), "cuda")

    def run_setup(self, **env: str) -> subprocess.CompletedProcess:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), "PALIMPSEST_CACHE": str(self.root / "cache"), **env}
        return subprocess.run([sys.executable, "-B", setup.__file__], env=env, capture_output=True, text=True)

    def test_libtorch_of_another_version_is_refused(self):
        (self.root / "build-version").write_text("2.4.1+cpu\n")
        result = self.run_setup(LIBTORCH=str(self.root))
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("holds libtorch 2.4.1+cpu, and Palimpsest needs 2.11.0", result.stderr)
        self.assertFalse((self.root / "cache").exists())

    def test_missing_compiler_exits_2_with_the_remedy(self):
        result = self.run_setup(PATH=str(self.root))
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("no C++ compiler found", result.stderr)
        self.assertIn("apt-get install g++", result.stderr)


if __name__ == "__main__":
    unittest.main()
