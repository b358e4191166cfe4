"""django-post_office: mails as rows of Django's database, sent by its `send_queued_mail` command.

SQLite with WAL and synchronous=FULL, as Postroom has it; its own defaults otherwise. A web process hands in one mail
at a time, each its own commit; delivering begins when all are in, as with the cron job of its documentation.
"""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from peers.peer import Accepted, Driven, Run, Setting, through

REQUIREMENTS = ("Django==5.2.19", "django-post_office==3.12.0")
SCRIPT = Path(__file__).parent / "inside" / "django_queue.py"


@contextlib.contextmanager
def running(setting: Setting) -> Iterator[dict[str, Callable[[int], Run]]]:
    """Raises Missing."""
    python = setting.cache.python("post_office", *REQUIREMENTS)
    database = setting.home / "post_office.sqlite3"
    environment = os.environ | {"BENCH_DATABASE": str(database), "BENCH_SMTP_PORT": str(setting.sink.port)}
    subprocess.run([python, SCRIPT, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    with Driven([python, SCRIPT, "accept"], environment) as web, Driven([python, SCRIPT, "send"], environment) as cron:

        def accept(messages: int) -> Accepted:
            accepted = web.accept(messages)
            cron.tell(messages)  # and does not wait for it
            return accepted

        yield {"django-post_office": lambda n: through(setting.sink, [web.pid, cron.pid], n, accept)}
