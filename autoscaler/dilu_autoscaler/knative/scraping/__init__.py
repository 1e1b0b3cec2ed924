"""Asks pods: queue-proxies for their load, runtimes for their queues, public Services for an activator."""
