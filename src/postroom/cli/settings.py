"""The options for a profile's fields, and what they say in the API's words. Only what was named is said."""

import getpass
import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from postroom.cli.reading import read_bytes, read_text
from postroom.domain.problems import Invalid
from postroom.domain.profile import Auth, ClientAuth, Security, TlsVersion, TokenGrant


@dataclass(frozen=True, slots=True)
class Settings:
    """One option for each field. An empty text clears its field."""

    host: Annotated[str | None, typer.Option(help="Host name or address of the relay.")] = None
    port: Annotated[int | None, typer.Option(help="Usually 25, 465 or 587.")] = None
    security: Annotated[
        Security | None, typer.Option(help="TLS is required, or not used; if-offered is the only one that lets it be.")
    ] = None
    verify_certificate: Annotated[
        bool | None, typer.Option("--verify/--no-verify", help="Verify the relay's certificate.")
    ] = None
    ca_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="PEM of the authorities to trust instead of the system's.")
    ] = None
    server_name: Annotated[str | None, typer.Option(help="The certificate's name, if it is not the host's.")] = None
    tls_minimum: Annotated[TlsVersion | None, typer.Option(help="The oldest version of TLS that will do.")] = None
    auth: Annotated[Auth | None, typer.Option(help="How to log in at the relay.")] = None
    mechanism: Annotated[
        str | None, typer.Option(metavar="NAME", help="Exactly this one, as CRAM-MD5; else the best that is offered.")
    ] = None
    username: Annotated[str | None, typer.Option()] = None
    # A flag: what stands on a command line is seen by others and kept in the shell's history.
    password: Annotated[bool, typer.Option("--password", help="Ask for the password, and don't show it.")] = False
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False
    no_password: Annotated[bool, typer.Option("--no-password", help="Clear it: a client without a secret.")] = False
    token_url: Annotated[str | None, typer.Option(metavar="URL", help="OAuth 2: where access tokens are given.")] = None
    token_grant: Annotated[TokenGrant | None, typer.Option(help="OAuth 2: what they are given for.")] = None
    token_client_auth: Annotated[ClientAuth | None, typer.Option(help="OAuth 2: how the client shows itself.")] = None
    client_id: Annotated[str | None, typer.Option(help="OAuth 2; its secret is the password.")] = None
    token_scope: Annotated[str | None, typer.Option(help="OAuth 2: for what, in the provider's words.")] = None
    token_audience: Annotated[str | None, typer.Option(help="OAuth 2: for whom, in the provider's words.")] = None
    refresh_token: Annotated[bool, typer.Option("--refresh-token", help="Ask for it, and don't show it.")] = False
    refresh_token_stdin: Annotated[bool, typer.Option("--refresh-token-stdin", help="Read it from stdin.")] = False
    sender_address: Annotated[str | None, typer.Option("--sender", metavar="ADDRESS")] = None
    sender_name: Annotated[str | None, typer.Option()] = None
    reply_to_address: Annotated[str | None, typer.Option("--reply-to", metavar="ADDRESS")] = None
    envelope_sender: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where bounces go.")] = None
    recipient_filter: Annotated[
        str | None, typer.Option("--filter", metavar="PATTERNS", help="Who may be mailed: *@example.com,me@example.org")
    ] = None
    no_filter: Annotated[bool, typer.Option("--no-filter", help="Everyone may be mailed.")] = False
    ehlo_name: Annotated[str | None, typer.Option(help="How to greet the relay.")] = None
    limit_per_minute: Annotated[int | None, typer.Option(help="Deliveries; 0 is no limit.")] = None
    limit_per_hour: Annotated[int | None, typer.Option(help="Deliveries; 0 is no limit.")] = None
    limit_per_day: Annotated[int | None, typer.Option(help="Deliveries; 0 is no limit.")] = None
    most_connections: Annotated[int | None, typer.Option(help="Of all workers together; 0 is the default, 20.")] = None
    failover: Annotated[
        int | None, typer.Option(metavar="ID", help="The profile to use while the relay is away; 0 is none.")
    ] = None
    from_json: Annotated[
        str | None, typer.Option(metavar="FILE", help="An object of fields as the API names them; - is stdin.")
    ] = None

    def said(self) -> dict[str, Any]:
        """Raises BadParameter when two options contradict each other, Invalid when a file can't be used."""
        self._check()
        named = {name: _word(getattr(self, name)) for name in _DIRECT if getattr(self, name) is not None}
        return (fields_in(self.from_json, "--from-json") if self.from_json else {}) | named | self._from_elsewhere()

    def _from_elsewhere(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if self.ca_file is not None:
            said["ca_certificates"] = read_text(self.ca_file, "--ca-file") if self.ca_file else None
        if self.no_filter:
            said["recipient_filter"] = None
        if self.no_password:
            said["password"] = None
        if self.password or self.password_stdin:
            said["password"] = typed_secret("password") if self.password else _on_stdin("password")
        if self.refresh_token or self.refresh_token_stdin:
            said["refresh_token"] = typed_secret("refresh-token") if self.refresh_token else _on_stdin("refresh-token")
        return said

    def _check(self) -> None:
        if self.no_filter and self.recipient_filter is not None:
            raise typer.BadParameter("--filter and --no-filter contradict each other.")
        if self.password_stdin + self.password + self.no_password > 1:
            raise typer.BadParameter("give the password once: --password, --password-stdin or --no-password.")
        if self.refresh_token_stdin and self.refresh_token:
            raise typer.BadParameter("give the refresh token once: --refresh-token or --refresh-token-stdin.")
        readers = (self.password_stdin, self.refresh_token_stdin, self.from_json == "-", self.ca_file == "-")
        if any(readers[:2]) and sum(readers) > 1:
            raise typer.BadParameter("stdin can be read once: for one secret, or for a file.")


_DIRECT = (
    "host", "port", "security", "verify_certificate", "server_name", "tls_minimum", "auth", "mechanism", "username",
    "token_url", "token_grant", "token_client_auth", "client_id", "token_scope", "token_audience", "sender_address",
    "sender_name", "reply_to_address", "envelope_sender", "recipient_filter", "ehlo_name",
    "limit_per_minute", "limit_per_hour", "limit_per_day", "most_connections", "failover",
)  # fmt: skip


def _word(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    # 0 clears a number, as an empty text does a text (0 == False, which clears nothing).
    return None if value == "" or (value == 0 and value is not False) else value


def fields_in(path: str, option: str) -> dict[str, Any]:
    """The JSON object in a file. Raises Invalid."""
    try:
        said = json.loads(read_bytes(path, option))
    except ValueError:
        raise Invalid(option, f"{option}: {path} is not JSON.") from None
    if not isinstance(said, dict):
        raise Invalid(option, f"{option}: {path} must be one JSON object.")
    return said


def typed_secret(secret: str) -> str:
    """Asked for without showing it: `password` or `refresh-token`. Raises BadParameter where nobody can be asked."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"--{secret} asks in a terminal; elsewhere use --{secret}-stdin.")
    # Not typer.prompt: it asks before the echo is off, so that the first letters could be seen and lost.
    return _said_something(getpass.getpass(_PROMPTS[secret]), f"--{secret}: nothing was typed.")


_PROMPTS = {"password": "Relay password: ", "refresh-token": "Refresh token: "}


def _on_stdin(secret: str) -> str:
    text = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    return _said_something(text, f"--{secret}-stdin: nothing came on stdin.")


def _said_something(text: str, complaint: str) -> str:
    if not text:
        raise typer.BadParameter(complaint)
    return text
