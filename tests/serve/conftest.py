# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Servers for the tests of anybpfd: one for a whole file that nobody disturbs, and ones to do as one likes with."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from anybpfd import OPEN, PROGRAM, Server  # noqa: E402


def pytest_collection_modifyitems(items):
    if not PROGRAM.exists():
        for item in items:
            if pathlib.Path(item.fspath).parent == pathlib.Path(__file__).parent:
                item.add_marker(pytest.mark.skip(reason="anybpfd was not built"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("anybpfd") / "state", *OPEN) as s:
        yield s


@pytest.fixture
def new_server(tmp_path):
    """Makes servers that anybody may build at, with further options; all end with the test."""
    made = []

    def make(*options, open_to_all=True, start=True, name=None, **keywords):
        s = Server(tmp_path / (name or f"state{len(made)}"), *(OPEN if open_to_all else ()), *options, **keywords)
        made.append(s)
        return s.start() if start else s

    yield make
    for s in made:
        s.stop()
