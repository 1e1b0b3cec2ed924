// The queue-proxies of thousands of pods, and an activator's health answer, in one process.
module dilu.dev/testcluster/fake-pods

go 1.24.0
