"""Policy `dilu-target`: enough replicas that a stated share of the requests is answered within the objective."""
