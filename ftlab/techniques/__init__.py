"""The techniques, one file each: plain arguments, no Recipe, and none imports another."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["bertadam", "frequent_eval", "llrd", "reinit", "swa"]
)
