"""The command line: one file per noun. Everything but `serve` and `worker` speaks the native API, so that it does the
same against a server and in place on the data directory."""

from postroom.cli.greeting import greet
from postroom.cli.main import run
from postroom.cli.wiring import Opened, Wiring

__all__ = ["Opened", "Wiring", "greet", "run"]
