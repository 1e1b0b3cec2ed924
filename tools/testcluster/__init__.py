"""A real Kubernetes with Knative and Kourier on one Linux machine: `python -m tools.testcluster`.

A cluster is one tree of processes in namespaces of its own (docs/adr/0010): the end of its first process is the end of
all of it. What lives here: builds (`build`, `gobuild`, `images`, `cache`), the cluster (`sandbox`, `components`,
`lifecycle`), ways in (`api`, `sockets`, `cli`) and the pytest plugin. The product never imports it.
"""
