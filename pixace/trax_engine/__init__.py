"""Optional: train and sample with Trax itself (`--engine=trax`), for those who want its own loop or compare with it.

Trax 1.4.1 is from 2021; where it breaks on today's JAX, this package works round it from outside, and says so
beside the line that does. Nothing here is imported unless that engine is asked for, and Trax itself only by
`loading.load_trax`.
"""
