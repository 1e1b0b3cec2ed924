"""The parts of `admission.py`: the contenders with the settings that are searched, and one measurement."""
