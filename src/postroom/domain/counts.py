"""What this process has counted since its start: plain numbers, so that counting costs next to nothing."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """`attempts` by outcome, stage and code; `ended` deliveries by state; `requests` over HTTP by area and status."""

    attempts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
