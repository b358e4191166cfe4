"""`env:NAME` and `file:PATH` in place of a password: what is kept is the reference, and what it names is read anew for
each connection, so that whoever replaces a mounted secret need not tell us.

The operator says what may be named (POSTROOM_SECRET_REFERENCES). A reference is read with the server's own rights, so
only callers of the whole installation may give one (`actions/profiles.py`): a tenant would read another's.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from postroom.domain.problems import Invalid
from postroom.domain.secret import Secret

LONGEST = 4096  # octets, as of any secret
_OURS = "POSTROOM_"  # our own keys are nobody's password


@dataclass(frozen=True, slots=True)
class References:
    """`allowed` are patterns such as `env:SMTP_*` and `file:/run/secrets/*`; a star stands for anything but a slash."""

    allowed: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def check(self, secret: Secret, *, by_operator: bool) -> None:
        """Before a reference is kept. Raises Invalid."""
        if is_reference(secret) and not by_operator:
            raise Invalid("password", "Only a key of the whole installation can give a reference (env:…, file:…).")
        self.resolved(secret)

    def resolved(self, secret: Secret) -> Secret:
        """What a reference names; any other secret is answered as it is. Raises Invalid, which tells no value."""
        if not is_reference(secret):
            return secret
        kind, _, name = secret.reveal().partition(":")
        value = self._from_environment(name) if kind == "env" else self._from_file(name)
        if not value or "\x00" in value:
            raise Invalid("password", f"What {kind}:{name} names is empty, or has a NUL character.")
        return Secret(value)

    def _from_environment(self, name: str) -> str:
        allowed = any(fnmatchcase(f"env:{name}", each) for each in self.allowed if each.startswith("env:"))
        if not allowed or name.startswith(_OURS):
            raise _not_allowed()
        if name not in self.environment:
            raise Invalid("password", f"env:{name} is not set in the environment of the server.")
        return self.environment[name]

    def _from_file(self, name: str) -> str:
        path = Path(name)
        patterns = [Path(each.removeprefix("file:")) for each in self.allowed if each.startswith("file:")]
        homes = [each.parent for each in patterns if path.parent == each.parent and fnmatchcase(path.name, each.name)]
        if not homes or ".." in path.parts or os.path.normpath(name) != name:
            raise _not_allowed()
        try:
            real = path.resolve(strict=True)
            # Kubernetes mounts secrets as links inside of their directory; what leads out of it is another matter.
            if not real.is_relative_to(homes[0].resolve(strict=True)):
                raise _not_allowed()
            return _read(real, name)
        except OSError as error:
            raise Invalid("password", f"file:{name} can't be read by the server ({error.strerror}).") from None


def is_reference(secret: Secret | None) -> bool:
    return secret is not None and secret.reveal().startswith(("env:", "file:"))


def _read(real: Path, name: str) -> str:
    handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would have us wait
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Invalid("password", f"file:{name} is not a regular file.")
        octets = file.read(LONGEST + 1)
    if len(octets) > LONGEST:
        raise Invalid("password", f"file:{name} is longer than {LONGEST} octets.")
    try:
        return octets.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Invalid("password", f"file:{name} is not text in UTF-8.") from None


def _not_allowed() -> Invalid:
    return Invalid(
        "password",
        "The operator does not allow this reference (POSTROOM_SECRET_REFERENCES). A password can't begin with env: or "
        "file: as such.",
    )
