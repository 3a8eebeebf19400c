"""Compare synthetic OCTA with real OCTA: table and pictures of `docs/phantom.md`.

    python docs/phantom_statistics.py --realdata DIR --out docs/images

`--realdata` is laid out as the samples for development are: `octa500-rv`,
`sam-octa-extend`, `sam-octa2` and `rossa`, of which only training images are read.
Of OCTA-500 only numbers and curves come out, never pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from PIL import Image
from scipy import ndimage, stats
from skimage.io import imread
from skimage.morphology import skeletonize

from napari_octa_sam2.volume.phantom import PhantomConfig, make_enface, make_phantom
from napari_octa_sam2.volume.readers import read_volume

PAGE = Path(__file__).with_name("phantom.md")
MARKS = "<!-- statistics -->", "<!-- end of statistics -->"
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"  # Okabe and Ito
SCALES = {"3M": (304, 3.0), "6M": (400, 6.0)}
FIRST_SEED = 5000


@dataclass
class Images:
    """En-face images with masks; the FAZ and all vessels may be of other images."""

    pixel: float  # um
    image: list[np.ndarray] = field(default_factory=list)
    large: list[np.ndarray] = field(default_factory=list)
    vessel: list[np.ndarray] = field(default_factory=list)
    faz: list[np.ndarray] = field(default_factory=list)


def read_gray(path: Path) -> np.ndarray:
    image = imread(path)
    return image if image.ndim == 2 else image[..., 0]


def real_images(root: Path, scale: str) -> Images:
    size, mm = SCALES[scale]
    found = Images(mm / size * 1e3)
    for path in sorted((root / f"octa500-rv/{scale}/train/image").glob("*.png")):
        found.image.append(read_gray(path))
        label = path.parent.with_name("label") / path.name
        found.large.append(read_gray(label) > 0)
    more = root / f"sam-octa-extend/datasets/OCTA-500/OCTA_{scale}"
    for name, masks in (("Capillary", found.vessel), ("FAZ", found.faz)):
        masks += [read_gray(p) > 0 for p in sorted((more / f"GT_{name}").glob("*.bmp"))]
    return found


def synthetic_images(scale: str, count: int) -> Images:
    size, mm = SCALES[scale]
    made = Images(mm / size * 1e3)
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        image, masks, _ = make_enface(seed, size, mm)
        made.image.append(image)
        made.large.append(masks["RV"])
        made.vessel.append(masks["vessel"])
        if masks["FAZ"].any():
            made.faz.append(masks["FAZ"])
    return made


def widths(mask: np.ndarray, pixel: float) -> np.ndarray:
    """Return the vessel width at each point of the skeleton, in um."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return (2 * inside[skeletonize(mask)] - 1) * pixel


def contrast(image: np.ndarray, large: np.ndarray) -> float:
    """Return the grey level of large vessels over that away from them."""
    away = ~ndimage.binary_dilation(large, iterations=2)
    return float(image[large].mean() / image[away].mean())


def spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (cycles a pixel) and the radial mean of the power there."""
    flat = (image - image.mean()) / image.std()
    window = np.outer(*(np.hanning(n) for n in image.shape))
    power = np.abs(np.fft.fft2(flat * window)) ** 2 / (window**2).sum()
    y, x = (np.fft.fftfreq(n) for n in image.shape)
    edges = np.linspace(0.02, 0.5, 25)
    place = np.digitize(np.hypot(y[:, None], x[None]), edges).ravel()
    total = np.bincount(place, power.ravel(), 26)[1:25]
    return (edges[1:] + edges[:-1]) / 2, total / np.bincount(place, minlength=26)[1:25]


def slope(image: np.ndarray) -> float:
    """Return the exponent of the spectrum from 0.05 to 0.4 cycles a pixel."""
    at, power = spectrum(image)
    used = (at > 0.05) & (at < 0.4)
    return float(np.polyfit(np.log(at[used]), np.log(power[used]), 1)[0])


def band_shares(image: np.ndarray) -> np.ndarray:
    """Return the shares of the power below 0.06, up to 0.2, and above."""
    at, power = spectrum(image)
    energy = power * at
    low, high = at < 0.06, at >= 0.2
    shares = [energy[low].sum(), energy[~low & ~high].sum(), energy[high].sum()]
    return np.array(shares) / energy.sum()


def histogram(images: Iterable[np.ndarray]) -> np.ndarray:
    counts = sum(np.bincount(i.ravel(), minlength=256) for i in images)
    return np.asarray(counts / np.sum(counts))


def histogram_distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """Return the Wasserstein distance of pooled histograms, in grey levels."""
    gray = np.arange(256)
    return float(stats.wasserstein_distance(gray, gray, histogram(a), histogram(b)))


def spread(values: Iterable[float], digits: int = 2) -> str:
    found = np.fromiter(values, float)
    return f"{found.mean():.{digits}f} ± {found.std():.{digits}f} (n={len(found)})"


def describe(images: Images, real: Images) -> dict[str, str]:
    """Return the column of the table for a set of images."""
    pooled = np.concatenate([widths(m, images.pixel) for m in images.large])
    quarter, half, three = np.percentile(pooled, [25, 50, 75])
    width = f"{half:.0f} ({quarter:.0f} to {three:.0f})"
    pairs = list(zip(images.image, images.large, strict=True))
    shares = np.array([band_shares(i) for i in images.image])
    other = images.image if images is not real else real.image[::2]
    against = real.image if images is not real else real.image[1::2]
    distance = histogram_distance(other, against)
    share = [m.mean() for m in images.large]
    area = (images.pixel / 1e3) ** 2
    return {
        "large vessels: width, median (IQR), µm": width,
        "large vessels: share of the field": spread(share, 3),
        "all vessels: share of the field": spread(m.mean() for m in images.vessel),
        "contrast, large vessels / rest": spread(contrast(i, m) for i, m in pairs),
        "mean grey level": spread((i.mean() for i in images.image), 0),
        "histogram distance to real, grey levels": f"{distance:.1f}",
        "slope of the power spectrum": spread(slope(i) for i in images.image),
        "power below 0.06 cycles/px": spread(shares[:, 0]),
        "power from 0.06 to 0.2 cycles/px": spread(shares[:, 1]),
        "power above 0.2 cycles/px": spread(shares[:, 2]),
        "FAZ area, mm²": spread(m.sum() * area for m in images.faz),
    }


def real_slices(root: Path) -> tuple[np.ndarray, np.ndarray]:
    folder = root / "sam-octa2/datasets/OCTA500/FAZ_LayerSequence/10301"
    volume = read_volume(folder)
    shrink = 304 / volume.data.shape[1]
    pictures = ndimage.zoom(volume.data.astype(float), (1, shrink, shrink), order=1)
    faz = ndimage.zoom(volume.labels["FAZ"].data > 0, (1, shrink, shrink), order=0)
    return pictures, faz


def synthetic_slices(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the slices of a phantom between those where the FAZ is largest."""
    phantom = make_phantom(PhantomConfig(seed=seed, depth=160, depth_mm=0.5))
    area = phantom.faz.sum((1, 2))
    first = int(np.flatnonzero(area > 0.9 * area.max())[-1])
    part = slice(first, first + 11)
    return phantom.volume.data[part].astype(float), phantom.class_mask("FAZ", part)


def describe_slices(slices: np.ndarray, faz: np.ndarray) -> dict[str, float]:
    inside = slices[0][ndimage.binary_erosion(faz[0], iterations=2)]
    fine = slices - ndimage.gaussian_filter(slices, (0, 8, 8))
    beside = (fine[:, :, 1:] * fine[:, :, :-1]).mean() / fine.var()
    below = np.corrcoef(slices[0].ravel(), slices[5].ravel())[0, 1]
    return {
        "grey level, median": float(np.median(slices[0])),
        "grey level, 90th percentile": float(np.percentile(slices[0], 90)),
        "grey level, 99th percentile": float(np.percentile(slices[0], 99)),
        "grey level in the FAZ": float(inside.mean()),
        "SD / mean in the FAZ": float(inside.std() / inside.mean()),
        "correlation, next pixel": float(beside),
        "correlation, 5 slices down": float(below),
    }


