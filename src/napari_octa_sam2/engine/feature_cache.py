"""Features of slices, made once and kept within a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from napari_octa_sam2.engine.feature_store import FeatureStore

Tensors = tuple[torch.Tensor, ...]


class FeatureCache:
    """Tensors of the slices used last, at most `budget` bytes of them in RAM.

    The newest slice is kept even where it alone exceeds the budget. Tensors stay on
    the device they came from, and are shared by all who ask: don't write to them.
    All methods may be called from several threads.

    Parameters
    ----------
    budget : int
        Bytes of tensors to keep.
    store : FeatureStore, optional
        Asked for slices that are not in RAM, and given every slice that was made.
        What it returns lies on the CPU.
    """

    def __init__(self, budget: int, store: FeatureStore | None = None) -> None:
        self.budget = budget
        self.store = store
        self.nbytes = 0
        self._items: OrderedDict[int, Tensors] = OrderedDict()
        self._making: dict[int, Future[Tensors | None]] = {}
        self._lock = threading.Lock()

    def get(self, index: int, make: Callable[[], Tensors]) -> Tensors:
        """Return the tensors of slice `index` from RAM, the store, or else `make`.

        A slice asked for by several threads at once is made by the first of them, and
        the others wait for it alone: `make` runs outside of the lock. Where it raises,
        the error is its caller's, and the next thread in line tries its own `make`.
        """
        while True:
            with self._lock:
                if index in self._items:
                    self._items.move_to_end(index)
                    return self._items[index]
                making = self._making.get(index)
                if making is None:
                    mine = self._making[index] = Future()
                    break
            made = making.result()
            if made is not None:
                return made
        return self._make(index, make, mine)

    def clear(self) -> None:
        """Forget what is in RAM; slices being made now are not kept either."""
        with self._lock:
            self._items.clear()
            self._making.clear()
            self.nbytes = 0

    def __contains__(self, index: int) -> bool:
        """Whether `get` would need no `make`, as far as can be told without reading."""
        with self._lock:
            if index in self._items:
                return True
        return self.store is not None and index in self.store

    def __len__(self) -> int:
        """Return the number of slices in RAM."""
        return len(self._items)

    def _make(
        self, index: int, make: Callable[[], Tensors], mine: Future[Tensors | None]
    ) -> Tensors:
        try:
            stored = None if self.store is None else self.store.read(index)
            tensors = make() if stored is None else stored
        except BaseException:
            self._made(index, mine)
            # Not the error: it would keep alive the frames of a `make` out of memory.
            mine.set_result(None)
            raise
        with self._lock:
            # Not after a `clear` meanwhile, when another thread may be at it anew.
            if self._making.get(index) is mine:
                self._keep(index, tensors)
        mine.set_result(tensors)
        try:
            if self.store is not None and stored is None:
                self.store.write(index, tensors)
        finally:
            self._made(index, mine)
        return tensors

    def _made(self, index: int, mine: Future[Tensors | None]) -> None:
        with self._lock:
            if self._making.get(index) is mine:
                del self._making[index]

    def _keep(self, index: int, tensors: Tensors) -> None:
        self._items[index] = tensors
        self.nbytes += _nbytes(tensors)
        while self.nbytes > self.budget and len(self._items) > 1:
            _, dropped = self._items.popitem(last=False)
            self.nbytes -= _nbytes(dropped)


def _nbytes(tensors: Tensors) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
