"""Everything about particular papers: presets, tuning spaces, claims, published numbers, figures.

Nothing generic imports this package. Its modules fill the registries of the generic layers;
`napts.registry.BUILT_IN` says which module fills which registry.
"""
