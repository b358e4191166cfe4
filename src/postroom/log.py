"""Every event we log, by name: the log's vocabulary. Nothing here takes a secret, a body or a query string."""

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_log: Any = structlog.get_logger("postroom")
_verbose = True  # asked before events of every mail: to have structlog find out that one is not written costs more


def configure(form: str, level: str) -> None:
    """Write events to stderr as lines for people or as JSON for machines."""
    global _verbose
    # Without the local variables, which structlog would show by default: they hold passwords, keys and mail.
    traceback: Any = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        traceback = structlog.processors.format_exc_info
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            traceback,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _verbose = level.lower() == "debug"


def forget() -> None:
    """As before `configure`: for who runs a command within a program of their own."""
    global _verbose
    structlog.reset_defaults()
    _verbose = True


def started(url: str, database: str, worker: bool) -> None:
    _log.info("started", url=url, database=database, worker=worker)


def stopping(in_flight: int) -> None:
    _log.info("stopping", in_flight=in_flight)


def stopped() -> None:
    _log.info("stopped")


def recovered(deliveries: int) -> None:
    _log.warning("recovered", deliveries=deliveries, meaning="a worker died holding them; they are due again")


def request(method: str, path: str, status: int, milliseconds: float) -> None:
    if not _verbose:
        return
    _log.debug("request", method=method, path=path, status=status, ms=round(milliseconds, 1))


def request_failed(method: str, path: str, error: BaseException) -> None:
    _log.error("request_failed", method=method, path=path, error=type(error).__name__, exc_info=error)


def settings_saved(tenant: str, profile: int, revision: int, dialect: str, fields: list[str]) -> None:
    _log.info("settings_saved", tenant=tenant, profile=profile, revision=revision, dialect=dialect, fields=fields)


def attempted(delivery: str, outcome: str, code: str, relay: str, attempt: int) -> None:
    if not _verbose:
        return
    _log.debug("attempted", delivery=delivery, outcome=outcome, code=code, relay=relay, attempt=attempt)


def lane_rests(lane: int, code: str, failures: int, seconds: float) -> None:
    _log.warning("lane_rests", lane=lane, code=code, failures=failures, seconds=round(seconds, 1))


def settings_rejected(tenant: int, profile: int, lane: int, code: str, seconds: float) -> None:
    """The alert: nobody's mail goes out with these settings until a person does something."""
    _log.warning(
        "settings_rejected", tenant=tenant, profile=profile, lane=lane, code=code, seconds=round(seconds, 1),
        meaning="its mail is kept; mend the settings, or resume the profile when its relay is mended",
    )  # fmt: skip


def content_lost(message: str) -> None:
    _log.error("content_lost", message=message, meaning="it can't be opened, so it is held; its note says why")


def vault_keys_missing(missing: list[str], here: list[str]) -> None:
    _log.error(
        "vault_keys_missing", missing=missing, here=here,
        meaning="what they sealed can't be opened: such mail is held, such profiles wait",
    )  # fmt: skip


def vault_key_made(key: str) -> None:
    _log.warning("vault_key_made", key=key, meaning="it seals from now on; back the key file up")


def vault_key_retired(key: str) -> None:
    _log.warning("vault_key_retired", key=key)


def lane_well(lane: int) -> None:
    _log.info("lane_well", lane=lane)


def refresh_token_replaced(tenant: int, profile: int) -> None:
    _log.info("refresh_token_replaced", tenant=tenant, profile=profile)


def issuer_away(issuer: str, why: str) -> None:
    _log.warning("issuer_away", issuer=issuer, why=why, meaning="tokens with a known key go on, others wait")


def worker_failed(error: BaseException) -> None:
    _log.error("worker_failed", error=type(error).__name__, exc_info=error)


def chore_failed(name: str, error: BaseException) -> None:
    _log.error("chore_failed", chore=name, error=type(error).__name__, exc_info=error)


def forgotten(counts: dict[str, int]) -> None:
    """What a round of the chores has taken away, by kind."""
    if counts:
        _log.info("forgotten", **counts)
