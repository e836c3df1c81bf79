"""Ways to other tools: transformers' Trainer, TensorBoard, a model card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["hf_trainer", "model_card", "tensorboard"])
