"""Many images, on one machine or many: a plan, its items, and what became of them::

    import instar.fleet

    plan = instar.fleet.plan(["a.vmdk", "b.qcow2"], "out", "plan.jsonl", target_format="qcow2")
    outcome = instar.fleet.run_item(plan, 0)
    print(outcome.state, outcome.error)
    instar.fleet.finish(plan)

Items may be run in any order, by any engine, on any machine that has the files under the same names. ``instar-fleet dask``,
or ``python -m instar.fleet dask``, runs them all on Dask.
"""

import sys

from . import _fleets
from ._fleets import Item, Outcome, Status
from ._run import now as _now

__all__ = ["Item", "Outcome", "Status", "finish", "plan", "plan_ranges", "run_item", "status"]

finish = _now(_fleets.finish, __name__)
plan = _now(_fleets.plan, __name__)
plan_ranges = _now(_fleets.plan_ranges, __name__)
run_item = _now(_fleets.run_item, __name__)
status = _now(_fleets.status, __name__)

if __name__ == "__main__":
    from ._engine.command import main

    sys.exit(main())
