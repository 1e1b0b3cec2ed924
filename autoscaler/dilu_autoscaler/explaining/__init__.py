"""What was decided and why: the decision log, the sentence that explains a decision, and the status document."""
