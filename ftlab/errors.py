"""The errors ftlab raises: each names the field, row or file at fault and says what to do about it."""

from __future__ import annotations


class FtlabError(ValueError):
    """Base class of every error that ftlab raises on purpose."""


class RecipeError(FtlabError):
    """A Recipe field is out of range, of the wrong type, or contradicts another field."""


class DataError(FtlabError):
    """A data file or data set cannot be used as it is."""


class ModelError(FtlabError):
    """A model is unknown, damaged, out of reach, or lacks what a technique needs."""


class CheckpointError(FtlabError):
    """A checkpoint or saved run is missing, damaged, or belongs to another run."""


class ExerciseError(FtlabError):
    """An answer given to an exercise has the wrong form, so it cannot be checked."""
