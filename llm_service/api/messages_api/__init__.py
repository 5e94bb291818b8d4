"""Anthropic's Messages API: `route` has the endpoints.

`request` has the shape of the bodies and `translate` makes a chat request of them; `answer` has the
message and its stream.
"""
