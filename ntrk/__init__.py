"""The Noise-Tilted Reverse Kernel on top of `whitenoise`; nothing is here yet."""
