"""Give a Debian or Ubuntu machine what Qt and OpenGL need to draw without a display.

As root the missing packages are installed; otherwise the one line that installs
them is shown and the exit status is 1. Where nothing is missing, nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

PROGRAMS = {"xauth": "xauth", "xvfb": "Xvfb"}
LIBRARIES = {
    "libdbus-1-3": "libdbus-1.so.3",
    "libegl1": "libEGL.so.1",
    "libfontconfig1": "libfontconfig.so.1",
    "libgl1": "libGL.so.1",
    "libglib2.0-0": "libgthread-2.0.so.0",
    "libxcb-cursor0": "libxcb-cursor.so.0",
    "libxcb-icccm4": "libxcb-icccm.so.4",
    "libxcb-image0": "libxcb-image.so.0",
    "libxcb-keysyms1": "libxcb-keysyms.so.1",
    "libxcb-render-util0": "libxcb-render-util.so.0",
    "libxcb-shape0": "libxcb-shape.so.0",
    "libxcb-xinerama0": "libxcb-xinerama.so.0",
    "libxkbcommon-x11-0": "libxkbcommon-x11.so.0",
}


def missing_packages() -> list[str]:
    """Return the Debian packages whose program or library is not on this machine."""
    programs = [] if os.environ.get("DISPLAY") else PROGRAMS.items()
    missing = [package for package, name in programs if shutil.which(name) is None]
    for package, library in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


def main() -> int:
    """Install what is missing where that is allowed; return the exit status."""
    if sys.platform != "linux" or not (missing := missing_packages()):
        return 0
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.stderr.write(
            "The tests of the viewer need system packages (names as in Debian). Run\n"
            f"  sudo apt-get update && sudo {' '.join(install)}\n"
        )
        return 1
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], install):
        status = subprocess.run(command, env=environment).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
