"""Answers kept for a moment: asked for once, never from before a change."""

import asyncio

from postroom.store.remembered import Remembered


class Source:
    """Answers with how often it was asked, when it is allowed to."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, _key: str) -> int:
        self.asked += 1
        answer = self.asked
        await self.open.wait()
        return answer


async def _begun(remembered: Remembered[str, int]) -> "asyncio.Task[int]":
    task = asyncio.create_task(remembered.get("key"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_the_same_question_is_asked_once() -> None:
    source = Source()
    remembered = Remembered(source)

    assert [await remembered.get("key") for _ in range(3)] == [1, 1, 1]


async def test_all_who_ask_at_once_share_one_answer() -> None:
    source = Source()
    remembered = Remembered(source)
    source.open.clear()
    tasks = [await _begun(remembered) for _ in range(10)]

    source.open.set()

    assert await asyncio.gather(*tasks) == [1] * 10


async def test_who_asks_after_a_change_is_not_told_what_was() -> None:
    source = Source()
    remembered = Remembered(source)
    source.open.clear()
    before = await _begun(remembered)
    remembered.forget()
    after = await _begun(remembered)

    source.open.set()

    assert (await before, await after) == (1, 2)
    assert await remembered.get("key") == 2


async def test_who_goes_away_takes_the_answer_from_nobody() -> None:
    source = Source()
    remembered = Remembered(source)
    source.open.clear()
    first, second = await _begun(remembered), await _begun(remembered)

    first.cancel()
    source.open.set()

    assert await second == 1


async def test_a_failure_is_told_to_all_and_not_remembered() -> None:
    fails = True

    async def ask(_key: str) -> int:
        await asyncio.sleep(0)
        if fails:
            raise OSError("away")
        return 7

    remembered = Remembered(ask)
    told = await asyncio.gather(remembered.get("key"), remembered.get("key"), return_exceptions=True)
    assert [type(each) for each in told] == [OSError, OSError]

    fails = False
    assert await remembered.get("key") == 7


async def test_an_answer_grows_old() -> None:
    source = Source()
    remembered = Remembered(source, seconds=0.01)
    await remembered.get("key")

    await asyncio.sleep(0.02)

    assert await remembered.get("key") == 2
