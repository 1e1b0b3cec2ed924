"""From an accepted request to its result: admission, queue, batches, workers."""
