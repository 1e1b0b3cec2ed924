"""The Kubernetes API as the autoscaler uses it: objects, client, informers, a queue of keys."""
