"""The command ``instar-fleet``."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import subprocess
import sys
from typing import Any, Iterator, List, Optional

from .. import fleet
from .._errors import Error
from .._program import DISTRIBUTION, program
from . import EngineError

#: The fleet was not run to its end, for a reason that is none of its items'.
TROUBLE = 2


def main(words: Optional[List[str]] = None) -> int:
    """Runs the command; its exit code is that of ``instar fleet status`` at the end."""
    given = _parser().parse_args(words)
    # Ends as Ctrl-C does: programs first, then clusters, then certificates.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(given)
        return subprocess.call([program(), "fleet", "status", given.plan])
    except KeyboardInterrupt:
        print("instar-fleet: interrupted; what is done stays done", file=sys.stderr)
        return 128 + signal.SIGINT
    except (EngineError, Error, OSError) as error:
        print(f"instar-fleet: {error}", file=sys.stderr)
        return TROUBLE


def _run(given: argparse.Namespace) -> None:
    plan = given.plan = os.path.abspath(given.plan)
    try:
        from . import clusters
        from .drive import Tries, drive
    except ImportError as error:
        raise EngineError(f"dask needs packages: pip install '{DISTRIBUTION}[dask]' ({error})") from error
    state = fleet.status(plan)
    items = [item.item for item in state.list if item.state not in ("done", "failed")]
    if not items:
        return

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with _cluster(clusters, given) as client:
        tries = Tries(given.attempts, given.pause)
        drive(client, plan, items, in_flight=state.in_flight, tries=tries, tell=tell)


@contextlib.contextmanager
def _cluster(clusters: Any, given: argparse.Namespace) -> Iterator[Any]:
    certificates = None
    if given.tls:
        certificates = clusters.Certificates(*map(os.path.abspath, given.tls))
    with contextlib.ExitStack() as stack:
        if given.scheduler_file:
            cluster = clusters.there(given.scheduler_file, certificates, given.without_tls)
        elif given.local:
            cluster = clusters.local(given.local, certificates)
        elif given.kubernetes:
            cluster = clusters.kubernetes(given.kubernetes, given.without_tls)
        else:
            certificates = certificates or stack.enter_context(clusters.temporary(given.plan))
            if given.ssh:
                cluster = clusters.ssh(given.ssh.split(","), certificates)
            else:
                cluster = clusters.slurm(given.jobs, given.cpus, given.memory, given.walltime, certificates)
        try:
            client = stack.enter_context(cluster)
        except EngineError:
            raise
        except Exception as error:  # Engines raise what they like.
            raise EngineError(f"no cluster: {type(error).__name__}: {error}") from error
        yield client


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("instar-fleet", description="Runs the items of a plan of instar fleet plan.")
    engines = parser.add_subparsers(metavar="ENGINE", required=True)
    dask = engines.add_parser("dask", help="on Dask", description="Runs the items of a plan on workers of Dask.")
    where = dask.add_mutually_exclusive_group(required=True)
    where.add_argument("--scheduler-file", metavar="FILE", help="on the cluster whose scheduler wrote this file")
    where.add_argument("--local", metavar="N", type=_number, help="on N workers on this machine")
    where.add_argument("--ssh", metavar="HOST,HOST", help="on these hosts; the scheduler is on the first one")
    where.add_argument("--slurm", action="store_true", help="on jobs of Slurm; see --jobs")
    where.add_argument("--kubernetes", metavar="FILE", help="on the DaskCluster in this file; needs Dask's operator")
    dask.add_argument("--jobs", metavar="N", type=_number, default=1, help="jobs of Slurm (1)")
    dask.add_argument("--cpus", metavar="N", type=_number, default=1, help="processors of a job (1)")
    dask.add_argument("--memory", metavar="SIZE", default="2GiB", help="memory of a job (2GiB)")
    dask.add_argument("--walltime", metavar="TIME", help="longest time of a job (that of Dask's jobqueue.yaml)")
    dask.add_argument(
        "--tls", nargs=3, metavar=("AUTHORITY", "CERTIFICATE", "KEY"), help="certificates that all machines have, in PEM"
    )
    dask.add_argument("--without-tls", action="store_true", help="accept that whoever reaches the scheduler runs programs")
    dask.add_argument("--attempts", metavar="N", type=_number, default=5, help="tries of an item that may be tried again (5)")
    dask.add_argument("--pause", metavar="SECONDS", type=_seconds, default=5.0, help="before the second try; doubles (5)")
    dask.add_argument("plan", metavar="PLAN")
    return parser


def _number(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("a number from 1 on is wanted")
    return number


def _seconds(word: str) -> float:
    seconds = float(word)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("seconds from 0 on are wanted")
    return seconds
