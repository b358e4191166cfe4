"""Options that belong together are a dataclass; a command that takes one has an option for each of its fields."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any


def spread(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The parameter annotated with the dataclass `kind` is replaced by its fields, each with a Typer annotation."""

    def around(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        together = next(name for name, parameter in own.items() if parameter.annotation is kind)
        names = [field.name for field in fields(kind)]

        @functools.wraps(command)
        def apart(**given: Any) -> None:
            said = kind(**{name: given.pop(name) for name in names})
            command(**given, **{together: said})

        parameters = [*(p for name, p in own.items() if name != together), *inspect.signature(kind).parameters.values()]
        spelled = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        vars(apart)["__signature__"] = inspect.Signature(spelled)
        apart.__annotations__ = {parameter.name: parameter.annotation for parameter in spelled}
        return apart

    return around
