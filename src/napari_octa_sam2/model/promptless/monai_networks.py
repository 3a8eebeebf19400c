"""MONAI's networks for slices, without weights from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any

from torch import nn

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.adapters.low_rank import import_peft


def unet(
    inputs: int,
    classes: int,
    channels: Sequence[int] = (16, 32, 64, 128, 256),
    num_res_units: int = 2,
) -> nn.Module:
    """Return a U-Net of residual units, each level of half the size of the finer one.

    `channels` are those of each level, finest first: at most 5.

    Raises
    ------
    ModelError
        If MONAI is not installed, or there are more levels.

    References
    ----------
    Kerfoot et al., "Left-ventricle quantification using residual U-Net", STACOM 2018.
    """
    _at_most("channels", len(channels), 5)
    nets = _monai("U-Net")
    network: nn.Module = nets.UNet(
        spatial_dims=2,
        in_channels=inputs,
        out_channels=classes,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=num_res_units,
    )
    return network


def segresnet(
    inputs: int,
    classes: int,
    init_filters: int = 16,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
) -> nn.Module:
    """Return a SegResNet.

    `init_filters`, a multiple of 8, are the channels of the finest level, `blocks_down`
    the residual blocks of each level on the way down, of at most 4; on the way up it is
    one.

    Raises
    ------
    ModelError
        If MONAI is not installed, or there are more levels.

    References
    ----------
    Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization",
    BrainLes 2018.
    """
    _at_most("blocks_down", len(blocks_down), 4)
    nets = _monai("SegResNet")
    network: nn.Module = nets.SegResNet(
        spatial_dims=2,
        in_channels=inputs,
        out_channels=classes,
        init_filters=init_filters,
        blocks_down=tuple(blocks_down),
        blocks_up=(1,) * (len(blocks_down) - 1),
    )
    return network


def flexible_unet(
    inputs: int, classes: int, backbone: str = "efficientnet-b0"
) -> nn.Module:
    """Return a U-Net that reads slices with an EfficientNet or ResNet.

    `backbone` is ``efficientnet-b0`` to ``-b8``, ``-l2``, or ``resnet10`` to ``200``.

    Raises
    ------
    ModelError
        If MONAI is not installed.

    References
    ----------
    Tan and Le, "EfficientNet", ICML 2019.
    """
    nets = _monai("FlexibleUNet")
    network: nn.Module = nets.FlexibleUNet(
        in_channels=inputs,
        out_channels=classes,
        backbone=backbone,
        pretrained=False,
        spatial_dims=2,
    )
    for unused in ("_conv_head", "_bn1", "_fc", "fc"):  # EfficientNet's, ResNet's
        if hasattr(network.encoder, unused):
            delattr(network.encoder, unused)
    return network


def swin_unetr(
    inputs: int,
    classes: int,
    feature_size: int = 24,
    depths: Sequence[int] = (2, 2, 2, 2),
    drop_rate: float = 0.0,
) -> nn.Module:
    """Return a Swin UNETR with the residual convolutions of its version 2.

    `feature_size`, a multiple of 12, are the channels of the finest level, `depths` the
    transformer layers of each of the 4 others.

    Raises
    ------
    ModelError
        If MONAI is not installed, or there are not 4 depths.

    References
    ----------
    Hatamizadeh et al., "Swin UNETR", BrainLes 2021; He et al., "SwinUNETR-V2", MICCAI
    2023.
    """
    if len(depths) != 4:
        raise ModelError(f"expected 4 depths, found {len(depths)}")
    nets = _monai("SwinUNETR", "einops")
    network: nn.Module = nets.SwinUNETR(
        in_channels=inputs,
        out_channels=classes,
        feature_size=feature_size,
        depths=tuple(depths),
        drop_rate=drop_rate,
        spatial_dims=2,
        use_v2=True,
    )
    return network


def dints(
    inputs: int,
    classes: int,
    channel_mul: float = 1.0,
    num_blocks: int = 6,
    num_depths: int = 4,
) -> nn.Module:
    """Return a DiNTS network of a fixed topology: nothing is searched for.

    In every block each resolution goes on to itself, and to the next coarser one in the
    first half of the blocks, to the next finer one in the second half; every cell is a
    3 x 3 convolution. A block has `num_depths` resolutions, at most 4, the finest with
    64 times `channel_mul` channels.

    Raises
    ------
    ModelError
        If MONAI is not installed, or there are more resolutions.

    References
    ----------
    He et al., "DiNTS: Differentiable neural network topology search for 3D medical
    image segmentation", CVPR 2021.
    """
    _at_most("num_depths", num_depths, 4)
    nets = _monai("DiNTS")
    with redirect_stdout(StringIO()):  # it prints a recommendation
        space = nets.TopologyInstance(
            arch_code=_there_and_back(num_blocks, num_depths),
            channel_mul=channel_mul,
            num_blocks=num_blocks,
            num_depths=num_depths,
            spatial_dims=2,
        )
        network: nn.Module = nets.DiNTS(space, inputs, classes, spatial_dims=2)
    return network


def _there_and_back(num_blocks: int, num_depths: int) -> list[Any]:
    """Return DiNTS's codes of the paths, and of the cell on each, by block and path."""
    import numpy as np

    # of each resolution, finest first: from the finer one, itself, the coarser one
    paths = np.zeros((num_blocks, num_depths, 3), int)
    paths[:, :, 1] = 1
    paths[: num_blocks // 2, :, 0] = 1
    paths[num_blocks // 2 :, :, 2] = 1
    # no finer than the finest, no coarser than the coarsest
    codes = paths.reshape(num_blocks, -1)[:, 1:-1]
    return [codes, np.ones_like(codes)]


def _at_most(setting: str, count: int, most: int) -> None:
    if not 1 < count <= most:
        raise ModelError(f"expected {setting} of 2 to {most} levels, found {count}")


def _monai(network: str, *others: str) -> Any:
    """Return the module of MONAI's networks; `others` are packages needed besides."""
    import_peft()  # which cannot be imported after MONAI where torchvision is broken
    for package in ("MONAI", *others):
        try:
            import_module(package.lower())
        except ImportError as error:
            raise ModelError(
                f"expected {package} for the network {network}, found nothing; "
                "pip install napari-octa-sam2[monai]"
            ) from error
    return import_module("monai.networks.nets")
