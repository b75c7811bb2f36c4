"""Clusters that the command starts elsewhere: over SSH, and as jobs. The machines are this one; worker, scheduler and TLS are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

import instar.fleet
from fleets import at_work, launcher, parent, until

pytest.importorskip("distributed", reason="the extra dask is not installed")
pytestmark = pytest.mark.engine

#: In place of the program of Slurm: a job begins at once, in a session of its own.
SBATCH = """#!/bin/sh
number=$(ls job.*.sh 2>/dev/null | wc -l)
cp "$1" "job.$number.sh"
setsid sh "job.$number.sh" >"job.$number.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""
#: A server of SSH that lets in who has the key, and runs what it is told.
SSHD = """
import asyncio, os, signal, subprocess
import asyncssh

async def handle(process):
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    async def copy(source, target):
        while piece := await source.read(4096):
            target.write(piece.decode())
    try:
        await asyncio.gather(copy(child.stdout, process.stdout), copy(child.stderr, process.stderr))
        process.exit(await child.wait())
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGTERM)

async def main():
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(name)
        key.write_public_key(name + ".pub")
    server = await asyncssh.create_server(
        asyncssh.SSHServer, "127.0.0.1", 0, server_host_keys=["host"], authorized_client_keys="user.pub", process_factory=handle
    )
    print(server.get_port(), flush=True)
    await asyncio.Future()

asyncio.run(main())
"""


def plan_of(place: Path, count: int, mebibytes: int) -> Path:
    """A plan of images that take a moment each."""
    (place / "out").mkdir()
    for number in range(count):
        (place / f"{number}.raw").write_bytes(os.urandom(1 << 20) * mebibytes)
    sources = [place / f"{number}.raw" for number in range(count)]
    return instar.fleet.plan(sources, place / "out", place / "plan.jsonl", target_format="qcow2", compress=True)


def workers() -> "list[int]":
    """Processes of Dask that were started from the directory of this test."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"distributed.cli" in each.read_bytes() and os.readlink(each.parent / "cwd") == os.getcwd():
                found.append(int(each.parent.name))
        except OSError:
            continue
    return found


def test_a_job_that_is_killed_is_followed_by_another(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    (place / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}/bin:{os.environ['PATH']}")
    plan = plan_of(place, 2, 64)
    running = launcher("dask", "--slurm", "--jobs", 1, "--cpus", 2, "--memory", "3GiB", "--walltime", "8:00:00", plan)
    try:
        first = until(lambda: next(iter(at_work(plan)), None))
        assert isinstance(first, int)
        os.killpg(os.getpgid(parent(first)), signal.SIGKILL)
        _, told = running.communicate(timeout=180)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, told
    script = Path("job.0.sh").read_text()
    for line in ("#SBATCH --cpus-per-task=2\n", "#SBATCH --mem=3G\n", "#SBATCH -t 8:00:00\n"):
        assert line in script
    for words in (" tls://", " --nthreads 1 ", " --nanny ", " --no-dashboard ", " --tls-key "):
        assert words in script
    assert Path("job.1.sh").exists()
    until(lambda: not workers())
    assert not [name for name in os.listdir() if name.startswith(".instar-fleet-")]
    instar.fleet.finish(plan)


@pytest.fixture
def server(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host that is reached over SSH, and the settings of a user who reaches it."""
    pytest.importorskip("asyncssh", reason="asyncssh is not installed")
    with subprocess.Popen([sys.executable, "-c", SSHD], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            port = running.stdout.readline().strip()
            (place / ".ssh").mkdir()
            (place / "known").write_text(f"[127.0.0.1]:{port} {Path('host.pub').read_text()}")
            lines = ["Host *", f"Port {port}", f"IdentityFile {place}/user", f"UserKnownHostsFile {place}/known"]
            (place / ".ssh/config").write_text("\n".join(lines))
            monkeypatch.setenv("HOME", str(place))
            yield
        finally:
            running.terminate()


def test_hosts_are_reached_over_ssh(place: Path, server: None) -> None:
    plan = plan_of(place, 3, 4)
    running = launcher("dask", "--ssh", "127.0.0.1,127.0.0.1", plan)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 0, told
    started = [line.rpartition("worker at:")[2].strip() for line in told.splitlines() if "Start worker at:" in line]
    assert len(started) == 2 and all(address.startswith("tls://") for address in started)
    until(lambda: not workers())
    assert not [name for name in os.listdir() if name.startswith(".instar-fleet-")]
    instar.fleet.finish(plan)


def test_a_host_that_is_not_reached_is_trouble(place: Path, server: None) -> None:
    plan = plan_of(place, 1, 1)
    Path("known").write_text("")
    running = launcher("dask", "--ssh", "127.0.0.1", plan)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 2 and "instar-fleet: no cluster: " in told
    assert instar.fleet.status(plan).waiting == 1
