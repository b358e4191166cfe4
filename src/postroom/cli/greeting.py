"""What `serve` says at its start: where it is, the admin key if it was just drawn, and three things to try."""

import shlex
import shutil
import sys
from pathlib import Path

from postroom.cli import output
from postroom.domain.secret import Secret


def greet(url: str, first_key: Secret | None, data_dir: Path) -> None:
    """Each command stands on one line and can be pasted as it is."""
    key = first_key.reveal() if first_key else "$POSTROOM_KEY"
    output.say(f"\nPostroom is at {url}", "bold")
    if first_key:
        output.say(_shown_once(first_key))
    output.say("\nThree things to try, in another terminal:")
    _try("Ask for the mail settings as a ThreadFix script does", _threadfix(url, key))
    _try("Send a mail; the sandbox catches it, so nobody gets it", _send(data_dir))
    _try("Look at it (sign in with the key)", f"{url}/sandbox")
    output.say()


def show_first_key(key: Secret) -> None:
    """Where a command drew it on its way. On stderr: stdout may be read by a program."""
    output.note(_shown_once(key))


def _shown_once(key: Secret) -> str:
    return f"Admin key: {key.reveal()}\nIt is shown this once and kept nowhere: store it, or export POSTROOM_KEY=…"


def _try(what: str, command: str) -> None:
    output.say(f"\n  {what}:", "dim")
    output.say(f"    {command}")


def _threadfix(url: str, key: str) -> str:
    return f'curl -H "Authorization: APIKEY {key}" {url}/threadfix/rest/latest/systemsettings/email'


def _send(data_dir: Path) -> str:
    """As it works in the directory that we were started in: with the program's path and the data directory where they
    are not what they are by default."""
    is_default = data_dir.resolve() == Path("data").resolve()
    where = "" if is_default else f"POSTROOM_DATA_DIR={shlex.quote(str(data_dir.resolve()))} "
    return f"{where}{_program()} send --to you@example.com --subject Hello --text 'It works.' --wait"


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name != "postroom" or shutil.which("postroom"):
        return "postroom"
    here = Path.cwd()
    return shlex.quote(str(called.relative_to(here) if called.is_relative_to(here) else called))
