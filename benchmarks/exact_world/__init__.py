"""Every method on a world in which the right answer is known."""
