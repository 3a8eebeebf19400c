"""Write the definitions of every figure into `metrics.md`.

    python docs/metrics.py

What stands above the line "Definitions" is written by hand and kept.
"""

from __future__ import annotations

from pathlib import Path

from napari_octa_sam2.metrics.report.glossary import definitions_markdown

PAGE = Path(__file__).with_name("metrics.md")
BEGINNING = "## Definitions\n"


def main() -> None:
    """Replace the definitions of the page."""
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")


def renewed(page: str) -> str:
    """Return a page with the definitions as they are in the code."""
    by_hand, _, _ = page.partition(BEGINNING)
    return f"{by_hand}{BEGINNING}\n{definitions_markdown()}"


if __name__ == "__main__":
    main()
