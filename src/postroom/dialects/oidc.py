"""The token endpoint of OpenID Connect (RFC 6749 sections 4.3, 4.4, 5 and 6), as Keycloak answers it.

A key of ours is the password, or the client's secret; a token of ours is the refresh token. Names are for people.
"""

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from pydantic import Field

from postroom.dialects import wire
from postroom.dialects.dialect import Asked, Endpoint, Reply, Token, Verb
from postroom.dialects.key_styles import BasicKey
from postroom.domain.problems import Invalid, Problem, Unauthenticated
from postroom.domain.secret import Secret

FORM = "application/x-www-form-urlencoded"


class TokenForm(wire.Wire):
    grant_type: str = Field(description="password, client_credentials or refresh_token.")
    username: str | None = Field(None, description="For people to read.")
    password: wire.Password = Field(None, description="The API key, with grant_type password.")
    client_id: str | None = Field(None, description="For people to read.")
    client_secret: wire.Password = Field(None, description="The API key, with grant_type client_credentials.")
    refresh_token: wire.Password = None


class TokenAnswer(wire.Wire):
    access_token: str
    expires_in: int
    refresh_expires_in: int
    refresh_token: str | None = Field(None, description="Not with client_credentials (RFC 6749 4.4.3).")
    token_type: str
    not_before_policy: int = Field(alias="not-before-policy")
    session_state: str | None = None
    scope: str


class TokenRefusal(wire.Wire):
    error: str
    error_description: str | None = None


class FormKey:
    """The key in a token request: which field it is in, the grant says."""

    openapi: Mapping[str, str] = BasicKey().openapi

    def find(self, asked: Asked) -> Secret | None:
        match _form(asked):
            case {"grant_type": "password", "password": str(key)}:
                return _secret(key)
            case {"grant_type": "client_credentials", "client_secret": str(key)}:
                return _secret(key)
            case {"grant_type": "client_credentials"}:
                return _basic(asked)
            case {"grant_type": "refresh_token", "refresh_token": str(token)}:
                return _secret(token)
            case {"grant_type": "password" | "refresh_token"}:
                return None
            case {"grant_type": _}:
                raise Invalid("grant_type", "Unsupported grant_type")
        raise Invalid("grant_type", "Missing form parameter: grant_type")

    def attach(self, key: Secret) -> Mapping[str, str]:
        return BasicKey().attach(key)


def endpoint(path: str) -> Endpoint:
    return Endpoint(
        Verb.TOKEN, "POST", path, "Exchange an API key for a token", TokenAnswer, TokenForm, (FormKey(),), (FORM,),
        refusal=TokenRefusal,
    )  # fmt: skip


def granted(asked: Asked, token: Token) -> Reply:
    renewable = _form(asked).get("grant_type") != "client_credentials"
    refresh = {"refresh_token": token.refresh} if renewable else {}
    session = {"session_state": str(uuid.uuid5(uuid.NAMESPACE_OID, token.refresh))} if renewable else {}
    return Reply(200, {
        "access_token": token.value, "expires_in": token.seconds, "refresh_expires_in": token.seconds if refresh else 0,
        **refresh, "token_type": "Bearer", "not-before-policy": 0, **session, "scope": "profile email",
    })  # fmt: skip


def refused(asked: Asked, problem: Problem) -> Reply | None:
    """What is wrong with a token request, in the words of RFC 6749 section 5.2; None for what is not about that."""
    match problem, _form(asked).get("grant_type"):
        case Unauthenticated(), "refresh_token":
            # One client logs in again on exactly these words.
            return _error(400, "invalid_grant", "Token is not active")
        case Unauthenticated(), "client_credentials":
            return _error(401, "invalid_client", "Invalid client or Invalid client credentials")
        case Unauthenticated(), _:
            return _error(401, "invalid_grant", "Invalid user credentials")
        case Invalid(field="grant_type"), None:
            return _error(400, "invalid_request", problem.message)
        case Invalid(field="grant_type"), _:
            return _error(400, "unsupported_grant_type", problem.message)
        case Invalid(), _:
            return _error(400, "invalid_request", problem.message)
    return None


def _error(status: int, error: str, description: str) -> Reply:
    return Reply(status, {"error": error, "error_description": description})


def _form(asked: Asked) -> Mapping[str, Any]:
    return asked.body if isinstance(asked.body, Mapping) else {}


def _secret(text: str) -> Secret | None:
    return Secret(text) if text else None


def _basic(asked: Asked) -> Secret | None:
    found = BasicKey().find(asked)
    return Secret(unquote_plus(found.reveal())) if found else None  # RFC 6749 2.3.1: both halves are form-encoded
