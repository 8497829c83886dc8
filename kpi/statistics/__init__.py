"""Estimates from counts: survival and incidence, intervals, process control, shrinkage, optimisation; numbers in, numbers out."""
