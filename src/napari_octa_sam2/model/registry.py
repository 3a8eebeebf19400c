"""The networks that can be asked for by name."""

from __future__ import annotations

from dataclasses import dataclass

from napari_octa_sam2.errors import ModelError

PROMPTED, PROMPTLESS = "prompted", "promptless"

_SITE = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True)
class ModelEntry:
    """A network and where its weights come from.

    Parameters
    ----------
    name : str
        What users type.
    title : str
        What users read.
    config : str
        Configuration in ``configs`` of this package or in the `sam2` package.
    url : str, optional
        Where the checkpoint is; None if it came with this package.
    sha256 : str, optional
        Published hash of the checkpoint; None if there is none.
    size_mb : float
        Size of the checkpoint in units of 10^6 bytes.
    input_size : int
        Rows and columns of the network's input.
    licence : str
        Licence of the weights.
    notes : str
        When to choose it.
    kind : {"prompted", "promptless"}
        SAM 2 networks are prompted.
    """

    name: str
    title: str
    config: str
    url: str | None
    sha256: str | None
    size_mb: float
    input_size: int
    licence: str
    notes: str = ""
    kind: str = PROMPTED

    @property
    def filename(self) -> str:
        """Name of the checkpoint file."""
        if self.url is None:
            return f"{self.name}.safetensors"
        return self.url.rsplit("/", 1)[-1]


# SHA-256 as published by two independent projects each: micro-sam (hashes of SAM 2
# and 2.1) for all; SlicerSegmentWithSAM for SAM 2; several for SAM 2.1, whose values
# are also the blob names of the facebook/sam2.1-hiera-* repositories of Hugging Face.
_SHA256 = {
    "sam2.1_hiera_tiny": (
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
    ),
    "sam2.1_hiera_small": (
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
    ),
    "sam2.1_hiera_base_plus": (
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"
    ),
    "sam2.1_hiera_large": (
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
    ),
    "sam2_hiera_tiny": (
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"
    ),
    "sam2_hiera_small": (
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"
    ),
    "sam2_hiera_base_plus": (
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"
    ),
    "sam2_hiera_large": (
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"
    ),
}


def _official(
    family: str, release: str, size: str, short: str, mb: float
) -> ModelEntry:
    name = f"{family}_hiera_{size}"
    version = family.removeprefix("sam")
    return ModelEntry(
        name=name,
        title=f"SAM {version} Hiera {size.replace('_', ' ')}",
        config=f"configs/{family}/{family}_hiera_{short}.yaml",
        url=f"{_SITE}/{release}/{name}.pt",
        sha256=_SHA256[name],
        size_mb=mb,
        input_size=1024,
        licence="Apache-2.0",
        notes="trained on natural images and video; fine-tune it on OCTA"
        + ("" if version == "2.1" else "; superseded by SAM 2.1"),
    )


_SIZES = (
    ("tiny", "t", 156),
    ("small", "s", 184),
    ("base_plus", "b+", 324),
    ("large", "l", 898),
)

_NANO = ModelEntry(
    name="octa-nano",
    title="OCTA nano (bundled)",
    config="octa-nano.yaml",
    url=None,
    sha256="e7555be16512f5db40f1834cfe119c80be619e08bf748b2b893689b0dec714c6",
    size_mb=11.1,
    input_size=512,
    licence="BSD-3-Clause",
    notes="trained on synthetic OCTA and ROSSA; fast on a CPU, needs no network",
)

_AUTO = ModelEntry(
    name="octa-auto",
    title="OCTA auto (bundled)",
    config="",
    url=None,
    sha256="d7aefb528eaf0c89c09ee7ba64f4d5a6359ff78564a4008951f38ad1f298b1ef",
    size_mb=4.1,
    input_size=0,
    licence="BSD-3-Clause",
    notes="finds vessels and the FAZ without a prompt; synthetic OCTA and ROSSA",
    kind=PROMPTLESS,
)

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        _NANO,
        _AUTO,
        *(_official("sam2.1", "092824", *size) for size in _SIZES),
        *(_official("sam2", "072824", *size) for size in _SIZES),
    )
}


def model_names(kind: str = PROMPTED) -> tuple[str, ...]:
    """Return the names of all models of a kind, the bundled one first."""
    return tuple(name for name, entry in MODELS.items() if entry.kind == kind)


def get_entry(name: str) -> ModelEntry:
    """Return the entry of a model.

    Raises
    ------
    ModelError
        If there is no model of that name; the message lists those there are.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise ModelError(
            f"unknown model {name!r}; expected one of {', '.join(MODELS)}"
        ) from None
