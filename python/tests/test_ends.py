"""Progress, and how a run ends: by itself, by its caller, by a signal. Nothing half-made stays, no process stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import List

import pytest

import instar
import instar.aio
from conftest import DISK, QemuImg

SLOW = 1 << 20  # Bytes a second: the disk takes seconds.


def children() -> "set[int]":
    """The processes below this one that have not ended."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(each.parent.name))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(place: Path) -> "object":
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    assert children() == set()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_progress_grows_to_the_whole(raw: Path) -> None:
    steps: List[instar.Progress] = []
    instar.convert(raw, "new.qcow2", target_format="qcow2", progress=steps.append)
    assert steps and steps[-1].done == steps[-1].total > 0
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    for verb in (instar.checksum, lambda path, progress: instar.compare(path, path, progress=progress)):
        steps.clear()
        verb(raw, progress=steps.append)
        assert steps and steps[-1].done == steps[-1].total


def test_an_error_of_the_listener_ends_the_run(raw: Path) -> None:
    class Enough(Exception):
        pass

    def hear(step: instar.Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        instar.convert(raw, "new.qcow2", target_format="qcow2", rate=SLOW, progress=hear)
    assert sorted(os.listdir()) == [raw.name]


def test_ctrl_c_ends_the_run(raw: Path) -> None:
    # Who starts the tests in the background may have it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            instar.convert(raw, "new.qcow2", target_format="qcow2", rate=SLOW // 8)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 5
    assert sorted(os.listdir()) == [raw.name]


def test_a_signal_to_the_program_is_an_interruption(raw: Path) -> None:
    def strike() -> None:
        for child in children():
            os.kill(child, signal.SIGTERM)

    timer = threading.Timer(0.5, strike)
    timer.start()
    with pytest.raises(instar.InterruptedRunError) as caught:
        instar.convert(raw, "new.qcow2", target_format="qcow2", rate=SLOW // 8)
    assert caught.value.exit_code is None and caught.value.code == "interrupted"
    assert sorted(os.listdir()) == [raw.name]


def test_a_caller_that_is_interrupted_leaves_nothing(raw: Path) -> None:
    script = f"""
import instar, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
instar.convert({str(raw)!r}, 'new.qcow2', target_format='qcow2', rate={SLOW // 8}, progress=lambda step: print(flush=True))
"""
    caller = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert caller.stdout and caller.stdout.readline()
        caller.send_signal(signal.SIGINT)
        caller.wait(20)
    finally:
        caller.kill()
        caller.communicate()
    assert sorted(os.listdir()) == [raw.name]


def test_cancelling_ends_the_run_before_the_cancellation_goes_on(raw: Path) -> None:
    async def main() -> None:
        started = asyncio.Event()
        work = instar.aio.convert(
            raw, "new.qcow2", target_format="qcow2", rate=SLOW, progress=lambda step: started.set()
        )
        task = asyncio.ensure_future(work)
        await asyncio.wait_for(started.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == set()
        assert sorted(os.listdir()) == [raw.name]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(
                instar.aio.convert(raw, "new.qcow2", target_format="qcow2", rate=SLOW // 8), 0.5
            )
        assert sorted(os.listdir()) == [raw.name]

    asyncio.run(main())


def test_an_error_of_the_listener_ends_the_run_in_a_loop_too(raw: Path) -> None:
    class Enough(Exception):
        pass

    def hear(step: instar.Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        asyncio.run(instar.aio.convert(raw, "new.qcow2", target_format="qcow2", rate=SLOW, progress=hear))
    assert sorted(os.listdir()) == [raw.name]


def test_many_runs_at_once_in_a_loop(qemu_img: QemuImg, qcow2: Path, raw: Path) -> None:
    async def main() -> None:
        steps: List[instar.Progress] = []
        done = await asyncio.gather(
            instar.aio.info(qcow2),
            instar.aio.chain(qcow2),
            instar.aio.check(qcow2),
            instar.aio.map(qcow2),
            instar.aio.measure(qcow2, target_format="qcow2"),
            instar.aio.checksum(qcow2),
            instar.aio.compare(qcow2, raw),
            instar.aio.safety(qcow2),
            instar.aio.create("empty.qcow2", DISK, format="qcow2"),
            instar.aio.convert(qcow2, "new.raw", progress=steps.append),
            instar.aio.info("absent"),
            return_exceptions=True,
        )
        assert done[:8] == [
            instar.info(qcow2),
            instar.chain(qcow2),
            instar.check(qcow2),
            instar.map(qcow2),
            instar.measure(qcow2, target_format="qcow2"),
            instar.checksum(qcow2),
            instar.compare(qcow2, raw),
            instar.safety(qcow2),
        ]
        assert done[8:10] == [None, None]
        assert isinstance(done[10], instar.InputOutputError)
        assert steps[-1].done == steps[-1].total

    asyncio.run(main())
    qemu_img.run("compare", "-f", "raw", "-F", "raw", "new.raw", raw)
    qemu_img.run("check", "empty.qcow2")


def test_runs_from_several_threads(raw: Path) -> None:
    found: List[int] = []
    threads = [threading.Thread(target=lambda: found.append(instar.info(raw).virtual_size)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DISK] * 8


def test_the_module_is_the_program() -> None:
    said = subprocess.run([sys.executable, "-m", "instar", "--version"], capture_output=True, check=True)
    assert said.stdout.startswith(b"instar ")


def test_signatures_say_what_a_verb_gives() -> None:
    import inspect

    assert inspect.signature(instar.info).return_annotation == "Info"
    assert "policy" in inspect.signature(instar.aio.convert).parameters
    assert (instar.info.__module__, instar.aio.info.__module__) == ("instar", "instar.aio")
    assert set(instar.aio.__all__) <= set(instar.__all__)


def test_the_program_is_found_where_pip_puts_it_that_is_told_a_directory(place: Path) -> None:
    shutil.copytree(os.path.dirname(instar.__file__ or ""), "elsewhere/instar")
    os.mkdir("elsewhere/bin")
    shutil.copy(instar.program(), "elsewhere/bin/instar")
    # Without the packages that are installed.
    said = subprocess.run(
        [sys.executable, "-S", "-c", "import instar; print(instar.program())"],
        env={"PYTHONPATH": "elsewhere"},
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode().strip() == str(place / "elsewhere/bin/instar")
