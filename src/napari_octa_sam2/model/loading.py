"""From a name or a path to a network that is ready to run."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.files import file_sha256
from napari_octa_sam2.model.download import fetch
from napari_octa_sam2.model.registry import get_entry, model_names
from napari_octa_sam2.model.tuned import Origin, put_weights, read_origin

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")
DEFAULT_MODEL = "octa-nano"
CONFIG_SUFFIXES = (".yaml", ".yml")
REFINEMENT = "refinement."  # prefix of the head's weights in a checkpoint
# What sam2.build_sam adds for interactive use, unless a configuration says otherwise:
# fall back to a candidate mask where the single mask is unstable, and remember clicked
# masks as the user sees them.
INTERACTIVE = {
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
    "binarize_mask_from_pts_for_mem_enc": True,
}


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its identity.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
        In evaluation mode, on the CPU.
    name : str
        Registry name, or the checkpoint's file name.
    sha256 : str
        Hash of the checkpoint's bytes; empty for random weights.
    refinement : RefinementHead, optional
        Sharpens masks at the slice's own resolution.
    """

    network: Any
    name: str
    sha256: str
    refinement: Any = None

    @property
    def input_size(self) -> int:
        """Side of the square input, in pixels."""
        return int(self.network.image_size)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that can be asked for as a whole."""
        return tuple(getattr(self.network, "classes", ()))


def load_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    config: str | Path | None = None,
    input_size: int | None = None,
    refinement: bool = True,
    progress: Callable[[int, int | None], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> LoadedModel:
    """Load a model of the registry, a local checkpoint, or a fine-tuned model.

    Parameters
    ----------
    name_or_path : str or Path
        A registry name (downloaded on first use), or a ``.pt``, ``.pth`` or
        ``.safetensors`` file; one that `train` wrote finds its base by itself.
    config : str or Path, optional
        For a local checkpoint: a YAML file, a configuration of the ``sam2`` package
        (``configs/sam2.1/sam2.1_hiera_t.yaml``), or a registry name. By default a
        YAML file beside the checkpoint with the same stem, else the registry model
        whose name the file's name contains.
    input_size : int, optional
        Side of the network's input, a multiple of 32; default as configured.
    refinement : bool
        Whether to use the refinement head that the checkpoint holds.
    progress, cancelled : callable, optional
        As for `napari_octa_sam2.model.download.fetch`.

    Raises
    ------
    ModelError
        If the name is unknown, the download fails, or the checkpoint does not fit
        the configuration.
    """
    text = str(name_or_path)
    if text in model_names() and config is None:
        entry = get_entry(text)
        checkpoint = fetch(entry, progress=progress, cancelled=cancelled)
        settings: str | Path = entry.config
        name, sha256 = entry.name, entry.sha256
    else:
        checkpoint = Path(text).expanduser()
        if not checkpoint.is_file():
            raise ModelError(
                f"expected a checkpoint file or one of {', '.join(model_names())}; "
                f"found no file {text!r}"
            )
        if (origin := read_origin(checkpoint)) is not None:
            base = partial(load_model, progress=progress, cancelled=cancelled)
            return _load_tuned(checkpoint, origin, base, input_size, refinement)
        settings = _config_for(checkpoint, config)
        name, sha256 = checkpoint.name, ""
    network = build_network(settings, input_size=input_size)
    head = load_weights(network, checkpoint, build_refinement(settings))
    return LoadedModel(
        network=network,
        name=name,
        sha256=sha256 or file_sha256(checkpoint),
        refinement=head if refinement else None,
    )


def _load_tuned(
    file: Path,
    origin: Origin,
    load_base: Callable[..., LoadedModel],
    input_size: int | None,
    refinement: bool,
) -> LoadedModel:
    """Load the base of a fine-tuned model, and put its weights into it."""
    base = load_base(
        origin.base,
        config=origin.config or None,
        input_size=input_size or origin.input_size or None,
    )
    if base.sha256 != origin.base_sha256:
        raise ModelError(
            f"{file.name} was trained on {origin.base} with SHA-256 "
            f"{origin.base_sha256[:12]}, found {base.sha256[:12]}; put that checkpoint "
            "back, or train again"
        )
    head = put_weights(file, origin, base.network, base.refinement, _read_state(file))
    return LoadedModel(
        network=base.network,
        name=file.stem,
        sha256=file_sha256(file),
        refinement=head if refinement else None,
    )


def build_network(config: str | Path, *, input_size: int | None = None) -> Any:
    """Return a ``SAM2Base`` network with random weights, in evaluation mode.

    Parameters
    ----------
    config : str or Path
        A YAML file, or the name of one in this package or in ``sam2``.
    input_size : int, optional
        Overrides the configured side of the input; a multiple of 32.

    Raises
    ------
    ModelError
        If there is no such configuration, or it cannot be built.
    """
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    settings = OmegaConf.merge(INTERACTIVE, _content(config).model)
    if input_size is not None:
        if input_size < 64 or input_size % 32:
            raise ModelError(
                f"expected an input size that is a multiple of 32, found {input_size}"
            )
        settings.image_size = input_size
    try:
        network = instantiate(settings, _recursive_=True)
    except Exception as error:
        raise ModelError(f"cannot build the network of {config}: {error}") from error
    return network.eval()


def build_refinement(config: str | Path) -> Any:
    """Return the untrained `RefinementHead` of a configuration, or None.

    Raises
    ------
    ModelError
        If there is no such configuration.
    """
    from hydra.utils import instantiate

    settings = _content(config).get("refinement")
    return None if settings is None else instantiate(settings).eval()


def load_weights(network: Any, checkpoint: Path, refinement: Any = None) -> Any:
    """Load a checkpoint (SAM 2's layout or a plain state) into `network`, strictly.

    Weights under `REFINEMENT` go into the refinement head, which is returned; None is
    if the checkpoint holds none.

    Raises
    ------
    ModelError
        If the file is no checkpoint, needs code to be unpickled, or does not fit.
    """
    state = _read_state(checkpoint)
    expected = dict(network.state_dict())
    if not any(key.startswith(REFINEMENT) for key in state):
        refinement = None
    if refinement is not None:
        head = refinement.state_dict()
        expected |= {REFINEMENT + key: value for key, value in head.items()}
    _check_fit(checkpoint, state, expected)
    if refinement is not None:
        state, head = split_head(state)
        refinement.load_state_dict(head)
    network.load_state_dict(state)
    return refinement


def split_head(state: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Return the weights of the network and of the refinement head, by their names."""
    head = {
        key.removeprefix(REFINEMENT): value
        for key, value in state.items()
        if key.startswith(REFINEMENT)
    }
    return {k: v for k, v in state.items() if not k.startswith(REFINEMENT)}, head


def _read_state(checkpoint: Path) -> dict[str, Any]:
    try:
        if checkpoint.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(checkpoint)
        else:
            import torch

            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            state = state.get("model", state)
        return {key: value.float() for key, value in state.items()}
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{checkpoint} needs code to be loaded and was refused; convert it to "
            "safetensors, or save its state_dict alone"
        ) from error
    except Exception as error:
        raise ModelError(
            f"{checkpoint} is no readable checkpoint ({type(error).__name__}: "
            f"{error}); fetch or save it again"
        ) from error


