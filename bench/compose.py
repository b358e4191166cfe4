"""How long one mail takes to compose, against the standard library: `python bench/compose.py [rounds]`.

The two take turns, round by round, so that a busy machine slows both; what is printed are medians. Then what a message
of a list of 500 costs on its way from JSON to the queue: there the least of all rounds, as nothing is beside it.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from statistics import median

from postroom.actions.mail import prepare
from postroom.domain.access import Caller, Permission
from postroom.domain.address import Address
from postroom.domain.message import Attachment, Draft, Mailbox
from postroom.domain.profile import Profile
from postroom.smtp.compose import compose
from postroom.store.profiles import StoredProfile
from postroom.web.api.messages import read_drafts

SENDER = Mailbox(Address.parse("noreply@company.example"), "Company")
TO = (Mailbox(Address.parse("bob@good.example"), "Bob Builder"),)
MESSAGE_ID = "<18c2f0a1b2c3d4e5@company.example>"
SECOND = 1_709_214_245

ASCII = "Your build has finished, and all of its tests have passed.\n" * 17
UTF8 = "Ваша сборка завершена, all tests have passed, schöne Grüße.\n" * 14
HTML = "<p>Your build has <b>finished</b>, and all tests have passed.</p>\n" * 17
FILE = Attachment("report.pdf", "application/pdf", bytes(range(256)) * 400)

DRAFTS = {
    "text 1 kB": Draft(to=TO, subject="Your build has finished", text=ASCII),
    "utf-8 1 kB": Draft(to=TO, subject="Сборка завершена", text=UTF8),
    "html + text": Draft(to=TO, subject="Your build has finished", text=ASCII, html=HTML),
    "100 kB attachment": Draft(to=TO, subject="Your report", text=ASCII, attachments=(FILE,)),
}


def ours(draft: Draft) -> bytes:
    return compose(draft, sender=SENDER, reply_to=None, message_id=MESSAGE_ID, date=SECOND * 1_000_000)


def the_librarys(draft: Draft) -> bytes:
    message = EmailMessage()
    message["Date"] = format_datetime(datetime.fromtimestamp(SECOND, UTC))
    message["From"] = f"{SENDER.name} <{SENDER.address}>"
    message["To"] = ", ".join(f"{box.name} <{box.address}>" for box in draft.to)
    message["Message-ID"] = MESSAGE_ID
    message["Subject"] = draft.subject
    message.set_content(draft.text or "")
    if draft.html is not None:
        message.add_alternative(draft.html, subtype="html")
    for file in draft.attachments:
        kind, _, subtype = file.content_type.partition("/")
        message.add_attachment(file.content, kind, subtype, filename=file.filename)
    return message.as_bytes(policy=SMTP)


def microseconds(write: Callable[[Draft], bytes], draft: Draft, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        write(draft)
    return (time.perf_counter() - started) / times * 1e6


def path_to_the_queue(rounds: int) -> None:
    many = 500
    mail = {"subject": "Your build has finished", "text": ASCII}
    raw = json.dumps(
        [mail | {"to": [{"address": f"bob{n}@good.example", "name": "Bob"}]} for n in range(many)]
    ).encode()
    settings = Profile(host="relay.example", sender_address="noreply@company.example", sender_name="Company")
    stored = StoredProfile(1, 1, "default", True, 1, 1, settings, None, None, 0, "", "", None, None, 0)
    caller = Caller("key", "bench", None, frozenset(Permission))
    seconds: dict[str, list[float]] = {"read the JSON": [], "filter, compose": []}
    for _ in range(rounds):
        started = time.perf_counter()
        drafts = read_drafts(raw)
        between = time.perf_counter()
        for draft in drafts:
            prepare(caller, stored, draft, SECOND * 1_000_000)
        seconds["read the JSON"].append(between - started)
        seconds["filter, compose"].append(time.perf_counter() - between)
    for step, each in seconds.items():
        print(f"{step:20} {min(each) / many * 1e6:9.1f}")


def main(rounds: int) -> None:
    print(f"{'us per message':20} {'compose':>9} {'email':>9} {'ratio':>7}   median of {rounds} rounds, taking turns")
    for name, draft in DRAFTS.items():
        pairs = [(microseconds(ours, draft, 200), microseconds(the_librarys, draft, 10)) for _ in range(rounds)]
        one, other = median(first for first, _ in pairs), median(second for _, second in pairs)
        ratio = median(second / first for first, second in pairs)
        print(f"{name:20} {one:9.1f} {other:9.1f} {ratio:6.0f}x")
    path_to_the_queue(rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