def table(columns: dict[str, dict[str, str]]) -> str:
    rows = list(next(iter(columns.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = " | ".join(column[row] for column in columns.values())
        lines.append(f"| {row} | {cells} |")
    return "\n".join(lines)


def slice_table(root: Path, count: int) -> str:
    real = describe_slices(*real_slices(root))
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    made = [describe_slices(*synthetic_slices(seed)) for seed in seeds]
    columns = {"real, subject 10301": {}, f"synthetic, {count} eyes": {}}
    for (name, value), values in zip(
        real.items(), zip(*(m.values() for m in made), strict=True), strict=True
    ):
        columns["real, subject 10301"][name] = f"{value:.2f}"
        spreads = f"{np.mean(values):.2f} ± {np.std(values):.2f}"
        columns[f"synthetic, {count} eyes"][name] = spreads
    return table(columns)


def write_page(text: str, page: Path = PAGE) -> None:
    """Put `text` between the marks of the page."""
    before, rest = page.read_text("utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", "utf-8")


def plot_statistics(sets: dict[str, tuple[Images, Images]], out: Path) -> None:
    figure, axes = plt.subplots(len(sets), 3, figsize=(11, 6.4), squeeze=False)
    for row, (name, (real, made)) in zip(axes, sets.items(), strict=True):
        for images, label, colour, line in (
            (real, "real", BLUE, "-"),
            (made, "synthetic", ORANGE, "--"),
        ):
            style = {"color": colour, "linestyle": line, "label": label}
            row[0].plot(histogram(images.image)[:255], **style)
            power = np.array([spectrum(i)[1] for i in images.image])
            at = spectrum(images.image[0])[0]
            row[1].loglog(at, power.mean(0), **style)
            low, high = np.percentile(power, [5, 95], axis=0)
            row[1].fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
            pooled = np.concatenate([widths(m, images.pixel) for m in images.large])
            row[2].ecdf(pooled, **style)
        row[0].set(title=f"{name}: grey levels", xlabel="grey level", ylabel="share")
        row[1].set(title="power spectrum", xlabel="cycles / pixel", ylabel="power")
        row[2].set(title="width of large vessels", xlabel="µm", ylabel="share below")
        row[1].xaxis.set_minor_formatter(NullFormatter())
        row[1].set_xticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
        row[2].set_xlim(0, 130)
        row[0].legend(frameon=False)
    figure.tight_layout()
    save(figure, out / "phantom-statistics.png")


def save(figure: Figure, path: Path, mode: str = "RGB") -> None:
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as picture:
        picture.convert(mode).save(path, optimize=True)


def label(panel: Axes, text: str) -> None:
    box = {"facecolor": "black", "alpha": 0.7, "lw": 0, "pad": 2}
    panel.text(6, 8, text, color="white", va="top", bbox=box)
    panel.axis("off")


def plot_enface(root: Path, out: Path) -> str:
    """Draw real (ROSSA) and synthetic images mixed; return which are real."""
    rng = np.random.default_rng(7)
    paths = sorted((root / "rossa/train_manual/image").glob("*.png"))
    real = [read_gray(paths[i]) for i in rng.choice(len(paths), 4, replace=False)]
    made = [make_enface(FIRST_SEED + k, 320, 6.0)[0] for k in range(4)]
    order = rng.permutation(8)
    figure, axes = plt.subplots(2, 4, figsize=(12.4, 6.2))
    for letter, panel, which in zip("ABCDEFGH", axes.flat, order, strict=True):
        panel.imshow([*real, *made][which], cmap="gray", vmin=0, vmax=255)
        label(panel, letter)
    figure.tight_layout(pad=0.4)
    save(figure, out / "phantom-enface.png", "L")
    return ", ".join(sorted("ABCDEFGH"[i] for i in range(8) if order[i] < 4))


def plot_slices(out: Path) -> None:
    phantom = make_phantom(PhantomConfig(seed=12, depth=160, depth_mm=0.5))
    first, last = phantom.surfaces[0].min(), phantom.surfaces[2].max()
    depths = np.linspace(0.75 * first + 0.25 * last, last, 8, endpoint=False)
    figure, axes = plt.subplots(2, 4, figsize=(12.4, 6.2))
    for panel, z in zip(axes.flat, depths, strict=True):
        k = int(z)
        panel.imshow(phantom.volume.data[k], cmap="gray", vmin=0, vmax=110)
        for cls, colour in (("artery", ORANGE), ("vein", BLUE), ("FAZ", GREEN)):
            mask = phantom.class_mask(cls, k)
            if mask.any():
                panel.contour(mask, [0.5], colors=colour, linewidths=1.3)
        depth = k * phantom.volume.geometry.spacing[0] * 1e3
        label(panel, f"{depth:.0f} µm")
    figure.tight_layout(pad=0.4)
    save(figure, out / "phantom-slices.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realdata", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PAGE.with_name("images"))
    parser.add_argument("--count", type=int, default=100, help="synthetic images")
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    columns, sets = {}, {}
    for scale, (_, mm) in SCALES.items():
        real = real_images(asked.realdata, scale)
        made = synthetic_images(scale, asked.count)
        sets[f"{mm:g} mm"] = real, made
        columns[f"{mm:g} mm, real"] = describe(real, real)
        columns[f"{mm:g} mm, synthetic"] = describe(made, real)
    plot_statistics(sets, asked.out)
    plot_slices(asked.out)
    answer = plot_enface(asked.realdata, asked.out)
    slices = slice_table(asked.realdata, max(asked.count // 5, 2))
    parts = [
        table(columns),
        "Depth slices through the FAZ, 11 at 3.1 µm:",
        slices,
        f"In `phantom-enface.png` {answer} are real.",
    ]
    write_page("\n\n".join(parts), asked.page)


if __name__ == "__main__":
    main()
