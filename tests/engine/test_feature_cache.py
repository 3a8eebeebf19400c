from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from napari_octa_sam2.engine.feature_cache import FeatureCache, Tensors
from napari_octa_sam2.engine.feature_store import FeatureStore
from napari_octa_sam2.engine.signature import Signature

SLICE_BYTES = 4 * (6 + 2)
PATIENCE = 20


def slice_tensors(index: int) -> Tensors:
    return torch.full((3, 1, 2), float(index)), torch.full((2,), -float(index))


def maker(made: list[int], index: int) -> Callable[[], Tensors]:
    def make() -> Tensors:
        made.append(index)
        return slice_tensors(index)

    return make


def never() -> Tensors:
    raise AssertionError("made although it was kept")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def open_store(folder: Path) -> FeatureStore:
    return FeatureStore(folder, Signature("volume", "model", 8, "fp32"), 10)


def test_a_kept_slice_is_the_same_object() -> None:
    cache = FeatureCache(10 * SLICE_BYTES)
    first = cache.get(3, lambda: slice_tensors(3))
    assert cache.get(3, never) is first
    assert (len(cache), cache.nbytes) == (1, SLICE_BYTES)
    assert 3 in cache
    assert 4 not in cache


def test_the_slice_used_longest_ago_makes_room() -> None:
    cache = FeatureCache(2 * SLICE_BYTES)
    for index in (0, 1, 0, 2):
        cache.get(index, lambda index=index: slice_tensors(index))
    assert [i for i in range(3) if i in cache] == [0, 2]
    assert cache.nbytes == 2 * SLICE_BYTES


def test_the_newest_slice_stays_beyond_the_budget() -> None:
    cache = FeatureCache(SLICE_BYTES // 2)
    for index in range(3):
        cache.get(index, lambda index=index: slice_tensors(index))
        assert len(cache) == 1
        assert index in cache
        assert cache.nbytes == SLICE_BYTES


def test_clear_empties_ram_and_leaves_the_store(tmp_path: Path) -> None:
    cache = FeatureCache(10 * SLICE_BYTES, open_store(tmp_path))
    cache.get(1, lambda: slice_tensors(1))
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)
    assert 1 in cache
    assert torch.equal(cache.get(1, never)[0], slice_tensors(1)[0])
    assert len(cache) == 1


def test_slices_dropped_from_ram_come_back_from_disk(tmp_path: Path) -> None:
    made: list[int] = []
    cache = FeatureCache(SLICE_BYTES, open_store(tmp_path))
    for index in [*range(5), *range(5)]:
        tensors = cache.get(index, maker(made, index))
        for found, expected in zip(tensors, slice_tensors(index), strict=True):
            assert torch.equal(found, expected)
    assert made == [0, 1, 2, 3, 4]
    later = FeatureCache(SLICE_BYTES, open_store(tmp_path))
    assert torch.equal(later.get(4, never)[1], slice_tensors(4)[1])


def test_two_threads_asking_for_a_slice_make_it_once(pool: ThreadPoolExecutor) -> None:
    cache = FeatureCache(10 * SLICE_BYTES)
    started, go_on = threading.Event(), threading.Event()

    def make() -> Tensors:
        started.set()
        assert go_on.wait(PATIENCE)
        return slice_tensors(5)

    first = pool.submit(cache.get, 5, make)
    assert started.wait(PATIENCE)
    second = pool.submit(cache.get, 5, never)
    with pytest.raises(TimeoutError):
        second.result(0.1)
    go_on.set()
    assert second.result(PATIENCE) is first.result(PATIENCE)


def test_other_slices_are_answered_while_one_is_made(pool: ThreadPoolExecutor) -> None:
    cache = FeatureCache(10 * SLICE_BYTES)
    cache.get(1, lambda: slice_tensors(1))
    started, go_on = threading.Event(), threading.Event()

    def slow() -> Tensors:
        started.set()
        assert go_on.wait(PATIENCE)
        return slice_tensors(2)

    pending = pool.submit(cache.get, 2, slow)
    assert started.wait(PATIENCE)
    assert torch.equal(cache.get(1, never)[0], slice_tensors(1)[0])
    assert torch.equal(cache.get(3, lambda: slice_tensors(3))[0], slice_tensors(3)[0])
    assert not pending.done()
    go_on.set()
    pending.result(PATIENCE)
    assert len(cache) == 3


def test_one_waiting_for_a_make_that_fails_makes_it_itself(
    pool: ThreadPoolExecutor,
) -> None:
    cache = FeatureCache(10 * SLICE_BYTES)
    started, go_on = threading.Event(), threading.Event()

    def fails() -> Tensors:
        started.set()
        assert go_on.wait(PATIENCE)
        raise MemoryError("no room")

    first = pool.submit(cache.get, 5, fails)
    assert started.wait(PATIENCE)
    second = pool.submit(cache.get, 5, lambda: slice_tensors(5))
    with pytest.raises(TimeoutError):
        second.result(0.1)
    go_on.set()
    with pytest.raises(MemoryError, match="no room"):
        first.result(PATIENCE)
    assert torch.equal(second.result(PATIENCE)[0], slice_tensors(5)[0])


def test_memory_of_a_make_that_failed_is_freed_at_once() -> None:
    cache = FeatureCache(10 * SLICE_BYTES)
    held: list[weakref.ref[torch.Tensor]] = []

    def fails() -> Tensors:
        partial = torch.zeros(4)
        held.append(weakref.ref(partial))
        raise MemoryError

    gc.disable()
    try:
        with pytest.raises(MemoryError) as caught:
            cache.get(0, fails)
        del caught
        assert held[0]() is None
    finally:
        gc.enable()


def test_a_slice_made_while_the_cache_is_cleared_is_not_kept(
    pool: ThreadPoolExecutor,
) -> None:
    cache = FeatureCache(10 * SLICE_BYTES)
    started, go_on = threading.Event(), threading.Event()

    def outdated() -> Tensors:
        started.set()
        assert go_on.wait(PATIENCE)
        return slice_tensors(0)

    pending = pool.submit(cache.get, 0, outdated)
    assert started.wait(PATIENCE)
    cache.clear()
    newer = cache.get(0, lambda: slice_tensors(9))
    go_on.set()
    pending.result(PATIENCE)
    assert cache.get(0, never) is newer
    assert cache.nbytes == SLICE_BYTES


def test_a_slice_being_written_is_not_made_again(tmp_path: Path) -> None:
    class SlowStore(FeatureStore):
        def write(self, index: int, tensors: Tensors) -> None:
            if index == 0:
                cache.get(1, lambda: slice_tensors(1))  # takes the place in RAM
                assert len(cache) == 1
                assert cache.get(0, never) is tensors
            super().write(index, tensors)

    store = SlowStore(tmp_path, Signature("volume", "model", 8, "fp32"), 10)
    cache = FeatureCache(SLICE_BYTES, store)
    cache.get(0, lambda: slice_tensors(0))
    assert 0 in store


def test_many_threads_agree(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    made: list[int] = []
    cache = FeatureCache(3 * SLICE_BYTES, open_store(tmp_path))
    order = torch.randint(10, (400,), generator=torch.Generator().manual_seed(0))

    def ask(index: int) -> bool:
        tensors = cache.get(index, maker(made, index))
        return all(map(torch.equal, tensors, slice_tensors(index)))

    assert all(pool.map(ask, order.tolist()))
    assert sorted(made) == list(range(10))
    assert cache.nbytes == len(cache) * SLICE_BYTES == 3 * SLICE_BYTES
