"""What users make of a volume: kept while they work, undone, found again."""
