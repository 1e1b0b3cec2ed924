"""Decisions on revisions in the one loop: by KPA, or by the co-scaling policy where a revision opted in."""