def _check_fit(
    checkpoint: Path, state: dict[str, Any], expected: dict[str, Any]
) -> None:
    missing = sorted(set(expected) - set(state))
    unknown = sorted(set(state) - set(expected))
    shapes = sorted(
        key
        for key in set(state) & set(expected)
        if state[key].shape != expected[key].shape
    )
    if missing or unknown or shapes:
        raise ModelError(
            f"{checkpoint.name} does not fit the configuration: {len(missing)} weights "
            f"are missing, {len(unknown)} unknown, {len(shapes)} of another shape "
            f"(first: {(missing + unknown + shapes)[0]}); give the configuration it "
            "was trained with"
        )


def resource(name: str) -> Path:
    """Return the path of a file that ships with this room of the package."""
    return Path(str(resources.files("napari_octa_sam2.model"))) / name


def _content(config: str | Path) -> DictConfig:
    from omegaconf import OmegaConf

    content: DictConfig = OmegaConf.load(find_config(config))  # type: ignore[assignment]
    if "model" not in content:
        raise ModelError(f"expected a key 'model' in {config}, found {list(content)}")
    return content


def _config_for(checkpoint: Path, config: str | Path | None) -> str | Path:
    if config is not None:
        return get_entry(str(config)).config if str(config) in model_names() else config
    for suffix in CONFIG_SUFFIXES:
        if (beside := checkpoint.with_suffix(suffix)).is_file():
            return beside
    fitting = [n for n in model_names() if n in checkpoint.name]
    if not fitting:
        raise ModelError(
            f"expected to know the configuration of {checkpoint.name}: put a YAML file "
            "of the same name beside it, or give the configuration"
        )
    return get_entry(max(fitting, key=len)).config


def find_config(config: str | Path) -> Path:
    """Return the file of a configuration, ours or one of the ``sam2`` package.

    Raises
    ------
    ModelError
        If there is none.
    """
    candidates = [Path(config), resource(f"configs/{config}")]
    if isinstance(config, str):
        candidates.append(Path(str(resources.files("sam2"))) / config)
    for path in candidates:
        if path.is_file():
            return path
    raise ModelError(f"found no configuration {str(config)!r}; give a YAML file")
