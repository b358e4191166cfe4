"""Settings: what a profile may be, how a patch changes one, and what its secret is bound to."""

from dataclasses import field, fields, make_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.domain.destination import (
    DESTINATION_FIELDS,
    Need,
    Secrets,
    destination,
    keep_or_replace_secret,
    keep_or_replace_secrets,
    need_of,
    unmarked_fields,
)
from postroom.domain.problems import Invalid, SecretNeeded
from postroom.domain.profile import (
    KEEP,
    SECRET_FIELDS,
    TEXT_FIELDS,
    Auth,
    ClientAuth,
    Patch,
    Profile,
    Security,
    TlsVersion,
    TokenGrant,
    apply,
    changed_fields,
)
from postroom.domain.secret import Secret

STORED = Secret("correct horse")
BEFORE = Profile(
    host="smtp.company.example", port=587, security=Security.STARTTLS, ca_certificates="PEM",
    server_name="mx.company.example", auth=Auth.PASSWORD, username="postroom", envelope_sender="bounce@company.example",
    sender_address="noreply@company.example", sender_name="Company", reply_to_address="help@company.example",
    reply_to_name="Help", recipient_filter="*@company.example", ehlo_name="postroom.company.example",
)  # fmt: skip

# One other value for every field there is. A field that is missing here fails the first test below.
OTHER: dict[str, Any] = {
    "host": "smtp.evil.example",
    "port": 2525,
    "security": Security.NONE,
    "verify_certificate": False,
    "ca_certificates": "OTHER PEM",
    "server_name": "mx.evil.example",
    "tls_minimum": TlsVersion.V1_3,
    "auth": Auth.NONE,
    "mechanism": "CRAM-MD5",
    "username": "somebody",
    "token_url": "https://login.evil.example/token",
    "token_grant": TokenGrant.REFRESH_TOKEN,
    "token_client_auth": ClientAuth.BASIC,
    "client_id": "evil",
    "token_scope": "everything",
    "token_audience": "evil",
    "envelope_sender": "other@company.example",
    "sender_address": "other@company.example",
    "sender_name": "Other",
    "reply_to_address": "other@company.example",
    "reply_to_name": "Other",
    "recipient_filter": "*",
    "ehlo_name": "other.company.example",
    "limit_per_minute": 30,
    "limit_per_hour": 1000,
    "limit_per_day": 10_000,
    "most_connections": 2,
    "failover": 2,
    "extras": {"threadfix": {"a": 1}},
}
HARMLESS = {
    "sender_address", "sender_name", "reply_to_address", "reply_to_name", "recipient_filter", "ehlo_name",
    "limit_per_minute", "limit_per_hour", "limit_per_day", "most_connections", "failover", "extras",
}  # fmt: skip
NAMES = [f.name for f in fields(Profile)]


def test_every_field_of_a_profile_is_looked_at_here_and_can_be_patched():
    assert set(OTHER) == set(NAMES)
    assert {f.name for f in fields(Patch)} == {*NAMES, *SECRET_FIELDS}
    assert all(getattr(BEFORE, name) != OTHER[name] for name in NAMES)


def test_only_the_fields_that_were_judged_harmless_are():
    assert set(NAMES) - set(DESTINATION_FIELDS) == HARMLESS


def test_a_field_added_later_counts_until_someone_marks_it():
    grown = make_dataclass(
        "Grown", [("proxy", str, field(default="")), ("note", str, field(default="", metadata={"harmless": True}))],
        bases=(Profile,), frozen=True, slots=True,
    )  # fmt: skip
    assert unmarked_fields(grown) == (*DESTINATION_FIELDS, "proxy")


@pytest.mark.parametrize("name", sorted(set(NAMES) - HARMLESS - {"auth"}))
def test_a_change_of_the_destination_demands_the_secret_again(name: str):
    patch = Patch(**{name: OTHER[name]})
    after = apply(BEFORE, patch)
    assert destination(after) != destination(BEFORE)
    with pytest.raises(SecretNeeded, match=name) as refused:
        keep_or_replace_secret(BEFORE, after, patch, STORED)
    assert refused.value.field == "password"
    assert STORED.reveal() not in refused.value.message


@pytest.mark.parametrize("name", sorted(set(NAMES) - HARMLESS))
def test_without_login_a_change_of_the_destination_drops_the_secret_and_login_demands_it_again(name: str):
    patch = Patch(**{name: OTHER[name], "auth": Auth.NONE})
    silent = apply(BEFORE, patch)
    assert keep_or_replace_secret(BEFORE, silent, patch, STORED) is None
    back = Patch(auth=Auth.PASSWORD)
    with pytest.raises(SecretNeeded, match="auth"):
        keep_or_replace_secret(silent, apply(silent, back), back, STORED)


