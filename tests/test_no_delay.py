"""Nothing that we say waits in the system for an acknowledgement of what was said before (Nagle's algorithm): it costs
40 ms where the other side delays its acknowledgements, as most do."""

import asyncio
import socket
from pathlib import Path

from postroom.config import Config
from postroom.process import _listen
from postroom.smtp.dial import dial
from postroom.smtp.line import Line
from smtp.moods import Mood, open_relay


def delays(transport: asyncio.BaseTransport | asyncio.StreamWriter) -> bool:
    return not transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_not_the_end_of_an_answer(tmp_path: Path) -> None:
    accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def look(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(delays(writer))
        writer.close()

    with _listen(Config(data_dir=tmp_path, listen="127.0.0.1:0"), with_web=True) as listener:
        assert listener is not None
        server = await asyncio.start_server(look, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert not await accepted
        writer.close()
        server.close()


async def test_not_the_end_of_a_mail() -> None:
    class Nobody:
        def heard(self, data: bytes) -> None: ...

        def has_room(self) -> None: ...

        def lost(self) -> None: ...

    async with open_relay(Mood()) as relay:
        line = Line(Nobody())
        connection = await dial(("127.0.0.1",), relay.port, 5)
        assert isinstance(connection, socket.socket)
        await line.take(connection)
        assert not delays(line._open_transport)
        line.abort()
