"""One replica of one function: listeners, queue, batches, metrics and an orderly end.

What happens to a request: `protocol` (uvicorn, bounded) -> `invoke` (decode, answer) -> `service` (admission) ->
`batch_queue` -> `workers` (the handler, in threads or on a loop of its own) -> back on the server's loop.
"""
