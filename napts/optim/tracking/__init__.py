"""Trust regions whose radius tracks evidence, instead of passing or failing step by step."""
