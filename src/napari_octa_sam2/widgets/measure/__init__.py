"""The Measure dock: biomarkers, comparison, agreement."""
