"""The metrics of a replica: counted per request, exposed for Prometheus and in `/v1/stats`."""
