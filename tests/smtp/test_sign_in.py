"""OAuth 2 by refresh token: shown to a token endpoint that may replace it, and kept before anything is done with it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from postroom.domain.delivery import Deferred, Scope, Sent
from postroom.domain.problems import Unavailable
from postroom.domain.profile import ClientAuth, TokenGrant
from postroom.domain.secret import Secret
from postroom.smtp.route import Route
from postroom.smtp.send import send
from postroom.smtp.tokens import Tokens

from .conftest import CONTENT, ENVELOPE, PASSWORD, QUICK, route_to
from .test_oauth import FAILURES, knows, mood, oauth
from .tokens_from import Issuer, Rotating, answer, never_answers, open_issuer, token

FIRST = "1//the first+refresh/token"


@dataclass
class Drawer:
    """Where a refresh token is kept. `broken`: what keeping another one ends with."""

    token: str = FIRST
    broken: Exception | None = None
    happened: list[str] = field(default_factory=list)
    name: str = "drawer"

    async def newest(self) -> Secret:
        return Secret(self.token)

    async def replace(self, used: Secret, new: Secret) -> None:
        if self.broken is not None:
            raise self.broken
        if self.token == used.reveal():
            self.token = new.reveal()
        self.happened.append(f"kept {new.reveal()}")


@pytest.fixture
async def issuer() -> AsyncIterator[Callable[..., Awaitable[Issuer]]]:
    async with AsyncExitStack() as stack:

        async def opened(*answers: Any) -> Issuer:
            return await stack.enter_async_context(open_issuer(*answers))

        yield opened


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


def signed_in(
    relay: Any, provider: Issuer, drawer: Drawer | None, *, secret: str | None = PASSWORD, **said: Any
) -> Route:
    route = oauth(route_to(relay, plaintext=True), provider.url, token_grant=TokenGrant.REFRESH_TOKEN, **said)
    return replace(route, sign_in=drawer, password=Secret(secret) if secret else None)


async def outcome_of(route: Route) -> Any:
    attempt = await send(route, ENVELOPE, CONTENT)
    for secret in (PASSWORD, FIRST, "1//refresh", "ya29"):
        assert secret not in attempt.transcript + repr(attempt) + repr(route)
    (outcome,) = attempt.outcomes.values()
    return outcome


BASIC = base64.b64encode(b"the+client%3A:correct-horse-battery").decode()
IN_BODY = {"client_id": "the client:", "client_secret": PASSWORD}


@pytest.mark.parametrize(
    ("how", "secret", "shown", "header"),
    [
        (ClientAuth.BODY, PASSWORD, IN_BODY, None),
        (ClientAuth.BASIC, PASSWORD, {}, BASIC),
        (ClientAuth.BODY, None, {"client_id": "the client:"}, None),
        (ClientAuth.BASIC, None, {"client_id": "the client:"}, None),
    ],
)
async def test_what_is_shown_to_the_token_endpoint(relay, issuer, drawer, how, secret, shown, header):
    provider = await issuer(token("ya29.access-1"))
    good = await relay(mood(knows("ya29.access-1")))
    route = signed_in(
        good, provider, drawer, secret=secret, token_client_auth=how, client_id="the client:", token_scope="send"
    )
    assert isinstance(await outcome_of(route), Sent)
    assert provider.forms == [{"grant_type": "refresh_token", "refresh_token": FIRST, "scope": "send", **shown}]
    sent = [line for line in provider.heads[0].splitlines() if line.lower().startswith("authorization")]
    assert [line.split()[-2:] for line in sent] == ([["Basic", header]] if header else [])
    assert drawer.happened == []  # this provider does not replace it


async def test_client_credentials_by_basic(relay, issuer):
    provider = await issuer(token("ya29.access-1"))
    route = oauth(route_to(await relay(mood(knows("ya29.access-1"))), plaintext=True), provider.url)
    route = replace(route, profile=replace(route.profile, token_client_auth=ClientAuth.BASIC, client_id="the client:"))
    assert isinstance(await outcome_of(route), Sent)
    assert provider.forms == [{"grant_type": "client_credentials"}]
    assert f"Basic {BASIC}" in provider.heads[0]


async def test_a_new_refresh_token_is_kept_before_its_access_token_is_shown(relay, issuer, drawer):
    provider = await issuer(Rotating(FIRST))

    async def notes(visit: Any) -> None:
        drawer.happened.append("login")
        await knows("ya29.access-1", "ya29.access-2")(visit)

    good = await relay(mood(notes))
    now = 0.0
    route = replace(signed_in(good, provider, drawer), tokens=Tokens(clock=lambda: now))
    for at in (0.0, 100.0, 4000.0):
        now = at
        assert isinstance(await outcome_of(route), Sent)
    assert drawer.happened == ["kept 1//refresh 1", "login", "login", "kept 1//refresh 2", "login"]
    assert [form["refresh_token"] for form in provider.forms] == [FIRST, "1//refresh 1"]


async def test_one_that_could_not_be_kept_is_not_used_and_kept_the_next_time(relay, issuer, drawer):
    provider = await issuer(Rotating(FIRST))
    good = await relay(mood(knows("ya29.access-1", "ya29.access-2")))
    route = signed_in(good, provider, drawer)
    drawer.broken = OSError("the disk is full")
    for _ in range(2):
        outcome = await outcome_of(route)
        assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "oauth.not_kept", Scope.RELAY)
    assert (good.said["AUTH"], provider.visits, drawer.token) == (0, 1, FIRST)
    drawer.broken = None
    assert isinstance(await outcome_of(route), Sent)
    assert drawer.happened == ["kept 1//refresh 1", "kept 1//refresh 2"]


async def test_when_the_server_stops_one_that_could_not_be_kept_is_tried_once_more(relay, issuer, drawer):
    route = signed_in(await relay(mood()), await issuer(Rotating(FIRST)), drawer)
    drawer.broken = OSError("the disk is full")
    await outcome_of(route)
    await route.tokens.close()  # and if it still can't be, stopping goes on
    drawer.broken = None
    await route.tokens.close()
    assert drawer.happened == ["kept 1//refresh 1"]


async def test_a_refused_refresh_token_says_sign_in_again(relay, issuer, drawer):
    good, provider = await relay(mood()), await issuer(Rotating("another"))
    outcome = await outcome_of(signed_in(good, provider, drawer))
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, "oauth.signed_out", Scope.PROFILE)
    assert (
        "no longer takes the refresh token (400, invalid_grant: Token *** has been used or revoked.)" in outcome.message
    )
    assert "Sign in again" in outcome.message
    assert (good.said["AUTH"], provider.visits) == (0, 1)


async def test_what_another_machine_was_given_is_tried_before_that_is_said(relay, issuer, drawer):
    provider = await issuer(Rotating("theirs"))

    @dataclass
    class Shared(Drawer):
        """Somebody else replaces it while ours is on its way."""

        async def newest(self) -> Secret:
            now = self.token
            self.token = "theirs"
            return Secret(now)

    good = await relay(mood(knows("ya29.access-1")))
    assert isinstance(await outcome_of(signed_in(good, provider, Shared())), Sent)
    assert [form["refresh_token"] for form in provider.forms] == [FIRST, "theirs"]


@pytest.mark.parametrize(("mood_of_issuer", "code", "scope"), FAILURES)
async def test_a_token_endpoint_that_fails_costs_no_refresh_token(relay, issuer, drawer, mood_of_issuer, code, scope):
    good, provider = await relay(mood()), await issuer(mood_of_issuer)
    route = signed_in(good, provider, drawer)
    route = replace(route, timeouts=QUICK) if mood_of_issuer is never_answers else route
    outcome = await outcome_of(route)
    assert (type(outcome), outcome.code, outcome.scope) == (Deferred, code, scope)
    assert (good.said["AUTH"], drawer.token, drawer.happened) == (0, FIRST, [])


@pytest.mark.parametrize("junk", ["", "line\nbreak", "ünïcode", "x" * 5000, 7, ["list"]])
async def test_a_new_refresh_token_that_can_be_none_is_not_kept(relay, issuer, drawer, junk):
    provider = await issuer(token("ya29.access-1", refresh_token=junk))
    outcome = await outcome_of(signed_in(await relay(mood()), provider, drawer))
    assert (outcome.code, drawer.happened) == ("oauth.malformed", [])


async def test_one_request_for_all_who_wait_and_no_end_of_theirs_ends_it(issuer, drawer):
    provider = await issuer(Rotating(FIRST))
    route = signed_in(1, provider, drawer)
    waiting = [asyncio.ensure_future(route.tokens.get(route.grant(), route.reach, 5)) for _ in range(10)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await route.tokens.close()  # as when the server is told to stop
    assert (provider.visits, drawer.token) == (1, "1//refresh 1")


async def test_what_the_provider_says_is_passed_on_without_any_secret(relay, issuer, drawer):
    said = f"{PASSWORD} {FIRST} {BASIC}"
    provider = await issuer(answer(401, error="invalid_client", error_description=said))
    route = signed_in(
        await relay(mood()), provider, drawer, token_client_auth=ClientAuth.BASIC, client_id="the client:"
    )
    assert "(401, invalid_client: *** *** ***)" in (await outcome_of(route)).message


async def test_without_a_refresh_token_nothing_is_asked(relay, issuer):
    good, provider = await relay(mood()), await issuer(token("ya29.access-1"))
    outcome = await outcome_of(signed_in(good, provider, None))
    assert (outcome.code, outcome.scope, provider.visits) == ("settings.no_refresh_token", Scope.PROFILE, 0)


async def test_a_refresh_token_that_can_not_be_opened_is_told_in_the_vault_s_words(relay, issuer):
    class Locked(Drawer):
        async def newest(self) -> Secret:
            raise Unavailable("The stored secret can't be opened.")

    outcome = await outcome_of(signed_in(await relay(mood()), await issuer(token("x")), Locked()))
    assert (outcome.code, outcome.scope) == ("settings.unusable", Scope.PROFILE)
    assert "can't be opened" in outcome.message
