"""`/openapi.json` and `/docs`: the description of a replica's routes and types."""
