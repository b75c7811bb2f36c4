"""What the tests have in common: images that qemu-img makes, and its answers to compare with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

DISK = 8 << 20


class QemuImg:
    """The reference."""

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self, *words: object) -> bytes:
        done = subprocess.run([self._path, *map(os.fspath, map(_word, words))], capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def answer(self, verb: str, *words: object, codes: "tuple[int, ...]" = (0,)) -> Any:
        done = subprocess.run(
            [self._path, verb, "--output=json", *map(os.fspath, map(_word, words))], capture_output=True
        )
        assert done.returncode in codes, done.stderr.decode()
        return json.loads(done.stdout)


def _word(word: object) -> "str | bytes | os.PathLike[str]":
    return word if isinstance(word, (bytes, os.PathLike)) else str(word)


@pytest.fixture(scope="session")
def qemu_img() -> QemuImg:
    path = shutil.which("qemu-img")
    if path is None:
        pytest.skip("qemu-img is not installed")
    return QemuImg(path)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of the test's own, in which it runs, without the settings of this machine's user."""
    for name in [name for name in os.environ if name.startswith("INSTAR_") and name != "INSTAR_SANDBOX"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-configuration"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture
def raw(place: Path) -> Path:
    """A raw disk with data, zeros and a hole."""
    path = place / "disk.raw"
    with path.open("wb") as file:
        file.write(bytes(range(256)) * 4096 + bytes(1 << 20))
        file.seek(5 << 20)
        file.write(os.urandom(300_000))
        file.truncate(DISK)
    return path


@pytest.fixture
def qcow2(qemu_img: QemuImg, raw: Path) -> Path:
    """The same disk in a qcow2 image of the reference, with a snapshot."""
    path = raw.with_suffix(".qcow2")
    qemu_img.run("convert", "-O", "qcow2", raw, path)
    qemu_img.run("snapshot", "-c", "before, and after", path)
    return path
