"""Refresh tokens, sealed: one row for each sign-in, replaced in place whenever the provider gives another.

A revision says which sign-in it goes with. So a replacement is no change of settings (no revision, no new ETag), every
revision with that sign-in has the newest, and one that is written while a replacement is under way loses nothing.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from postroom.store.schema import sign_in


@dataclass(frozen=True, slots=True)
class StoredSignIn:
    """`entered` is the SHA-256 of what a person gave: giving that once more is no change, whatever has replaced it."""

    id: int
    sealed: str
    entered: str


def place(tenant_id: int, profile_id: int) -> tuple[object, ...]:
    """What a profile's refresh token is sealed to."""
    return ("profile", tenant_id, profile_id, "refresh_token")


def add(connection: Connection, sealed: str, entered: str, *, now: int) -> int:
    new = insert(sign_in).values(sealed=sealed, entered=entered, changed_at=now).returning(sign_in.c.id)
    return int(connection.execute(new).scalar_one())


def sealed(connection: Connection, sign_in_id: int, *, to_replace: bool = False) -> str:
    """The refresh token in force; with `to_replace` nobody else can change it before this transaction is over."""
    wanted = select(sign_in.c.sealed).where(sign_in.c.id == sign_in_id)
    return str(connection.execute(wanted.with_for_update() if to_replace else wanted).scalar_one())


def replace(connection: Connection, sign_in_id: int, sealed: str, *, now: int) -> None:
    connection.execute(update(sign_in).where(sign_in.c.id == sign_in_id).values(sealed=sealed, changed_at=now))
