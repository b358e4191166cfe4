"""Django with post_office: `migrate`, or a process that accepts (or sends) whenever a line on stdin says how many."""

import logging
import os
import sys

import django
import load
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_DATABASE"],
            "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", "timeout": 30},
        }
    },
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ["BENCH_SMTP_PORT"]),
    LOGGING_CONFIG=None,
    USE_TZ=True,
)
django.setup()
logging.disable(logging.INFO)

from django.core.management import call_command  # noqa: E402  after Django's setup
from post_office import mail  # noqa: E402


def accept() -> None:
    mail.send(load.RECIPIENT, load.SENDER, subject="Your build has finished", message=load.TEXT)


def send(_: int) -> None:
    call_command("send_queued_mail", lockfile=os.environ["BENCH_DATABASE"], log_level=0)


if __name__ == "__main__":
    match sys.argv[1]:
        case "migrate":
            call_command("migrate")
        case "accept":
            load.accept_when_told(accept)
        case "send":
            load.do_when_told(send)
