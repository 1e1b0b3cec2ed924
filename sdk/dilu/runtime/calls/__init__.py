"""One call of a function: reading, running, answering or streaming; and the routes that do it."""
