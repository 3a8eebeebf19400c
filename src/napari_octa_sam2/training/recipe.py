"""Recipes: whole trainings by name, each a small file in ``presets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.errors import ModelError, TrainingError
from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.training.config import (
    ClipConfig,
    DataConfig,
    FitConfig,
    LossConfig,
    PromptConfig,
    TrainedConfig,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

DEFAULT_MODEL = "octa-nano"
SECTIONS = ("data", "clip", "prompts", "trained", "loss", "fit")
WRONG = (ValueError, TypeError)  # a list or a number in the place of settings


@dataclass(frozen=True)
class Phase:
    """One stretch of a recipe: what is seen, and how the network is fitted."""

    trained: TrainedConfig
    fit: FitConfig
    data: DataConfig = field(default_factory=DataConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    name: str = "training"


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Parameters
    ----------
    name : str
        What users choose.
    phases : tuple of Phase
        Trained one after another.
    about : str
        A sentence of when to choose it.
    model : str
        Name or checkpoint of the model that is fine-tuned; empty to begin from random
        weights.
    config : str
        Configuration of the network, where it is no model of the registry.
    network : NetworkConfig, optional
        A promptless network that begins from random weights, in place of SAM 2.
    input_size : int
        Side of the network's input in pixels; 0 for the model's own.
    new_head : tuple of int
        Channels of a refinement head for a model without one; none if empty.
    class_points : mapping of str to tuple of float
        x and y, on a grid of 1024, of the click that names a class to a network that
        cannot be asked for it otherwise.
    averaged : tuple of str
        Phases whose weights' mean is the result (Wortsman et al., "Model soups",
        2022); the last weights if empty.
    given : tuple of str
        Data sets the user named.
    """

    name: str
    phases: tuple[Phase, ...]
    about: str = ""
    model: str = DEFAULT_MODEL
    config: str = ""
    network: NetworkConfig | None = None
    input_size: int = 0
    new_head: tuple[int, ...] = ()
    class_points: dict[str, tuple[float, float]] = field(default_factory=dict)
    averaged: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def to_yaml(self) -> str:
        """Return the resolved recipe as text, which `read_recipe` takes."""
        from omegaconf import OmegaConf

        return OmegaConf.to_yaml(OmegaConf.create(_plain(asdict(self))))


def look_of(phase: Phase) -> Appearance:
    """Return how slices look to the network that a phase trains."""
    data = phase.data
    return Appearance(
        data.window, data.colours, data.projections if data.as_channels else ()
    )


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    first = ("quick",)  # what most people want
    others = sorted(p.stem for p in _presets().glob("*.yaml") if p.stem not in first)
    return (*first, *others)


def read_recipe(
    name: str | Path,
    *,
    model: str | None = None,
    given: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
) -> Recipe:
    """Read a recipe, with settings of the user in the place of its own.

    Parameters
    ----------
    name : str or Path
        One of `recipe_names`, or a YAML file.
    model : str, optional
        Name or checkpoint of the model to fine-tune.
    given : sequence of path
        Data sets to learn from.
    overrides : sequence of str
        Settings such as ``"fit.minutes=10"``, ``"clip.labels=[FAZ]"`` or
        ``"trained.parts.encoder=null"``; they hold for every phase.

    Raises
    ------
    TrainingError
        If there is no such recipe, or a setting is unknown or of a wrong kind.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    file = _find(name)
    try:
        content: DictConfig = OmegaConf.load(file)  # type: ignore[assignment]
        wanted = OmegaConf.from_dotlist(list(overrides))
        top = {k: v for k, v in wanted.items() if k not in SECTIONS}
        sections = {k: v for k, v in wanted.items() if k in SECTIONS}
        phases = content.pop("phases", None) or [{}]
        common = {k: content.pop(k) for k in SECTIONS if k in content}
        if "kind" in (top.get("network") or {}):
            # another network, from random weights: the settings were not its own
            before = content.get("network") or {}
            kept = {k: v for k, v in before.items() if k != "settings"}
            content.update({"model": "", "network": kept})
        values = OmegaConf.merge(content, top)
        values.phases = [OmegaConf.merge(common, phase, sections) for phase in phases]
        plain: Any = OmegaConf.to_container(values, resolve=True)
    except (OmegaConfBaseException, YAMLError, OSError, *WRONG) as error:
        raise TrainingError(
            f"{file.name} cannot be read as a recipe: {error}"
        ) from None
    plain = _without_none(plain)
    plain.setdefault("name", file.stem)
    if model is not None:
        if "network" in plain and "network" not in top:
            del plain["network"]  # the model is trained in its place
        elif not plain.get("model", DEFAULT_MODEL) and "network" not in plain:
            raise TrainingError(
                f"the recipe {plain['name']} begins from random weights: leave out the "
                f"model {model}"
            )
        plain["model"] = _absolute(model)
    if given:
        plain["given"] = [str(Path(path).expanduser().absolute()) for path in given]
    return _validated(plain, file)


def _absolute(model: str) -> str:
    """Return a checkpoint as it is found from anywhere; a name as it is."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_file() else model


def _find(name: str | Path) -> Path:
    beside = _presets() / f"{name}.yaml"
    if beside.is_file():
        return beside
    if Path(name).is_file():
        return Path(name)
    raise TrainingError(
        f"expected a recipe of {', '.join(recipe_names())}, or a YAML file; found "
        f"{str(name)!r}"
    )


def _presets() -> Path:
    return Path(str(resources.files("napari_octa_sam2.training"))) / "presets"


def _validated(plain: Mapping[str, Any], file: Path) -> Recipe:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    kinds: tuple[Any, ...] = (
        *(Recipe, Phase, DataConfig, ClipConfig, PromptConfig),
        *(TrainedConfig, AdapterConfig, LossConfig, FitConfig, NetworkConfig),
    )
    for kind in kinds:
        kind.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        recipe: Recipe = TypeAdapter(Recipe).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "phases")
        raise TrainingError(
            f"the recipe {file.stem} has a wrong setting {where.removeprefix('0.')}: "
            f"{first['msg']}, found {first['input']!r}"
        ) from None
    except ModelError as error:
        raise TrainingError(f"the recipe {file.stem}: {error}") from None
    if recipe.network is not None and recipe.model:
        raise TrainingError(
            f"expected a network from random weights or a model to go on from, found "
            f"both ({recipe.network.kind} and {recipe.model}); leave out one of them"
        )
    names = [phase.name for phase in recipe.phases]
    if len(set(names)) < len(names) or not set(recipe.averaged) <= set(names):
        raise TrainingError(
            f"expected phases of different names, and averages of these; found "
            f"{', '.join(names)}"
        )
    return recipe


def _without_none(value: Any) -> Any:
    """Return settings without those that were taken away."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value if not isinstance(value, list) else [_without_none(v) for v in value]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return (
        [_plain(item) for item in value] if isinstance(value, tuple | list) else value
    )
