"""Labels, metrics and their intervals."""
