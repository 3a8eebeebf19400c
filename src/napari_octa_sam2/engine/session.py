"""One volume, one network, any number of objects: prompt, propagate, correct."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from napari_octa_sam2.engine.device import Compute, choose_compute, release_memory
from napari_octa_sam2.engine.feature_cache import FeatureCache
from napari_octa_sam2.engine.feature_store import FeatureStore
from napari_octa_sam2.engine.memory import Interaction, ObjectBank, SliceOutput
from napari_octa_sam2.engine.options import check_attention
from napari_octa_sam2.engine.passes import Passes
from napari_octa_sam2.engine.plan import Visit, plan_visits, slice_range
from napari_octa_sam2.engine.prompting import Grid
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.settling import Settling
from napari_octa_sam2.engine.signature import Signature, volume_hash
from napari_octa_sam2.engine.slices import Slices
from napari_octa_sam2.errors import ModelError, PromptError
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.octa_volume import check_volume_array

NOT_THERE = -32.0  # logit of an object that no prompt and no propagation has found
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
        As for `napari_octa_sam2.engine.device.choose_compute`.
    attention : {"exact", "pooled"}
        ``"pooled"`` is the fast mode: memory is attended to at half its resolution,
        which changes masks a little.
    feature_bytes : int
        Most bytes of image features to keep in memory.
    memory_bytes : int
        Most bytes of the objects' memory to keep; beyond it, memory of slices that a
        propagation cannot reach from a prompted one is dropped. As much again may be
        kept of its keys, which save time.
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
        feature_bytes: int = 1 << 28,
        memory_bytes: int = 1 << 28,
        feature_folder: Path | None = None,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        check_volume_array(data, "volume")
        self.data = data
        self.model = model
        self.attention = check_attention(attention)
        self.memory_bytes = memory_bytes
        self._notify = notify
        self._feature_bytes, self._feature_folder = feature_bytes, feature_folder
        self._passes, self._slices = self._ready(choose_compute(device, precision))
        self._banks: dict[int, ObjectBank] = {}
        self._shown: dict[SliceOutput, torch.Tensor] = {}  # of the slice shown last
        self._lock = threading.RLock()
        self._report_missing_values()

    @property
    def compute(self) -> Compute:
        """Device and precision in use."""
        return self._passes.compute

    @property
    def grid(self) -> Grid:
        """The slices: how many, and their size in pixels."""
        return self._passes.grid

    @property
    def objects(self) -> list[int]:
        """Ids of the objects that have prompts."""
        return sorted(self._banks)

    def prompts(self, object_id: int, index: int) -> list[Prompt]:
        """Return the prompts of an object on a slice, in order."""
        bank = self._banks.get(object_id, ObjectBank())
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
            self._guarded(lambda: self._set_prompts(object_id, index, prompts))
            return self._guarded(lambda: self._result(index, (object_id,)))

    def remove_object(self, object_id: int) -> None:
        """Forget an object."""
        with self._lock:
            self._banks.pop(object_id, None)

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
        chosen = sorted(self._banks if objects is None else objects)
        banks = {o: self._banks[o] for o in chosen if o in self._banks}
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
            corrected = {o: b for o in met if (b := self._banks[o]).is_corrected}
            edited = {o: set(self._banks[o].edited) for o in met}
            settling = Settling({o: max(b.edited) for o, b in corrected.items()})
            for object_id in met:
                self._guarded(partial(self._settle, object_id))
        for visit in visits:
            with self._lock, torch.inference_mode():
                ids = [o for o in visit.objects if o in self._banks]
                if only_changed:
                    ids = self._unsettled(ids, visit, settling)
                if not ids:
                    continue
                self._guarded(partial(self._visit, ids, visit, settling))
                result = self._guarded(partial(self._result, visit.slice, ids))
            yield result
        with self._lock:
            for object_id in met & set(self._banks):
                self._banks[object_id].finish(edited[object_id])

    def prefetch(self, indices: Iterable[int]) -> Iterator[int]:
        """Encode slices that are likely to be clicked on next; yield each one done.

        Between two of them other work gets its turn.
        """
        for index in indices:
            if 0 <= index < self.grid.slices:
                with self._lock, torch.inference_mode():
                    self._guarded(partial(self._slices.features, index))
                yield index

    def memory_nbytes(self) -> int:
        """Return the bytes held by the objects' memory and the feature cache."""
        with self._lock:
            banks = self._banks.values()
            held = sum(bank.nbytes + bank.key_nbytes for bank in banks)
            return held + self._slices.cache.nbytes

    def _set_prompts(
        self, object_id: int, index: int, prompts: Sequence[Prompt]
    ) -> None:
        bank = self._banks.setdefault(object_id, ObjectBank())
        old = bank.interactions.get(index, [])
        same = 0
        while same < min(len(old), len(prompts)) and old[same].prompt == prompts[same]:
            same += 1
        chain = old[:same]
        for prompt in prompts[same:]:
            features = self._slices.features(index)
            output = self._passes.answer(features, bank, chain, prompt)
            chain = [*chain, Interaction(prompt, output)]
        if chain:
            bank.interactions[index] = chain
            bank.pending[index] = chain[-1].output
        else:
            bank.forget_prompts(index)
        bank.edit(index)
        if not bank.interactions:
            del self._banks[object_id]

    def _settle(self, object_id: int) -> None:
        """Remember the slices prompted since the last propagation."""
        bank = self._banks[object_id]
        for index in sorted(bank.pending):
            output = bank.pending[index]
            if output.memory is None:
                self._remember(index, [output], from_prompt=True)
            bank.prompted[index] = bank.pending.pop(index)

    def _visit(self, ids: Sequence[int], visit: Visit, settling: Settling) -> None:
        index, reverse = visit.slice, visit.reverse
        for object_id in ids:
            self._settle(object_id)
        banks = {o: self._banks[o] for o in ids}
        for bank in banks.values():
            bank.reverse[index] = reverse
            bank.fresh.add(index)
        gone = {o for o, b in banks.items() if b.ends_before(index)}
        for object_id in gone:
            banks[object_id].followed.pop(index, None)
        due = [o for o, b in banks.items() if o not in gone and index not in b.prompted]
        if not due:
            return
        features = self._slices.features(index)
        outputs = self._passes.follow(
            features, [banks[o] for o in due], index, reverse=reverse
        )
        self._remember(index, outputs, from_prompt=False)
        for object_id, output in zip(due, outputs, strict=True):
            old = banks[object_id].followed.get(index)
            if banks[object_id].is_corrected:
                before = None if old is None else old.handed_on
                settling.note(object_id, index, reverse, before, output.handed_on)
            banks[object_id].followed[index] = output
        self._trim(index, list(banks.values()))

    def _unsettled(
        self, ids: Sequence[int], visit: Visit, settling: Settling
    ) -> list[int]:
        """Return the objects to visit; what is known of the others still holds."""
        settled = {o for o in ids if settling.has_settled(o, visit.reverse)}
        for bank in (self._banks[o] for o in settled):
            bank.fresh |= {visit.slice} & bank.outdated
        return [o for o in ids if o not in settled]

    def _trim(self, index: int, banks: Sequence[ObjectBank]) -> None:
        """Hold what is remembered to the budget."""
        if sum(b.nbytes for b in self._banks.values()) > self.memory_bytes:
            for bank in banks:
                bank.drop_unreachable(
                    index, self._passes.network.max_obj_ptrs_in_encoder
                )
        if sum(b.key_nbytes for b in self._banks.values()) > self.memory_bytes:
            for bank in self._banks.values():
                bank.keep_keys(set())

    def _remember(
        self, index: int, outputs: Sequence[SliceOutput], *, from_prompt: bool
    ) -> None:
        shown = None
        if self._passes.remembers_refined:
            shown = self._show(index, outputs)
        features = self._slices.features(index)
        self._passes.remember(features, outputs, shown, from_prompt=from_prompt)

    def _show(self, index: int, outputs: Sequence[SliceOutput]) -> list[torch.Tensor]:
        """Return logits at the slice's resolution, made once for each output."""
        new = [output for output in outputs if output not in self._shown]
        if new:
            shown = self._passes.show(new, self._slices.reading(index))
            self._shown |= zip(new, shown, strict=True)
        return [self._shown[output] for output in outputs]

    def _result(self, index: int, changed: Sequence[int]) -> SliceResult:
        outputs = {o: bank.output(index) for o, bank in self._banks.items()}
        found = {o: output for o, output in outputs.items() if output is not None}
        shown = self._show(index, list(found.values()))
        self._shown = dict(zip(found.values(), shown, strict=True))
        logits = {
            o: tensor[0, 0].float().cpu().numpy()
            for o, tensor in zip(found, shown, strict=True)
        }
        for object_id in set(changed) - set(found):
            shape = (self.grid.rows, self.grid.cols)
            logits[object_id] = np.full(shape, NOT_THERE, np.float32)
        return SliceResult(
            slice=index,
            logits=logits,
            changed=tuple(changed),
            confidence={
                o: found[o].iou * float(found[o].score.sigmoid())
                for o in changed
                if o in found
            },
        )

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
        passes = self._passes
        self._slices.forget()
        for bank in self._banks.values():
            bank.keep_keys(set())
        release_memory(passes.compute.device)
        if passes.together > 1:
            passes.together = max(1, min(passes.together, len(self._banks)) // 2)
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
        self._passes, self._slices = self._ready(choose_compute("cpu"))
        self._shown.clear()
        for bank in self._banks.values():
            for output in bank.outputs():
                output.move(self.compute.device)
            for chain in bank.interactions.values():
                for interaction in chain:
                    interaction.output.move(self.compute.device)
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
