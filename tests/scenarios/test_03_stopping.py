"""Told to stop, it stops, whatever its clients do."""

import socket
from pathlib import Path

from serving import ADMIN_KEY, Server


def test_a_client_that_never_ends_its_request_keeps_no_server_from_stopping(tmp_path: Path):
    with Server(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        head = f"authorization: Bearer {ADMIN_KEY}\r\ncontent-length: 100\r\nexpect: 100-continue"
        slow.sendall(f"POST /v1/messages HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n".encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 100")  # somebody waits for the body now
        assert server.stop() == 0
