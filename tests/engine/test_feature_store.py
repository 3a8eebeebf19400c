from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dask.array
import numpy as np
import pytest
import torch
import zarr

from napari_octa_sam2.engine import feature_store
from napari_octa_sam2.engine.feature_cache import Tensors
from napari_octa_sam2.engine.feature_store import FeatureStore
from napari_octa_sam2.engine.signature import Signature
from napari_octa_sam2.volume import identity
from napari_octa_sam2.volume.identity import volume_hash

SIGNATURE = Signature("volume", "model", 64, "bf16")
SLICES = 10
SHAPES = (6, 1, 2), (3,)

# Also the beginning of every script that runs in a process of its own.
COMMON = """
import os, signal, sys, time
from pathlib import Path
import torch
from napari_octa_sam2.engine.feature_store import FeatureStore
from napari_octa_sam2.engine.signature import Signature

folder = Path(sys.argv[1])
signature = Signature("volume", "model", 64, "bf16")
notes = []

def tensors(index, version=0, size=1):
    g = torch.Generator().manual_seed(1000 * version + index)
    shapes = (6, size, 2), (3,)
    return tuple(torch.randn(s, generator=g).bfloat16() for s in shapes)

def same(found, expected):
    return len(found) == len(expected) and all(map(torch.equal, found, expected))

def open_store(folder=folder, signature=signature, **options):
    return FeatureStore(folder, signature, 10, notify=notes.append, **options)
"""


def slice_tensors(index: int, version: int = 0, size: int = 1) -> Tensors:
    generator = torch.Generator().manual_seed(1000 * version + index)
    shapes = (6, size, 2), (3,)
    return tuple(torch.randn(s, generator=generator).bfloat16() for s in shapes)


def same(found: Tensors | None, expected: Tensors) -> bool:
    return found is not None and all(
        a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(found, expected, strict=True)
    )


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def open_store(tmp_path: Path, notes: list[str]) -> Callable[..., FeatureStore]:
    def open_store(
        folder: Path = tmp_path / "cache", signature: Signature = SIGNATURE, **options
    ) -> FeatureStore:
        return FeatureStore(folder, signature, SLICES, notify=notes.append, **options)

    return open_store


@pytest.fixture
def filled(open_store: Callable[..., FeatureStore]) -> FeatureStore:
    store = open_store()
    for index in range(3):
        store.write(index, slice_tensors(index))
    return store


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMON + script, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    return output


def total_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x20
    path.write_bytes(content)


# What is stored


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_slice_comes_back_bit_for_bit(
    open_store: Callable[..., FeatureStore], notes: list[str], dtype: torch.dtype
) -> None:
    special = torch.tensor([0.0, -0.0, torch.inf, torch.nan, 1e-40, 65504.0])
    written = special.to(dtype).reshape(6, 1), torch.zeros(4, 2, dtype=dtype)
    open_store().write(7, written)
    found = open_store().read(7)
    assert found is not None
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    for tensor, expected in zip(found, written, strict=True):
        assert tensor.dtype == dtype
        assert torch.equal(tensor.view(bits), expected.view(bits))
    assert notes == []


def test_views_gradients_and_scalars_are_stored_too(
    open_store: Callable[..., FeatureStore],
) -> None:
    store = open_store()
    base = torch.arange(12.0, requires_grad=True)
    store.write(0, (base.reshape(3, 4).T, torch.tensor(5.0)))
    found = store.read(0)
    assert found is not None
    assert torch.equal(found[0], base.detach().reshape(3, 4).T)
    assert found[1].shape == ()
    assert found[1] == 5


def test_only_written_slices_are_there(filled: FeatureStore) -> None:
    assert [i for i in range(-1, SLICES + 1) if i in filled] == [0, 1, 2]
    assert [filled.read(i) for i in (-1, 3, SLICES)] == [None] * 3
    assert same(filled.read(2), slice_tensors(2))


