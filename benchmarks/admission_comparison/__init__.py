"""The parts of `admission.py`: the contenders, one measurement, and the search for the best setting of a peer."""
