"""Power of `whitenoise.typicality` and its peers against a bank of things that are not noise."""
