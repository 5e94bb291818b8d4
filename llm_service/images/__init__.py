"""Images of requests: found, fetched and decoded within limits, off the event loop.

`reader` turns the sources of one request into `Picture`s. `sources` reads what callers write in
place of an image, `fetching` gets images from the web (`addresses` and `urls` say where it may go),
`formats` knows files by their first bytes, and `decoding` makes pixels of them. The room knows
nothing of messages, keys or models.
"""
