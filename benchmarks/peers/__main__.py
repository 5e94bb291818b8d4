"""Installs, converts for, or serves with one peer.

python -m benchmarks.peers llama_cpp --install
python -m benchmarks.peers llama_cpp --checkpoint qwen2.5-0.5b --scheme q8_0 --serve
"""

import argparse
import os
import signal
import sys

from benchmarks import checkpoints
from benchmarks.peers import PEERS, PeerError, Server, find


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--checkpoint", choices=checkpoints.CONFIGS, default="qwen2.5-0.5b")
    parser.add_argument("--scheme", help="default: the peer's first")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--install", action="store_true", help="install it, nothing more")
    action.add_argument("--convert", action="store_true", help="and convert the weights")
    action.add_argument("--serve", action="store_true", help="and serve them until Ctrl-C")
    options = parser.parse_args()
    # SIGTERM acts like Ctrl-C: the server must not outlive us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        peer, scheme = find(f"{options.peer}:{options.scheme or ''}")
        peer.install()
        if options.install:
            return 0
        checkpoint = checkpoints.make(options.checkpoint)
        if options.convert:
            print(peer.convert(checkpoint, scheme))
            return 0
        with Server(peer, checkpoint, scheme, options.threads) as server:
            key = f", key {server.key}" if server.key else ""
            print(f"{peer.name} {peer.version} {scheme}, model {server.model}{key}: {server.url}")
            print(f"ready after {server.ready_seconds:.1f} s; Ctrl-C ends it", file=sys.stderr)
            server.process.wait()
    except KeyboardInterrupt:
        return 0
    except PeerError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
