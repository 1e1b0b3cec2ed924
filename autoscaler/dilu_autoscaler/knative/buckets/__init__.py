"""Which process decides on which revision: buckets of keys, their Leases, and the holders' addresses."""
