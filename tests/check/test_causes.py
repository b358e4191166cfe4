"""The causes: each is told somewhere, each has its words, and what providers say of a whole message is known, too."""

from pathlib import Path

import pytest

from postroom.domain.delivery import RelayReply, Stage
from postroom.domain.profile import Profile
from postroom.smtp import diagnosis, providers
from postroom.smtp.causes import CAUSES
from postroom.smtp.diagnosis import diagnose, in_words
from postroom.smtp.providers import KNOWN, PROVIDERS, known_reply, provider_of

D, R = Stage.DOT, Stage.RECIPIENT
SAID = [
    ("smtp.office365.com", D, 554, "5.2.252", "5.2.252 SendAsDenied; a@b.example not allowed to send as "
     "c@b.example", "microsoft.send_as"),
    ("smtp.office365.com", D, 550, "5.1.90", "5.1.90 Your message can't be sent because you've reached your daily "
     "limit", "microsoft.daily_limit"),
    ("smtp.office365.com", D, 550, "5.1.8", "5.1.8 Access denied, bad outbound sender", "microsoft.sender_blocked"),
    ("email-smtp.us-east-1.amazonaws.com", D, 554, None, "Message rejected: Email address is not verified. The "
     "following identities failed the check in region US-EAST-1: a@b.example", "ses.not_verified"),
    ("email-smtp.us-east-1.amazonaws.com", D, 454, None, "Throttling failure: Daily message quota exceeded.",
     "ses.throttled"),
    ("smtp.sendgrid.net", D, 550, None, "The from address does not match a verified Sender Identity. Mail "
     "cannot be sent", "sendgrid.sender"),
    ("smtp.mailgun.org", D, 421, None, "Domain sandbox1.mailgun.org is not allowed to send: Sandbox subdomains "
     "are for test purposes only. Please add your own domain", "mailgun.sandbox"),
    ("smtp.gmail.com", D, 550, "5.4.5", "5.4.5 Daily user sending limit exceeded.", "google.daily_limit"),
    ("relay.example", R, 450, "4.2.0", "4.2.0 Recipient address rejected: Greylisted, see http://postgrey.example",
     "recipient.greylisted"),
    ("relay.example", R, 550, None, "sender verify failed", "sender.unknown_domain"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "stage", "code", "enhanced", "text", "cause"), SAID)
def test_what_is_said_of_a_message_is_known(
    host: str, stage: Stage, code: int, enhanced: str | None, text: str, cause: str
):
    assert known_reply(host, stage, RelayReply(code, text, enhanced)) == cause
    found = diagnose(Profile(host=host), "dot.refused", stage, RelayReply(code, text, enhanced))
    assert (found.cause, found.why) == (cause, CAUSES[cause].why)
    assert in_words("The relay did not take it.", found) == f"The relay did not take it. {found.why} {found.advice}"


def test_a_reply_that_nobody_knows_is_left_to_its_code():
    found = diagnose(Profile(host="relay.example"), "dot.refused", D, RelayReply(554, "no"))
    assert (found.cause, found.why, found.proposal) == ("", "", None)
    assert found.advice.startswith("The relay's words say why")


def test_every_cause_is_told_somewhere_and_has_its_words():
    source = "".join(Path(str(module.__file__)).read_text() for module in (diagnosis, providers))
    assert {each.cause for each in KNOWN} <= set(CAUSES)
    assert [name for name in CAUSES if f'"{name}"' not in source] == []
    for name, cause in CAUSES.items():
        assert cause.why.endswith("."), name
        assert cause.advice.endswith("."), name


def test_a_providers_relays_are_its_own():
    for provider in PROVIDERS:
        assert all(provider_of(relay) is provider for relay in provider.relays)
    assert provider_of("notgmail.com") is None
    assert provider_of("SMTP.Gmail.com.") is providers.GOOGLE
