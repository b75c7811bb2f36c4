"""What goes wrong is told apart by its kind, and a hostile image is refused."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import instar
from conftest import DISK, QemuImg


def test_a_missing_file_is_the_systems_answer(place: Path) -> None:
    with pytest.raises(instar.InputOutputError, match="No such file") as caught:
        instar.info("absent.qcow2")
    error = caught.value
    assert (error.errno, error.exit_code, error.verb, error.code) == (errno.ENOENT, 1, "info", "system")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is instar.InputOutputError and vars(again) == vars(error)


def test_wrong_arguments_are_wrong_arguments(raw: Path) -> None:
    for call in (
        lambda: instar.convert(raw, "new", target_format="nonsense"),
        lambda: instar.create("new", 1 << 20, format="qcow2", options={"cluster_size": 3}),
        lambda: instar.create("new", 1 << 20, format="qcow2", options={"no_such": 3}),
        lambda: instar.info(raw, format="nonsense"),
        lambda: instar.info(raw, policy=instar.Policy(sandbox="none")),
        lambda: instar.check(raw, format="raw"),
        lambda: instar.compare(raw, raw, left_format="nonsense"),
        lambda: instar.checksum(raw, algorithm="crc"),
    ):
        with pytest.raises(instar.ArgumentsError) as caught:
            call()
        assert isinstance(caught.value, ValueError) and caught.value.message
    assert not Path("new").exists()


@pytest.mark.parametrize("word", ["", "a\0b", b""])
def test_words_that_are_no_paths_are_refused_here(place: Path, word: str) -> None:
    with pytest.raises(ValueError):
        instar.info(word)
    with pytest.raises(ValueError):
        instar.create("new", 1 << 20, options={"a,b": 1})


def test_a_broken_image_is_the_images_fault(qcow2: Path) -> None:
    with qcow2.open("r+b") as file:
        file.seek(20)
        file.write(struct.pack(">I", 63))
    for verb in (instar.info, instar.map, instar.check, instar.checksum):
        with pytest.raises(instar.ImageError, match="cluster size"):
            verb(qcow2)
    with pytest.raises(instar.ImageError):
        instar.convert(qcow2, "new.raw")
    with pytest.raises(instar.ImageError) as caught:
        instar.compare(qcow2, qcow2)
    assert caught.value.exit_code == 2
    assert not Path("new.raw").exists()


def test_what_an_upload_names_is_not_opened(qemu_img: QemuImg, qcow2: Path) -> None:
    Path("secret").write_bytes(b"s" * 4096)
    qemu_img.run("create", "-q", "-f", "qcow2", "-b", "secret", "-F", "raw", "upload.qcow2", DISK)
    with pytest.raises(instar.RefusedError, match="secret"):
        instar.convert("upload.qcow2", "new.raw", policy=instar.Policy(untrusted=True))
    os.mkdir("elsewhere")
    shutil.move("secret", "elsewhere/secret")
    qemu_img.run("rebase", "-u", "-b", "elsewhere/secret", "-F", "raw", "upload.qcow2")
    with pytest.raises(instar.RefusedError):
        instar.convert("upload.qcow2", "new.raw")
    assert not Path("new.raw").exists()
    instar.convert("upload.qcow2", "new.raw", policy=instar.Policy(allow_dirs=("elsewhere",)))
    assert Path("new.raw").read_bytes()[:4096] == b"s" * 4096


def test_sizes_beyond_the_limit_are_refused(qemu_img: QemuImg, place: Path) -> None:
    qemu_img.run("create", "-q", "-f", "qcow2", "huge.qcow2", "2T")
    with pytest.raises(instar.RefusedError, match="limit"):
        instar.map("huge.qcow2", policy=instar.Policy(untrusted=True))
    assert instar.map("huge.qcow2", policy=instar.Policy(untrusted=True, max_size=4 << 40))[0].length == 2 << 40


def test_names_in_images_are_escaped_and_answers_stay_json(qemu_img: QemuImg, qcow2: Path) -> None:
    name = b'a"\n\x1b[2J\xff'
    qemu_img.run("rebase", "-u", "-b", name, "-F", "raw", qcow2)
    found = instar.info(qcow2)
    assert found.backing_filename is not None and "\x1b" not in repr(found.backing_filename)
    with pytest.raises(instar.Error) as caught:
        instar.convert(qcow2, "new.raw")
    assert "\x1b" not in caught.value.message and "\n" not in caught.value.message.split("]?")[0]


def test_a_full_disk_is_told_from_other_failures(raw: Path) -> None:
    full = Path("full")
    full.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(full)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small filesystem cannot be mounted")
    try:
        with pytest.raises(instar.NoSpaceError, match="No space left"):
            instar.convert(raw, full / "new.raw")
        assert os.listdir(full) == []
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_an_image_in_use_is_busy(qemu_img: QemuImg, qcow2: Path) -> None:
    qemu_io = shutil.which("qemu-io")
    if qemu_io is None:
        pytest.skip("qemu-io is not installed")
    holder = subprocess.Popen([qemu_io, str(qcow2)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdin and holder.stdout
        # It has the image when it prompts.
        assert holder.stdout.read(8) == b"qemu-io>"
        with pytest.raises(instar.BusyError):
            instar.info(qcow2)
        assert instar.info(qcow2, share=True).format == "qcow2"
    finally:
        holder.communicate(b"quit\n")


def test_a_run_that_takes_too_long_is_ended(qcow2: Path) -> None:
    with pytest.raises(instar.TimedOutError):
        instar.convert(qcow2, "new.raw", rate=1 << 16, policy=instar.Policy(timeout=0.3))
    assert not Path("new.raw").exists()


def test_answers_beyond_the_bound_are_not_kept(qcow2: Path) -> None:
    from instar import _run, _verbs

    call = _verbs.map(qcow2)
    call.most_output = 10
    with pytest.raises(instar.RefusedError, match="more than 10 bytes"):
        _run.run(call)


@pytest.mark.parametrize("name", ["-n", "--help", "nbd:localhost:1", "json:{}", "a:b", "fat:.", "-", "a,b=c", b"\xff\n'"])
def test_a_path_is_nothing_but_a_path(qemu_img: QemuImg, raw: Path, name: "str | bytes") -> None:
    # The same, from where nothing can be taken for an option.
    plain = os.path.join(os.fsencode(raw.parent), os.fsencode(name))
    instar.convert(raw, name, target_format="qcow2")
    assert qemu_img.answer("info", plain)["format"] == "qcow2"
    assert instar.info(name).virtual_size == DISK
    assert instar.compare(raw, name)
    assert instar.check(name).sound
    instar.create(b"top" + os.fsencode(name), format="qcow2", backing=name, backing_format="qcow2")
    assert instar.compare(raw, b"top" + os.fsencode(name))
    os.unlink(name)
    instar.create(name, DISK, format="qcow2")
    assert qemu_img.answer("info", plain)["virtual-size"] == DISK
