"""Translation between two sets of pictures that show no pairs: CycleGAN.

Zhu, Park, Isola and Efros, https://arxiv.org/abs/1703.10593.
"""