def test_slices_outside_of_the_volume_are_not_written(
    open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    store = open_store()
    for index in (-1, SLICES):
        store.write(index, slice_tensors(0))
    assert SLICES - 1 not in store
    assert notes == []


def test_the_group_says_what_it_holds(filled: FeatureStore) -> None:
    group = zarr.open_group(filled.path, mode="r")
    header = group.attrs["napari_octa_sam2_features"]
    assert header["signature"]["volume"] == "volume"
    assert header["version"] == feature_store.FORMAT
    array = group["tensor0"]
    assert array.attrs["dtype"] == "bfloat16"
    assert (array.dtype, array.chunks) == (np.uint16, (1, *SHAPES[0]))
    expected = slice_tensors(1)[0].view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(array[1], expected)
    # two bytes a value and the checksum: a chunk a slice, not compressed
    chunk = filled.path / "tensor0/c/1/0/0/0"
    assert chunk.stat().st_size == 2 * 12 + 4


# What features depend on


@pytest.mark.parametrize(
    "change",
    [
        {"volume": "other"},
        {"model": "other"},
        {"input_size": 128},
        {"precision": "fp16"},
        {"device": "cuda"},
        {"software": "other"},
    ],
)
def test_another_signature_never_meets_the_features(
    filled: FeatureStore,
    open_store: Callable[..., FeatureStore],
    change: dict[str, object],
) -> None:
    other = open_store(signature=replace(SIGNATURE, **change))
    assert 0 not in other
    assert other.read(0) is None
    other.write(0, slice_tensors(0, version=1))
    assert same(filled.read(0), slice_tensors(0))


def test_the_volume_hash_sees_every_byte_the_shape_and_the_dtype() -> None:
    data = np.random.default_rng(0).integers(0, 255, (3, 4, 5), dtype=np.uint8)
    hashes = {volume_hash(data)}
    for position in range(data.size):
        changed = data.copy()
        changed.flat[position] ^= 1
        hashes.add(volume_hash(changed))
    hashes.add(volume_hash(data.reshape(3, 5, 4)))
    hashes.add(volume_hash(data.reshape(5, 4, 3)))
    hashes.add(volume_hash(data.view(np.int8)))
    assert len(hashes) == 1 + data.size + 3


def test_the_volume_hash_is_that_of_the_values_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.random.default_rng(0).normal(size=(7, 4, 5)).astype(np.float32)
    expected = volume_hash(data)
    monkeypatch.setattr(identity, "BLOCK", 2 * data[0].nbytes)
    stored = zarr.create_array(tmp_path / "volume.zarr", data=data, chunks=(3, 4, 5))
    np.save(tmp_path / "volume.npy", data)
    mapped = np.load(tmp_path / "volume.npy", mmap_mode="r")
    lazy = dask.array.from_array(data, chunks=(2, 3, 5))
    strided = np.asfortranarray(data)
    found = {volume_hash(a) for a in (data, stored, mapped, lazy, strided)}
    assert found == {expected}


# Damage


def damage_truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_empty(path: Path) -> None:
    os.truncate(path, 0)


def damage_four_bytes(path: Path) -> None:
    path.write_bytes(bytes(4))


def damage_delete(path: Path) -> None:
    path.unlink()


def damage_other_slice(path: Path) -> None:
    """Put a sound chunk in the wrong place, which a CRC of the chunk cannot see."""
    shutil.copy(Path(str(path).replace("/c/1", "/c/2")), path)


def damage_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("chunk", ["tensor0/c/1/0/0/0", "tensor1/c/1/0"])
@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_empty,
        damage_four_bytes,
        damage_delete,
        damage_other_slice,
        damage_by_folder,
    ],
)
def test_a_damaged_chunk_is_said_once_and_made_anew(
    filled: FeatureStore, notes: list[str], chunk: str, damage: Callable[[Path], None]
) -> None:
    damage(filled.path / chunk)
    assert filled.read(1) is None
    assert filled.read(1) is None
    assert 1 not in filled
    assert len(notes) == 1
    assert "slice 1" in notes[0]
    assert same(filled.read(0), slice_tensors(0))
    if damage is not damage_by_folder:
        filled.write(1, slice_tensors(1))
        assert same(filled.read(1), slice_tensors(1))
        assert 1 in filled
    assert len(notes) == 1


def test_damage_to_many_slices_is_said_once(
    filled: FeatureStore, notes: list[str]
) -> None:
    for index in range(3):
        damage_truncate(filled.path / f"tensor1/c/{index}/0")
        assert filled.read(index) is None
        filled.write(index, slice_tensors(index))
        assert same(filled.read(index), slice_tensors(index))
    assert len(notes) == 1


