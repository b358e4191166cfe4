"""`postroom check --fix`: save the change that a check has proposed, with what a person must give to it."""

import sys
from typing import Any

import typer

from postroom.cli.connection import at
from postroom.cli.invocation import ask
from postroom.cli.output import note
from postroom.cli.settings import typed_secret

_SECRETS = {"password": "password", "refresh_token": "refresh-token"}


def proposal_in(found: Any) -> Any:
    """What is proposed for the step that failed; None if nothing is."""
    return next((step["proposal"] for step in found["steps"] if step["status"] == "failed"), None)


def in_words(proposal: Any) -> str:
    """As options of `profile set`, but for what is long."""
    changes = ", ".join(f"{name} = {_short(value)}" for name, value in proposal["changes"].items())
    needs = ", ".join(name.replace("_", " ") for name in proposal["needs"])
    return "; ".join(filter(None, (changes and f"[{changes}]", needs and f"needs: {needs}")))


def apply(
    ctx: typer.Context, profile: str, proposal: Any, typed: dict[str, Any], secrets: dict[str, Any], *, yes: bool
) -> bool:
    """Whether it was wanted and saved. `secrets` are those that are known, and get those that are asked for. Raises
    BadParameter when something is missing and nobody can be asked."""
    if not _is_wanted(proposal, yes=yes):
        return False
    known = typed | secrets
    given = {name: known[name] if name in known else _asked_for(name) for name in proposal["needs"]}
    secrets.update({name: text for name, text in given.items() if name in _SECRETS})
    ask(ctx, "PATCH", at("profiles", profile), typed | proposal["changes"] | given)
    note(f"Saved: {in_words(proposal)}")
    return True


def _is_wanted(proposal: Any, *, yes: bool) -> bool:
    if yes and not proposal["confirm"]:
        return True
    if not sys.stdin.isatty():
        if proposal["confirm"]:
            note(f"Not applied, because a person must look at it first: {proposal['message']}", "yellow")
            note("Run this in a terminal, or save it with `postroom profile set`.", "yellow")
            return False
        raise typer.BadParameter("--fix asks in a terminal; elsewhere give --yes.")
    return typer.confirm(f"{proposal['message']} {in_words(proposal)}\nApply it?", err=True)


def _asked_for(name: str) -> str:
    if name in _SECRETS:
        return typed_secret(_SECRETS[name])
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"the proposed change needs --{name.replace('_', '-')}.")
    return str(typer.prompt(name.replace("_", " "), err=True))


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return "the certificate" if "BEGIN CERTIFICATE" in text else text
