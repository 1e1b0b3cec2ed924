"""`dilu up`: the whole platform in one process on one machine, with replicas as child processes.

A request: `gateway` -> `routing` (which function) -> `proxied_request` -> `backends` (wait for a free replica) ->
`dilu.http.client.upstream` (HTTP to the replica). A decision: `LoadSampler` (the load of each second at the gateway) ->
the scale loop, in `scaling` -> `supervisor`, which alone starts and stops `replicas`. `platform` wires it all;
`admin` answers `dilu ps`, `logs` and `invoke`.
"""