def test_no_flipped_byte_goes_unseen(
    filled: FeatureStore, open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    for name in ("tensor0/c/1/0/0/0", "tensor1/c/1/0", "checksums/c/1"):
        path = filled.path / name
        for position in range(path.stat().st_size):
            flip(path, position)
            assert filled.read(1) is None
            flip(path, position)
    assert len(notes) == 1
    assert same(open_store().read(1), slice_tensors(1))


@pytest.mark.parametrize("name", ["", "tensor0", "tensor1", "checksums"])
def test_flipped_metadata_never_gives_a_wrong_tensor(
    filled: FeatureStore, open_store: Callable[..., FeatureStore], name: str
) -> None:
    pristine = filled.path.with_name("pristine")
    shutil.copytree(filled.path, pristine)
    size = (filled.path / name / "zarr.json").stat().st_size
    dropped = 0
    for position in range(5, size, 29):
        flip(filled.path / name / "zarr.json", position)
        store = open_store()
        found = store.read(1)
        assert found is None or same(found, slice_tensors(1))
        dropped += found is None
        store.write(1, slice_tensors(1))
        assert same(store.read(1), slice_tensors(1))
        shutil.rmtree(filled.path)
        shutil.copytree(pristine, filled.path)
    assert dropped > 0


def other_version(path: Path) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["napari_octa_sam2_features"]["version"] += 1
    (path / "zarr.json").write_text(json.dumps(metadata))


def other_signature(path: Path) -> None:
    metadata = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(metadata.replace('"volume"', '"volumes"', 1))


def foreign_group(path: Path) -> None:
    shutil.rmtree(path)
    zarr.create_group(path, attributes={"mine": 1})


def half_written_metadata(path: Path) -> None:
    os.truncate(path / "zarr.json", 100)


def lost_metadata(path: Path) -> None:
    (path / "zarr.json").unlink()


def lost_array(path: Path) -> None:
    (path / "tensor1" / "zarr.json").unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        other_version,
        other_signature,
        foreign_group,
        half_written_metadata,
        lost_metadata,
        lost_array,
    ],
)
def test_a_group_of_another_kind_is_replaced_with_one_warning(
    filled: FeatureStore,
    open_store: Callable[..., FeatureStore],
    notes: list[str],
    spoil: Callable[[Path], None],
) -> None:
    spoil(filled.path)
    store = open_store()
    assert [store.read(i) for i in range(3)] == [None] * 3
    store.write(0, slice_tensors(0, version=1))
    assert same(open_store().read(0), slice_tensors(0, version=1))
    assert 1 not in open_store()
    assert len(notes) == 1
    assert str(filled.path) in notes[0]
    assert len(list(store.folder.iterdir())) == 1


def test_tensors_of_another_shape_replace_the_group(
    filled: FeatureStore, notes: list[str]
) -> None:
    filled.write(0, slice_tensors(0, size=5))
    assert same(filled.read(0), slice_tensors(0, size=5))
    assert filled.read(1) is None
    assert len(notes) == 1


def test_a_reader_of_a_replaced_group_keeps_to_the_shapes_it_knows(
    filled: FeatureStore, open_store: Callable[..., FeatureStore]
) -> None:
    turned = tuple(t.flatten().reshape(t.shape[::-1]) for t in slice_tensors(1))
    open_store().write(1, turned)
    assert filled.read(1) is None
    assert same(open_store().read(1), turned)


