"""All that is about particular papers: presets, tuning spaces, claims, published numbers, figures.

Nothing generic imports this package. Its modules fill the registries of the generic layers; which
of them does so for which registry says `napts.registry.BUILT_IN`.
"""
