"""Downloads from a real server on the loopback interface."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import socket
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.download import (
    DownloadCancelled,
    cache_folder,
    checkpoint_path,
    fetch,
    is_available,
)
from napari_octa_sam2.model.registry import (
    MODELS,
    PROMPTLESS,
    ModelEntry,
    get_entry,
    model_names,
)
from napari_octa_sam2.model.transfer import CHUNK

PAYLOAD = np.random.default_rng(0).bytes(1_500_000)


@dataclass
class Site:
    """A file server that can misbehave."""

    payload: bytes = PAYLOAD
    cuts: list[int] = field(default_factory=list)  # bytes to send, one a request
    ranges: bool = True
    etag: str = '"v1"'
    status: int = 200
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(handler.headers) | {"path": handler.path})
        start = self._start(handler)
        if self.status != 200:
            return handler.send_error(self.status)
        if start >= len(self.payload):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.payload)}")
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        body = self.payload[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", self.etag)
        handler.end_headers()
        cut = body[: self.cuts.pop(0)] if self.cuts else body
        handler.wfile.write(cut)
        self.sent.append(len(cut))
        handler.close_connection = True
        return None

    def _start(self, handler: BaseHTTPRequestHandler) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        same = handler.headers.get("If-Range", self.etag) == self.etag
        return int(asked[1]) if asked and self.ranges and same else 0


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("NAPARI_OCTA_SAM2_MIRROR", raising=False)
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.answer(self)

        def log_message(self, *_):
            """Keep the output of the tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/weights/net.pt"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def entry(url: str, sha256: str | None = hashlib.sha256(PAYLOAD).hexdigest()):
    return ModelEntry("net", "Net", "net.yaml", url, sha256, 1.5, 1024, "MIT")


