"""Nothing that was confirmed is lost when the process is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.project import store
from napari_octa_sam2.project.document import Document

SCRIPT = Path(__file__).parents[1] / "faults.py"
KILLS = 50
WITH_NETWORK = 5  # of them; the others do more in less time
PATIENCE = 120.0  # seconds

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")


@pytest.fixture(scope="module")
def digest():
    spec = importlib.util.spec_from_file_location("octa_faults", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module.digest


class Child:
    """The script, and what it says."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._said, self._other = queue.Queue(), []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self._said.put(json.loads(line))
            else:  # warnings of the viewer, a traceback
                self._other.append(line)
        self._said.put({"end": True})

    def ask(self, **wanted):
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()

    def hear(self, key):
        """Return what is said next with `key`, and all that came before it."""
        before = []
        while True:
            said = self._said.get(timeout=PATIENCE)
            if key in said:
                return said, before
            assert "end" not in said, "".join(self._other)
            before.append(said)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


@pytest.fixture
def child(checkpoint):
    made = []

    def start(*arguments):
        made.append(Child(checkpoint, *arguments))
        return made[-1]

    yield start
    for one in made:
        one.close()


def folded(events, shape):
    document = Document(shape)
    for event in events:
        document.follow(event)
    return document


def assert_nothing_lost(path, said, digest):
    """Resume; return how many actions were confirmed, and later events.

    What the journal has beyond them is of the one action that was in flight.
    """
    trouble = []
    about, events = store.read_project(path, trouble.append)
    assert trouble == []
    shape = about.shape
    confirmed = [one for one in said if "digest" in one]
    known = confirmed[-1]["events"] if confirmed else 0
    assert len(events) >= known
    if confirmed:
        assert digest(folded(events[:known], shape)) == confirmed[-1]["digest"]
    if "digest" in said[-1]:
        assert len(events) == known
    project = store.resume(path)
    assert digest(project.document) == digest(folded(events, shape))
    project.close()
    return len(confirmed), events[known:]


def test_killed_at_any_moment_everything_confirmed_is_there(child, digest):
    rng = np.random.default_rng(11)
    server = child()
    server.hear("ready")
    confirmed = []
    for number in range(KILLS):
        network = number < WITH_NETWORK
        server.ask(seed=number, network=network)
        begun, _ = server.hear("pid")
        first, early = server.hear("before")
        time.sleep(float(rng.uniform(0.0, 1.5 if network else 0.4)))
        os.kill(begun["pid"], signal.SIGKILL)
        _, late = server.hear("gone")
        said = [*early, first, *late]
        count, in_flight = assert_nothing_lost(Path(begun["path"]), said, digest)
        if not network:
            assert [event["do"] for event in in_flight].count("begin") <= 1
        confirmed.append(count)
    assert sum(confirmed) > KILLS
    assert len(set(confirmed)) > KILLS // 5


def test_killed_in_a_window_everything_confirmed_is_there(child, digest):
    rng = np.random.default_rng(12)
    window = child("window")
    begun, _ = window.hear("pid")
    said = [window.hear("digest")[0] for _ in range(int(rng.integers(3, 9)))]
    time.sleep(float(rng.uniform(0, 0.1)))
    os.kill(begun["pid"], signal.SIGKILL)
    said += window.hear("end")[1]
    count, _ = assert_nothing_lost(Path(begun["path"]), said, digest)
    assert count >= 3
