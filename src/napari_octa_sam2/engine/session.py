"""One volume, one network, any number of objects: prompt, propagate, correct."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from napari_octa_sam2.engine import decode
from napari_octa_sam2.engine.device import Compute, choose_compute, release_memory
from napari_octa_sam2.engine.features import FeatureCache, SliceFeatures, encode
from napari_octa_sam2.engine.frames import intensity_window, network_input, windowed
from napari_octa_sam2.engine.memory import Interaction, ObjectBank, SliceOutput
from napari_octa_sam2.engine.plan import Visit, plan_visits, slice_range
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.errors import ModelError, PromptError
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.model.refinement import Reading
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
    feature_bytes : int
        Most bytes of image features to keep.
    memory_bytes : int
        Most bytes of the objects' memory to keep; beyond it, memory of slices that a
        propagation cannot reach from a prompted one is dropped.
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
        feature_bytes: int = 1 << 30,
        memory_bytes: int = 1 << 29,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        check_volume_array(data, "volume")
        self.data = data
        self.model = model
        self.grid = decode.Grid(*data.shape)
        self.memory_bytes = memory_bytes
        self._notify = notify
        self._compute = choose_compute(device, precision)
        self._network = model.network.to(self._compute.device)
        self._refinement = model.refinement
        if self._refinement is not None:
            self._refinement = self._refinement.to(self._compute.device)
        self._window = intensity_window(data)
        self._features = FeatureCache(feature_bytes)
        self._banks: dict[int, ObjectBank] = {}
        self._shown: dict[SliceOutput, torch.Tensor] = {}  # of the slice shown last
        self._read: tuple[int, Reading] | None = None  # of the slice shown last
        self._lock = threading.RLock()
        self._report_missing_values()

    @property
    def compute(self) -> Compute:
        """Device and precision in use."""
        return self._compute

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
    ) -> list[Visit]:
        """Return the stops that `propagate` would make with the same arguments."""
        chosen = sorted(self._banks if objects is None else objects)
        prompted = {
            o: self._banks[o].prompted_slices() for o in chosen if o in self._banks
        }
        if not prompted:
            raise PromptError("no prompt to propagate: click on an object first")
        return plan_visits(
            prompted,
            slice_range(slices, self.grid.slices),
            direction,
            start,
            lambda o, index: only_stale and index in self._banks[o].fresh,
        )

    def propagate(
        self,
        direction: str = "both",
        slices: range | None = None,
        *,
        objects: Iterable[int] | None = None,
        start: int | None = None,
        only_stale: bool = False,
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

        Raises
        ------
        PromptError
            If there is nothing to follow, or the range is not in the volume.
        """
        visits = self.plan(
            direction, slices, objects=objects, start=start, only_stale=only_stale
        )
        with self._lock, torch.inference_mode():
            for object_id in {o for visit in visits for o in visit.objects}:
                self._guarded(partial(self._settle, object_id))
        for visit in visits:
            with self._lock, torch.inference_mode():
                ids = [o for o in visit.objects if o in self._banks]
                for object_id in ids:
                    self._guarded(partial(self._visit, object_id, visit))
                result = self._guarded(partial(self._result, visit.slice, ids))
            yield result

    def memory_nbytes(self) -> int:
        """Return the bytes held by the objects' memory and the feature cache."""
        with self._lock:
            held = sum(bank.nbytes for bank in self._banks.values())
            return held + self._features.nbytes

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
            features = self._encoded(index)
            with self._compute.autocast():
                output = decode.answer(
                    self._network, features, bank, chain, prompt, self.grid
                )
            chain = [*chain, Interaction(prompt, output)]
        if chain:
            bank.interactions[index] = chain
            bank.pending[index] = chain[-1].output
        else:
            bank.forget_prompts(index)
        bank.fresh.clear()
        if not bank.interactions:
            del self._banks[object_id]

    def _settle(self, object_id: int) -> None:
        """Remember the slices prompted since the last propagation."""
        bank = self._banks[object_id]
        for index in sorted(bank.pending):
            output = bank.pending[index]
            if output.memory is None:
                self._remember(index, output, from_prompt=True)
            bank.prompted[index] = bank.pending.pop(index)

    def _visit(self, object_id: int, visit: Visit) -> None:
        bank = self._banks[object_id]
        self._settle(object_id)
        index = visit.slice
        if index not in bank.prompted:
            features = self._encoded(index)
            with self._compute.autocast():
                output = decode.follow(
                    self._network,
                    features,
                    bank,
                    index,
                    self.grid,
                    reverse=visit.reverse,
                )
            self._remember(index, output, from_prompt=False)
            bank.followed[index] = output
        bank.reverse[index] = visit.reverse
        bank.fresh.add(index)
        if sum(b.nbytes for b in self._banks.values()) > self.memory_bytes:
            bank.drop_unreachable(index, self._network.max_obj_ptrs_in_encoder)

    def _remember(self, index: int, output: SliceOutput, *, from_prompt: bool) -> None:
        features = self._encoded(index)
        refined = getattr(self._network, "remembers_refined", False)
        shown = self._show(index, output) if refined and self._refinement else None
        with self._compute.autocast():
            decode.remember(
                self._network, features, output, shown, from_prompt=from_prompt
            )

    def _show(self, index: int, output: SliceOutput) -> torch.Tensor:
        """Return logits at the slice's resolution, made once for each output."""
        if output not in self._shown:
            reading = self._reading(index)
            connected = getattr(self._network, "connected", False)
            with self._compute.autocast():
                self._shown[output] = decode.to_slice(
                    output, self.grid, self._refinement, reading, connected=connected
                )
        return self._shown[output]

    def _encoded(self, index: int) -> SliceFeatures:
        def make() -> SliceFeatures:
            image = network_input(self._image(index), self._network.image_size)
            with self._compute.autocast():
                return encode(self._network, image.to(self._compute.device))

        return self._features.get(index, make)

    def _reading(self, index: int) -> Reading | None:
        """Return what the refinement head sees in a slice; the last one is kept."""
        if self._refinement is None:
            return None
        if self._read is None or self._read[0] != index:
            image = self._image(index).to(self._compute.device)
            with self._compute.autocast():
                self._read = index, self._refinement.read(image)
        return self._read[1]

    def _image(self, index: int) -> torch.Tensor:
        return windowed(self.data[index], self._window)

    def _result(self, index: int, changed: Sequence[int]) -> SliceResult:
        outputs = {o: bank.output(index) for o, bank in self._banks.items()}
        found = {o: output for o, output in outputs.items() if output is not None}
        shown = {o: self._show(index, output) for o, output in found.items()}
        self._shown = {found[o]: tensor for o, tensor in shown.items()}
        logits = {o: t[0, 0].float().cpu().numpy() for o, t in shown.items()}
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

    def _check_class(self, prompt: Prompt) -> None:
        if prompt.whole is not None and prompt.whole not in self.model.classes:
            known = ", ".join(self.model.classes) or "none"
            raise PromptError(
                f"the model {self.model.name} cannot be asked for every {prompt.whole} "
                f"(classes it knows: {known}); click on the object, or choose octa-nano"
            )

    def _guarded(self, work: Callable[[], T]) -> T:
        """Run `work`; on an exhausted device free caches, then go to the CPU."""
        try:
            return work()
        except torch.OutOfMemoryError:
            self._features.clear()
            self._read = None
            release_memory(self._compute.device)
        try:
            result = work()
            self._notify("the device ran out of memory: cached features were dropped")
            return result
        except torch.OutOfMemoryError as error:
            if self._compute.device.type == "cpu":
                raise ModelError(
                    "out of memory: close other programs, or choose a smaller model or "
                    "input size"
                ) from error
        self._move_to_cpu()
        return work()

    def _move_to_cpu(self) -> None:
        old = self._compute.device
        self._compute = choose_compute("cpu", "fp32")
        self._features.clear()
        self._read = None
        self._shown.clear()
        self._network = self._network.to("cpu")
        if self._refinement is not None:
            self._refinement = self._refinement.to("cpu")
        for bank in self._banks.values():
            for output in bank.outputs():
                output.move(self._compute.device)
            for chain in bank.interactions.values():
                for interaction in chain:
                    interaction.output.move(self._compute.device)
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
