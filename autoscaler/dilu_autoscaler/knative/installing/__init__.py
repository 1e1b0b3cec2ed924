"""What the chart's hooks and tests run: checks, and the hand-over from Knative's autoscaler and back."""
