"""Tests on a real cluster: `make test-cluster`. A plain `make test` leaves this folder out."""

pytest_plugins = ["testcluster.plugin", "testcluster.dilu_fixtures"]
