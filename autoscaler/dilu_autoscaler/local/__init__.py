"""`dilu up`: the whole platform in one process on one machine, with replicas as child processes.

What happens to a request: `gateway` -> `routing` (which function) -> `exchange` (one request on its way) -> `backends`
(wait for a free replica) -> `upstream` (HTTP to it) -> back. What decides replicas: `LoadSampler` (the load of each
second at the gateway) -> the scale loop, driven by `driver` -> `supervisor`, which alone starts and stops `replicas`.
`platform` wires it all; `admin` answers `dilu ps`, `logs` and `invoke`.
"""
