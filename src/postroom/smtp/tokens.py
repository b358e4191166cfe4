"""The access tokens that are in use: kept until shortly before they expire, and asked for once, however many wait.

In memory only: a token is as good as a password, and a new one costs one request. What can't be had again is a new
refresh token: it is handed to whoever keeps it (`sign_in.py`) before the access token beside it is given to anyone. Use
it inside one event loop.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from postroom.domain.delivery import Scope
from postroom.domain.problems import Problem
from postroom.domain.secret import Secret
from postroom.smtp.dialogue import Token
from postroom.smtp.failure import Failure
from postroom.smtp.grant import Grant, Issued, failed
from postroom.smtp.oauth import ask_for_token
from postroom.smtp.reach import Reach
from postroom.smtp.sign_in import SignIn

MOST_KEPT = 1000
LONGEST_MARGIN = 60.0  # seconds before its end that a token is not used any more: clocks differ, and a login takes time

Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Secret
    host: str
    until: float


class Tokens:
    """One for all routes of a process. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._asking: dict[Key, asyncio.Task[Issued | Failure]] = {}
        self._unkept: dict[str, tuple[SignIn, Secret, Secret]] = {}  # the refresh token that was shown, and the new one

    async def get(
        self, grant: Grant, reach: Reach, seconds: float, *, instead_of: Token | None = None
    ) -> Token | Failure:
        """A token that can be used now, and that is not the one that turned out to be of no more use."""
        key = grant.key()
        kept = self._kept.get(key)
        if kept is not None and instead_of is not None and kept.value == instead_of.value:
            del self._kept[key]
            kept = None
        if kept is not None and self._clock() < kept.until:
            return Token(kept.value, f"from {kept.host}, kept from before", kept=True)
        issued = await self._issue(key, grant, reach, seconds)
        return issued if isinstance(issued, Failure) else Token(issued.value, f"from {issued.host}")

    async def close(self) -> None:
        """Let what is asked for come to its end: a new refresh token may be on its way."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        unkept = [self._keep_refresh_token(sign_in) for sign_in, *_ in self._unkept.values()]
        await asyncio.gather(*unkept, return_exceptions=True)

    async def _issue(self, key: Key, grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(self._ask(key, grant, reach, seconds))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # Who goes away takes nothing from the others who wait.
        return await asyncio.shield(task)

    async def _ask(self, key: Key, grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
        asked_at = self._clock()
        if grant.sign_in is None:
            issued = await ask_for_token(grant, reach, seconds)
        else:
            issued = await self._ask_as(grant.sign_in, grant, reach, seconds)
        if isinstance(issued, Issued):
            margin = min(LONGEST_MARGIN, issued.seconds / 2)
            self._keep(key, _Kept(issued.value, issued.host, asked_at + issued.seconds - margin))
        return issued

    async def _ask_as(self, sign_in: SignIn, grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
        try:
            await self._keep_refresh_token(sign_in)
            shown = await sign_in.newest()
            issued = await ask_for_token(replace(grant, refresh_token=shown), reach, seconds)
            if isinstance(issued, Failure) and issued.code == "oauth.signed_out" and shown != await sign_in.newest():
                # Another machine was given a new one while we showed the old one.
                shown = await sign_in.newest()
                issued = await ask_for_token(replace(grant, refresh_token=shown), reach, seconds)
            if isinstance(issued, Issued) and issued.refresh_token not in (None, shown):
                self._unkept[sign_in.name] = sign_in, shown, issued.refresh_token
                await self._keep_refresh_token(sign_in)
        except Problem as problem:
            return failed("settings.unusable", problem.message, Scope.PROFILE)
        except Exception as error:
            what = f"The refresh token could not be read or kept here ({type(error).__name__})."
            return failed("oauth.not_kept", what, Scope.RELAY)
        return issued

    async def _keep_refresh_token(self, sign_in: SignIn) -> None:
        """Also one that could not be kept the last time: the provider may take no other."""
        if sign_in.name in self._unkept:
            _, shown, new = self._unkept[sign_in.name]
            await sign_in.replace(shown, new)
            del self._unkept[sign_in.name]

    def _keep(self, key: Key, kept: _Kept) -> None:
        now = self._clock()
        self._kept = {key: kept for key, kept in self._kept.items() if now < kept.until}
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept
