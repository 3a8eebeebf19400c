"""One volume, one network, any number of objects: prompt, propagate, correct."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from napari_octa_sam2.engine.both_ways import BothWays
from napari_octa_sam2.engine.device import Compute, compute_for, release_memory
from napari_octa_sam2.engine.feature_cache import FeatureCache
from napari_octa_sam2.engine.feature_store import FeatureStore
from napari_octa_sam2.engine.memory import ObjectBank
from napari_octa_sam2.engine.options import check_attention
from napari_octa_sam2.engine.passes import Passes
from napari_octa_sam2.engine.plan import Visit, plan_visits, slice_range
from napari_octa_sam2.engine.prompting import Grid
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.settling import Settling
from napari_octa_sam2.engine.signature import Signature
from napari_octa_sam2.engine.slices import Slices
from napari_octa_sam2.engine.tracker import Tracker
from napari_octa_sam2.errors import ModelError, PromptError
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.identity import volume_hash
from napari_octa_sam2.volume.octa_volume import check_volume_array

T = TypeVar("T")


class Session:
    """Interactive segmentation of one volume.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``; propagation runs along the first axis. It is
        read slice by slice and never changed.
    model : LoadedModel
    device, precision : str
        As for `napari_octa_sam2.engine.device.compute_for`.
    attention : {"exact", "pooled"}
        ``"pooled"`` is the fast mode: memory is attended to at half its resolution,
        which changes masks a little.
    feature_bytes : int
        Most bytes of image features to keep in memory.
    memory_bytes : int
        Most bytes of the objects' memory to keep; beyond it, memory of slices that a
        propagation cannot reach from a prompted one is dropped.
    key_bytes : int
        Most bytes to keep of the keys of that memory, which save time; there are as
        many as objects, whatever the number of slices.
    feature_folder : Path, optional
        Folder of a `FeatureStore`: features are kept there as well, and are there
        still when the volume is opened again.
    notify : callable, optional
        Called with a sentence when something happened that the user should know.

    Raises
    ------
    VolumeError
        If `data` is no three-dimensional real array.
    ModelError
        If the device is not there.

    Notes
    -----
    All methods may be called from any thread; one runs at a time.
    """

    def __init__(
        self,
        data: np.ndarray,
        model: LoadedModel,
        *,
        device: str = "auto",
        precision: str = "auto",
        attention: str = "exact",
        feature_bytes: int = 1 << 27,
        memory_bytes: int = 1 << 27,
        key_bytes: int = 1 << 30,
        feature_folder: Path | None = None,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        check_volume_array(data, "volume")
        self.data = data
        self.model = model
        self.attention = check_attention(attention)
        self._notify = notify
        self._feature_bytes, self._feature_folder = feature_bytes, feature_folder
        compute = compute_for(model.network, device, precision)
        self._tracker = Tracker(*self._ready(compute), memory_bytes, key_bytes)
        self._lock = threading.RLock()
        self._report_missing_values()

    @property
    def compute(self) -> Compute:
        """Device and precision in use."""
        return self._tracker.passes.compute

    @property
    def grid(self) -> Grid:
        """The slices: how many, and their size in pixels."""
        return self._tracker.passes.grid

    @property
    def objects(self) -> list[int]:
        """Ids of the objects that have prompts."""
        return sorted(self._tracker.banks)

    def prompts(self, object_id: int, index: int) -> list[Prompt]:
        """Return the prompts of an object on a slice, in order."""
        bank = self._tracker.banks.get(object_id, ObjectBank())
        return [i.prompt for i in bank.interactions.get(index, ())]

    def add(self, prompt: Prompt) -> SliceResult:
        """Answer one more prompt and return the object's mask on its slice.

        Raises
        ------
        PromptError
            If the prompt lies outside the volume.
        """
        prompts = self.prompts(prompt.object, prompt.slice)
        return self.set_prompts(prompt.object, prompt.slice, [*prompts, prompt])

    def set_prompts(
        self, object_id: int, index: int, prompts: Sequence[Prompt]
    ) -> SliceResult:
        """Make `prompts` the interactions of an object on a slice.

        Only what differs from the present ones is computed: adding one costs one
        pass of the decoder, undoing one costs none. An empty sequence takes the
        slice's prompts away; the mask that propagation gave it comes back.

        Raises
        ------
        PromptError
            If a prompt lies outside the volume, belongs to another object or slice, or
            asks for a class that the model does not know.
        """
        for prompt in prompts:
            prompt.check_inside(self.data.shape)
            self._check_class(prompt)
            if (prompt.object, prompt.slice) != (object_id, index):
                raise PromptError(
                    f"expected prompts of object {object_id} on slice {index}, found "
                    f"one of object {prompt.object} on slice {prompt.slice}"
                )
        with self._lock, torch.inference_mode():
            self._guarded(lambda: self._tracker.set_prompts(object_id, index, prompts))
            return self._guarded(lambda: self._tracker.result(index, (object_id,)))

    def remove_object(self, object_id: int) -> None:
        """Forget an object."""
        with self._lock:
            self._tracker.banks.pop(object_id, None)

    def plan(
        self,
        direction: str = "both",
        slices: range | None = None,
        *,
        objects: Iterable[int] | None = None,
        start: int | None = None,
        only_stale: bool = False,
        only_changed: bool = False,
    ) -> list[Visit]:
        """Return the stops that `propagate` would make with the same arguments."""
        chosen = sorted(self._tracker.banks if objects is None else objects)
        banks = {o: self._tracker.banks[o] for o in chosen if o in self._tracker.banks}
        if not banks:
            raise PromptError("no prompt to propagate: click on an object first")
        anchor = -1 if direction == "backward" else 0
        starts = {o: b.prompted_slices()[anchor] for o, b in banks.items()}
        if start is not None:
            starts = dict.fromkeys(banks, start)
        elif only_changed:
            starts |= {o: min(b.edited) for o, b in banks.items() if b.is_corrected}
        return plan_visits(
            starts,
            slice_range(slices, self.grid.slices),
            direction,
            lambda o, index: only_stale and index in banks[o].fresh,
            twice=start is not None,
        )

    def propagate(
        self,
        direction: str = "both",
        slices: range | None = None,
        *,
        objects: Iterable[int] | None = None,
        start: int | None = None,
        only_stale: bool = False,
        only_changed: bool = False,
    ) -> Iterator[SliceResult]:
        """Follow objects through the slices; yield each slice as it is done.

        Stopping the iteration stops the work; what was yielded stays valid.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}
            Forward is towards higher indices. ``"both"`` goes forward from an
            object's first prompted slice, then backward from it.
        slices : range, optional
            Contiguous slices to visit; default all. Prompts outside of it count.
        objects : iterable of int, optional
            Ids to follow; default all with prompts.
        start : int, optional
            Slice from which every object is followed, whatever its prompts.
        only_stale : bool
            Leave out slices whose mask already follows from the present prompts, so
            that an interrupted propagation goes on where it stopped.
        only_changed : bool
            After a correction, follow an object from the corrected slices outwards, and
            stop where several masks in a row are what they were before (`settling`).

        Raises
        ------
        PromptError
            If there is nothing to follow, or the range is not in the volume.
        """
        visits = self.plan(
            direction,
            slices,
            objects=objects,
            start=start,
            only_stale=only_stale,
            only_changed=only_changed,
        )
        met = {o for visit in visits for o in visit.objects}
        with self._lock, torch.inference_mode():
            banks = {o: self._tracker.banks[o] for o in met}
            edited = {o: set(bank.edited) for o, bank in banks.items()}
            settling = Settling(
                {o: max(b.edited) for o, b in banks.items() if b.is_corrected}
            )
            for object_id in met:
                self._guarded(partial(self._tracker.settle, object_id))
        for visit in visits:
            with self._lock, torch.inference_mode():
                ids = [o for o in visit.objects if o in self._tracker.banks]
                if only_changed:
                    ids = self._tracker.unsettled(ids, visit, settling)
                if not ids:
                    continue
                self._guarded(partial(self._tracker.visit, ids, visit, settling))
                result = self._guarded(partial(self._tracker.result, visit.slice, ids))
            yield result
        with self._lock:
            for object_id in met & set(self._tracker.banks):
                self._tracker.banks[object_id].finish(edited[object_id])

    def check_both_ways(
        self,
        slices: range | None = None,
        objects: Iterable[int] | None = None,
        *,
        labels: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[int, dict[int, float]]]:
        """Follow objects back towards their prompts; compare with what is known.

        See `engine.both_ways`. Nothing of the session changes, but for the cached
        features. Stopping the iteration stops the work.

        Parameters
        ----------
        slices : range, optional
            Contiguous slices to check; default all.
        objects : iterable of int, optional
            Ids to check; default all with prompts.
        labels : numpy.ndarray, optional
            Ids of the objects, shape ``(depth, slow, fast)``: the masks to check, where
            they are not those of the session, which holds as many as its memory allows.
        progress : callable, optional
            Called after each stop with the stops done and their total.

        Yields
        ------
        slice : int
        agreement : dict of int to float
            Per object that was checked on the slice, Dice of the two masks; 1 where
            both are empty. A slice may come twice, the last word being the second.

        Raises
        ------
        PromptError
            If the range is not in the volume.
        VolumeError
            If `labels` has another shape than the volume.
        """
        span = slice_range(slices, self.grid.slices)
        with self._lock, torch.inference_mode():
            chosen = sorted(self._tracker.banks if objects is None else objects)
            begin = partial(BothWays, self._tracker, chosen, span, labels)
            check = self._guarded(begin)
        for done, visit in enumerate(check.visits, start=1):
            with self._lock, torch.inference_mode():
                agreement = self._guarded(partial(check.agreement, visit))
            if progress is not None:
                progress(done, len(check.visits))
            if agreement:
                yield visit.slice, agreement

    def prefetch(self, indices: Iterable[int]) -> Iterator[int]:
        """Encode slices that are likely to be clicked on next; yield each one done.

        Between two of them other work gets its turn.
        """
        for index in indices:
            if 0 <= index < self.grid.slices:
                with self._lock, torch.inference_mode():
                    self._guarded(partial(self._encode, index))
                yield index

    def _encode(self, index: int) -> None:
        self._tracker.slices.features(index)

    def memory_nbytes(self) -> int:
        """Return the bytes held by the objects' memory and the feature cache."""
        with self._lock:
            return self._tracker.nbytes

    def _ready(self, compute: Compute) -> tuple[Passes, Slices]:
        passes = Passes(
            self.model.network,
            self.model.refinement,
            compute,
            Grid(*self.data.shape),
            pooled=self.attention == "pooled",
        )
        cache = FeatureCache(self._feature_bytes, self._store(compute))
        return passes, Slices(self.data, passes, cache)

    def _store(self, compute: Compute) -> FeatureStore | None:
        """Return where features are kept on disk; random weights have no name there."""
        if self._feature_folder is None or not self.model.sha256:
            return None
        signature = Signature(
            volume_hash(self.data),
            self.model.sha256,
            self.model.input_size,
            compute.precision,
            compute.device.type,
        )
        return FeatureStore(
            self._feature_folder, signature, len(self.data), notify=self._notify
        )

    def _check_class(self, prompt: Prompt) -> None:
        if prompt.whole is not None and prompt.whole not in self.model.classes:
            known = ", ".join(self.model.classes) or "none"
            raise PromptError(
                f"the model {self.model.name} cannot be asked for every {prompt.whole} "
                f"(classes it knows: {known}); click on the object, or choose octa-nano"
            )

    def _guarded(self, work: Callable[[], T]) -> T:
        """Run `work`; where memory runs out, make room and run it again."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError as error:
                if not self._make_room():
                    raise ModelError(
                        "out of memory: close other programs, or choose a smaller "
                        "model or input size"
                    ) from error

    def _make_room(self) -> bool:
        """Take less memory than before; return False if there is no way left."""
        passes = self._tracker.passes
        self._tracker.make_room()
        release_memory(passes.compute.device)
        if passes.together > 1:
            at_a_time = min(passes.together, len(self._tracker.banks))
            passes.together = max(1, at_a_time // 2)
            self._notify(
                "the device ran out of memory: cached features were dropped, and "
                f"{passes.together} objects are followed at a time"
            )
            return True
        if passes.compute.device.type == "cpu":
            return False
        self._move_to_cpu()
        return True

    def _move_to_cpu(self) -> None:
        old = self.compute.device
        compute = compute_for(self.model.network, "cpu", "auto")
        self._tracker.move(*self._ready(compute))
        release_memory(old)
        self._notify(f"{old.type} is out of memory: going on with the CPU, slower")

    def _report_missing_values(self) -> None:
        if self.data.dtype.kind != "f":
            return
        bad = [i for i, image in enumerate(self.data) if not np.isfinite(image).all()]
        if bad:
            shown = ", ".join(map(str, bad[:5])) + (" …" if len(bad) > 5 else "")
            self._notify(
                f"{len(bad)} slices hold values that are not finite ({shown}); "
                "they are treated as black"
            )
