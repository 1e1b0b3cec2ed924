"""A simulated world around the real policies: the same loop, the same rules, a virtual clock.

Time is whole microseconds. Nothing here decides how many replicas or which share: that is `dilu_autoscaler.policy`,
driven by the same `ScaleLoop`, and batches close by `dilu.batching`. All randomness comes from seeded streams, and
events of one moment have one order, so the same scenario and seed give the same bytes.
"""
