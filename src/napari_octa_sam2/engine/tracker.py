"""Objects in the slices of a volume: their prompts answered, their masks followed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from napari_octa_sam2.engine.device import return_free_memory
from napari_octa_sam2.engine.memory import Interaction, ObjectBank, SliceOutput
from napari_octa_sam2.engine.passes import Passes
from napari_octa_sam2.engine.plan import Visit
from napari_octa_sam2.engine.results import SliceResult, answer_confidence
from napari_octa_sam2.engine.settling import Settling
from napari_octa_sam2.engine.slices import Slices
from napari_octa_sam2.prompts import Prompt

TRIM_EVERY = 1.0  # seconds between two returns of free memory to the system
NOT_THERE = -32.0  # logit of an object that no prompt and no propagation has found


class Tracker:
    """The objects of a session, for one thread at a time.

    Parameters
    ----------
    passes : Passes
    slices : Slices
    memory_bytes, key_bytes : int
        As for `Session`.
    """

    def __init__(
        self, passes: Passes, slices: Slices, memory_bytes: int, key_bytes: int
    ) -> None:
        self.passes, self.slices = passes, slices
        self.memory_bytes, self.key_bytes = memory_bytes, key_bytes
        self.banks: dict[int, ObjectBank] = {}
        self._shown: dict[SliceOutput, torch.Tensor] = {}  # of the slice shown last
        self._trim_due = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes that objects and features take."""
        banks = self.banks.values()
        held = sum(bank.nbytes + bank.key_nbytes for bank in banks)
        return held + self.slices.cache.nbytes

    def make_room(self) -> None:
        """Free what can be made again."""
        self.slices.forget()
        for bank in self.banks.values():
            bank.keep_keys(set())

    def move(self, passes: Passes, slices: Slices) -> None:
        """Go on with another device."""
        self.passes, self.slices = passes, slices
        self._shown.clear()
        for bank in self.banks.values():
            chains = bank.interactions.values()
            answers = [interaction.output for chain in chains for interaction in chain]
            for output in [*bank.outputs(), *answers]:
                output.move(passes.compute.device)

    def set_prompts(
        self, object_id: int, index: int, prompts: Sequence[Prompt]
    ) -> None:
        """Answer the prompts of an object on a slice; what is answered stays."""
        bank = self.banks.setdefault(object_id, ObjectBank())
        old = bank.interactions.get(index, [])
        same = 0
        while same < min(len(old), len(prompts)) and old[same].prompt == prompts[same]:
            same += 1
        chain = old[:same]
        for prompt in prompts[same:]:
            features = self.slices.features(index)
            output = self.passes.answer(features, bank, chain, prompt)
            chain = [*chain, Interaction(prompt, output)]
        if chain:
            bank.interactions[index] = chain
            bank.pending[index] = chain[-1].output
        else:
            bank.forget_prompts(index)
        bank.edit(index)
        if not bank.interactions:
            del self.banks[object_id]

    def settle(self, object_id: int) -> None:
        """Remember the slices prompted since the last propagation."""
        bank = self.banks[object_id]
        for index in sorted(bank.pending):
            output = bank.pending[index]
            if output.memory is None:
                self._remember(index, [output], from_prompt=True)
            bank.prompted[index] = bank.pending.pop(index)

    def visit(self, ids: Sequence[int], visit: Visit, settling: Settling) -> None:
        """Follow objects to a slice; note in `settling` what stayed as it was."""
        index, reverse = visit.slice, visit.reverse
        for object_id in ids:
            self.settle(object_id)
        banks = {o: self.banks[o] for o in ids}
        for bank in banks.values():
            bank.reverse[index] = reverse
        gone = {o for o, b in banks.items() if b.ends_before(index)}
        for object_id in gone:
            banks[object_id].followed.pop(index, None)
        due = [o for o, b in banks.items() if o not in gone and index not in b.prompted]
        if due:
            self._follow({o: banks[o] for o in due}, index, reverse, settling)
        for object_id, bank in banks.items():
            bank.fresh.add(index)
            if bank.is_corrected and bank.is_certain(index):
                settling.bound(object_id, index, reverse)
        self._trim(index, list(banks.values()))

    def _follow(
        self,
        banks: Mapping[int, ObjectBank],
        index: int,
        reverse: bool,
        settling: Settling,
    ) -> None:
        outputs = self.passes.follow(
            self.slices.features(index), list(banks.values()), index, reverse=reverse
        )
        self._remember(index, outputs, from_prompt=False)
        for (object_id, bank), output in zip(banks.items(), outputs, strict=True):
            old = bank.followed.get(index)
            if bank.is_corrected:
                before = None if old is None else old.handed_on
                settling.note(object_id, index, reverse, before, output.handed_on)
            bank.followed[index] = output

    def unsettled(
        self, ids: Sequence[int], visit: Visit, settling: Settling
    ) -> list[int]:
        """Return the objects to visit; what is known of the others still holds."""
        settled = {o for o in ids if settling.has_settled(o, visit.reverse)}
        for bank in (self.banks[o] for o in settled):
            bank.fresh |= {visit.slice} & bank.outdated
        return [o for o in ids if o not in settled]

    def _trim(self, index: int, banks: Sequence[ObjectBank]) -> None:
        """Hold what is remembered to the budget."""
        if sum(b.nbytes for b in self.banks.values()) > self.memory_bytes:
            for bank in banks:
                bank.drop_unreachable(
                    index, self.passes.network.max_obj_ptrs_in_encoder
                )
        if sum(b.key_nbytes for b in self.banks.values()) > self.key_bytes:
            for bank in self.banks.values():
                bank.keep_keys(set())
        now = time.monotonic()
        if self.passes.compute.device.type == "cpu" and now >= self._trim_due:
            return_free_memory()
            self._trim_due = now + TRIM_EVERY

    def _remember(
        self, index: int, outputs: Sequence[SliceOutput], *, from_prompt: bool
    ) -> None:
        shown = None
        if self.passes.remembers_refined:
            shown = self._show(index, outputs)
        features = self.slices.features(index)
        self.passes.remember(features, outputs, shown, from_prompt=from_prompt)

    def _show(self, index: int, outputs: Sequence[SliceOutput]) -> list[torch.Tensor]:
        """Return logits at the slice's resolution, made once for each output."""
        new = [output for output in outputs if output not in self._shown]
        if new:
            shown = self.passes.show(new, self.slices.reading(index))
            self._shown |= zip(new, shown, strict=True)
        return [self._shown[output] for output in outputs]

    def result(self, index: int, changed: Sequence[int]) -> SliceResult:
        """Return what is known of every object on a slice."""
        outputs = {o: bank.output(index) for o, bank in self.banks.items()}
        found = {o: output for o, output in outputs.items() if output is not None}
        shown = self.logits(index, list(found.values()))
        logits = dict(zip(found, shown, strict=True))
        for object_id in set(changed) - set(found):
            shape = (self.passes.grid.rows, self.passes.grid.cols)
            logits[object_id] = np.full(shape, NOT_THERE, np.float32)
        sure = {o: self._confidence(o, index, logits[o]) for o in changed}
        return SliceResult(
            slice=index,
            logits=logits,
            changed=tuple(changed),
            confidence={o: c for o, c in sure.items() if c is not None},
        )

    def logits(self, index: int, outputs: Sequence[SliceOutput]) -> list[np.ndarray]:
        """Return the logits of outputs of a slice, ``(slow, fast)`` each, float32."""
        shown = self._show(index, outputs)
        self._shown = dict(zip(outputs, shown, strict=True))
        return [tensor[0, 0].float().cpu().numpy() for tensor in shown]

    def _confidence(
        self, object_id: int, index: int, logits: np.ndarray
    ) -> float | None:
        """Return the confidence in an object's answer; None where it has none."""
        bank = self.banks.get(object_id)
        if bank is None:
            return None
        output = bank.output(index)
        if _is_given(bank, index, output):
            chain = bank.interactions.get(index)
            return chain[-1].prompt.confidence if chain else 1.0
        if output is None:
            return None
        is_shown = bool((logits > 0).any())
        presence = float(output.score.sigmoid())
        return answer_confidence(presence, output.iou, is_shown=is_shown)


def _is_given(bank: ObjectBank, index: int, output: SliceOutput | None) -> bool:
    """Whether the annotator, not the network, said what is on a slice."""
    if index in bank.interactions:
        prompt = bank.interactions[index][-1].prompt
        return prompt.gives_mask or prompt.absent
    return output is None and bank.ends_before(index)
