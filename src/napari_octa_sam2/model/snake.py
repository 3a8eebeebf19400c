"""Dynamic snake convolution: a line of taps that bends along thin, winding structures.

Source: Qi et al., "Dynamic Snake Convolution based on Topological Geometric Constraints
for Tubular Structure Segmentation", ICCV 2023.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_octa_sam2.errors import ModelError

Axis = Literal["rows", "columns"]
GROUP = 4  # channels that are normalised together


class SnakeConv(nn.Module):
    """Convolution with a line of taps, each displaced across the line at every pixel.

    A tap's displacement is at most `extend` pixels more or less than that of its
    neighbour on the side of the centre, which stays where it is: the line bends and
    does not break. Outside the picture there are zeros.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : int
        Number of taps, odd.
    extend : float
        Largest displacement of a tap from its neighbour, in pixels.
    axis : {"rows", "columns"}
        What the line runs along before it bends: from row to row (``kernel x 1``) or
        from column to column (``1 x kernel``).

    Raises
    ------
    ModelError
        If `kernel` is not odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 9,
        extend: float = 1.0,
        axis: Axis = "rows",
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ModelError(f"expected a snake of an odd number of taps, not {kernel}")
        self.kernel, self.extend, self.axis = kernel, extend, axis
        # For both axes, as in the paper's network, of which a convolution uses one:
        # so the sizes of published networks can be compared.
        self.steps = nn.Sequential(
            nn.Conv2d(in_channels, 2 * kernel, 3, padding=1),
            nn.GroupNorm(kernel, 2 * kernel),
            nn.Tanh(),
        )
        taps = (kernel, 1) if axis == "rows" else (1, kernel)
        self.conv = nn.Conv2d(in_channels, out_channels, taps, stride=taps)
        self.norm = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``(n, out_channels, rows, columns)`` of as many pixels."""
        # a pixel's taps as channels: much faster than side by side, and a stride
        weight = self.conv.weight.flatten(1)[..., None, None]
        features = F.conv2d(self._sampled(x), weight, self.conv.bias)
        return F.relu(self.norm(features))

    def _displacement(self, x: Tensor) -> Tensor:
        """Return that of each tap, across the line, ``(n, kernel, rows, columns)``."""
        steps, centre = self._steps(x).float(), self.kernel // 2
        before = steps[:, :centre].flip(1).cumsum(1).flip(1)
        after = steps[:, centre + 1 :].cumsum(1)
        still = torch.zeros_like(steps[:, :1])
        return torch.cat([before, still, after], 1) * self.extend

    def _steps(self, x: Tensor) -> Tensor:
        """Return how far each tap is from its neighbour, -1..1, for this axis only."""
        # the other axis is left out, but for the channel normalised with this one's
        if self.axis == "rows":
            needed, own = slice(self.kernel + 1), slice(self.kernel)
        else:
            needed, own = slice(self.kernel - 1, None), slice(1, None)
        conv, norm = cast(nn.Conv2d, self.steps[0]), cast(nn.GroupNorm, self.steps[1])
        bias = None if conv.bias is None else conv.bias[needed]
        steps = F.conv2d(x, conv.weight[needed], bias, padding=1)
        scale, shift, pairs = (
            norm.weight[needed],
            norm.bias[needed],
            steps.shape[1] // 2,
        )
        return F.group_norm(steps, pairs, scale, shift, norm.eps)[:, own].tanh()

    def _sampled(self, x: Tensor) -> Tensor:
        """Return what the taps see, ``(n, in_channels * kernel, rows, columns)``."""
        rows, columns = x.shape[-2:]
        across = self._displacement(x)
        along = torch.arange(self.kernel, device=x.device) - self.kernel // 2
        along = along[:, None, None].expand_as(across)
        down, right = (along, across) if self.axis == "rows" else (across, along)
        row = torch.arange(rows, device=x.device)[:, None] + down
        column = torch.arange(columns, device=x.device) + right
        # pixel centres in grid_sample's units, which also hold for a single row
        grid = torch.stack(
            [(2 * column + 1) / columns - 1, (2 * row + 1) / rows - 1], -1
        )
        # in float32, whatever the features are: bfloat16 cannot tell pixels apart
        seen = F.grid_sample(x.float(), grid.flatten(1, 2), align_corners=False)
        return seen.reshape(len(x), -1, rows, columns).to(x.dtype)


class MultiViewSnakeConv(nn.Module):
    """A plain 3 x 3 convolution and snakes along both axes, fused by another.

    Parameters
    ----------
    in_channels, out_channels, kernel, extend
        As for `SnakeConv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 9,
        extend: float = 1.0,
    ) -> None:
        super().__init__()
        self.plain = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            _norm(out_channels),
            nn.ReLU(),
        )
        self.rows = SnakeConv(in_channels, out_channels, kernel, extend, "rows")
        self.columns = SnakeConv(in_channels, out_channels, kernel, extend, "columns")
        self.fuse = nn.Conv2d(3 * out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``(n, out_channels, rows, columns)`` of as many pixels."""
        views = [self.plain(x), self.rows(x), self.columns(x)]
        fused: Tensor = self.fuse(torch.cat(views, 1))
        return fused


def _norm(channels: int) -> nn.GroupNorm:
    groups = channels // GROUP if channels % GROUP == 0 else 1
    return nn.GroupNorm(groups, channels)
