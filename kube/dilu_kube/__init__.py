"""The Kubernetes API client, informers, work queue, events, and leader election by one Lease."""
