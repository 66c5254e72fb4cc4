"""Style transfer in one pass through a network that is trained for one style, or a few.

Johnson, Alahi and Fei-Fei, https://arxiv.org/abs/1603.08155; several styles in one network: Dumoulin, Shlens and
Kudlur, https://arxiv.org/abs/1610.07629.
"""