def resumed_at(request: dict[str, str]) -> int:
    return int(request.get("Range", "bytes=0-").removeprefix("bytes=")[:-1])


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_complete(site, tmp_path):
    seen = []
    net = entry(site.url)
    assert not is_available(net, tmp_path)
    path = fetch(
        net, folder=tmp_path / "new", progress=lambda *progress: seen.append(progress)
    )
    assert path == tmp_path / "new" / "net.pt"
    assert path.read_bytes() == PAYLOAD
    assert files(path.parent) == ["net.pt", "net.pt.ok"]
    done = [d for d, _ in seen]
    assert len(done) > 3
    assert done == sorted(set(done))
    assert seen[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert {total for _, total in seen} == {len(PAYLOAD)}
    assert is_available(net, path.parent)


def test_a_verified_file_is_neither_downloaded_nor_read_again(
    site, tmp_path, monkeypatch
):
    net = entry(site.url)
    path = fetch(net, folder=tmp_path)
    monkeypatch.setattr("pooch.file_hash", lambda *_, **__: pytest.fail("read again"))
    assert fetch(net, folder=tmp_path) == path
    assert is_available(net, tmp_path)
    assert len(site.requests) == 1


def test_an_interruption_is_resumed_at_once(site, tmp_path):
    site.cuts = [600_000, 500_000]
    done = []
    path = fetch(entry(site.url), folder=tmp_path, progress=lambda d, _: done.append(d))
    assert path.read_bytes() == PAYLOAD
    first, second, third = (resumed_at(r) for r in site.requests)
    assert first == 0
    assert 600_000 - CHUNK < second <= 600_000
    assert 500_000 - CHUNK < third - second <= 500_000
    assert site.sent == [600_000, 500_000, len(PAYLOAD) - third]
    assert done == sorted(done)
    assert done[-1] == len(PAYLOAD)


def test_a_connection_that_stays_down_is_resumed_by_the_next_call(site, tmp_path):
    site.cuts = [700_000, 0]
    net = entry(site.url)
    with pytest.raises(ModelError, match=r"kept.*try again.*octa-nano"):
        fetch(net, folder=tmp_path)
    held = (tmp_path / "net.pt.part").stat().st_size
    assert 700_000 - CHUNK < held <= 700_000
    assert not is_available(net, tmp_path)
    assert fetch(net, folder=tmp_path).read_bytes() == PAYLOAD
    assert resumed_at(site.requests[-1]) == held
    assert site.requests[-1]["If-Range"] == '"v1"'
    assert held + site.sent[-1] == len(PAYLOAD)
    assert files(tmp_path) == ["net.pt", "net.pt.ok"]


def test_a_server_without_ranges_starts_anew(site, tmp_path):
    site.ranges = False
    (tmp_path / "net.pt.part").write_bytes(b"x" * 1000)
    assert fetch(entry(site.url), folder=tmp_path).read_bytes() == PAYLOAD
    assert site.requests[0]["Range"] == "bytes=1000-"
    assert site.sent == [len(PAYLOAD)]


def test_parts_of_two_versions_are_not_joined(site, tmp_path):
    site.cuts = [500_000, 0]
    site.payload, site.etag = PAYLOAD[::-1], '"v0"'
    net = entry(site.url)
    with pytest.raises(ModelError):
        fetch(net, folder=tmp_path)
    site.payload, site.etag = PAYLOAD, '"v1"'
    assert fetch(net, folder=tmp_path).read_bytes() == PAYLOAD


def test_a_part_that_was_complete_is_only_verified(site, tmp_path):
    (tmp_path / "net.pt.part").write_bytes(PAYLOAD)
    assert fetch(entry(site.url), folder=tmp_path).read_bytes() == PAYLOAD
    assert site.sent == []


def test_a_part_that_is_too_long_is_dropped(site, tmp_path):
    (tmp_path / "net.pt.part").write_bytes(PAYLOAD + b"more")
    assert fetch(entry(site.url), folder=tmp_path).read_bytes() == PAYLOAD


@pytest.mark.parametrize("cancel_at", [1, 400_000])
def test_cancel_leaves_a_part_that_is_resumed(site, tmp_path, cancel_at):
    done = [0]
    net = entry(site.url)
    with pytest.raises(DownloadCancelled, match="goes on at"):
        fetch(
            net,
            folder=tmp_path,
            progress=lambda d, _: done.append(d),
            cancelled=lambda: done[-1] >= cancel_at,
        )
    part = tmp_path / "net.pt.part"
    assert cancel_at <= part.stat().st_size == done[-1] < len(PAYLOAD)
    assert fetch(net, folder=tmp_path).read_bytes() == PAYLOAD
    assert resumed_at(site.requests[-1]) == done[-1]


def test_corrupted_bytes_are_refused_and_deleted(site, tmp_path):
    site.payload = PAYLOAD[:-1] + bytes([PAYLOAD[-1] ^ 1])
    expected = hashlib.sha256(PAYLOAD).hexdigest()
    found = hashlib.sha256(site.payload).hexdigest()
    with pytest.raises(
        ModelError, match=f"expected SHA-256 {expected}, found {found}.*by hand"
    ):
        fetch(entry(site.url), folder=tmp_path)
    assert files(tmp_path) == []


def test_a_resumed_download_of_damaged_bytes_is_refused(site, tmp_path):
    (tmp_path / "net.pt.part").write_bytes(b"x" * 1000)
    with pytest.raises(ModelError, match="SHA-256"):
        fetch(entry(site.url), folder=tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:1000], lambda b: b"", lambda b: b"x" + b[1:]],
    ids=["truncated", "empty", "corrupted"],
)
@pytest.mark.parametrize("remembered", [True, False])
def test_a_damaged_file_in_the_cache_is_replaced(site, tmp_path, damage, remembered):
    net = entry(site.url)
    path = fetch(net, folder=tmp_path)
    before = path.stat()
    path.write_bytes(damage(PAYLOAD))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
    if not remembered:
        (tmp_path / "net.pt.ok").unlink()
    assert not is_available(net, tmp_path)
    with pytest.warns(UserWarning, match=r"net\.pt: expected SHA-256.*again"):
        assert fetch(net, folder=tmp_path).read_bytes() == PAYLOAD


def test_a_file_put_there_by_hand_is_verified_once(site, tmp_path):
    (tmp_path / "net.pt").write_bytes(PAYLOAD)
    assert is_available(entry(site.url), tmp_path)
    assert fetch(entry(site.url), folder=tmp_path) == tmp_path / "net.pt"
    assert site.requests == []


def test_a_damaged_memory_of_the_check_is_not_trusted(site, tmp_path):
    net = entry(site.url)
    fetch(net, folder=tmp_path)
    (tmp_path / "net.pt.ok").write_text("[]")
    assert is_available(net, tmp_path)


