"""Scrapes pods: queue-proxies for their load, runtimes for their queues, Services for an activator."""
