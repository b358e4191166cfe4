"""The only reader of environment and files: one frozen Config.

Every field is `POSTROOM_<NAME>` in the environment or `<name>` in `postroom.toml`; a secret may also come from the file
named by `POSTROOM_<NAME>_FILE`. A bad value stops the start and names the variable.
"""

import ipaddress
import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from postroom.domain.issuer import TrustedIssuer
from postroom.domain.problems import Invalid
from postroom.domain.secret import Secret
from postroom.domain.token_endpoint import TokenEndpoint

PREFIX = "POSTROOM_"
SECRETS = ("admin_key", "vault_key", "database_url", "key")


def _endpoint(text: str) -> str:
    """`address:port`, checked. Other names than localhost are not taken: what one resolves to may change, and the
    network policy compares addresses."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("must be address:port, for example 127.0.0.1:8025")
    if host == "localhost":
        return f"127.0.0.1:{port}"
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("must be an IP address and a port, for example 127.0.0.1:8025") from None
    return text


def _endpoint_or_off(text: str) -> str:
    return "off" if text.lower() in ("off", "") else _endpoint(text)


def _networks(text: str) -> str:
    """`any`, `public`, `none` or a comma list of networks, checked."""
    if text not in ("any", "public", "none"):
        for item in text.split(","):
            ipaddress.ip_network(item.strip())
    return text


def _network_list(text: str) -> str:
    """`none` or a comma list of networks, checked."""
    if text in ("any", "public"):
        raise ValueError("must be none or a list of networks, for example 10.0.0.0/8")
    return _networks(text)


_KEEP = re.compile(r"content (\d{1,5})([dhm]),? messages (\d{1,5})([dhm])", re.ASCII)
_PORTS = " ports "
_UNITS = {"d": 86_400, "h": 3600, "m": 60}


def _keep(text: str) -> str:
    """How long contents and messages are kept, checked."""
    found = _KEEP.fullmatch(" ".join(text.split()))
    if not found:
        raise ValueError("must read like: content 7d, messages 90d (d, h or m)")
    return found[0]


def _references(text: str) -> str:
    """`none` or a comma list of `env:PATTERN` and `file:/DIRECTORY/PATTERN`, checked."""
    for item in text.split(",") if text != "none" else ():
        kind, _, what = item.strip().partition(":")
        path = PurePosixPath(what)
        if kind == "file":
            well = path.is_absolute() and "*" not in str(path.parent) and ".." not in path.parts
        else:
            well = kind == "env" and what.strip("*") != "" and "/" not in what
        if not well:
            raise ValueError("must be none or a list such as env:SMTP_*,file:/run/secrets/*")
    return text


def _relays(text: str) -> str:
    """`any`, `public` or a comma list of networks, and perhaps `ports` and a comma list of them; checked."""
    networks, _, ports = text.partition(_PORTS)
    if networks.strip() == "none":
        raise ValueError("must be any, public or a list of networks")
    for item in ports.split(",") if _PORTS in text else ():
        if not (item.strip().isascii() and item.strip().isdigit() and 1 <= int(item) <= 65535):
            raise ValueError("must end with ports such as: public ports 25,465,587")
    _networks(networks.strip())
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]
OptionalEndpoint = Annotated[str, AfterValidator(_endpoint_or_off)]
Relays = Annotated[str, AfterValidator(_relays)]
References = Annotated[str, AfterValidator(_references)]
NetworkList = Annotated[str, AfterValidator(_network_list)]
Keep = Annotated[str, AfterValidator(_keep)]


class Oidc(BaseModel):
    """One table, so that what belongs together is set together: `POSTROOM_OIDC={"issuer": "https://…", …}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, max_length=180)
    audience: str = Field(min_length=1)
    tenant_claim: str = Field("tenant", min_length=1)
    permissions_claim: str = Field("scope", min_length=1)

    @field_validator("issuer")
    @classmethod
    def _address(cls, issuer: str) -> str:
        try:
            TokenEndpoint.parse(issuer)
        except Invalid:
            raise ValueError("issuer must be an https:// address (http:// on loopback only)") from None
        return issuer

    def trusted(self) -> TrustedIssuer:
        return TrustedIssuer(self.issuer, self.audience, self.tenant_claim, self.permissions_claim)


class Config(BaseSettings):
    """What an operator can set. What a tenant can change is data, not configuration."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", toml_file="postroom.toml")

    data_dir: Path = Field(Path("data"), description="Where SQLite, the vault key and the lock live.")
    listen: Endpoint = Field("127.0.0.1:8025", description="Where HTTP is served.")
    database_url: SecretStr | None = Field(None, description="postgresql://… for several machines; else SQLite.")
    admin_key: SecretStr | None = Field(None, description="Fixes the first admin key instead of drawing one.")
    vault_key: SecretStr | None = Field(
        None, description="32 random octets in base64, or several such, the first seals; else data_dir/vault.key."
    )
    public_url: str | None = Field(None, description="The address that users see, if a proxy stands before us.")
    https_only: bool = Field(True, description="Refuse plain http where a product demands https.")
    trusted_proxies: NetworkList = Field(
        "none", description="Proxies whose X-Forwarded-Proto and -For are believed: networks."
    )
    relay_networks: Relays = Field(
        "any",
        description="Relays that may be dialled: any, public or networks; then ports, as in: public ports 25,465,587.",
    )
    plaintext_auth: NetworkList = Field(
        "127.0.0.0/8,::1/128", description="Relays that may be sent a password without TLS: none or networks."
    )
    secret_references: References = Field(
        "none", description="What env:NAME and file:PATH may name in place of a password: none or patterns."
    )
    sandbox: OptionalEndpoint = Field("127.0.0.1:2525", description="Where the sandbox relay listens, or off.")
    ehlo_name: str | None = Field(None, description="How we greet relays; else this machine's name.")
    oidc: Oidc | None = Field(
        None,
        description="An issuer of tokens beside us: a table with issuer, audience, tenant_claim, permissions_claim.",
    )
    lease: float = Field(60.0, ge=15, description="Seconds after which a dead worker's mail is due again.")
    keep: Keep = Field("content 7d, messages 90d", description="How long, after a message's last delivery ended.")
    log_format: Literal["console", "json"] = Field("console", description="How events are written to stderr.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Which events are written.")
    url: str | None = Field(None, description="For the command line: the server to speak to.")
    key: SecretStr | None = Field(None, description="For the command line: the API key.")

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # called by keyword; the rest we don't read
        cls,
        settings_cls: type[BaseSettings],
        *,
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_rest: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def database(self) -> str:
        """The database's URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'postroom.db'}"

    @property
    def relays(self) -> tuple[str, frozenset[int] | None]:
        """The networks that relays may be in, and their ports; None is any port."""
        networks, _, ports = self.relay_networks.partition(_PORTS)
        return networks.strip(), frozenset(map(int, ports.split(","))) if ports else None

    @property
    def kept(self) -> tuple[int, int]:
        """For how many seconds contents and messages are kept."""
        content, unit, messages, other = _KEEP.fullmatch(self.keep).groups()  # type: ignore[union-attr]  # was checked
        return int(content) * _UNITS[unit], int(messages) * _UNITS[other]

    @property
    def running_note(self) -> Path:
        """Where a running server tells the command line how to reach it."""
        return self.data_dir / "running.json"

    def secret(self, name: Literal["admin_key", "vault_key", "key"]) -> Secret | None:
        value: SecretStr | None = getattr(self, name)
        return Secret(value.get_secret_value()) if value is not None else None


def load() -> Config:
    """Read the configuration. Raises Invalid, naming the variable, and never echoing a secret's value."""
    _check_names()
    try:
        return Config.model_validate(_from_files())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}"
        raise Invalid(name, f"{name}: {first['msg']}") from None
    except SettingsError:
        raise Invalid("POSTROOM_OIDC", 'POSTROOM_OIDC must be JSON such as {"issuer": "…", "audience": "…"}.') from None


def _check_names() -> None:
    """A misspelt variable would silently mean the default; that is worse than not starting."""
    known = {f"{PREFIX}{name.upper()}" for name in Config.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise Invalid(name, f"{name} is no setting of Postroom; the settings are {', '.join(sorted(known))}.")


def _from_files() -> dict[str, SecretStr]:
    """The `_FILE` twins of the secrets."""
    found = {}
    for name in SECRETS:
        path = os.environ.get(f"{PREFIX}{name.upper()}_FILE")
        if path:
            try:
                found[name] = SecretStr(Path(path).read_text().strip())
            except OSError as error:
                variable = f"{PREFIX}{name.upper()}_FILE"
                raise Invalid(variable, f"{variable}: {error.strerror}: {path}") from None
    return found


def endpoint(setting: str) -> tuple[str, int] | None:
    """Host and port of a setting that names one; None where it is off."""
    if setting == "off":
        return None
    host, _, port = setting.rpartition(":")
    return host.strip("[]"), int(port)
