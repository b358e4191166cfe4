"""A trial: settings tried by really sending a mail through them, as the products' test buttons do."""

from dataclasses import dataclass

from postroom.domain.delivery import Stage


@dataclass(frozen=True, slots=True)
class TestMail:
    """The mail that a product sends to test. `recipient` None: to whom the key belongs."""

    __test__ = False  # not a test of pytest's

    subject: str
    text: str
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ended: well, or at which stage and why. `code` is stable and empty when all went well."""

    stage: Stage
    code: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        return not self.code


@dataclass(frozen=True, slots=True)
class Job:
    """A trial that runs on its own: how far it is, and its verdict once it is over."""

    id: str
    stage: Stage
    verdict: Verdict | None = None
