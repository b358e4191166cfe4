"""What the benches need of others, fetched once by name and version and kept: by default in `~/.cache/postroom-bench`.

Nothing is installed: a virtual environment, a `node_modules` or an unpacked Debian package each has a directory of its
own there, and a second run finds it again.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
SOURCE = CHECKOUT / "src"


class Missing(Exception):
    """A contestant can't take part here, and why. Whoever measures says so, loudly."""


@dataclass(frozen=True, slots=True)
class Cache:
    root: Path

    def python(self, name: str, *requirements: str) -> Path:
        """The interpreter of a virtual environment with these of PyPI's packages. Raises Missing."""

        def make(home: Path) -> None:
            venv.create(home, with_pip=True)
            _run([home / "bin/python", "-m", "pip", "install", "--quiet", *requirements])

        return self._once(name, requirements, make) / "bin/python"

    def node(self, name: str, *packages: str) -> Path:
        """A directory whose `node_modules` has these packages. Raises Missing."""
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise Missing("node and npm are not installed")

        def make(home: Path) -> None:
            _run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", home, *packages])

        return self._once(name, packages, make)

    def debian(self, name: str, *packages: str) -> Path:
        """A directory with these Debian packages unpacked in it. Raises Missing."""
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            raise Missing("this is not Debian: no apt-get and dpkg to unpack it with, and it is not installed")

        def make(home: Path) -> None:
            home.mkdir(parents=True)
            _run(["apt-get", "download", *packages], cwd=home)
            for package in home.glob("*.deb"):
                _run(["dpkg", "-x", package, home])
                package.unlink()

        return self._once(name, packages, make)

    def compiled(self) -> Path:
        """Where Postroom, as it stands in this checkout, can be imported from with its busiest modules compiled (see
        pyproject.toml). Raises Missing."""
        source = hashlib.sha256(sys.version.encode())
        for file in sorted([CHECKOUT / "pyproject.toml", CHECKOUT / "hatch_build.py", *SOURCE.rglob("*.py")]):
            source.update(file.read_bytes())

        def make(home: Path) -> None:
            command: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            _run([*command, "--target", home, CHECKOUT], HATCH_BUILD_HOOKS_ENABLE="1")

        return self._once("postroom-compiled", (f"postroom-{source.hexdigest()[:16]}",), make)

    def _once(self, name: str, what: tuple[str, ...], make: Callable[[Path], None]) -> Path:
        home, note = self.root / name, self.root / f"{name}.has"
        if not (note.exists() and note.read_text().split() == list(what)):
            print(f"fetching {' '.join(what)} into {home}", file=sys.stderr, flush=True)
            shutil.rmtree(home, ignore_errors=True)
            self.root.mkdir(parents=True, exist_ok=True)
            make(home)
            note.write_text("\n".join(what))  # last: what was broken off is begun again
        return home


def _run(command: list[str | Path], cwd: Path | None = None, **settings: str) -> None:
    try:
        subprocess.run(command, cwd=cwd, env=os.environ | settings, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:]
        raise Missing(f"`{' '.join(map(str, command[:4]))} …` failed: {''.join(last)}") from None
    except OSError as error:
        raise Missing(f"`{command[0]}` could not be run: {error.strerror}") from None


def add_option(parser: argparse.ArgumentParser) -> None:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postroom-bench"
    parser.add_argument(
        "--cache", type=lambda text: Cache(Path(text).resolve()), default=Cache(default), metavar="DIR",
        help=f"where what is fetched for other contestants is kept (default {default})",
    )  # fmt: skip
