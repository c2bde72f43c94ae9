"""Causal abstraction: does a network compute the variables of a model that people understand, and where?"""
