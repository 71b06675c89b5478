"""One instance of a function, as SCF starts it: loads `index` from a folder and answers events.

Runs as `python -I -B instance.py FOLDER EVENTS`, with a file of JSON lines, and prints a JSON line: the
status, milliseconds and CPU milliseconds of each answer, the most memory that the process ever had, and the
modules that it has loaded. Before it loads `index` it imports nothing that would count for the function.
"""

import os
import sys
import time

_begun = time.perf_counter(), time.process_time()
sys.path[0:0] = [sys.argv[1]]


def main() -> None:
    """Answer all events."""
    import index  # type: ignore[import-not-found]  # in FOLDER

    loaded = time.perf_counter(), time.process_time()

    import json  # every function has loaded it by now

    spans = []
    with open(sys.argv[2], encoding="utf-8") as events:  # noqa: PTH123  # pathlib would be loaded for it
        for line in events:
            event = json.loads(line)
            wall, cpu = time.perf_counter(), time.process_time()
            answer = index.main_handler(event, {"request_id": "bench", "time_limit_in_ms": 60_000})
            spans.append(
                (
                    answer["statusCode"],
                    (time.perf_counter() - wall) * 1000,
                    (time.process_time() - cpu) * 1000,
                )
            )
    # Not ru_maxrss, which also counts the parent from before the exec (getrusage(2), proc(5)).
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123  # as above
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    report = {
        "import_ms": [(loaded[0] - _begun[0]) * 1000, (loaded[1] - _begun[1]) * 1000],
        "answers": spans,
        "memory_kb": peak,
        "modules": sorted(sys.modules),
    }
    print("REPORT " + json.dumps(report), flush=True)
    # SCF freezes an instance and does not end it, so the time for tidying up does not count.
    os._exit(0)


if __name__ == "__main__":
    main()
