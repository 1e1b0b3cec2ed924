"""What a replica reports: metrics, statistics, traces."""
