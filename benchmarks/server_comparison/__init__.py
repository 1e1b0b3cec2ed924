"""The client's side of `server_choice.py`: the candidates as child processes, what is measured, and the report.

The application that they serve is in `apps/server_choice/`. What is measured of one candidate goes into a dict of its
own (`Found`), whose keys are those of the result file.
"""
