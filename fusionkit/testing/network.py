"""A process without network: whoever reaches out fails, and is told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["NetworkBlockedError", "blocked_network"]

HERE = ("127.0.0.1", "::1", "localhost", "")


class NetworkBlockedError(ConnectionError):
    """Something reached for the network while there was none."""


@contextmanager
def blocked_network() -> Iterator[list[str]]:
    """Gives a list of the addresses that were reached for in the block, none with success.

    This machine itself can be reached.
    """
    attempts: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def refuse(host: object) -> None:
        name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
        if name not in HERE:
            attempts.append(name)
            raise NetworkBlockedError(f"there is no network here, and {name!r} was reached for")

    def guarded_connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple):
            refuse(address[0])
        return connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **keywords: Any) -> Any:
        refuse(host)
        return look_up(host, *arguments, **keywords)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        guarded_connect(self, address)
        return 0

    guards: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (socket.socket, "connect", guarded_connect),
        (socket.socket, "connect_ex", guarded_connect_ex),
        (socket, "getaddrinfo", guarded_look_up),
    )
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in guards]
    for owner, name, guard in guards:
        setattr(owner, name, guard)
    try:
        yield attempts
    finally:
        for owner, name, old in before:
            if old is None:
                delattr(owner, name)  # inherited, as methods of sockets are
            else:
                setattr(owner, name, old)
