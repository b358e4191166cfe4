"""Set in any dialect, read in any other: what survives is what the table in the documents says."""

import itertools
from typing import Any

import pytest
from test_laws import path, saves, shows

from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect
from postroom.domain.profile import Auth, Profile
from postroom.domain.secret import Secret
from serving import House
from test_docs import tables

NAMES = [name for name in Profile.__slots__ if name != "extras"]


async def told(house: House, speaker: Dialect, example: Profile, headers: dict[str, str]) -> None:
    """Set the profile as that product's clients do."""
    secret = Secret("canary-matrix") if example.auth is not Auth.NONE else None
    save = saves(speaker)[0]
    answer = await house.client.request(
        save.method, path(save), json=request_body(speaker, example, secret), headers=headers
    )
    assert answer.status_code == save.status, answer.text


def request_body(speaker: Dialect, example: Profile, secret: Secret | None) -> Any:
    return speaker.enclose(speaker.write(example, secret))


async def heard(house: House, listener: Dialect, headers: dict[str, str]) -> dict[str, Any]:
    """The profile as a client of that product reads it."""
    show = shows(listener)[0]
    answer = await house.client.request(show.method, path(show), headers=headers)
    return listener.read(listener.unwrap(answer.status_code, answer.json())).settings()


@pytest.mark.parametrize(("speaker", "listener"), list(itertools.product(ALL, ALL)), ids=lambda dialect: dialect.name)
async def test_what_is_set_in_one_is_read_in_the_other_as_the_table_says(
    house: House, speaker: Dialect, listener: Dialect
):
    key = Secret(await house.key())
    if not shows(listener):
        pytest.skip(f"{listener.name} has no way to read settings")
    for example in tables.EXAMPLES:
        await house.client.put("/v1/profiles/default", json={"host": "blank.example"}, headers=house.admin)
        await told(house, speaker, example, dict(speaker.key_styles[0].attach(key)))
        there = await heard(house, listener, dict(listener.key_styles[0].attach(key)))
        lost = set(speaker.loss(example)) | set(listener.loss(example))
        for name in NAMES:
            if name in there and name not in lost:
                assert there[name] == getattr(example, name), (speaker.name, listener.name, name)
            if tables.survival(speaker, name) == tables.survival(listener, name) == "yes":
                assert name not in lost
