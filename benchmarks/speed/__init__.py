"""Cost of the operators and of verification: time, memory and cold start, in ratios that last."""
