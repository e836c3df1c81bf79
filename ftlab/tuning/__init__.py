"""Finding settings before a long run: learning rate, batch size, memory."""
