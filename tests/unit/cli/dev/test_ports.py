"""Ports that can be listened on, and a clear word when one cannot."""

import socket
from collections.abc import Iterator

import pytest

from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.ports import HOST, choose, free_ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_port_that_somebody_listens_on_everywhere_is_not_free() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(map(is_free, ports))


def test_the_wanted_port_is_taken_or_refused(taken: int) -> None:
    [free] = free_ports(1)
    assert choose(free, taken, "--port") == free
    with pytest.raises(DevError, match=f"port {taken} is taken: choose another with --port"):
        choose(taken, free, "--port")


def test_the_usual_port_gives_way(taken: int) -> None:
    [free] = free_ports(1)
    assert choose(None, free, "--port") == free
    assert choose(None, taken, "--port") != taken
    assert choose(0, free, "--port") != free
