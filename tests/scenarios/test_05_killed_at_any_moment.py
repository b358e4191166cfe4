"""A short kill campaign (the long one is `.ci/kills`): wherever the server dies, nothing accepted is lost, nothing is
accepted twice, and what arrives twice was known to be in doubt; and the campaign finds it when that is not so."""

from pathlib import Path

import pytest

from kills.campaign import NAMED, Campaign


async def test_killed_once_at_each_named_point(tmp_path: Path):
    figures = await Campaign(tmp_path, seed=1).run(NAMED)
    assert figures.other_faults == []
    assert (figures.lost, figures.accepted_twice, figures.duplicates_unexplained) == (0, 0, 0)
    assert figures.points_missed == {}  # it died where it should have
    assert figures.kills_by_point == dict.fromkeys(NAMED, 1)
    assert figures.requests_asked_again
    assert figures.duplicates


async def test_killed_with_its_mail_in_postgresql(tmp_path: Path, postgresql_url: str):
    plan = ("accept.committed", "settle.written", "relay.dot", "doubt.committed")
    figures = await Campaign(tmp_path, database_url=postgresql_url, seed=1).run(plan)
    assert figures.other_faults == []
    assert (figures.lost, figures.accepted_twice, figures.duplicates_unexplained) == (0, 0, 0)
    assert figures.points_missed == {}


@pytest.mark.parametrize(
    ("broken", "points", "found"),
    [
        ("answer-before-commit", ("accept.written", "accept.done"), "lost"),
        ("no-doubt", ("relay.dot",), "duplicates_unexplained"),
        ("no-keys", ("accept.committed",), "accepted_twice"),
    ],
)
async def test_the_campaign_finds_what_is_broken_on_purpose(
    tmp_path: Path, broken: str, points: tuple[str, ...], found: str
):
    figures = await Campaign(tmp_path, seed=1, broken=broken).run(points)
    assert getattr(figures, found) > 0
    faults = {"lost", "accepted_twice", "duplicates_unexplained"}
    assert [each for each in faults - {found} if getattr(figures, each)] == []
