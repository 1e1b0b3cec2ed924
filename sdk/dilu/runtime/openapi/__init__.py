"""`/openapi.json` and `/docs`: what a replica says about its routes and types."""
