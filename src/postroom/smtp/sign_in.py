"""A person's sign-in that was left to us: a refresh token (RFC 6749 section 6), and whoever keeps it durably.

A provider may give a new refresh token with any answer and take back the old one ("rotation"), so the new one is kept
before anything that came with it is used: a crash after that loses nothing.
"""

from typing import Protocol

from postroom.domain.secret import Secret


class SignIn(Protocol):
    @property
    def name(self) -> str:
        """Whoever has the same may have the same access token. It stays when the refresh token is replaced."""
        ...

    async def newest(self) -> Secret:
        """The refresh token in force. Raises Problem when it can't be opened."""
        ...

    async def replace(self, used: Secret, new: Secret) -> None:
        """Durable when it returns. Somebody else may have replaced `used` meanwhile; then theirs stays."""
        ...
