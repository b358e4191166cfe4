"""Vendors' own clients, each in an environment of its own: what they need does not always fit beside ours."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parent.parent / ".cache" / "clients"


def client_environment(name: str, *requirements: str) -> Path:
    """The Python of an environment that has `requirements`: made once, and again when they change."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = CACHE / name
    python, stamp, wanted = home / "bin" / "python", home / "requirements.txt", "".join(f"{r}\n" for r in requirements)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run side by side; freed when the file is closed
        if not stamp.exists() or stamp.read_text() != wanted:
            _run(sys.executable, "-m", "venv", "--clear", str(home))
            _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
            stamp.write_text(wanted)
    return python


def run_client(python: Path, script: str, *arguments: str, **environment: str) -> Any:
    """What `script` prints as JSON, run by that Python with nothing of ours on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POSTROOM_", "PYTHON"))}
    return json.loads(_run(str(python), "-c", script, *arguments, environment=kept | environment))


def node_modules(name: str, *requirements: str) -> Path:
    """A directory where Node finds `requirements`: made once, and again when they change."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = CACHE / name
    stamp, wanted = home / "requirements.txt", "".join(f"{r}\n" for r in requirements)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            (home / "package.json").write_text('{"private": true, "type": "module"}')
            _run("npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", "--silent", *requirements)
            stamp.write_text(wanted)
    return home


def run_node(home: Path, script: str, *arguments: str) -> Any:
    """What `script`, an ES module, prints as JSON."""
    file = home / f"{uuid.uuid4().hex}.mjs"  # imports are looked up from where it lies
    file.write_text(script)
    try:
        return json.loads(_run("node", str(file), *arguments))
    finally:
        file.unlink()


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command[:3]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
