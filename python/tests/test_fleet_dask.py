"""Fleets on Dask: workers that are killed, images that are refused, items that are to be tried again, and who gets in."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import pytest

import instar
import instar.fleet
from conftest import QemuImg
from fleets import GOOD, at_work, below, has_written, hostile, images, launcher, parent, record, truncated, until

pytest.importorskip("distributed", reason="the extra dask is not installed")

#: Which sandbox is used makes no difference to an engine.
pytestmark = pytest.mark.engine

from instar._engine import EngineError, clusters, drive  # noqa: E402
from instar._engine.work import work  # noqa: E402


def numbered(plan: Path) -> "dict[str, int]":
    """The number of each item, by the name of its source."""
    return {os.path.basename(item.source): item.item for item in instar.fleet.status(plan).list}


def large(place: Path, count: int, mebibytes: int = 16) -> "list[Path]":
    """Images that take a moment each, if they are compressed."""
    disk = place / "large.disk"
    disk.write_bytes(os.urandom(1 << 20) * mebibytes)
    for number in range(count):
        os.link(disk, f"{number}.raw")
    return [place / f"{number}.raw" for number in range(count)]


def test_a_fleet_survives_a_killed_worker_and_tries_no_bad_image_twice(qemu_img: QemuImg, place: Path) -> None:
    sound = images(qemu_img, place)
    bad = [hostile(qemu_img, place), truncated(qemu_img, place)]
    out = place / "out"
    out.mkdir()
    sources = [place / name for name in sound] + bad
    plan = instar.fleet.plan(sources, out, place / "plan.jsonl", target_format="qcow2", compress=True)
    running = launcher("dask", "--local", 2, "--pause", 0.1, plan)
    try:
        first = until(lambda: next((each for each, item in at_work(plan).items() if item == 0), None))
        assert isinstance(first, int)
        until(lambda: has_written(first, out))
        worker = parent(first)
        assert worker != running.pid and worker in below(running.pid)
        os.kill(worker, signal.SIGKILL)
        # Its program ends with it, and holds the item no longer.
        until(lambda: not Path(f"/proc/{first}").exists(), 5)
        said, told = running.communicate(timeout=90)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 1, told
    number = numbered(plan)
    for name, disk in sound.items():
        assert record(plan, number[name])["end"] == "done"
        target = instar.fleet.status(plan).list[number[name]].target
        qemu_img.run("compare", "-f", name.rpartition(".")[2], "-F", "qcow2", place / name, target)
        qemu_img.run("compare", "-f", "raw", "-F", "qcow2", disk, target)
    for path in bad:
        found = record(plan, number[path.name])
        assert (found["end"], found["tries"]) == ("failed", 1)
        assert told.count(f"item {number[path.name]}: failed\n") == 1
    assert len(list(out.iterdir())) == len(os.listdir(out)) == GOOD
    with pytest.raises(instar.Error, match="2 of 20 items"):
        instar.fleet.finish(plan)
    instar.fleet.finish(plan, waive=[number[path.name] for path in bad])
    assert "/etc/passwd" in said


def test_an_item_is_tried_again_for_a_while_and_only_as_many_are_in_flight_as_planned(place: Path) -> None:
    (place / "out").mkdir()
    plan = instar.fleet.plan(
        large(place, 3), place / "out", place / "plan.jsonl", in_flight=1, compress=True, target_format="qcow2"
    )
    away = numbered(plan)["1.raw"]
    os.rename("1.raw", "away")
    running = launcher("dask", "--local", 2, "--attempts", 3, "--pause", 0.2, plan)
    seen, most = set(), 0
    while running.poll() is None:
        now = at_work(plan)
        seen, most = seen | set(now.values()), max(most, len(now))
        time.sleep(0.01)
    _, told = running.communicate()
    assert running.returncode == 75, told
    assert most == 1 and seen >= {0, 1, 2} - {away}
    # In the order of the plan, but for what had to wait.
    assert re.findall(r"item (\d): done", told) == [str(item) for item in range(3) if item != away]
    assert re.findall(r"again in ([\d.]+) s", told) == ["0.2", "0.4"]
    assert f"item {away}: given up after 3 tries: exit code 75" in told
    assert record(plan, away, ".again")["tries"] == 3
    os.rename("away", "1.raw")
    running = launcher("dask", "--local", 1, plan)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 0, told
    # What was done before is not handed out again.
    assert re.findall(r"item (\d): done", told) == [str(away)]
    instar.fleet.finish(plan, verify=True)


def test_a_launcher_that_is_ended_ends_its_programs(place: Path) -> None:
    out = place / "out"
    out.mkdir()
    sources = large(place, 3, 256)
    plan = instar.fleet.plan(sources, out, place / "plan.jsonl", target_format="qcow2", compress=True)
    running = launcher("dask", "--local", 2, plan)
    try:
        until(lambda: len(at_work(plan)) == 2)
        processes = below(running.pid)
        running.terminate()
        _, told = running.communicate(timeout=60)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 130 and "interrupted" in told
    until(lambda: not any(Path(f"/proc/{each}").exists() for each in processes))
    assert os.listdir(out) == [] and at_work(plan) == {}
    found = instar.fleet.status(plan)
    assert (found.left, found.running, found.failed) == (3, 0, 0)


@pytest.fixture(scope="module")
def ours() -> "Iterator[Any]":
    """A cluster that was started for a fleet."""
    with clusters.local(1, None) as client:
        yield client


def test_a_task_that_is_cancelled_ends_its_program(place: Path, ours: Any) -> None:
    (place / "out").mkdir()
    sources = large(place, 1, 256)
    plan = instar.fleet.plan(sources, place / "out", place / "plan.jsonl", target_format="qcow2", compress=True)
    future = ours.submit(work, str(plan), 0, "one", key="one", pure=False)
    until(lambda: at_work(plan))
    future.cancel()
    until(lambda: not at_work(plan))
    assert instar.fleet.status(plan).left == 1 and os.listdir("out") == []
    # The worker goes on with the next one.
    Path("small.raw").write_bytes(bytes(1 << 20))
    small = instar.fleet.plan("small.raw", place / "out", place / "small.jsonl")
    assert ours.submit(work, str(small), 0, "two", key="two", pure=False).result(60) == 0


def test_a_worker_that_lacks_the_storage_is_trouble_and_no_verdict(place: Path, ours: Any) -> None:
    with pytest.raises(EngineError, match="absent.jsonl"):
        drive.drive(ours, str(place / "absent.jsonl"), [0], in_flight=None, tries=drive.Tries(), tell=print)


def test_an_item_that_kills_its_workers_is_given_up(place: Path, ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "out").mkdir()
    sources = large(place, 1, 256)
    plan = instar.fleet.plan(sources, place / "out", place / "plan.jsonl", target_format="qcow2", compress=True)
    monkeypatch.setattr(ours.cluster.scheduler, "allowed_failures", 1)
    killed: "set[int]" = set()

    def kill() -> bool:
        for process in at_work(plan):
            with contextlib.suppress(OSError):
                worker = parent(process)
                if worker not in killed and worker in below(os.getpid()):
                    killed.add(worker)
                    os.kill(worker, signal.SIGKILL)
        return len(killed) == 2

    killer = threading.Thread(target=until, args=(kill,))
    killer.start()
    told: "list[str]" = []
    drive.drive(ours, str(plan), [0], in_flight=None, tries=drive.Tries(), tell=told.append)
    killer.join()
    assert told == ["item 0: given up, because every worker that ran it was killed"]
    until(lambda: not at_work(plan))
    assert instar.fleet.status(plan).left == 1 and os.listdir("out") == []


def test_a_cluster_of_ours_lets_nobody_in_without_its_certificate(place: Path, ours: Any) -> None:
    import psutil

    address = ours.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    with clusters.temporary(str(place / "plan")) as stranger:
        for certificate in (None, (stranger.certificate, stranger.key)):
            assert is_turned_away(address, certificate)
    processes = [psutil.Process(each) for each in below(os.getpid())]
    sockets = [each for process in processes for each in process.net_connections("inet") if each.status == "LISTEN"]
    assert sockets and {each.laddr.ip for each in sockets} == {"127.0.0.1"}
    answered = 0
    for port in {each.laddr.port for each in sockets}:
        for page in ("/", "/info/main/workers.html", "/json/counts.json", "/metrics", "/health"):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=5)
            except urllib.error.HTTPError as error:
                assert error.code == 404
                answered += 1
            except OSError:
                # One that speaks TLS.
                continue
            else:
                raise AssertionError(f"{page} is served")
    assert answered


def is_turned_away(address: str, certificate: "tuple[str, str] | None") -> bool:
    """Whether who has this certificate, or none, gets no word from a scheduler."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    host, port = address.rpartition("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        try:
            with context.wrap_socket(plain) as connection:
                return not connection.recv(1)
        except (ssl.SSLError, ConnectionResetError):
            return True


