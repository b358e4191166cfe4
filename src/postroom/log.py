"""Every event we log, by name: the log's vocabulary. Nothing here takes a secret, a body or a query string.

Each function is one event, its first line what docs/operations.md says of it. None raises: who logs is in the middle of
something more important, and a pipe that nobody reads any more is no reason to leave it.
"""

import logging
import sys
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_log: Any = structlog.get_logger("postroom")
_verbose = True  # asked before events of every mail: to have structlog find out that one is not written costs more

# Of the HTTP request that is being answered. Only events of the request itself show it: what a request has started,
# such as a connection to a relay, outlives it and serves others.
request_id: ContextVar[str] = ContextVar("request_id", default="")


class _Stderr:
    """Writes lines, or drops them where that fails; `dropped` counts those."""

    def __init__(self) -> None:
        self.dropped = 0

    def msg(self, line: str) -> None:
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            self.dropped += 1

    debug = info = warning = error = msg


_stderr = _Stderr()


def dropped() -> int:
    """Lines that could not be written since the start."""
    return _stderr.dropped


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
        logger_factory=lambda *_name: _stderr,
    )
    _verbose = level.lower() == "debug"


def forget() -> None:
    """As before `configure`: for who runs a command within a program of their own."""
    global _verbose
    structlog.reset_defaults()
    _verbose = True


def started(url: str, database: str, worker: bool) -> None:
    """The server is up and takes requests at `url`."""
    _log.info("started", url=url, database=database, worker=worker)


def stopping(in_flight: int) -> None:
    """It was told to stop; so many deliveries are under way and come to their end."""
    _log.info("stopping", in_flight=in_flight)


def stopped() -> None:
    """It has stopped; nothing was left undone but what the next start takes up."""
    _log.info("stopped")


def writing_process_ended(pid: int, how: str) -> None:
    """The process that writes to the database has ended: the server stops; start it again. Killed by SIGKILL, and by
    nobody here: there was no memory left."""
    _log.error("writing_process_ended", pid=pid, how=how)


def writing_process_failed(error: BaseException) -> None:
    """The process that writes to the database ends because of a mistake of ours; the server stops, too."""
    _log.error("writing_process_failed", error=type(error).__name__, exc_info=error)


def recovered(deliveries: int) -> None:
    """Deliveries that a process held when it died are due again."""
    _log.warning("recovered", deliveries=deliveries, meaning="a worker died holding them; they are due again")


def request(method: str, path: str, status: int, milliseconds: float) -> None:
    """An HTTP request was answered. The path has no query string."""
    if not _verbose:
        return
    _log.debug(
        "request", method=method, path=path, status=status, ms=round(milliseconds, 1), request_id=request_id.get()
    )


def request_failed(method: str, path: str, error: BaseException) -> None:
    """An HTTP request met a mistake of ours; it was answered with 500, or in its product's words."""
    _log.error(
        "request_failed", method=method, path=path, error=type(error).__name__, request_id=request_id.get(),
        exc_info=error,
    )  # fmt: skip


def settings_saved(tenant: str, profile: int, revision: int, dialect: str, fields: list[str]) -> None:
    """Settings were saved as a new revision; the names of the fields that changed, never values."""
    _log.info("settings_saved", tenant=tenant, profile=profile, revision=revision, dialect=dialect, fields=fields)


def attempted(delivery: str, outcome: str, code: str, relay: str, attempt: int) -> None:
    """One try to hand one delivery to a relay, and how it ended."""
    if not _verbose:
        return
    _log.debug("attempted", delivery=delivery, outcome=outcome, code=code, relay=relay, attempt=attempt)


def lane_rests(lane: int, code: str, failures: int, seconds: float) -> None:
    """A relay failed for everyone: the profile's mail waits for so many seconds."""
    _log.warning("lane_rests", lane=lane, code=code, failures=failures, seconds=round(seconds, 1))


def settings_rejected(tenant: int, profile: int, lane: int, code: str, seconds: float) -> None:
    """The alert: no mail goes out with these settings until a person does something; it is kept."""
    _log.warning(
        "settings_rejected", tenant=tenant, profile=profile, lane=lane, code=code, seconds=round(seconds, 1),
        meaning="its mail is kept; mend the settings, or resume the profile when its relay is mended",
    )  # fmt: skip


def content_lost(message: str) -> None:
    """A message's content can't be opened with the vault keys that are here."""
    _log.error("content_lost", message=message, meaning="it can't be opened, so it is held; its note says why")


def vault_keys_missing(missing: list[str], here: list[str]) -> None:
    """Something is sealed with vault keys that are not here."""
    _log.error(
        "vault_keys_missing", missing=missing, here=here,
        meaning="what they sealed can't be opened: such mail is held, such profiles wait",
    )  # fmt: skip


def vault_key_made(key: str) -> None:
    """A new vault key seals from now on."""
    _log.warning("vault_key_made", key=key, meaning="it seals from now on; back the key file up")


def vault_key_retired(key: str) -> None:
    """Nothing was sealed with a vault key any more, and it was taken away."""
    _log.warning("vault_key_retired", key=key)


def lane_well(lane: int) -> None:
    """A relay that had failed takes mail again."""
    _log.info("lane_well", lane=lane)


def refresh_token_replaced(tenant: int, profile: int) -> None:
    """An OAuth provider gave a new refresh token, and it was kept."""
    _log.info("refresh_token_replaced", tenant=tenant, profile=profile)


def issuer_away(issuer: str, why: str) -> None:
    """The outside issuer of tokens could not be asked for its keys."""
    _log.warning("issuer_away", issuer=issuer, why=why, meaning="tokens with a known key go on, others wait")


def worker_failed(error: BaseException) -> None:
    """Delivery met a mistake of ours, or the database was away; what it was about is tried again."""
    _log.error("worker_failed", error=type(error).__name__, exc_info=error)


def chore_failed(name: str, error: BaseException) -> None:
    """A regular chore failed; it is tried again next time."""
    _log.error("chore_failed", chore=name, error=type(error).__name__, exc_info=error)


def forgotten(counts: dict[str, int]) -> None:
    """What a round of the chores has taken away, by kind."""
    if counts:
        _log.info("forgotten", **counts)


def request_too_slow(address: str, waited_for: str) -> None:
    """A connection was closed: a request's headers or body did not come in time, or its answer was not taken."""
    _log.warning("request_too_slow", address=address, waited_for=waited_for)


def disk_low(free: int, least: int) -> None:
    """So little of the disk is free (octets) that no new mail is taken; what was taken is delivered."""
    _log.error("disk_low", free=free, least=least, meaning="free some space; new mail is answered 503 meanwhile")


def disk_well(free: int) -> None:
    """There is room on the disk again, and new mail is taken."""
    _log.info("disk_well", free=free)


def ballast_dropped(octets: int) -> None:
    """The disk was full: the file kept for this was given up, so that what becomes of mail can still be written."""
    _log.error("ballast_dropped", octets=octets, meaning="free some space before this little is used up")
