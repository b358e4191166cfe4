"""Every OpenAPI document against the server that it describes: at least a thousand made-up requests each.

Takes many minutes, so it is a campaign of its own: `./test -m contract`.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from postroom.dialects import ALL
from postroom.domain.secret import Secret
from serving import ADMIN_KEY, Server

pytestmark = pytest.mark.contract

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "ignored_auth",
)  # fmt: skip
LEAST = 1_000
KEYS = {"v1": {"authorization": f"Bearer {ADMIN_KEY}"}} | {
    dialect.name: dict(dialect.key_styles[0].attach(Secret(ADMIN_KEY))) for dialect in ALL
}


# Products whose test call answers 500 by design when the test mail fails: it is looked at without the check for that.
FAILS_WITH_500 = {"keycloak": ".*/testSMTPConnection"}


@pytest.mark.parametrize("document", KEYS)
def test_no_made_up_request_gets_an_answer_outside_the_document(tmp_path: Path, document: str):
    # Made-up hosts must not be dialled: only this machine is within reach.
    with Server(tmp_path, log_level="info", relay_networks="127.0.0.0/8") as server:
        described = server.client.get(f"/docs/{document}/openapi.json").json()
        operations = sum(len(verbs) for verbs in described["paths"].values())
        base = server.url + (described.get("servers") or [{"url": ""}])[0]["url"]
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/docs/{document}/openapi.json",
            f"--url={base}", "--phases=coverage,fuzzing", "--no-color",
            f"--max-examples={max(50, 3 * LEAST // operations)}",
            # Capitalised: the check that leaves the key out looks for it so.
            *(f"--header={name.title()}: {value}" for name, value in KEYS[document].items()),
        ]  # fmt: skip
        tried, seed = 0, 0
        while tried < LEAST:  # a seed after another: how many cases one makes depends on the document
            seed += 1
            tried += sum(made_up([*command, *options], seed, tmp_path) for options in passes(document))
        assert "request_failed" not in server.logged()


def passes(document: str) -> list[list[str]]:
    fails = FAILS_WITH_500.get(document)
    if fails is None:
        return [[f"--checks={','.join(CHECKS)}"]]
    rest = [check for check in CHECKS if check != "not_a_server_error"]
    return [
        [f"--checks={','.join(CHECKS)}", f"--exclude-path-regex={fails}"],
        [f"--checks={','.join(rest)}", f"--include-path-regex={fails}"],
    ]


def made_up(command: list[str], seed: int, directory: Path) -> int:
    """How many requests were tried; none of them may have failed."""
    found = subprocess.run([*command, f"--seed={seed}"], capture_output=True, text=True, check=False, cwd=directory)
    tried = re.search(r"([\d,]+) generated", found.stdout)
    assert found.returncode == 0, found.stdout[-6000:]
    assert tried, found.stdout[-6000:]
    return int(tried[1].replace(",", ""))
