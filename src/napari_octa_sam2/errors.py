"""The errors of the package.

Every message says what was expected, what was found and what to do. Each kind is
also a built-in, so callers that know nothing of this package can catch it.
"""

from __future__ import annotations


class OctaError(Exception):
    """Base of every error that is meant for the user."""


class ReadError(OctaError, OSError):
    """A file or folder could not be read, or does not hold what it should."""


class WriteError(OctaError, OSError):
    """A result could not be written."""


class VolumeError(OctaError, ValueError):
    """An array cannot serve as an OCTA volume or as its labels."""


class PromptError(OctaError, ValueError):
    """A prompt or prompt file is malformed, or lies outside the volume."""


class ModelError(OctaError, RuntimeError):
    """A model is unknown, could not be fetched, verified, built or run."""


class TrainingError(OctaError, RuntimeError):
    """Training could not start or go on."""
