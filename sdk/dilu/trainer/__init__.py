"""One run of a training function: iterations, checkpoints, metrics, progress and stop.

`run` (signals, probes, progress; on the main thread) -> `loop` (the user's code; on a thread of its own) ->
`checkpoints` (the folder) and `metrics`. The decorator is in `dilu.training_handlers`.
"""
