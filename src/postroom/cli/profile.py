"""`postroom profile`: a tenant's SMTP settings."""

import json
from typing import Annotated, Any

import typer

from postroom.cli.connection import at
from postroom.cli.invocation import AsJson, ask
from postroom.cli.output import facts, note, say, show, table
from postroom.cli.settings import Settings, fields_in
from postroom.cli.spread import spread
from postroom.domain.profile import Auth, TokenGrant

commands = typer.Typer(no_args_is_help=True, help="Profiles: the SMTP settings that mail leaves with.")

DEFAULT = "default"


def a_profile(text: str) -> str:
    """Checked here, unsaid: who gives `--password` a value makes it the next argument."""
    if text != DEFAULT and not (text.isascii() and text.isdigit()):
        raise typer.BadParameter("a profile is named by its number, or as default.")
    return text


Id = Annotated[str, typer.Argument(callback=a_profile, metavar="ID", help="A profile's number; else the default one.")]
NeededId = Annotated[str, typer.Argument(callback=a_profile, metavar="ID", help="A profile's number.")]


@commands.command("list")
def every(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The tenant's profiles."""
    show(ask(ctx, "GET", "profiles"), _table, as_json=as_json)


@commands.command("show")
def one(
    ctx: typer.Context,
    profile: Id = DEFAULT,
    dialect: Annotated[
        str | None, typer.Option("--as", metavar="DIALECT", help="In a product's words, and what those would lose.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One profile. A password is never shown, only whether there is one."""
    if dialect is None:
        show(ask(ctx, "GET", at("profiles", profile)), _facts, as_json=as_json)
    else:
        show(ask(ctx, "GET", at("profiles", profile, "as", dialect)), _converted, as_json=as_json)


@commands.command("set")
@spread(Settings)
def change(
    ctx: typer.Context,
    settings: Settings,
    profile: Annotated[str, typer.Argument(metavar="[ID]", help="A profile's number; with --from the FILE.")] = DEFAULT,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    dialect: Annotated[
        str | None, typer.Option("--from", metavar="DIALECT", help="Read FILE (- is stdin) in a product's words.")
    ] = None,
    target: Annotated[str, typer.Option("--profile", metavar="ID", help="With --from: which one.")] = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Change what is named and leave the rest; an empty value clears. Makes the default profile if there is none."""
    if dialect is not None:
        if settings.said() or name:
            raise typer.BadParameter("--from reads everything from FILE: leave the other options out.")
        said = fields_in(profile, "FILE")
        show(ask(ctx, "PUT", at("profiles", a_profile(target), "from", dialect), said), _facts, as_json=as_json)
        return
    a_profile(profile)
    body = settings.said() | ({"name": name} if name else {})
    if not body:
        raise typer.BadParameter("say what to change, for example --host smtp.example.com --port 587.")
    show(ask(ctx, "PATCH", at("profiles", profile), body), _facts, as_json=as_json)


@commands.command()
@spread(Settings)
def create(
    ctx: typer.Context,
    settings: Settings,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    as_json: AsJson = False,
) -> None:
    """Make one more profile. A tenant's first one becomes its default."""
    show(ask(ctx, "POST", "profiles", {"name": name} | settings.said()), _facts, as_json=as_json)


@commands.command()
def delete(ctx: typer.Context, profile: NeededId) -> None:
    """Delete a profile that no mail waits for."""
    ask(ctx, "DELETE", at("profiles", profile))
    say(f"Profile {profile} is deleted.")


@commands.command()
def default(ctx: typer.Context, profile: NeededId, as_json: AsJson = False) -> None:
    """Make it the one that is meant when none is named."""
    show(ask(ctx, "PATCH", at("profiles", profile), {"default": True}), _facts, as_json=as_json)


@commands.command()
def pause(ctx: typer.Context, profile: Id = DEFAULT, as_json: AsJson = False) -> None:
    """Keep its mail back until it is resumed. What is on the wire comes to its end."""
    show(ask(ctx, "POST", at("profiles", profile, "pause")), _facts, as_json=as_json)


@commands.command()
def resume(ctx: typer.Context, profile: Id = DEFAULT, as_json: AsJson = False) -> None:
    """Send its mail again at once, whether it was paused or rests after a failure."""
    show(ask(ctx, "POST", at("profiles", profile, "resume")), _facts, as_json=as_json)


@commands.command()
def revisions(
    ctx: typer.Context,
    profile: Id = DEFAULT,
    before: Annotated[int | None, typer.Option(metavar="N", help="The page after this revision.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: AsJson = False,
) -> None:
    """What was changed, when and by whom, the newest first."""
    answer = ask(ctx, "GET", at("profiles", profile, "revisions"), before=before, limit=limit)
    show(answer, _revisions, as_json=as_json)


@commands.command()
def rollback(
    ctx: typer.Context,
    revision: Annotated[int, typer.Argument(min=1, metavar="N", help="As `profile revisions` shows it.")],
    profile: Annotated[str, typer.Option("--profile", callback=a_profile, metavar="ID")] = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Have the settings of an old revision in force again, with the secrets that went with them."""
    show(ask(ctx, "POST", at("profiles", profile, "revisions", str(revision), "restore")), _facts, as_json=as_json)


def _table(answer: Any) -> None:
    rows = [
        (each["id"], each["name"], each["default"], f"{each['host']}:{each['port']}", each["security"],
         each["username"] if each["auth"] != "none" else "", each["sender_address"], each["recipient_filter"],
         "paused" if each["paused_at"] else each["trouble"])
        for each in answer["profiles"]
    ]  # fmt: skip
    titles = ("id", "name", "default", "relay", "security", "login", "sender", "filter", "trouble")
    table(titles, rows, empty="There is no profile yet: postroom profile set --host smtp.example.com …")


def _revisions(answer: Any) -> None:
    rows = [
        (each["revision"], each["changed_at"], each["changed_by"], each["dialect"],
         "; ".join(_change(name, change) for name, change in each["changes"].items()))
        for each in answer["revisions"]
    ]  # fmt: skip
    table(("revision", "at", "by", "dialect", "changes"), rows, empty="There is no older revision.")
    if answer["next"]:
        note(f"There are more: --before {answer['next']}")


def _change(name: str, change: Any) -> str:
    return f"{name} {change}" if isinstance(change, str) else f"{name} {change[0]} → {change[1]}"


def _facts(profile: Any) -> None:
    facts((
        ("profile", f"{profile['id']} {profile['name']}{' (the default)' if profile['default'] else ''}"),
        ("relay", f"{profile['host']}:{profile['port']}"), ("security", profile["security"]),
        ("verified", profile["verify_certificate"]), ("authorities", _authorities(profile)),
        ("server name", profile["server_name"]), ("TLS", f"{profile['tls_minimum']} or newer"),
        ("login", _login(profile)), ("token from", profile["token_url"]),
        ("sender", _mailbox(profile, "sender")), ("reply to", _mailbox(profile, "reply_to")),
        ("MAIL FROM", profile["envelope_sender"]), ("filter", profile["recipient_filter"]),
        ("EHLO name", profile["ehlo_name"]), ("limits", _limits(profile)),
        ("connections", profile["most_connections"]), ("failover", profile["failover"]),
        ("revision", f"{profile['revision']} by {profile['changed_by']}, {profile['changed_at']}"),
        ("trouble", profile["trouble"]), ("rests until", profile["rests_until"]), ("paused", profile["paused_at"]),
    ))  # fmt: skip
    if profile["paused_at"]:
        note("Its mail is kept back: `postroom profile resume` sends it.", "yellow")
    elif profile["trouble"]:
        note("Its mail waits: `postroom check` says what to change. Saving or a check that goes well ends that, or "
             "`postroom profile resume`.", "yellow")  # fmt: skip


def _limits(profile: Any) -> str:
    spans = ("minute", "hour", "day")
    return ", ".join(f"{profile[f'limit_per_{each}']} a {each}" for each in spans if profile[f"limit_per_{each}"])


def _authorities(profile: Any) -> str | None:
    return "its own (PEM)" if profile["ca_certificates"] else None


def _login(profile: Any) -> str:
    if profile["auth"] == "none":
        return "none"
    set_or = "set" if profile["password_set"] else "missing"
    if profile["auth"] != Auth.OAUTH2:
        by = f" by {profile['mechanism']}" if profile["mechanism"] else ""
        return f"{profile['username']}{by}, password {set_or}"
    who = profile["username"] or profile["sender_address"]
    if profile["token_grant"] == TokenGrant.CLIENT_CREDENTIALS:
        return f"{who}, by token for {profile['client_id']}, its secret {set_or}"
    signed_in = "set" if profile["refresh_token_set"] else "missing"
    return f"{who}, by token for {profile['client_id']}, refresh token {signed_in}"


def _mailbox(profile: Any, which: str) -> str:
    address, name = profile[f"{which}_address"], profile[f"{which}_name"]
    return f"{name} <{address}>" if name and address else address or ""


def _converted(answer: Any) -> None:
    say(json.dumps(answer["settings"], indent=2, ensure_ascii=False))
    for each in answer["lost"]:
        note(f"{answer['dialect']} can't say {each['field']}: {each['is']} would become {each['becomes']}", "yellow")
