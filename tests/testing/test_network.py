"""A process without network."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from fusionkit.testing.network import NetworkBlockedError, blocked_network


def test_whoever_reaches_out_fails_and_is_told():
    with blocked_network() as attempts:
        with pytest.raises(NetworkBlockedError, match=r"'hub\.invalid' was reached for"):
            socket.create_connection(("hub.invalid", 443))
        with socket.socket() as client, pytest.raises(NetworkBlockedError, match="192"):
            client.connect(("192.0.2.1", 80))
        with socket.socket() as client, pytest.raises(NetworkBlockedError):
            client.connect_ex(("192.0.2.2", 80))
        with pytest.raises(urllib.error.URLError, match="no network"):
            urllib.request.urlopen("http://other.invalid/")
    assert attempts == ["hub.invalid", "192.0.2.1", "192.0.2.2", "other.invalid"]


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, blocked_network() as attempts:
        with socket.create_connection(server.getsockname(), timeout=5):
            pass
        assert socket.getaddrinfo("localhost", 80)
    assert attempts == []


def test_everything_is_as_it_was_after_the_block():
    before = (socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo)
    with pytest.raises(ZeroDivisionError), blocked_network():
        raise ZeroDivisionError
    assert (socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo) == before
    assert "connect" not in vars(socket.socket)
