"""The command line: one file per noun. Everything but `serve` and `worker` speaks the native API, so that it does the
same against a running server and in place on the data directory."""

from postroom.cli.main import greet, run
from postroom.cli.wiring import Wiring

__all__ = ["Wiring", "greet", "run"]
