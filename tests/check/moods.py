"""Moods of the relays of this table."""

import base64
from typing import Any

from smtp.moods import Act, Mood, Visit, knows

from .row import PASSWORD, USER

LOGIN = ("AUTH PLAIN LOGIN",)


def good(
    *more: str, user: str = USER, password: str = PASSWORD, login: tuple[str, ...] = LOGIN, **answers: Any
) -> Mood:
    """Offers a login, before TLS and behind it, and knows one user."""
    offers = ("PIPELINING", "SIZE 50000000", "8BITMIME", *login, *more)
    return Mood({"AUTH": knows(user, password), **answers}, offers=offers)


def says(**answers: str) -> Mood:
    """A good one but for these answers."""
    return good(**{moment: f"{answer}\r\n".encode() for moment, answer in answers.items()})


def unless_logged_in(answer: str) -> Act:
    """To MAIL or RCPT."""

    async def act(visit: Visit) -> bytes:
        said = f"{answer}\r\n".encode() if not _has_logged_in(visit) else b"250 2.1.0 ok\r\n"
        await visit.say(said)
        return said

    return act


def _has_logged_in(visit: Visit) -> bool:
    # Of this visit: what was heard since its last EHLO.
    heard = visit.relay.heard
    last = max(n for n, line in enumerate(heard) if line.upper().startswith("EHLO"))
    return any(line.upper().startswith("AUTH ") for line in heard[last:])


def unless_heard(words: str, answer: str) -> Act:
    """Until the relay has heard a line with these words."""

    async def act(visit: Visit) -> bytes:
        said = b"250 2.1.0 ok\r\n" if any(words in line for line in visit.relay.heard) else f"{answer}\r\n".encode()
        await visit.say(said)
        return said

    return act


def unless_secure(answer: str) -> Act:
    async def act(visit: Visit) -> bytes:
        said = b"250 2.1.0 ok\r\n" if visit.secure else f"{answer}\r\n".encode()
        await visit.say(said)
        return said

    return act


def logs_in_only_securely(answer: str) -> Act:
    known = knows(USER, PASSWORD)

    async def act(visit: Visit) -> bytes | None:
        if visit.secure:
            return await known(visit)
        await visit.say(f"{answer}\r\n".encode())
        return None

    return act


def knows_only(user: str, password: str, answer: str) -> Act:
    """AUTH PLAIN; whoever else gets `answer`."""

    async def act(visit: Visit) -> None:
        *_, initial = visit.relay.heard[-1].split(" ")
        right = base64.b64decode(initial).split(b"\0")[1:] == [user.encode(), password.encode()]
        await visit.say(b"235 2.7.0 welcome\r\n" if right else f"{answer}\r\n".encode())

    return act


def refuses_login(answer: str, user: str = USER, password: str = PASSWORD) -> Mood:
    return good(login=("AUTH PLAIN",), AUTH=knows_only(user, password, answer))