def test_a_group_deleted_while_it_is_read_is_no_damage(
    filled: FeatureStore, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = feature_store.Arrays.values

    def overtaken(self, index: int) -> list[np.ndarray]:
        shutil.rmtree(filled.path)
        return values(self, index)

    monkeypatch.setattr(feature_store.Arrays, "values", overtaken)
    assert filled.read(1) is None
    assert notes == []


def test_a_group_deleted_by_another_process_is_made_again(
    filled: FeatureStore, open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    shutil.rmtree(filled.path)
    assert 0 not in filled
    assert filled.read(0) is None
    filled.write(4, slice_tensors(4))
    assert same(filled.read(4), slice_tensors(4))
    assert same(open_store().read(4), slice_tensors(4))
    assert notes == []


def test_a_group_that_another_process_makes_first_is_shared(
    open_store: Callable[..., FeatureStore],
    notes: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, other = open_store(), open_store()
    build = feature_store.build

    def overtaken(*arguments) -> None:
        build(*arguments)
        monkeypatch.setattr(feature_store, "build", build)
        other.write(1, slice_tensors(1))

    monkeypatch.setattr(feature_store, "build", overtaken)
    store.write(0, slice_tensors(0))
    for index in (0, 1):
        assert same(store.read(index), slice_tensors(index))
        assert same(other.read(index), slice_tensors(index))
    assert list(store.folder.iterdir()) == [store.path]
    assert notes == []


# Folders that cannot be written


def check_unusable(store: FeatureStore, notes: list[str]) -> None:
    for index in (0, 0, 1):
        store.write(index, slice_tensors(index))
        assert store.read(index) is None
        assert index not in store
    assert len(notes) == 1
    assert str(store.folder) in notes[0]


def test_a_folder_below_a_file_is_said_once(
    tmp_path: Path, open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    check_unusable(open_store(tmp_path / "file" / "cache"), notes)


def test_a_file_in_the_place_of_the_group_is_said_once(
    filled: FeatureStore, open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    shutil.rmtree(filled.path)
    filled.path.write_text("not a group")
    check_unusable(open_store(), notes)
    assert filled.path.read_text() == "not a group"
    assert list(filled.folder.iterdir()) == [filled.path]


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs permissions of POSIX")
@pytest.mark.parametrize("spoilt", [False, True])
def test_a_read_only_folder_is_still_read(
    tmp_path: Path, filled: FeatureStore, spoilt: bool
) -> None:
    script = """
from napari_octa_sam2.engine import feature_store, signature
os.chdir(folder)
assert open_store(Path()).read(0) is not None  # everything is imported now
if os.geteuid() == 0:  # whom no permission binds
    os.setgid(65534)
    os.setuid(65534)
if sys.argv[2] == "True":
    feature_store.FORMAT += 1
store = open_store(Path())
found = store.read(0)
for index in (3, 4):
    store.write(index, tensors(index))
    assert index not in store and store.read(index) is None
assert found is None if sys.argv[2] == "True" else same(found, tensors(0))
assert len(notes) == 1, notes
"""
    folders = [p for p in [filled.folder, *filled.folder.rglob("*")] if p.is_dir()]
    for path in folders:
        path.chmod(0o555)
    try:
        finish(start(script, filled.folder, spoilt))
    finally:
        for path in folders:
            path.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file size")
@pytest.mark.parametrize("fits", [0, 1], ids=["metadata", "first tensor"])
def test_a_full_disk_is_said_once_and_leaves_no_slice(
    tmp_path: Path, open_store: Callable[..., FeatureStore], fits: int
) -> None:
    script = """
import resource
big = tuple(reversed(tensors(0, size=5000)))  # the small one is written first
store = open_store()
if sys.argv[2] == "1":
    store.write(1, big)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50 * int(sys.argv[2]), hard))
store.write(0, big)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.write(2, big)
assert 0 not in store and store.read(0) is None
assert 2 not in store and store.read(2) is None
assert (1 in store) == (sys.argv[2] == "1")
assert len(notes) == 1 and "could not write" in notes[0], notes
"""
    finish(start(script, tmp_path / "cache", fits))
    big = tuple(reversed(slice_tensors(0, size=5000)))
    later = open_store()
    assert 0 not in later
    assert same(later.read(1), big) == bool(fits)
    later.write(0, big)
    assert same(later.read(0), big)


# Budget


def test_groups_used_longest_ago_make_room(
    open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    def write(volume: int, **options) -> FeatureStore:
        signature = replace(SIGNATURE, volume=f"volume {volume}")
        store = open_store(signature=signature, **options)
        store.write(0, slice_tensors(volume, size=1000))
        return store

    stores = [write(volume) for volume in range(6)]
    for store, age in zip(stores, (3, 0, 4, 1, 5, 2), strict=True):
        os.utime(store.path, (1e9 - age, 1e9 - age))
    stores[4].read(0)  # used now
    budget = int(4.5 * total_bytes(stores[0].path))
    newest = write(6, budget=budget)
    kept = [store.path.exists() for store in stores]
    assert kept == [False, True, False, True, True, False]
    assert total_bytes(newest.folder) <= budget
    assert same(newest.read(0), slice_tensors(6, size=1000))
    assert stores[0].read(0) is None
    assert notes == []


def test_a_group_at_the_budget_takes_no_more_slices(
    open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    size = 1000
    budget = 20_000 + 3 * 24_000
    store = open_store(budget=budget)
    for index in range(SLICES):
        store.write(index, slice_tensors(index, size=size))
        assert total_bytes(store.folder) <= budget
    kept = [i for i in range(SLICES) if i in store]
    assert kept == [0, 1, 2]
    assert same(store.read(2), slice_tensors(2, size=size))
    assert len(notes) == 1
    assert "budget" in notes[0]


def test_files_of_others_are_left_alone(
    tmp_path: Path, open_store: Callable[..., FeatureStore], notes: list[str]
) -> None:
    folder = tmp_path / "cache"
    theirs = zarr.create_group(folder / "volume.zarr", attributes={"mine": 1})
    (folder / "notes.txt").write_bytes(bytes(200_000))
    (folder / "features-notes.zarr").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data").write_bytes(bytes(200_000))
    link = folder / f"features-{'0' * 32}.zarr"
    link.symlink_to(elsewhere)
    store = open_store(budget=60_000)
    for index in range(4):
        store.write(index, slice_tensors(index, size=1000))
    assert 0 in store
    assert len(notes) == 1  # its own slices reached the budget
    assert theirs.attrs["mine"] == 1
    assert (link / "data").stat().st_size == 200_000
    assert len(list(folder.iterdir())) == 5


# Processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_a_store_never_gives_wrong_tensors(
    tmp_path: Path, open_store: Callable[..., FeatureStore]
) -> None:
    """Kill before every single file operation, and at times of no one's choice."""
    script = """
def write(folder, size):
    store = open_store(folder)
    for index, version in [(0, 0), (1, 0), (0, 1), (2, 0)]:
        store.write(index, tensors(index, version, size))

def kill_at(operation, folder):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in ("open", "os.rename", "os.mkdir", "os.remove"):
            count += str(folder) in str(arguments[0])
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def killed(folder, size, operation=None, delay=None):
    child = os.fork()
    if child == 0:
        if operation is not None:
            kill_at(operation, folder)
        write(folder, size)
        os._exit(0)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == signal.SIGKILL

operation = 1
while killed(folder / f"operation {operation}", 1, operation=operation):
    operation += 1
for i in range(12):
    killed(folder / f"time {i}", 100_000, delay=0.02 + 0.01 * i)
print(operation)
"""
    operations = int(finish(start(script, tmp_path)))
    assert operations > 30
    found = 0
    for folder in tmp_path.glob("*"):
        size = 1 if folder.name.startswith("operation") else 100_000
        store = open_store(folder)
        for index in range(3):
            tensors = store.read(index)
            if tensors is not None:
                found += 1
                versions = [slice_tensors(index, v, size) for v in (0, 1)]
                assert any(same(tensors, expected) for expected in versions)
        store.write(1, slice_tensors(1, 2, size))
        assert same(open_store(folder).read(1), slice_tensors(1, 2, size))
    assert found > operations // 3


def test_processes_share_a_folder(
    tmp_path: Path, open_store: Callable[..., FeatureStore]
) -> None:
    script = """
store = open_store()
for index in [i for _ in range(20) for i in range(10)]:
    found = store.read(index)
    if found is None:
        store.write(index, tensors(index, size=10_000))
    assert found is None or same(found, tensors(index, size=10_000))
assert same(store.read(9), tensors(9, size=10_000))
assert notes == [], notes
"""
    for process in [start(script, tmp_path / "cache") for _ in range(2)]:
        finish(process)
    store = open_store()
    for index in range(SLICES):
        assert same(store.read(index), slice_tensors(index, size=10_000))


def test_processes_that_delete_each_other_s_groups_stay_right(tmp_path: Path) -> None:
    script = """
me = int(sys.argv[2])
mine = Signature(f"volume {me}", "model", 64, "bf16")
right = 0
for _ in range(30):
    store = open_store(signature=mine, budget=100_000)
    for index in (0, 1):
        store.write(index, tensors(index, me, 1000))
        found = store.read(index)
        assert found is None or same(found, tensors(index, me, 1000))
        right += found is not None
assert right > 0
"""
    for process in [start(script, tmp_path, me) for me in (1, 2, 3)]:
        finish(process)
