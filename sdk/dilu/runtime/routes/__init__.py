"""The ASGI applications on a replica's two ports, and their routes."""