def test_a_scheduler_without_certificates_is_not_used_unless_that_is_said(place: Path) -> None:
    for text, why in (('{"address": "tcp://192.0.2.1:8786"}', "has no TLS"), ("[]", "no file of a scheduler")):
        Path("scheduler.json").write_text(text)
        with pytest.raises(EngineError, match=why), clusters.there("scheduler.json", None, False):
            pass
    with pytest.raises(EngineError, match="absent.json"), clusters.there("absent.json", None, True):
        pass
    with pytest.raises(EngineError, match="have no TLS"), clusters.kubernetes("cluster.yaml", False):
        pass
    if importlib.util.find_spec("dask_kubernetes") is None:
        with pytest.raises(EngineError, match="pip install dask-kubernetes"), clusters.kubernetes("cluster.yaml", True):
            pass


def test_a_cluster_of_somebody_else_is_used_by_its_file_and_certificates(place: Path) -> None:
    (place / "out").mkdir()
    quick = instar.fleet.plan(large(place, 2), place / "out", place / "quick.jsonl")
    os.mkdir("other")
    os.chdir("other")
    sources = large(Path.cwd(), 1, 256)
    slow = instar.fleet.plan(sources, place / "out", place / "slow.jsonl", target_format="qcow2", compress=True)
    os.chdir(place)
    with clusters.temporary(str(quick)) as certificates:
        assert os.stat(os.path.dirname(certificates.key)).st_mode & 0o777 == 0o700
        given = [certificates.authority, certificates.certificate, certificates.key]
        tls = [word for pair in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), given) for word in pair]
        common = ["--scheduler-file", "scheduler.json", "--no-dashboard", *tls]
        scheduler = ["dask_scheduler", "--host", "tls://127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
        theirs = [subprocess.Popen([sys.executable, "-m", f"distributed.cli.{scheduler[0]}", *scheduler[1:], *common])]
        try:
            until(lambda: Path("scheduler.json").exists())
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", *common]
            theirs.append(subprocess.Popen(worker))
            running = launcher("dask", "--scheduler-file", "scheduler.json", "--tls", *given, quick)
            _, told = running.communicate(timeout=120)
            assert running.returncode == 0, told
            # It is not ours, and stays.
            assert all(each.poll() is None for each in theirs)
            running = launcher("dask", "--scheduler-file", "scheduler.json", "--tls", *given, slow)
            until(lambda: at_work(slow))
            theirs[0].kill()
            _, told = running.communicate(timeout=120)
            assert running.returncode == 2 and told.splitlines()[-1].startswith("instar-fleet: ")
            until(lambda: not at_work(slow))
        finally:
            for each in theirs:
                each.kill()
                each.wait()
    assert not [name for name in os.listdir() if name.startswith(".instar-fleet-")]
    instar.fleet.finish(quick, verify=True)
    # The engine failed, and no item.
    assert instar.fleet.status(slow).left == 1
