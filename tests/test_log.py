"""What a log may say of a mistake."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from postroom import log


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    log.forget()


def _log_in(password: str) -> None:
    raise ValueError("the login went wrong")


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_names_places_and_no_values(form: str, capsys: pytest.CaptureFixture[str]):
    log.configure(form, "debug")
    try:
        _log_in("canary" + "-42")
    except ValueError as error:
        log.worker_failed(error)
    written = capsys.readouterr().err
    assert "the login went wrong" in written
    assert "_log_in" in written
    assert "canary-42" not in written


def _events() -> dict[str, Any]:
    inner = {"configure", "dropped", "forget"}
    return {name: each for name, each in vars(log).items() if inspect.isfunction(each) and name not in inner}


@pytest.mark.parametrize("name", _events())
def test_each_event_bears_its_functions_name_and_is_told_what_it_means(name: str):
    event = _events()[name]
    kinds: dict[Any, Any] = {
        int: 1,
        float: 1.0,
        str: "x",
        bool: True,
        list[str]: ["x"],
        BaseException: OSError("x"),
        dict[str, int]: {"x": 1},
    }
    given = {each.name: kinds[each.annotation] for each in inspect.signature(event).parameters.values()}
    log.configure("json", "debug")
    with capture_logs() as written:
        event(**given)
    assert [each["event"] for each in written] == [name]
    assert event.__doc__


WITH_NOBODY_READING = """
import os, sys
from postroom import log
read, write = os.pipe()
os.close(read)
os.dup2(write, 2)
log.configure(sys.argv[1], "debug")
for n in range(3):
    log.lane_well(n)
try:
    raise ValueError("x")
except ValueError as error:
    log.worker_failed(error)
print("went on", log.dropped())
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_pipe_that_nobody_reads_any_more_stops_nothing(form: str):
    done = subprocess.run(
        [sys.executable, "-c", WITH_NOBODY_READING, form], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "went on 4\n"


def test_neither_does_a_disk_that_is_full():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    script = 'from postroom import log; log.configure("json", "info"); log.lane_well(1); print(log.dropped())'
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", f"import os; {script}; os.sys.stdout.flush(); os._exit(0)"], stdout=subprocess.PIPE,
            stderr=full, text=True, timeout=60, check=True,
        )  # fmt: skip
    assert done.stdout == "1\n"
