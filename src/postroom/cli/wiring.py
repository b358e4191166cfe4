"""What `app.py` gives the command line, which may not import it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from starlette.types import ASGIApp

from postroom.config import Config
from postroom.domain.secret import Secret


class Opened(Protocol):
    """The part of an opened Postroom that commands in place need."""

    @property
    def site(self) -> ASGIApp: ...

    @property
    def operator_key(self) -> Secret: ...

    @property
    def first_key(self) -> Secret | None: ...


class Serve(Protocol):
    def __call__(self, config: Config, *, with_web: bool = True, with_worker: bool = True) -> None: ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """`opened` opens the data directory in place."""

    serve: Serve
    opened: Callable[[Config], AbstractAsyncContextManager[Opened]]
