"""OpenAI's Responses API, without stored answers: `route` has the endpoint.

`request` has the shape of the body and `translate` makes a chat request of it; `output` has the
items of the answer and their events, and `answer` the whole answer and its stream.
"""
