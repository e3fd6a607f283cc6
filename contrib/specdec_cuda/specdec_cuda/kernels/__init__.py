"""Triton kernels, a file for each, with the argument why it is exact and the function that launches it.

Trees come as `tokens` and `parents`, int32 [R, N]; padding has token -1. `lengths` counts the decided tokens of each
row, the root included, so that the root stands at position `lengths - 1` and what follows a node at depth d at
`lengths + d`. Everything is on one device, and nothing is waited for.
"""
