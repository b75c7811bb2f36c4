"""Clusters: those that are there, and those that are started for one fleet. Each comes as a client, and goes with it.

A scheduler of Dask does what everybody tells it who reaches it. Therefore all that is started here demands a certificate of
both sides, and serves no pages.
"""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import json
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import dask
from distributed import Client, LocalCluster, Security, SSHCluster
from distributed.comm.addressing import parse_address, parse_host_port

from . import EngineError

#: One item at a time and worker, and no second one that waits at a busy worker. The pages have no certificates: none is served.
_SETTINGS: Dict[str, Any] = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
#: The same for a process that is started by others.
_EXPORTS = [
    "export DASK_DISTRIBUTED__WORKER__HTTP__ROUTES='[]'",
    "export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=True",
]


@dataclass(frozen=True)
class Certificates:
    """Files in PEM, the same for scheduler, workers and client."""

    authority: str
    certificate: str
    key: str

    def settings(self) -> Dict[str, Any]:
        """As settings of Dask, for processes that read such."""
        found: Dict[str, Any] = {
            "distributed.comm.require-encryption": True,
            "distributed.comm.tls.ca-file": self.authority,
        }
        for role in ("client", "scheduler", "worker"):
            found[f"distributed.comm.tls.{role}.cert"] = self.certificate
            found[f"distributed.comm.tls.{role}.key"] = self.key
        return found

    def security(self) -> Security:
        """As Dask has it."""
        with dask.config.set(self.settings()):
            return Security()


@contextlib.contextmanager
def there(file: str, certificates: Optional[Certificates], without_tls: bool) -> Iterator[Client]:
    """A scheduler that somebody else has started, and whose address is in a file."""
    try:
        address = json.loads(Path(file).read_text())["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{file} is no file of a scheduler (dask scheduler --scheduler-file): {error}") from error
    scheme, rest = parse_address(address)
    if scheme != "tls" and not _is_loopback(parse_host_port(rest)[0]) and not without_tls:
        raise EngineError(
            f"the scheduler at {address} has no TLS: whoever reaches it runs programs here and on its workers; start it "
            "with certificates, or accept that with --without-tls"
        )
    with Client(address, security=certificates.security() if certificates else Security()) as client:
        yield client


@contextlib.contextmanager
def local(workers: int, certificates: Optional[Certificates]) -> Iterator[Client]:
    """Workers on this machine. Other users of it reach the loopback interface, too, hence certificates."""
    with dask.config.set(_SETTINGS):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            security=certificates.security() if certificates else Security.temporary(),
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        )
        with cluster, Client(cluster) as client:
            yield client


@contextlib.contextmanager
def ssh(hosts: List[str], certificates: Certificates) -> Iterator[Client]:
    """A worker for each host, and the scheduler on the first one. Settings of SSH are those of the user."""
    _needs("asyncssh", "--ssh")
    with dask.config.set({**_SETTINGS, **certificates.settings()}):
        cluster = SSHCluster(
            [hosts[0], *hosts],
            worker_options={"nthreads": 1, "dashboard": False},
            scheduler_options={"port": 0, "dashboard": False, "dashboard_address": ":0"},
            security=certificates.security(),
        )
        with cluster, Client(cluster) as client:
            yield client


@contextlib.contextmanager
def slurm(jobs: int, cpus: int, memory: str, walltime: Optional[str], certificates: Certificates) -> Iterator[Client]:
    """Jobs of Slurm with a worker each, and the scheduler in this process. The rest is in jobqueue.yaml of Dask."""
    SLURMCluster = _needs("dask_jobqueue", "--slurm").SLURMCluster
    for path in (certificates.authority, certificates.certificate, certificates.key):
        # It becomes a word of a shell script as it is.
        if shlex.quote(path) != path:
            raise EngineError(f"{path} has characters in its name that --slurm cannot use; move the plan or the certificates")
    with dask.config.set(_SETTINGS):
        cluster = SLURMCluster(
            cores=1,
            processes=1,
            job_cpu=cpus,
            memory=memory,
            walltime=walltime,
            nanny=True,
            security=certificates.security(),
            scheduler_options={"dashboard": False, "dashboard_address": ":0"},
            worker_extra_args=["--no-dashboard"],
            job_script_prologue=_EXPORTS,
        )
        with cluster, Client(cluster) as client:
            # A job whose time is up, or whose machine is gone, is followed by another.
            cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
            yield client


@contextlib.contextmanager
def kubernetes(spec: str, without_tls: bool) -> Iterator[Client]:
    """A cluster of Dask's operator for Kubernetes, which speaks to its scheduler in the clear, whatever one does."""
    if not without_tls:
        raise EngineError(
            "clusters of dask-kubernetes have no TLS: whoever reaches the pod of the scheduler runs programs on its workers; "
            "use instar fleet script --kubernetes, or accept that with --without-tls"
        )
    KubeCluster = _needs("dask_kubernetes.operator", "--kubernetes").KubeCluster
    with KubeCluster(custom_cluster_spec=spec, quiet=True) as cluster, Client(cluster) as client:
        yield client


@contextlib.contextmanager
def temporary(beside: str) -> Iterator[Certificates]:
    """Certificates for one fleet, in a directory that only this user reads, and that all machines see."""
    made = Security.temporary()
    with tempfile.TemporaryDirectory(prefix=".instar-fleet-", dir=os.path.dirname(beside)) as directory:
        names = {"certificate": made.tls_scheduler_cert, "key": made.tls_scheduler_key}
        for name, text in names.items():
            (Path(directory) / name).write_text(text)
        certificate, key = (os.path.join(directory, name) for name in names)
        yield Certificates(certificate, certificate, key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _needs(module: str, option: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise EngineError(f"{option} needs the package {package}: pip install {package} ({error})") from error
