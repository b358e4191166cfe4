"""The `postroom` command. Everything behind the native API is imported only when it is needed here: a command that
speaks to a running server starts four times as fast without it."""

from contextlib import AbstractAsyncContextManager

from postroom import cli
from postroom.config import Config


def _serve(config: Config, *, with_web: bool = True, with_worker: bool = True) -> None:
    from postroom import process

    process.serve(config, with_web=with_web, with_worker=with_worker)


def _opened(config: Config) -> AbstractAsyncContextManager[cli.Opened]:
    from postroom import app

    return app.opened(config)


def main() -> None:
    cli.run(cli.Wiring(serve=_serve, opened=_opened))


if __name__ == "__main__":
    main()
