"""The HTTP/1.1 client of the gateway and of the autoscaler's scraper.

`connection` parses and bounds; `idle_connections` keeps what can be used again. On both stand `upstream`, which passes
responses on as they come, and `gets`, which reads small responses by the thousand. Why it is written by hand:
docs/adr/0007-upstream-client.md.
"""
