"""The load as activators and queue-proxies report it: received, passed on to its holder, collected."""
