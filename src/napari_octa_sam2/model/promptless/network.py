"""What all promptless networks have in common."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.config import ARCHITECTURES, NetworkConfig


class PromptlessNetwork(nn.Module):
    """A network of `ARCHITECTURES` for slices of any size.

    Parameters
    ----------
    config : NetworkConfig
    channels : int
        1 for grey slices, 3 for three maps at once.

    Raises
    ------
    ModelError
        If it cannot be built with these settings, or what it needs is not installed.
    """

    def __init__(self, config: NetworkConfig, channels: int = 1) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        architecture = ARCHITECTURES[config.kind]
        self.multiple = architecture.multiple
        try:
            make = architecture.maker()
            self.body = make(channels, len(config.classes), **config.settings)
        except ModelError:
            raise
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError(
                f"cannot build a {config.kind} with {dict(config.settings)}: {error}"
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes.

        Parameters
        ----------
        images : Tensor
            0..1, shape ``(n, channels, slow, fast)``; the border is repeated until
            the sides fit, twice at least: one tile has no spread to normalise by.

        Returns
        -------
        Tensor
            float32, shape ``(n, classes, slow, fast)``.
        """
        rows, cols = images.shape[-2:]
        more = [
            max(2 * self.multiple - side, -side % self.multiple)
            for side in (cols, rows)
        ]
        if any(more):
            images = F.pad(images, (0, more[0], 0, more[1]), mode="replicate")
        logits: Tensor = self.body(images)
        return logits[..., :rows, :cols].float()


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters())
