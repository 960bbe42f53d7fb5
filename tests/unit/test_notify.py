"""What the service manager is told."""

import socket

import pytest

from agent.notify import ServiceManager


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket: the path and a function that returns the next message."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        path = str(tmp_path / "notify")
        listener.bind(path)
        listener.settimeout(2.0)
        yield path, lambda: listener.recv(1024).decode()


def test_ready_status_and_watchdog_are_said(manager):
    path, heard = manager
    service = ServiceManager({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"})
    assert service.watchdog == 30.0
    service.ready("sampling")
    assert heard() == "READY=1\nSTATUS=sampling"
    service.alive()
    assert heard() == "WATCHDOG=1"
    service.stopping()
    assert heard() == "STOPPING=1"


def test_a_watchdog_meant_for_another_process_is_not_ours():
    assert ServiceManager({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog == 0.0


def test_without_a_service_manager_nothing_happens():
    ServiceManager({}).ready("fine")


def test_a_manager_that_is_gone_does_no_harm(tmp_path):
    service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    service.ready("fine")
    service.alive()
