"""What the autoscaler is told: ConfigMaps, a revision's annotations, the process's environment."""
