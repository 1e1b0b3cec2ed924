"""What the chart's hooks and tests run: checks, and the hand-over between Knative's autoscaler and ours."""
