"""Draws two models, a head and policies at random, and sees that they make a model together."""
