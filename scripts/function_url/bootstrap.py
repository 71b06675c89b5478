"""The function instance: loads `index.py` and calls `main_handler` the way SCF's Python runtime does.

Runs as `python bootstrap.py REQUESTS ANSWERS INDEX` with the code root as working directory. REQUESTS and
ANSWERS are inherited file descriptors that carry one JSON object per line. Standard output and error belong
to the function. It uses only the standard library, because only the function's packages are installed here.
"""

import importlib.machinery
import importlib.util
import io
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import IO

USER_CODE_ERROR = 430
HANDLER_NOT_FOUND = 437


def main() -> None:
    """Load the function, report the result, then answer one request after another until the pipe closes."""
    requests = _private(int(sys.argv[1]), "r")
    answers = _private(int(sys.argv[2]), "w")
    _prepare_interpreter()
    index = sys.argv[3]
    try:
        module = _load(index)
    except Exception as error:  # noqa: BLE001  # the function's own code: anything may come
        there = os.path.isfile(index)  # noqa: PTH113  # './index.py' as the runtime has it
        _say(answers, _failure(USER_CODE_ERROR if there else HANDLER_NOT_FOUND, error))
        return
    handler = getattr(module, "main_handler", None)
    if handler is None:
        _say(answers, {"code": HANDLER_NOT_FOUND, "trace": f"{index} has no main_handler"})
        return
    _say(answers, {"ready": True})
    for line in requests:
        # Reported before the function runs: without this report, the request may go to another instance.
        _say(answers, {"began": True})
        _say(answers, _run(handler, json.loads(line)))


def _private(descriptor: int, mode: str) -> IO[str]:
    os.set_inheritable(descriptor, False)  # noqa: FBT003  # positional only
    return open(descriptor, mode, encoding="utf-8")


def _prepare_interpreter() -> None:
    sys.dont_write_bytecode = True
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # compared with sys.path as text
    sys.path[:] = [folder for folder in sys.path if folder != here]
    if os.getcwd() not in sys.path:  # noqa: PTH109  # as above
        sys.path.insert(0, os.getcwd())  # noqa: PTH109  # as above
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that output reaches the log even after a kill
    # SCF's bootstrap does the same, so whatever a library logs at DEBUG ends up in the function's log.
    logging.basicConfig(
        level=logging.DEBUG, stream=sys.stdout, format="[%(levelname)s] %(asctime)s %(name)s %(message)s"
    )


def _load(index: str) -> ModuleType:
    if sys.version_info >= (3, 12):  # no `imp` any more
        loader = importlib.machinery.SourceFileLoader("index", index)
        spec = importlib.util.spec_from_file_location("index", index, loader=loader)
        assert spec is not None  # noqa: S101  # only without a loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["index"] = module
        loader.exec_module(module)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import imp  # gone in 3.12
        module = imp.load_source("index", index)  # what `imp.load_module` does with a source file
    return module


def _run(
    handler: Callable[[object, object], object], request: dict[str, dict[str, str]]
) -> dict[str, object]:
    # Set again for each call, as SCF does: credentials change, and the function's own changes are lost.
    os.environ.clear()
    os.environ.update(request["environment"])
    answer: dict[str, object]
    try:
        value = handler(request["event"], request["context"])
        message = json.dumps(value)
        answer = {"value": value}
    except Exception as error:  # noqa: BLE001  # the function's own code: anything may come
        answer = _failure(USER_CODE_ERROR, error)
        message = json.dumps(answer)
    # SCF writes every return value to the log, and no setting stops that.
    print(f"Response RequestId:{request['context']['request_id']} RetMsg:{message}", flush=True)
    sys.stderr.flush()
    return answer


def _failure(code: int, error: Exception) -> dict[str, object]:
    return {"code": code, "trace": "".join(traceback.format_exception(error))}


def _say(answers: IO[str], message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
