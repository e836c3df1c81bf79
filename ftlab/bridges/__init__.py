"""Ways to other tools: transformers' Trainer, TensorBoard, a model card."""
