"""Profiles and checks, as the native API takes and tells them."""

from typing import Annotated, Literal

from pydantic import Field

from postroom.domain.limits import LARGEST_LIMIT
from postroom.domain.profile import LARGEST_ID, Auth, ClientAuth, Security, TlsVersion, TokenGrant
from postroom.web.api.models import In, Out

ABOUT_SECURITY = (
    "`starttls`: without it no mail goes out. `starttls-if-offered`: where the relay offers none, mail goes out "
    "unencrypted, and a login only where the operator allows that."
)
ABOUT_SIGN_IN = (
    "With oauth2 and token_grant refresh_token. When the provider replaces it, the new one is kept in its place; "
    "giving the same one once more changes nothing."
)
ABOUT_CLIENT_AUTH = "With oauth2: where the client's id and secret are shown, in the form or by HTTP Basic."


class PolicyBody(In):
    """How a profile's mail may go out. In a patch, as anywhere, null clears."""

    limit_per_minute: int | None = Field(None, ge=1, le=LARGEST_LIMIT, description="Deliveries; null is no limit.")
    limit_per_hour: int | None = Field(None, ge=1, le=LARGEST_LIMIT)
    limit_per_day: int | None = Field(None, ge=1, le=LARGEST_LIMIT)
    most_connections: int | None = Field(
        None, ge=1, le=1000, description="Of all workers together; null is 20 of each."
    )
    failover: int | None = Field(
        None, ge=1, le=LARGEST_ID, description="The profile that its mail goes through while its relay is away."
    )


class ProfileBody(PolicyBody):
    """A profile's settings. Left out or null means the default; a secret left out stays, as long as nothing changes
    that it is bound to."""

    host: str = Field(description="Host name or IP address of the relay.")
    port: int = Field(25, ge=1, le=65535)
    security: Annotated[Security, Field(strict=False)] = Field(Security.NONE, description=ABOUT_SECURITY)
    verify_certificate: bool = True
    ca_certificates: str | None = Field(None, description="PEM; null trusts the system's authorities.")
    server_name: str | None = Field(None, description="The name in the relay's certificate, if it is not the host.")
    tls_minimum: Annotated[TlsVersion, Field(strict=False)] = TlsVersion.V1_2
    auth: Annotated[Auth, Field(strict=False)] = Auth.NONE
    mechanism: str | None = Field(None, description="Exactly this one, as CRAM-MD5; null means the best offered.")
    username: str | None = None
    password: str | None = Field(None, json_schema_extra={"writeOnly": True}, description="With oauth2 the client's.")
    token_url: str | None = Field(None, description="With oauth2: where the access token is asked for.")
    token_grant: Annotated[TokenGrant, Field(strict=False)] = Field(
        TokenGrant.CLIENT_CREDENTIALS, description="With oauth2: by the client's own secret, or by a refresh token."
    )
    refresh_token: str | None = Field(None, json_schema_extra={"writeOnly": True}, description=ABOUT_SIGN_IN)
    token_client_auth: Annotated[ClientAuth, Field(strict=False)] = Field(
        ClientAuth.BODY, description=ABOUT_CLIENT_AUTH
    )
    client_id: str | None = None
    token_scope: str | None = None
    token_audience: str | None = None
    envelope_sender: str | None = Field(None, description="MAIL FROM, where bounces go; null means the sender.")
    sender_address: str | None = None
    sender_name: str | None = None
    reply_to_address: str | None = None
    reply_to_name: str | None = None
    recipient_filter: str | None = Field(None, description="Comma list with * wildcards; null allows everyone.")
    ehlo_name: str | None = None


class NewProfileBody(ProfileBody):
    name: str = Field(min_length=1, max_length=255)


class ProfilePatchBody(PolicyBody):
    """A merge patch (RFC 7396): only what is named changes, null clears. `name` and `default` may stand in it too."""

    name: str | None = Field(None, min_length=1, max_length=255)
    default: Literal[True] | None = None
    host: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    security: Annotated[Security | None, Field(strict=False)] = Field(None, description=ABOUT_SECURITY)
    verify_certificate: bool | None = None
    ca_certificates: str | None = None
    server_name: str | None = None
    tls_minimum: Annotated[TlsVersion | None, Field(strict=False)] = None
    auth: Annotated[Auth | None, Field(strict=False)] = None
    mechanism: str | None = None
    username: str | None = None
    password: str | None = Field(None, json_schema_extra={"writeOnly": True}, description="With oauth2 the client's.")
    token_url: str | None = Field(None, description="With oauth2: where the access token is asked for.")
    token_grant: Annotated[TokenGrant | None, Field(strict=False)] = None
    refresh_token: str | None = Field(None, json_schema_extra={"writeOnly": True}, description=ABOUT_SIGN_IN)
    token_client_auth: Annotated[ClientAuth | None, Field(strict=False)] = Field(None, description=ABOUT_CLIENT_AUTH)
    client_id: str | None = None
    token_scope: str | None = None
    token_audience: str | None = None
    envelope_sender: str | None = None
    sender_address: str | None = None
    sender_name: str | None = None
    reply_to_address: str | None = None
    reply_to_name: str | None = None
    recipient_filter: str | None = None
    ehlo_name: str | None = None


class ProfileOut(Out):
    id: int
    name: str
    default: bool
    revision: int
    host: str
    port: int
    security: Security
    verify_certificate: bool
    ca_certificates: str | None
    server_name: str | None
    tls_minimum: TlsVersion
    auth: Auth
    mechanism: str | None
    username: str | None
    password_set: bool
    token_url: str | None
    token_grant: TokenGrant
    refresh_token_set: bool
    token_client_auth: ClientAuth
    client_id: str | None
    token_scope: str | None
    token_audience: str | None
    envelope_sender: str | None
    sender_address: str | None
    sender_name: str | None
    reply_to_address: str | None
    reply_to_name: str | None
    recipient_filter: str | None
    ehlo_name: str | None
    limit_per_minute: int | None
    limit_per_hour: int | None
    limit_per_day: int | None
    most_connections: int | None
    failover: int | None
    changed_at: str
    changed_by: str
    dialect: str
    trouble: str | None = Field(description="Why its mail waits just now, if it does.")
    rests_until: str | None
    paused_at: str | None = Field(description="Since when a person keeps its mail back; null when nobody does.")


class ProfileList(Out):
    profiles: list[ProfileOut]
