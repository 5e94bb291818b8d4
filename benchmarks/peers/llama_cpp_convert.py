"""Runs llama.cpp's own converter over a checkpoint: `python llama_cpp_convert.py SOURCE IN OUT`.

The converter knows pre-tokenizers by a hash over a whole vocabulary, which ours, being made up, is
not among; its pattern is Qwen2's, and that is what the converter is told.
"""

import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn


def no_such_vocabulary(*_: Any) -> NoReturn:
    raise FileNotFoundError


def main() -> None:
    source, checkpoint, target = map(Path, sys.argv[1:4])
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    from conversion.base import TextModel

    TextModel.get_vocab_base_pre = lambda *_: "qwen2"
    # It tries SentencePiece first, with a library that we would install only for that.
    TextModel._set_vocab_sentencepiece = no_such_vocabulary
    sys.argv = ["convert_hf_to_gguf.py", str(checkpoint), "--outfile", str(target)]
    sys.argv += ["--outtype", "bf16"]
    runpy.run_path(str(source / "convert_hf_to_gguf.py"), run_name="__main__")


if __name__ == "__main__":
    main()
