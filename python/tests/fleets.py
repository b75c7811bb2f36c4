"""What tests of fleets have in common: twenty images, of which two are bad, and a look at the processes at work on them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, Set

import instar.fleet
from conftest import QemuImg

#: Each is written by the reference.
FORMATS = ["raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi", "qed", "parallels", "qcow"]
GOOD = 18
#: Large enough for a conversion that can be met while it writes.
LARGE = 64 << 20


def images(qemu_img: QemuImg, place: Path) -> "Dict[str, Path]":
    """Sound images in every format, the first one large, each with the raw disk that it holds; and two bad ones."""
    found: Dict[str, Path] = {}
    for number in range(GOOD):
        disk = place / f"{number}.disk"
        with disk.open("wb") as file:
            file.write(os.urandom(LARGE if number == 0 else 200_000 + 4096 * number))
            file.truncate(LARGE if number == 0 else 2 << 20)
        image = place / f"{number}.{FORMATS[number % len(FORMATS)]}"
        qemu_img.run("convert", "-f", "raw", "-O", FORMATS[number % len(FORMATS)], disk, image)
        found[image.name] = disk
    return found


def hostile(qemu_img: QemuImg, place: Path) -> Path:
    """An image that would be a file of this machine."""
    qemu_img.run("create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", "hostile.qcow2", 1 << 20)
    return place / "hostile.qcow2"


def truncated(qemu_img: QemuImg, place: Path) -> Path:
    """An image of which the second half is missing, and with it the ends of compressed data."""
    disk = place / "text.disk"
    disk.write_bytes(b"".join(b"line %d\n" % number for number in range(200_000)))
    path = place / "truncated.qcow2"
    qemu_img.run("convert", "-f", "raw", "-O", "qcow2", "-c", disk, path)
    os.truncate(path, path.stat().st_size // 2)
    return path


def record(plan: Path, item: int, kind: str = "") -> "dict[str, object]":
    """What the program itself wrote down of an item."""
    found: "dict[str, object]" = json.loads((Path(f"{plan}.d") / f"{item}{kind}.json").read_text())
    return found


def launcher(*words: object) -> "subprocess.Popen[str]":
    """The command that the package installs."""
    command = [os.path.join(os.path.dirname(instar.program()), "instar-fleet"), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def at_work(plan: Path) -> "Dict[int, int]":
    """The processes that run items of a plan, with these."""
    found: Dict[int, int] = {}
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(plan) in words and b"run" in words and b"--item" in words and b"-I" not in words:
            found[int(each.parent.name)] = int(words[words.index(b"--item") + 1])
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def below(process: int) -> "Set[int]":
    """A process, and all that it started."""
    found = {process}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            other = int(each.parent.name)
            if parent(other) == process:
                found |= below(other)
        except OSError:
            continue
    return found


def has_written(process: int, directory: Path) -> bool:
    """Whether a process, or one that it started, has a file open below a directory that is not empty."""
    for each in below(process):
        try:
            for link in Path(f"/proc/{each}/fd").iterdir():
                if os.readlink(link).startswith(f"{directory}/") and link.stat().st_size:
                    return True
        except OSError:
            continue
    return False


def until(true: "Callable[[], object]", seconds: float = 60) -> object:
    """Waits for something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{true} did not come true within {seconds} s")
