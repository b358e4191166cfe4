"""What a newcomer sees: a key, shown once; a first mail that arrives; nothing secret where it should not be."""

import base64
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from serving import Server, eventually, free_port


class NewServer(Server):
    """Without a fixed admin key, as after `./run`."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        del self._environment["POSTROOM_ADMIN_KEY"]

    def shown_key(self) -> str:
        found = re.findall(r"^.*[Aa]dmin key[^:]*: +(\S+)", self.logged(), re.MULTILINE)
        assert len(found) == 1
        return str(found[0])


def test_the_admin_key_is_shown_at_the_first_start_and_never_again(tmp_path: Path):
    with NewServer(tmp_path) as server:
        key = server.shown_key()
        headers = {"authorization": f"Bearer {key}"}
        assert server.client.get("/v1/profiles/default", headers=headers).status_code == 200
        server.stop()
        server.start()
        assert server.logged().count(key) == server.logged()[: server.logged().index("stopped")].count(key)
        assert server.client.get("/v1/profiles/default", headers=headers).status_code == 200


def test_the_first_mail_arrives_in_the_sandbox(tmp_path: Path):
    with Server(tmp_path) as server:
        server.client.patch("/v1/profiles/default", json={"recipient_filter": "*@email.com"})
        mail = {"to": ["ann@email.com", "bob@other.example"], "subject": "Hello", "text": "It works."}
        message = server.client.post("/v1/messages", json=mail).json()["id"]
        caught = eventually(
            lambda: server.client.get("/v1/sandbox/messages").json()["messages"], what="the mail in the sandbox"
        )
        assert [(each["subject"], each["recipients"]) for each in caught] == [("Hello", ["ann@email.com"])]

        def shown() -> Any:
            return server.client.get(f"/v1/messages/{message}").json()["deliveries"]

        # It may arrive a moment before it is written down that it has.
        deliveries = eventually(lambda: [each for each in [shown()] if each[0]["tries"]], what="its settlement")[0]
        assert [(each["recipient"], each["state"]) for each in deliveries] == [
            ("ann@email.com", "sent"), ("bob@other.example", "filtered"),
        ]  # fmt: skip
        assert deliveries[0]["tries"][0]["reply"].startswith("250 ")
        detail = server.client.get(f"/v1/sandbox/messages/{caught[0]['id']}").json()
        assert detail["text"].strip() == "It works."


def test_what_is_kept_is_for_its_owner_only(tmp_path: Path):
    with Server(tmp_path) as server:
        for name in ("vault.key", "running.json"):
            assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert server.running()["url"] == server.url


def spellings(secret: str) -> list[bytes]:
    raw = secret.encode()
    encoded = [base64.b64encode(raw[offset:]).rstrip(b"=")[:-1] for offset in range(3)]
    return [raw, raw.hex().encode(), secret.encode("utf-16-le"), *encoded]


def test_a_relay_password_is_nowhere_in_logs_or_files(tmp_path: Path):
    """Database, WAL and a log at its most talkative, after each way to set a password and a login with it."""
    secrets = ["canary-Zq8-one", "canary-Zq8-two", "canary-Zq8-three"]
    with Server(tmp_path) as server:
        settings = {
            "host": "127.0.0.1", "port": server.sandbox_port, "auth": "password", "username": "u",
            "sender_address": "a@b.example",
        }  # fmt: skip
        server.client.put("/v1/profiles/default", json=settings | {"password": secrets[0]})
        server.client.patch("/v1/profiles/default", json={"password": secrets[1]})
        query = {
            "host": "127.0.0.1", "port": str(server.sandbox_port), "sender": "a@b.example", "user": "v",
            "password": secrets[2], "tls": "false", "smtpAuthorization": "true",
        }  # fmt: skip
        headers = {"authorization": server.client.headers["authorization"].replace("Bearer", "APIKEY")}
        assert server.client.put("/rest/systemsettings/email", params=query, headers=headers).status_code == 200
        server.client.post("/v1/messages", json={"to": ["c@d.example"], "text": "x"})
        eventually(lambda: server.client.get("/v1/messages?state=sent").json()["messages"], what="delivery with login")
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {"log", "postroom.db", "postroom.db-wal"} <= {path.name for path in files}
        for path in files:
            content = path.read_bytes()
            for secret in secrets:
                assert not [each for each in spellings(secret) if each in content], path.name


def test_a_taken_port_and_a_wrong_setting_are_told_plainly(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Server(tmp_path / "one") as running:
        second = Server(tmp_path / "two")
        second._environment["POSTROOM_LISTEN"] = f"127.0.0.1:{running.port}"
        with pytest.raises(AssertionError, match="POSTROOM_LISTEN"):
            second.start()
        second._environment["POSTROOM_LISTEN"] = f"127.0.0.1:{free_port()}"
        second._environment["POSTROOM_SANDBOKS"] = "off"
        with pytest.raises(AssertionError, match="POSTROOM_SANDBOKS is no setting"):
            second.start()


def test_a_second_process_may_not_use_the_same_data_directory(tmp_path: Path):
    with Server(tmp_path) as running:
        second = Server(tmp_path)
        second.log = tmp_path / "second.log"
        second._environment["POSTROOM_DATA_DIR"] = str(running.data_dir / "data")
        with pytest.raises(AssertionError, match="Another Postroom process"):
            second.start()


def test_a_wrong_vault_key_is_found_at_the_start(tmp_path: Path):
    with Server(tmp_path) as server:
        server.stop()
        server._environment["POSTROOM_VAULT_KEY"] = base64.b64encode(os.urandom(32)).decode()
        with pytest.raises(AssertionError, match=r"not the one that this database's secrets were\s+sealed with"):
            server.start()
