"""What holds for every test: no network, the real preset unless asked otherwise, fixed examples."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
os.environ.pop("FTLAB_PRESET", None)

# A slow machine is no failure, and what was green stays green until the code changes.
settings.register_profile("ftlab", deadline=None, derandomize=True)
settings.load_profile("ftlab")
