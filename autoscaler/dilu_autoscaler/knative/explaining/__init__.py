"""Says what was decided and why: the log of decisions, metrics, and `dilu explain`."""
