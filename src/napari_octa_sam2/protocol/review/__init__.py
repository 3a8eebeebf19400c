"""What the review queue is worth: a simulated annotator goes through sequences."""
