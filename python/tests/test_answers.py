"""Answers are those of qemu-img, field by field."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import instar
from conftest import DISK, QemuImg


def as_json(answer: Any) -> Any:
    """An answer as the object that it came from: without fields that have no value in it."""
    if isinstance(answer, tuple):
        return [as_json(each) for each in answer]
    if not dataclasses.is_dataclass(answer):
        return answer
    found = {}
    for field in dataclasses.fields(answer):
        value = getattr(answer, field.name)
        if field.name == "other":
            found.update(value)
        elif value != field.default:
            found[field.name.replace("_", "-")] = as_json(value)
    return found


def without_defaults(found: Any) -> Any:
    """What the reference says, without what a field says by having no value."""
    if isinstance(found, list):
        return [without_defaults(each) for each in found]
    if not isinstance(found, dict):
        return found
    return {
        key: without_defaults(value)
        for key, value in found.items()
        if value not in ([], {}) and not (value is False and key in ("dirty-flag", "compressed"))
        and not (value == 0 and key in ("vm-state-size", "vm-clock-sec", "vm-clock-nsec", "check-errors", "date-nsec"))
    }


def test_the_package_is_the_installed_one() -> None:
    assert "site-packages" in (instar.__file__ or "")
    assert os.path.dirname(instar.program()).endswith("bin")
    assert (Path(instar.__file__).parent / "py.typed").exists()


def test_info_has_every_field_of_the_reference(qemu_img: QemuImg, qcow2: Path) -> None:
    found = instar.info(qcow2)
    assert without_defaults(as_json(found)) == without_defaults(qemu_img.answer("info", qcow2))
    assert (found.virtual_size, found.format, found.snapshots[0].name) == (DISK, "qcow2", "before, and after")
    assert found.format_specific and found.format_specific.data["compat"] == "1.1"
    assert found.children[0].info.format == "file"
    assert hash(found) == hash(instar.info(qcow2))


@pytest.mark.parametrize("format", ["raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi", "qed", "parallels", "qcow"])
def test_every_format_of_the_reference_is_described(qemu_img: QemuImg, place: Path, format: str) -> None:
    qemu_img.run("create", "-q", "-f", format, "disk", DISK)
    found = instar.info("disk", format=format)
    assert without_defaults(as_json(found)) == without_defaults(qemu_img.answer("info", "-f", format, "disk"))


def test_a_chain_is_described_layer_by_layer(qemu_img: QemuImg, qcow2: Path) -> None:
    qemu_img.run("create", "-q", "-f", "qcow2", "-b", qcow2.name, "-F", "qcow2", "top.qcow2")
    layers = instar.chain("top.qcow2")
    said = qemu_img.answer("info", "--backing-chain", "top.qcow2")
    assert without_defaults(as_json(layers)) == without_defaults(said)
    assert layers[0].backing_filename == qcow2.name


def test_keys_that_have_no_field_are_reachable() -> None:
    found = instar.Info.from_json({"filename": "a", "format": "raw", "virtual-size": 1, "new-key": [2]})
    assert found.other == {"new-key": [2]}


def test_a_map_has_the_extents_of_the_reference(qemu_img: QemuImg, qcow2: Path) -> None:
    found = instar.map(qcow2)
    said = qemu_img.answer("map", qcow2)
    assert [{**as_json(each)} for each in found] == [without_defaults(each) for each in said]
    assert sum(each.length for each in found) == DISK
    assert instar.map(qcow2, start=1 << 20, length=1 << 20)[0].start == 1 << 20


def test_a_check_counts_as_the_reference_does(qemu_img: QemuImg, qcow2: Path) -> None:
    found = instar.check(qcow2)
    assert found.sound and found.findings == ""
    said = qemu_img.answer("check", qcow2)
    assert without_defaults(as_json(found)) == without_defaults(said)


def test_a_broken_image_is_an_answer_of_check_and_can_be_repaired(qemu_img: QemuImg, qcow2: Path) -> None:
    # The first refcount of the image's own header becomes 0.
    with qcow2.open("r+b") as file:
        file.seek(48)
        table = int.from_bytes(file.read(8), "big")
        file.seek(table)
        block = int.from_bytes(file.read(8), "big")
        file.seek(block)
        file.write(b"\0\0")
    said = qemu_img.answer("check", qcow2, codes=(2,))
    found = instar.check(qcow2)
    assert not found.sound
    assert found.corruptions == said["corruptions"] > 0
    assert "refcount=0" in found.findings
    repaired = instar.check(qcow2, repair="all")
    assert repaired.sound and repaired.corruptions_fixed > 0
    qemu_img.answer("check", qcow2)


def test_a_measurement_is_that_of_the_reference(qemu_img: QemuImg, raw: Path) -> None:
    said = qemu_img.answer("measure", "-O", "qcow2", "-o", "cluster_size=4k", raw)
    found = instar.measure(raw, target_format="qcow2", options={"cluster_size": "4k"})
    assert without_defaults(as_json(found)) == without_defaults(said)
    empty = instar.measure(size=1 << 30, target_format="qcow2")
    said = qemu_img.answer("measure", "-O", "qcow2", "--size", 1 << 30)
    assert (empty.required, empty.fully_allocated) == (said["required"], said["fully-allocated"])
    with pytest.raises(ValueError):
        instar.measure()


def test_a_comparison_tells_same_from_different(qcow2: Path, raw: Path) -> None:
    same = instar.compare(raw, qcow2)
    assert same and same.identical and same.message == "Images are identical."
    with raw.open("r+b") as file:
        file.seek(4096)
        file.write(b"other")
    different = instar.compare(raw, qcow2)
    assert not different and different.message == "Content mismatch at offset 4096!"


def test_a_checksum_is_that_of_the_disk(qcow2: Path, raw: Path) -> None:
    def digest(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    # docs/verbs/checksum.md, in Python.
    disk = raw.read_bytes()
    row = [digest(b"\0" + disk[at : at + 65536]) for at in range(0, len(disk), 65536)]
    while len(row) > 1:
        row = [digest(b"\1" + b"".join(row[at : at + 256])) for at in range(0, len(row), 256)]
    wanted = digest(b"\2" + len(disk).to_bytes(8, "little") + row[0]).hex()
    found = instar.checksum(qcow2, algorithm="sha256")
    assert (found.checksum, str(found)) == (wanted, f"sha256-tree:{wanted}")
    assert found.virtual_size == DISK


def test_a_conversion_is_read_by_the_reference(qemu_img: QemuImg, qcow2: Path, raw: Path) -> None:
    for format, options in [
        ("raw", {}),
        ("qcow2", {"cluster_size": "2M", "lazy_refcounts": True}),
        ("vmdk", {"subformat": "streamOptimized"}),
        ("vhdx", {}),
    ]:
        done = instar.convert(qcow2, f"new.{format}", target_format=format, options=options, checksum="sha256")
        qemu_img.run("compare", "-f", format, "-F", "raw", f"new.{format}", raw)
        assert done and done.checksum == instar.checksum(raw, algorithm="sha256").checksum
    said = qemu_img.answer("info", "new.qcow2")
    assert said["cluster-size"] == 2 << 20 and said["format-specific"]["data"]["lazy-refcounts"]


def test_a_snapshot_is_named_by_its_name_alone(qemu_img: QemuImg, qcow2: Path, raw: Path) -> None:
    done = instar.convert(qcow2, "then.raw", snapshot="before, and after")
    assert done is None
    qemu_img.run("compare", "-f", "raw", "-F", "raw", "then.raw", raw)
    with pytest.raises(instar.ArgumentsError):
        instar.convert(qcow2, "never.raw", snapshot="1")


def test_sources_are_put_one_behind_the_other(raw: Path) -> None:
    instar.convert([raw, raw], "twice.raw", format="raw")
    assert Path("twice.raw").read_bytes() == raw.read_bytes() * 2


def test_images_are_created_as_by_the_reference(qemu_img: QemuImg, place: Path) -> None:
    instar.create("new.qcow2", 1 << 30, format="qcow2", options={"cluster_size": 4096})
    said = qemu_img.answer("info", "new.qcow2")
    assert (said["virtual-size"], said["cluster-size"]) == (1 << 30, 4096)
    instar.create("layer.qcow2", format="qcow2", backing="new.qcow2", backing_format="qcow2")
    assert qemu_img.answer("info", "layer.qcow2")["backing-filename"] == "new.qcow2"


def test_the_verdict_on_an_upload(qemu_img: QemuImg, qcow2: Path) -> None:
    assert instar.safety(qcow2).safe
    shutil.copy(qcow2, "upload.qcow2")
    qemu_img.run("rebase", "-u", "-b", "/etc/passwd", "-F", "raw", "upload.qcow2")
    found = instar.safety("upload.qcow2")
    reasons = {check.name: check.reason for check in found.checks if check.result == "unsafe"}
    assert not found.safe and "/etc/passwd" in (reasons["backing-file"] or "")
