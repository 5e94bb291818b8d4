"""A second bundled model, small enough to train on a CPU, which sees drawn pictures.

The code that draws, trains and measures is here; `models/pocket-vision` has what is published.
"""
