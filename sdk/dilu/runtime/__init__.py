"""One replica: listeners, queue, batches, metrics and drain.

The way of a request: `dilu.http` (uvicorn, bounded) -> `routes` (which function) -> `calls` and `protocols` (decode,
answer) -> `execution` (admission, queue, batches, the handler in threads or on a loop of its own) -> back on the
server's loop. `reporting` and `tracing` record it, `openapi` describes the routes.
"""
