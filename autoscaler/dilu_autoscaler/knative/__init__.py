"""Dilu in the place of Knative's own autoscaler: the same objects, the same protocols, the same behaviour."""
