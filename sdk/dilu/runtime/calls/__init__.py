"""One call of a function: reading, running, answering or streaming."""
