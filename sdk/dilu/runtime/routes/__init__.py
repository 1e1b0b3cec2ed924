"""The ASGI applications of a replica and the routes in them."""
