"""OpenTelemetry traces of requests, where somebody configured an exporter."""
