"""`dilu evaluate`: the paper's experiments in the simulator, with its printed numbers beside ours.

A preset (one module each) says what runs, and makes a report of what came out: tables, comparisons and figures as
plain values. How they look, on a terminal, as CSV, Markdown or a picture, is decided elsewhere.
"""
