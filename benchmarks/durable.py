"""The same five steps as a DBOS workflow, for comparison; runs with the interpreter of the peer's environment.

`python durable.py URL RUNS ROUNDS`: a line `ready`, then for each line read one round and its seconds.
"""

from __future__ import annotations

import sys
import time

from dbos import DBOS  # type: ignore[import-not-found,unused-ignore]

STEPS = 5

_url, _runs, _rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": _url, "run_admin_server": False, "log_level": "ERROR"})


@DBOS.step()  # type: ignore[untyped-decorator,unused-ignore]
def add_one(number: int) -> int:
    return number + 1


@DBOS.workflow()  # type: ignore[untyped-decorator,unused-ignore]
def five(number: int) -> int:
    for _ in range(STEPS):
        number = add_one(number)
    return number


def main() -> None:
    DBOS.launch()
    print("ready", flush=True)
    for _ in range(_rounds):
        sys.stdin.readline()
        begin = time.perf_counter()
        started = [DBOS.start_workflow(five, 0) for _ in range(_runs)]
        if {one.get_result() for one in started} != {STEPS}:
            raise RuntimeError("a workflow went wrong")
        print(time.perf_counter() - begin, flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
