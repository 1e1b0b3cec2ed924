"""What `knative_autoscaler.py` consists of: a world of bare objects, and the autoscalers that take turns in it."""

import sys

import harness

sys.path.insert(0, str(harness.ROOT / "tools"))  # the test cluster is a tool, not part of the package
