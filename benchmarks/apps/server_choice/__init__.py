"""The application of `server_choice.py` on each candidate; it runs in the candidate's process, never in the client's.

Every candidate serves the same routes: the invoke route and probes on a fast path, everything else by Flask.
"""
