"""The bench: move a control, press Train, watch learning rates and loss in one view, over the runs before."""
