"""The addresses of a cluster. Every cluster has the same ones: each lives in a network namespace of its own."""

from typing import Final

NODE_IP: Final = "10.77.0.1"
NODE_NETWORK: Final = "10.77.0.0/24"
POD_NETWORK: Final = "10.88.0.0/16"
SERVICE_NETWORK: Final = "10.96.0.0/16"
API_SERVICE_IP: Final = "10.96.0.1"
DNS_SERVICE_IP: Final = "10.96.0.10"
API_PORT: Final = 6443
