"""The adapter of SAM-Med2D.

Source: Cheng et al., "SAM-Med2D", arXiv 2308.16184, 2023.
"""

from __future__ import annotations

from torch import Tensor, nn

RATIO = 0.25  # of the channels, in which their attention is computed


class Med2dAdapter(nn.Module):
    """Attention to channels, then to what lies around, beside a feed-forward network.

    The layer norm at its end starts at zero, so that the network starts unchanged.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, int(RATIO * channels))
        self.channel = nn.Sequential(
            nn.Linear(channels, inner, bias=False),
            nn.ReLU(),
            nn.Linear(inner, channels, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added to ``(n, rows, columns, channels)``, of that shape."""
        rows, columns = x.shape[1:3]
        attended = x * self.channel(x.mean((1, 2)))[:, None, None]
        around = self.spatial(attended.permute(0, 3, 1, 2))
        # an odd side has one more after halving and doubling
        around = around[..., :rows, :columns].permute(0, 2, 3, 1)
        added: Tensor = self.norm(x + around)
        return added
