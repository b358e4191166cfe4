"""`postroom check`: try the settings step by step; which one fails, why, and what to change."""

from typing import Annotated, Any

import typer

from postroom.cli import exits, fix
from postroom.cli.connection import Connection, at
from postroom.cli.exits import Exit
from postroom.cli.invocation import AsJson, talk
from postroom.cli.output import marked, say, show, watching
from postroom.cli.profile import DEFAULT, Id
from postroom.cli.send import require_a_worker
from postroom.cli.settings import Settings
from postroom.cli.spread import spread
from postroom.domain.problems import Unavailable
from postroom.domain.profile import SECRET_FIELDS

MOST_FIXES = 5  # one after the other: each mends the step that failed first


@spread(Settings)
def check(
    ctx: typer.Context,
    settings: Settings,
    profile: Id = DEFAULT,
    recipient: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ask the relay whether it would take mail for this address.")
    ] = None,
    send: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Send it a test mail, too, and follow it to its end.")
    ] = None,
    mend: Annotated[
        bool, typer.Option("--fix", help="Save the change that is proposed (and what was typed), and check again.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --fix: don't ask, but where it is a matter of trust.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Try the settings as delivery would: those that are stored, or with what is typed here, which is not saved. The
    exit code says which step failed."""
    typed = settings.said()
    secrets: dict[str, Any] = {
        name: typed[name] for name in SECRET_FIELDS if name in typed
    }  # needed again for each new destination
    if yes and not mend:
        raise typer.BadParameter("--yes goes with --fix.")
    found = _checked(ctx, profile, _body(recipient, send, typed), quiet=as_json)
    for _ in range(MOST_FIXES if mend else 0):
        proposal = fix.proposal_in(found)
        if proposal is None or not fix.apply(ctx, profile, proposal, typed, secrets, yes=yes):
            break
        typed, before = {}, found
        found = _checked(ctx, profile, _body(recipient, send, {}), quiet=as_json)
        if found["failed_at"] == before["failed_at"] and fix.proposal_in(found) == proposal:
            break
    if as_json:
        show(found, lambda _: None, as_json=True)
    raise typer.Exit(exits.for_stage(found["failed_at"]) if found["failed_at"] else Exit.OK)


def _body(recipient: str | None, send: str | None, typed: dict[str, Any]) -> dict[str, Any]:
    if send is not None and recipient is not None:
        raise typer.BadParameter("say it once: --send asks the relay about the recipient, too.")
    return {"recipient": send or recipient, "send": send is not None, "settings": typed or None}


def _checked(ctx: typer.Context, profile: str, body: dict[str, Any], *, quiet: bool) -> Any:
    """The whole of it, told step by step unless `quiet`."""

    async def conversation(connection: Connection) -> Any:
        if body["send"]:
            require_a_worker(connection)
        steps: list[Any] = []
        with watching("Asking the relay…") as status:
            async for name, data in connection.follow(at("profiles", profile, "check"), body):
                if name == "done":
                    return {**data, "steps": steps}
                steps.append(data)
                if not quiet:
                    if status is not None:
                        status.stop()
                    tell(data)
                    if status is not None:
                        status.start()
        raise Unavailable("The check ended before its end: the server was stopped. Try again.")

    return talk(ctx, conversation)


def tell(step: Any) -> None:
    """One rung of the ladder."""
    marked(step["status"], f"{step['stage']:9}  {step['message']}  ({step['seconds'] * 1000:.1f} ms)")
    if step["status"] in ("failed", "warning"):
        for line in _why(step):
            say(f"             {line}")


def _why(step: Any) -> list[str]:
    proposal = step["proposal"]
    told = [
        ("The relay said: ", step["detail"].get("reply")),
        ("It showed: ", _certificate(step["detail"]) if step["stage"] == "tls" else None),
        ("What answers there: ", step["detail"].get("answers")),
        ("Why: ", step["why"]),
        ("What to do: ", step["advice"]),
        ("Proposed: ", proposal and f"{proposal['message']} {fix.in_words(proposal)}"),
    ]
    return [f"{title}{text}" for title, text in told if text]


def _certificate(detail: Any) -> str | None:
    if "sha256" not in detail:
        return None
    return f"{detail['subject']} by {detail['issuer']}, until {detail['expires']}, SHA-256 {detail['sha256']}"
