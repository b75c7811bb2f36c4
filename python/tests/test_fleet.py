"""Fleets without an engine: plans, runs of items, and what is said of them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import instar
import instar.fleet
from conftest import QemuImg
from fleets import hostile, record


def small(qemu_img: QemuImg, count: int) -> "list[str]":
    """Images, the larger ones first."""
    for number in range(count):
        Path("disk").write_bytes(os.urandom(300_000 - 4096 * number))
        qemu_img.run("convert", "-f", "raw", "-O", "qcow2", "disk", f"{number}.qcow2")
    return [f"{number}.qcow2" for number in range(count)]


def test_items_of_a_plan_are_run_one_by_one(qemu_img: QemuImg, place: Path) -> None:
    os.mkdir("out")
    sources = small(qemu_img, 3)
    plan = instar.fleet.plan(sources, "out", place / "plan.jsonl", target_format="vmdk", in_flight=2)
    assert plan == place / "plan.jsonl" and "plan.jsonl" in os.listdir() and not os.listdir("out")
    before = instar.fleet.status(plan)
    assert (before.items, before.waiting, before.left, before.in_flight) == (3, 3, 3, 2)
    assert sorted(item.source for item in before.list) == sorted(str(place / name) for name in sources)
    for item in before.list:
        outcome = instar.fleet.run_item(plan, item.item)
        assert (outcome.state, outcome.exit_code, outcome.signal, outcome.error) == ("done", 0, None, None)
        qemu_img.run("compare", item.source, item.target)
        assert qemu_img.answer("info", item.target)["format"] == "vmdk"
    after = instar.fleet.status(plan)
    assert (after.done, after.left) == (3, 0) and {item.state for item in after.list} == {"done"}
    instar.fleet.finish(plan)


def test_an_item_that_is_done_is_not_done_again(qemu_img: QemuImg, place: Path) -> None:
    os.mkdir("out")
    plan = instar.fleet.plan(small(qemu_img, 1), "out", place / "plan.jsonl")
    assert instar.fleet.run_item(plan, 0).state == "done"
    target = instar.fleet.status(plan).list[0].target
    first = os.stat(target).st_mtime_ns
    assert instar.fleet.run_item(plan, 0).state == "done"
    assert os.stat(target).st_mtime_ns == first and record(plan, 0)["tries"] == 1


def test_a_failure_is_an_outcome_and_is_final(qemu_img: QemuImg, place: Path) -> None:
    os.mkdir("out")
    plan = instar.fleet.plan([hostile(qemu_img, place)], "out", place / "plan.jsonl")
    for _ in range(2):
        outcome = instar.fleet.run_item(plan, 0)
        assert (outcome.state, outcome.exit_code) == ("failed", 1)
        assert outcome.error is not None and "/etc/passwd" in outcome.error.message
        assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert record(plan, 0)["tries"] == 1
    found = instar.fleet.status(plan)
    assert (found.failed, found.left, found.list[0].cause) == (1, 0, "refused")
    with pytest.raises(instar.Error):
        instar.fleet.finish(plan)
    instar.fleet.finish(plan, waive=[0])
    assert os.listdir("out") == []
    allowed = instar.Policy(allow_dirs=("/etc",))
    assert instar.fleet.run_item(plan, 0, again=True, policy=allowed).state == "done"


def test_what_the_system_refuses_is_to_be_tried_again(qemu_img: QemuImg, place: Path) -> None:
    os.mkdir("out")
    plan = instar.fleet.plan(small(qemu_img, 1), "out", place / "plan.jsonl")
    os.rename("0.qcow2", "away")
    outcome = instar.fleet.run_item(plan, 0)
    assert (outcome.state, outcome.exit_code) == ("again", 75)
    found = instar.fleet.status(plan)
    assert (found.again, found.left) == (1, 1) and "0.qcow2" in (found.list[0].message or "")
    os.rename("away", "0.qcow2")
    assert instar.fleet.run_item(plan, 0).state == "done"


def test_ranges_of_one_image_become_one_target(qemu_img: QemuImg, place: Path, raw: Path) -> None:
    qemu_img.run("convert", "-f", "raw", "-O", "qcow2", raw, "big.qcow2")
    plan = instar.fleet.plan_ranges("big.qcow2", "big.raw", place / "plan.jsonl", range_size=3 << 20)
    items = instar.fleet.status(plan).list
    assert len(items) == 3
    for item in reversed(items):
        assert not Path("big.raw").exists()
        assert instar.fleet.run_item(plan, item.item).state == "done"
    instar.fleet.finish(plan, verify=True)
    assert Path("big.raw").read_bytes() == raw.read_bytes()


def test_a_plan_that_cannot_be_made_leaves_no_file(place: Path) -> None:
    os.mkdir("out")
    for make in (
        lambda: instar.fleet.plan(["absent.qcow2"], "out", place / "plan.jsonl"),
        lambda: instar.fleet.plan([], "out", place / "plan.jsonl"),
        lambda: instar.fleet.plan_ranges("absent", "new", place / "plan.jsonl", range_size=1000),
    ):
        with pytest.raises(instar.Error):
            make()
        assert os.listdir() == ["out"]


def test_what_is_no_plan_is_an_error(place: Path) -> None:
    Path("plan.jsonl").write_text("{}\n")
    for call in (instar.fleet.status, instar.fleet.finish):
        with pytest.raises(instar.Error, match="plan.jsonl"):
            call("plan.jsonl")
        with pytest.raises(instar.InputOutputError):
            call("absent.jsonl")


def test_signatures_of_fleets_say_what_is_given() -> None:
    import inspect

    assert inspect.signature(instar.fleet.run_item).return_annotation == "Outcome"
    assert instar.fleet.plan.__module__ == "instar.fleet"


def test_the_command_says_what_it_needs() -> None:
    # Without the packages that are installed beside this one.
    script = """
import sys
sys.modules["distributed"] = None
from instar._engine.command import main
sys.exit(main(["dask", "--local", "1", "x"]))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.returncode == 2 and "pip install 'instar-img[dask]'" in said.stderr
