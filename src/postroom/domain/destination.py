"""What a stored secret is bound to, and which secret goes with changed settings: the one destination rule."""

import re
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final

from postroom.domain.problems import Invalid, SecretNeeded
from postroom.domain.profile import KEEP, SECRET_FIELDS, Auth, Patch, Profile, SecretField, TokenGrant
from postroom.domain.secret import Secret

LONGEST_SECRET = 4096

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def unmarked_fields(kind: type[Profile]) -> tuple[str, ...]:
    """The fields that nobody has marked harmless."""
    return tuple(f.name for f in fields(kind) if not f.metadata.get("harmless"))


DESTINATION_FIELDS: Final = unmarked_fields(Profile)


def destination(profile: Profile) -> tuple[object, ...]:
    """What a relay secret is bound to: every field that is not marked harmless, in order."""
    return tuple(getattr(profile, name) for name in DESTINATION_FIELDS)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets that go with a profile."""

    password: Secret | None = None
    refresh_token: Secret | None = None


class Need(Enum):
    """Whether settings have a use for a secret."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


def need_of(profile: Profile, secret: SecretField) -> Need:
    """Where a person's sign-in gives the token, a client without a secret of its own will do (RFC 6749 2.1)."""
    by_refresh_token = profile.auth is Auth.OAUTH2 and profile.token_grant is TokenGrant.REFRESH_TOKEN
    if secret == "refresh_token":  # noqa: S105
        return Need.REQUIRED if by_refresh_token else Need.NONE
    if profile.auth is Auth.NONE:
        return Need.NONE
    return Need.OPTIONAL if by_refresh_token else Need.REQUIRED


def keep_or_replace_secret(
    before: Profile | None, after: Profile, patch: Patch, stored: Secret | None, *, name: SecretField = "password",
    clear_if_moved: bool = False,
) -> Secret | None:  # fmt: skip
    """The one destination rule, for every way in and for each secret: the one that goes with `after`.

    A stored secret stays only where it was meant to go. Raises SecretNeeded when the destination changed and the secret
    was not given again, and Invalid when login is on and there is none. One product clears the secret then, and takes
    login without one, instead of refusing (`clear_if_moved`); its mail waits until there is one.
    """
    given, need = getattr(patch, name), need_of(after, name)
    if isinstance(given, Secret) and given:
        return _checked_secret(given, name, need)
    if given is not KEEP:  # None or empty: cleared on request
        stored = None
    if stored is not None and (before is None or destination(before) != destination(after)):
        if need is Need.NONE or clear_if_moved:
            # Without login nothing is lost: switching login on again is a change of destination, too.
            return None
        changed = [n for n in DESTINATION_FIELDS if before is None or getattr(before, n) != getattr(after, n)]
        word = _SECRET_WORDS[name]
        raise SecretNeeded(
            name,
            f"Give the {word} again{' (or null for none)' if need is Need.OPTIONAL else ''}: {', '.join(changed)} "
            f"changed, and a stored {word} is only ever sent where it was entered for.",
        )
    if stored is None and need is Need.REQUIRED and not clear_if_moved:
        raise Invalid(name, _MISSING[name])
    return stored


def keep_or_replace_secrets(
    before: Profile | None, after: Profile, patch: Patch, stored: Secrets, *, clear_if_moved: bool = False
) -> Secrets:
    """`keep_or_replace_secret` for all of them."""
    kept = (
        keep_or_replace_secret(before, after, patch, getattr(stored, name), name=name, clear_if_moved=clear_if_moved)
        for name in SECRET_FIELDS
    )
    return Secrets(*kept)


_SECRET_WORDS: Final = {"password": "password", "refresh_token": "refresh token"}
_MISSING: Final = {
    "password": "To log in at the relay a password is needed; give one or switch login off.",
    "refresh_token": "To log in with a refresh token one is needed: sign in at the provider, and give what it gave.",
}


def _checked_secret(secret: Secret, name: SecretField, need: Need) -> Secret:
    text, word = secret.reveal(), _SECRET_WORDS[name]
    if name == "refresh_token":
        if need is Need.NONE:
            raise Invalid(name, "A refresh token is only for auth oauth2 with token_grant refresh_token.")
        if not (text.isascii() and text.isprintable()):  # RFC 6749 A.17
            raise Invalid(name, "The refresh token has characters that no refresh token has; paste it once more.")
    if len(text) > LONGEST_SECRET:
        raise Invalid(name, f"The {word} is longer than {LONGEST_SECRET} characters.")
    if _SURROGATE.search(text):
        raise Invalid(name, f"The {word} has half a character (a lone surrogate), which no login can carry.")
    if "\x00" in text:
        raise Invalid(name, f"The {word} has a NUL character, which no SMTP login can carry.")  # RFC 4616
    if not text.strip("*•●"):
        raise Invalid(
            name, f"The {word} is only a mask of stars; leave it out to keep the stored one, or give the real one."
        )
    return secret
