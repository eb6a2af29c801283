"""Connections to the daemon that a file's fixture `bridge` started; its web listener is at bridge.port."""
import contextlib

import pytest

from access import Web
from control import Control


@pytest.fixture(name="control")
def connect_control(bridge):
    with contextlib.closing(Control(bridge.folder / "control.sock")) as control:
        yield control


@pytest.fixture(name="web")
def connect_web(bridge):
    with contextlib.closing(Web(bridge.port)) as web:
        yield web
