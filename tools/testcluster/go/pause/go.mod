// The pause container: it holds a pod's namespaces and does nothing.
module dilu.dev/testcluster/pause

go 1.24.0
