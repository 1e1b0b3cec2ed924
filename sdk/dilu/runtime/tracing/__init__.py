"""OpenTelemetry traces of requests, if an exporter is configured."""
