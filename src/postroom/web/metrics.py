"""/metrics, as Prometheus reads it.

For a key of the whole installation, as /v1/status: behind a proxy on the same machine every request comes from
loopback, so the address says nothing. Nothing of a tenant is told but the names of relays, with their certificates.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from postroom import log
from postroom.actions.status import Readings
from postroom.web.callers import native_caller, room_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def show(request: Request) -> Response:
    readings = await room_of(request).status.readings(await native_caller(request))
    return Response(written(readings), media_type=CONTENT_TYPE)


def written(readings: Readings) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collected(readings))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        yield from _counted(self._readings)
        yield from _measured(self._readings)


def _counted(readings: Readings) -> Iterator[Metric]:
    total = partial(_family, CounterMetricFamily)
    yield total("messages_accepted", "Messages taken in durably.", (), [((), readings.accepted)])
    ended = [((state,), count) for state, count in readings.counts.ended.items()]
    yield total("deliveries_ended", "Deliveries that are over, by the state that they ended in.", ("state",), ended)
    yield total(
        "attempts", "Tries to hand a delivery to a relay; kind is the first word of the code.",
        ("outcome", "stage", "kind"), _by_kind(readings.counts.attempts),
    )  # fmt: skip
    yield total("commits", "Database transactions.", (), [((), readings.commits)])
    yield total("commit_jobs", "What was asked to be written; many share a commit.", (), [((), readings.jobs)])
    requests = [((area, str(status)), count) for (area, status), count in readings.counts.requests.items()]
    yield total("http_requests", "Answers over HTTP.", ("area", "status"), requests)
    yield total("log_lines_dropped", "Events that could not be written to stderr.", (), [((), log.dropped())])


def _by_kind(attempts: Counter[tuple[str, str, str]]) -> Sequence[tuple[tuple[str, ...], float]]:
    kinds: Counter[tuple[str, ...]] = Counter()
    for (outcome, stage, code), count in attempts.items():
        kinds[outcome, stage, code.partition(".")[0]] += count
    return list(kinds.items())


def _measured(readings: Readings) -> Iterator[Metric]:
    gauge, backlog = partial(_family, GaugeMetricFamily), readings.backlog
    yield gauge("queue_deliveries", "Deliveries that are not over.", (), [((), backlog.deliveries)])
    yield gauge(
        "queue_overdue_seconds", "How long the oldest delivery has been due that nothing keeps.", (),
        [((), backlog.overdue / 1e6)],
    )  # fmt: skip
    lanes = {"resting": backlog.lanes_resting, "paused": backlog.lanes_paused, "limited": backlog.lanes_spent}
    kept = [((why,), count) for why, count in lanes.items()]
    yield gauge("profiles_kept_back", "Profiles whose mail waits, and why.", ("why",), kept)
    trouble = [(("relay",), backlog.relays_in_trouble), (("settings",), backlog.settings_in_trouble)]
    yield gauge("profiles_in_trouble", "Profiles whose last attempt failed for everyone.", ("about",), trouble)
    ends = [((relay,), moment) for relay, moment in readings.certificates.items()]
    what = "When the certificate ends that a relay last showed, in seconds since 1970."
    yield gauge("relay_certificate_ends_timestamp_seconds", what, ("relay",), ends)
    if readings.disk_free is not None:
        yield gauge("disk_free_bytes", "Room on the disk that SQLite is on.", (), [((), readings.disk_free)])


def _family(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, what: str, labels: tuple[str, ...],
    samples: Sequence[tuple[tuple[str, ...], float]],
) -> Metric:  # fmt: skip
    family = kind(f"postroom_{name}", what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
