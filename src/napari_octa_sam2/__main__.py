"""``python -m napari_octa_sam2``: the command line."""

from napari_octa_sam2.cli import main

if __name__ == "__main__":
    main()