@pytest.mark.parametrize("name", sorted(set(NAMES) - HARMLESS))
def test_with_the_secret_given_again_the_destination_may_change(name: str):
    patch = Patch(**{name: OTHER[name]}, password=Secret("new"))
    assert keep_or_replace_secret(BEFORE, apply(BEFORE, patch), patch, STORED) == Secret("new")


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_a_harmless_change_keeps_the_secret(name: str):
    patch = Patch(**{name: OTHER[name]})
    after = apply(BEFORE, patch)
    assert after != BEFORE
    assert keep_or_replace_secret(BEFORE, after, patch, STORED) is STORED


@given(st.lists(st.sampled_from(NAMES), unique=True))
def test_a_patch_changes_what_it_says_and_nothing_else(names: list[str]):
    after = apply(BEFORE, Patch(**{name: OTHER[name] for name in names}))
    for name in NAMES:
        assert getattr(after, name) == (OTHER[name] if name in names else getattr(BEFORE, name))
    assert changed_fields(BEFORE, after) == {name: (getattr(BEFORE, name), OTHER[name]) for name in names}


@given(st.lists(st.sampled_from(NAMES), unique=True))
def test_what_comes_back_as_it_was_shown_is_no_change(changed: list[str]):
    shown = Patch(**{name: getattr(BEFORE, name) for name in NAMES})
    came_back = replace(shown, **{name: OTHER[name] for name in changed}, password=Secret("new"))
    assert came_back.without(shown) == Patch(**{name: OTHER[name] for name in changed}, password=Secret("new"))
    assert apply(BEFORE, shown.without(shown)) == BEFORE


def test_a_value_that_was_never_shown_is_a_change_even_if_it_reads_keep():
    said = Patch(username="keep", sender_name="keep")
    assert said.without(Patch()) == said
    assert apply(BEFORE, said.without(Patch())).username == "keep"


def test_none_clears_a_field_and_silence_keeps_it():
    after = apply(BEFORE, Patch(sender_name=None))
    assert after.sender_name is None
    assert after.reply_to_name == "Help"
    assert Patch(sender_name=None, password=None).settings() == {"sender_name": None}


def test_the_first_patch_must_name_a_host():
    with pytest.raises(Invalid) as refused:
        apply(None, Patch(port=25))
    assert refused.value.field == "host"
    assert apply(None, Patch(host="smtp.company.example")) == Profile(host="smtp.company.example")


@pytest.mark.parametrize("password", [None, Secret("")])
def test_a_cleared_password_is_gone_and_login_without_one_is_refused(password: Secret | None):
    off = Patch(auth=Auth.NONE, password=password)
    assert keep_or_replace_secret(BEFORE, apply(BEFORE, off), off, STORED) is None
    with pytest.raises(Invalid) as refused:
        keep_or_replace_secret(BEFORE, BEFORE, Patch(password=password), STORED)
    assert refused.value.field == "password"
    assert not isinstance(refused.value, SecretNeeded)


def test_login_without_any_password_is_refused():
    with pytest.raises(Invalid):
        keep_or_replace_secret(None, BEFORE, Patch(), None)
    assert keep_or_replace_secret(None, Profile(host="localhost"), Patch(), None) is None


@pytest.mark.parametrize("name", sorted(set(NAMES) - HARMLESS - {"auth"}))
def test_where_a_product_clears_instead_of_refusing_a_change_of_the_destination_clears_the_secret(name: str):
    patch = Patch(**{name: OTHER[name]})
    after = apply(BEFORE, patch)
    assert keep_or_replace_secret(BEFORE, after, patch, STORED, clear_if_moved=True) is None


def test_where_a_product_clears_instead_of_refusing_login_may_stand_without_a_password():
    assert keep_or_replace_secret(None, BEFORE, Patch(), None, clear_if_moved=True) is None
    assert keep_or_replace_secret(BEFORE, BEFORE, Patch(password=None), STORED, clear_if_moved=True) is None
    assert keep_or_replace_secret(BEFORE, BEFORE, Patch(), STORED, clear_if_moved=True) is STORED


def test_a_stored_secret_is_never_taken_over_by_settings_that_are_new():
    with pytest.raises(SecretNeeded):
        keep_or_replace_secret(None, BEFORE, Patch(), STORED)


@pytest.mark.parametrize("mask", ["*", "**********", "••••••••", "●●●●", "*•●", "a\x00b", "x" * 4097, "half \ud800"])
def test_a_mask_and_what_no_login_can_carry_are_no_passwords(mask: str):
    with pytest.raises(Invalid) as refused:
        keep_or_replace_secret(BEFORE, BEFORE, Patch(password=Secret(mask)), STORED)
    assert refused.value.field == "password"
    assert mask not in refused.value.message


