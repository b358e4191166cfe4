"""How long a wrong key takes tells nothing of how much of it is right (V17).

Guesses that share 0, 8, 16 and 31 characters with a key that is good take turns, each round in another order, so that
what the machine does meanwhile is in all of them. Yuen's t, which a few odd rounds do not move, says whether they
differ. Speed is no matter of plain tests: this is one of `./test -m campaign` only."""

import random
import secrets
import statistics
import string
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from postroom.actions.rates import Rates
from postroom.domain.problems import Unauthenticated
from postroom.domain.secret import Secret
from serving import House, a_house

pytestmark = pytest.mark.campaign

EACH = 10_000
RIGHT = (0, 8, 16, 31)  # characters from the first on
SUSPICIOUS = 4.5  # |t| beyond which it is no chance
TRIMMED = 0.25  # of the differences, at either end
HERE = "192.0.2.1"

Guess = Callable[[str], Awaitable[None]]


class Clock:
    """Each look at it is an hour later: nobody has guessed lately."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 3600
        return self.now


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, rates=Rates(Clock())) as house:
        yield house


def rounds(key: str) -> Iterator[list[tuple[int, str]]]:
    """How many characters are right, and the guess: as long as the key, and wrong from there on."""
    dice = random.Random(17)  # noqa: S311  for repeating
    letters = string.ascii_letters + string.digits
    for _ in range(EACH):
        yield [
            (right, key[:right] + dice.choice(letters.replace(key[right], "")) + "".join(dice.choices(letters, k=rest)))
            for right in dice.sample(RIGHT, len(RIGHT))
            for rest in [len(key) - right - 1]
        ]


async def compared(key: str, guess: Guess) -> dict[int, float]:
    """The t of each number of right characters against none."""
    times: dict[int, list[int]] = {right: [] for right in RIGHT}
    for some in rounds(key):
        for right, text in some:
            started = time.perf_counter_ns()
            await guess(text)
            times[right].append(time.perf_counter_ns() - started)
    return {right: yuen([one - none for one, none in zip(times[right], times[0], strict=True)]) for right in RIGHT[1:]}


def yuen(differences: list[int]) -> float:
    """The trimmed mean by its standard error, which comes from the winsorized variance (Yuen 1974)."""
    ordered, count = sorted(differences), len(differences)
    cut = int(TRIMMED * count)
    kept = ordered[cut : count - cut]
    winsorized = [kept[0]] * cut + kept + [kept[-1]] * cut
    return float(statistics.fmean(kept) / (statistics.stdev(winsorized) / ((1 - 2 * TRIMMED) * count**0.5)))


def told(figures: dict[int, float]) -> dict[int, float]:
    return {right: round(t, 2) for right, t in figures.items() if abs(t) >= SUSPICIOUS}


@pytest.mark.parametrize("whose", ["of a tenant", "of the operator"])
async def test_a_wrong_key_takes_as_long_however_much_of_it_is_right(house: House, whose: str):
    key = await house.key() if whose == "of a tenant" else house.postroom.operator_key.reveal()
    assert len(key) > max(RIGHT)
    assert (await house.postroom.room.keys.authenticate(Secret(key), HERE)).name

    async def guess(text: str) -> None:
        with pytest.raises(Unauthenticated):
            await house.postroom.room.keys.authenticate(Secret(text), HERE)

    figures = await compared(key, guess)
    assert told(figures) == {}, figures


async def test_a_comparison_that_stops_at_the_first_difference_would_be_found(house: House):
    """Else the other could not fail. As slow as it is here, by hundreds of nanoseconds for each right character, it is
    still far below what any network hides."""
    key = await house.key()

    async def guess(text: str) -> None:
        with suppress(Unauthenticated):
            await house.postroom.room.keys.authenticate(Secret(text), HERE)
        for n in range(len(key)):
            if not secrets.compare_digest(text[: n + 1], key[: n + 1]):
                break

    assert max(RIGHT) in told(await compared(key, guess))
