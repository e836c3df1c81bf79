"""Finding settings before a long run: learning rate, batch size, memory."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["gradient_noise", "lr_finder", "memory", "memory_meter"]
)