@pytest.mark.parametrize("password", ["*a*", " ", "pässwörd", "x" * 4096, "\t", "null"])
def test_any_other_password_is_taken_as_it_is(password: str):
    assert keep_or_replace_secret(BEFORE, BEFORE, Patch(password=Secret(password)), STORED) == Secret(password)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("SMTP.Company.Example", "smtp.company.example"),
        (" smtp.company.example ", "smtp.company.example"),
        ("smtp.company.example.", "smtp.company.example"),
        ("localhost", "localhost"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8::0001", "2001:db8::1"),
    ],
)
def test_a_host_has_one_spelling(given: str, host: str):
    assert Profile(host=given).host == host


@pytest.mark.parametrize(
    "host",
    [
        "", " ", "smtp.company.example:25", "smtp://company.example", "a b", "a/b", "user@host", "1.2.3", "999.1.1.1",
        "-a", "a\r\nb", "a\x00", "::1%eth0", "fe80::1%any text here", "2130706433", "host#", "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(host: str):
    with pytest.raises(Invalid) as refused:
        Profile(host=host)
    assert refused.value.field == "host"


@pytest.mark.parametrize("port", [0, -1, 65536, True])
def test_a_port_is_a_number_from_1_to_65535(port: int):
    with pytest.raises(Invalid) as refused:
        Profile(host="localhost", port=port)
    assert refused.value.field == "port"


@pytest.mark.parametrize("name", TEXT_FIELDS)
@pytest.mark.parametrize("breaker", ["\r\n", "\n", "\r", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
def test_no_text_of_a_profile_can_end_a_line_anywhere(name: str, breaker: str):
    value = str(getattr(BEFORE, name))
    with pytest.raises(Invalid) as refused:
        replace(BEFORE, **{name: f"{value[:3]}{breaker}{value[3:]}"})
    assert refused.value.field == name


def test_every_field_that_is_text_is_checked_as_text():
    texts = {f.name for f in fields(Profile) if f.type in (str, str | None)} - {"ca_certificates"}
    assert texts == set(TEXT_FIELDS)


@pytest.mark.parametrize("name", [name for name in TEXT_FIELDS if name != "recipient_filter"])
def test_a_text_has_at_most_255_characters(name: str):
    with pytest.raises(Invalid) as refused:
        replace(BEFORE, **{name: "x" * 256})
    assert refused.value.field == name


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_filter_is_refused_because_it_would_read_as_everyone(blank: str):
    with pytest.raises(Invalid) as refused:
        replace(BEFORE, recipient_filter=blank)
    assert refused.value.field == "recipient_filter"


@pytest.mark.parametrize("username", [None, ""])
def test_login_needs_a_user_name(username: str | None):
    with pytest.raises(Invalid) as refused:
        replace(BEFORE, username=username)
    assert refused.value.field == "username"


def test_addresses_are_kept_in_their_canonical_form():
    assert replace(BEFORE, sender_address="No.Reply@COMPANY.example").sender_address == "No.Reply@company.example"
    assert replace(BEFORE, envelope_sender=None).mail_from == "noreply@company.example"
    assert BEFORE.mail_from == "bounce@company.example"


def test_a_new_profile_differs_from_nothing_in_every_field_that_is_set():
    assert changed_fields(None, Profile(host="localhost"))["host"] == (None, "localhost")


def test_keep_is_not_a_value_that_a_patch_says():
    assert Patch().settings() == {}
    assert Patch(username=KEEP, port=25).settings() == {"port": 25}


# A sign-in: a refresh token, and a client that may have no secret of its own.

SIGNED_IN = replace(
    BEFORE, auth=Auth.OAUTH2, token_grant=TokenGrant.REFRESH_TOKEN, token_url="https://login.example/token",
    client_id="client",
)  # fmt: skip
BOTH = Secrets(Secret("client secret"), Secret("refresh token"))


@pytest.mark.parametrize(
    ("profile", "password", "refresh_token"),
    [
        (Profile(host="localhost"), Need.NONE, Need.NONE),
        (BEFORE, Need.REQUIRED, Need.NONE),
        (replace(BEFORE, token_grant=TokenGrant.REFRESH_TOKEN), Need.REQUIRED, Need.NONE),
        (replace(SIGNED_IN, token_grant=TokenGrant.CLIENT_CREDENTIALS), Need.REQUIRED, Need.NONE),
        (SIGNED_IN, Need.OPTIONAL, Need.REQUIRED),
    ],
)
def test_what_settings_need_of_each_secret(profile: Profile, password: Need, refresh_token: Need):
    assert (need_of(profile, "password"), need_of(profile, "refresh_token")) == (password, refresh_token)


@pytest.mark.parametrize("name", sorted(set(NAMES) - HARMLESS - {"auth", "token_grant"}))
def test_a_change_of_the_destination_demands_both_secrets_again(name: str):
    patch = Patch(**{name: "OAUTHBEARER" if name == "mechanism" else OTHER[name]})
    for secrets, needed in (
        ({}, "password"),
        ({"password": Secret("new")}, "refresh_token"),
        ({"refresh_token": Secret("new")}, "password"),
        ({"password": None}, "refresh_token"),
    ):
        said = replace(patch, **secrets)
        with pytest.raises(SecretNeeded, match=name) as refused:
            keep_or_replace_secrets(SIGNED_IN, apply(SIGNED_IN, said), said, BOTH)
        assert refused.value.field == needed
    both = replace(patch, password=None, refresh_token=Secret("new"))
    assert keep_or_replace_secrets(SIGNED_IN, apply(SIGNED_IN, both), both, BOTH) == Secrets(None, Secret("new"))


@pytest.mark.parametrize(
    "patch", [Patch(auth=Auth.PASSWORD), Patch(token_grant=TokenGrant.CLIENT_CREDENTIALS), Patch(auth=Auth.NTLM)]
)
def test_a_refresh_token_is_dropped_where_there_is_no_use_for_it(patch: Patch):
    said = replace(patch, password=Secret("new"))
    assert keep_or_replace_secrets(SIGNED_IN, apply(SIGNED_IN, said), said, BOTH) == Secrets(Secret("new"), None)
    useless = replace(said, refresh_token=Secret("new"))
    with pytest.raises(Invalid) as refused:
        keep_or_replace_secrets(SIGNED_IN, apply(SIGNED_IN, useless), useless, BOTH)
    assert refused.value.field == "refresh_token"


def test_a_harmless_change_keeps_both_secrets_and_one_is_replaced_without_the_other():
    assert keep_or_replace_secrets(SIGNED_IN, replace(SIGNED_IN, sender_name="New"), Patch(), BOTH) == BOTH
    patch = Patch(refresh_token=Secret("new"))
    assert keep_or_replace_secrets(SIGNED_IN, SIGNED_IN, patch, BOTH) == replace(BOTH, refresh_token=Secret("new"))


def test_where_a_product_clears_instead_of_refusing_both_secrets_are_cleared():
    patch = Patch(host="other.example")
    after = apply(SIGNED_IN, patch)
    assert keep_or_replace_secrets(SIGNED_IN, after, patch, BOTH, clear_if_moved=True) == Secrets()


def test_a_sign_in_without_its_refresh_token_is_refused():
    for stored, patch in ((Secrets(), Patch()), (BOTH, Patch(refresh_token=None))):
        with pytest.raises(Invalid) as refused:
            keep_or_replace_secrets(SIGNED_IN, SIGNED_IN, patch, stored)
        assert refused.value.field == "refresh_token"


@pytest.mark.parametrize("text", ["*****", "with\nline", "pässtoken", "x" * 4097, "nul\x00"])
def test_what_can_be_no_refresh_token_is_refused(text: str):
    with pytest.raises(Invalid) as refused:
        keep_or_replace_secret(SIGNED_IN, SIGNED_IN, Patch(refresh_token=Secret(text)), None, name="refresh_token")
    assert refused.value.field == "refresh_token"
    assert text not in refused.value.message


# The mechanism.


def test_a_mechanism_is_named_in_any_case_and_belongs_to_its_kind_of_login():
    assert replace(BEFORE, mechanism=" scram-sha-256 ").mechanism == "SCRAM-SHA-256"
    for strange in ("NTLM", "XOAUTH2", "DIGEST-MD5", ""):
        with pytest.raises(Invalid, match="SCRAM-SHA-256") as refused:
            replace(BEFORE, mechanism=strange)
        assert refused.value.field == "mechanism"


def test_a_mechanism_goes_with_its_kind_of_login_and_outlives_a_login_that_is_switched_off():
    before = replace(BEFORE, mechanism="CRAM-MD5")
    assert apply(before, Patch(auth=Auth.NTLM)).mechanism is None
    assert apply(before, Patch(auth=Auth.NTLM, mechanism="NTLM")).mechanism == "NTLM"
    off = apply(before, Patch(auth=Auth.NONE))
    assert apply(off, Patch(auth=Auth.PASSWORD)).mechanism == "CRAM-MD5"
    assert apply(off, Patch(auth=Auth.NTLM)).mechanism is None
    with pytest.raises(Invalid, match="ntlm"):
        apply(before, Patch(auth=Auth.NTLM, mechanism="CRAM-MD5"))
