"""The way of an item from its admission to its result: admission, queue, batches, workers."""
