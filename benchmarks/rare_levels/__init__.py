"""Draws of noise on which one statistic of `wn.typicality` is as extreme as one in a billion."""
