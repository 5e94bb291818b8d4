"""What users would install instead of this service, each served over HTTP on the same weights."""

from benchmarks.peers.base import Peer, PeerError, Server
from benchmarks.peers.llama_cpp import LlamaCpp
from benchmarks.peers.llm_service import LlmService
from benchmarks.peers.openvino import OpenVino
from benchmarks.peers.transformers_generate import TransformersGenerate
from benchmarks.peers.transformers_serve import TransformersServe
from benchmarks.peers.vllm import Vllm

__all__ = ["PEERS", "Peer", "PeerError", "Server", "find"]

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        LlmService(),
        LlamaCpp(),
        OpenVino(),
        TransformersServe(),
        TransformersGenerate(),
        Vllm(),
    )
}


def find(text: str) -> tuple[Peer, str]:
    """The peer and scheme of `llama_cpp:q8_0`; without a scheme, the peer's first.

    This service's scheme may be followed by settings: `llm_service:8bit,LLM_PREFIX_CACHE=false`.
    """
    name, _, scheme = text.partition(":")
    if name not in PEERS:
        raise PeerError(f"No peer is called {name!r}: there are {', '.join(PEERS)}.")
    peer = PEERS[name]
    scheme = scheme or peer.schemes[0]
    base, *settings = scheme.split(",")
    if base not in peer.schemes:
        raise PeerError(f"{name} serves {', '.join(peer.schemes)}, not {base!r}.")
    if settings and (name != "llm_service" or not all("=" in each for each in settings)):
        raise PeerError(f"{text!r}: only llm_service takes settings, each as LLM_NAME=value.")
    return peer, scheme