def test_without_a_published_hash_it_is_said_and_remembered(site, tmp_path):
    net = entry(site.url, sha256=None)
    with pytest.warns(UserWarning, match="not verified against a published checksum"):
        path = fetch(net, folder=tmp_path)
    assert fetch(net, folder=tmp_path) == path
    path.write_bytes(PAYLOAD[:1000])
    assert not is_available(net, tmp_path)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_names_the_status_and_a_way_out(site, tmp_path, status):
    site.status = status
    with pytest.raises(ModelError, match=f"answered {status}.*by hand.*octa-nano"):
        fetch(entry(site.url), folder=tmp_path)
    assert not (tmp_path / "net.pt").exists()


def test_an_unreachable_server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/net.pt"
    with pytest.raises(ModelError, match=r"cannot be reached.*net\.pt.*octa-nano"):
        fetch(entry(url), folder=tmp_path)


def test_too_little_space_is_said_before_the_download(site, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ModelError, match=r"1\.5 MB: free some space"):
        fetch(entry(site.url), folder=tmp_path)
    assert site.requests == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_on_the_way(site, tmp_path):
    (tmp_path / "net.pt.part").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"cannot write.*free some space"):
        fetch(entry(site.url), folder=tmp_path)


def test_a_folder_that_is_a_file(site, tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(ModelError, match="cannot write"):
        fetch(entry(site.url), folder=tmp_path / "models")


def test_a_mirror_replaces_the_address(site, tmp_path, monkeypatch):
    mirror = site.url.rsplit("/", 1)[0] + "/mirror/"
    monkeypatch.setenv("NAPARI_OCTA_SAM2_MIRROR", mirror)
    net = entry("http://unreachable.invalid/a/net.pt")
    assert fetch(net, folder=tmp_path).read_bytes() == PAYLOAD
    assert site.requests[0]["path"] == "/weights/mirror/net.pt"


def test_a_mirror_that_is_no_address(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_OCTA_SAM2_MIRROR", "no address")
    with pytest.raises(ModelError, match="no address"):
        fetch(entry("http://unreachable.invalid/a/net.pt"), folder=tmp_path)


def test_the_cache_folder_can_be_chosen(site, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert fetch(entry(site.url)) == tmp_path / "cache" / "net.pt"
    monkeypatch.delenv("NAPARI_OCTA_SAM2_CACHE")
    assert "napari-octa-sam2" in str(cache_folder())


def test_the_bundled_model_comes_from_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_octa_sam2.model.download.BUNDLED_FOLDER", tmp_path)
    nano = replace(
        get_entry("octa-nano"), sha256=hashlib.sha256(b"weights").hexdigest()
    )
    assert not is_available(nano)
    with pytest.raises(ModelError, match="reinstall"):
        fetch(nano)
    (tmp_path / "octa-nano.safetensors").write_bytes(b"weights")
    assert is_available(nano)
    assert (
        fetch(nano, folder=tmp_path / "elsewhere") == tmp_path / "octa-nano.safetensors"
    )
    (tmp_path / "octa-nano.safetensors").write_bytes(b"changed")
    with pytest.raises(ModelError, match="is damaged"):
        fetch(nano)


def test_the_registry_is_complete():
    sizes = ("tiny", "small", "base_plus", "large")
    official = {f"{f}_hiera_{s}" for f in ("sam2.1", "sam2") for s in sizes}
    assert model_names()[0] == "octa-nano"
    assert set(model_names()) == official | {"octa-nano"}
    for name in official:
        model = get_entry(name)
        assert model.url.endswith(f"/{name}.pt")
        assert re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert checkpoint_path(model, Path("cache")) == Path("cache") / f"{name}.pt"
    assert model_names(PROMPTLESS) == ("octa-auto",)
    assert len({m.sha256 for m in MODELS.values()}) == len(MODELS) == 10


def test_the_configurations_are_in_the_installed_sam2():
    sam2 = importlib.util.find_spec("sam2")
    if sam2 is None:
        pytest.skip("sam2 is not installed")
    root = Path(sam2.origin).parent
    for model in MODELS.values():
        if model.url is not None:
            assert (root / model.config).is_file(), model.config


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"'sam3'.*octa-nano.*sam2\.1_hiera_tiny"):
        get_entry("sam3")
