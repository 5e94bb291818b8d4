"""The workspace that the kernels are said to take is what they take from the C library."""

import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from llm_service.engine.batched.core import EngineCore
from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.kv_cache import block_bytes
from llm_service.engine.kernels.model import FusedModel
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.loader import Resources
from llm_service.engine.loading.memory import kernel_workspace_bytes
from llm_service.engine.request import SamplingParams
from tests.engine.cores import make_sequence, run_to_end
from tests.engine.models import VOCAB_SIZE, loaded_model, prepare, served_model, shapes_of

BLOCK_SIZE, NUM_TOKENS = 16, 256
LIBC = ctypes.CDLL(None)


class Mallinfo(ctypes.Structure):
    """The C library's `struct mallinfo2`."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    )


def allocated_bytes() -> int:
    gc.collect()
    info = LIBC.mallinfo2()
    return info.uordblks + info.hblkhd


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """Wide enough that nothing else in a step is as large as the workspace."""
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=304,  # not a multiple of a group
        intermediate_size=2048,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2 * NUM_TOKENS,
    )
    model = AutoModelForCausalLM.from_config(config).float().eval()
    assert prepare(model, "8bit")[0].is_fused
    return model


def core_over(model: PreTrainedModel) -> tuple[EngineCore, int]:
    """A core that takes NUM_TOKENS in a step, and the workspace that it tells."""
    loaded = loaded_model(model, layer_shapes=shapes_of(model))
    resources = Resources(
        threads=1,
        kv_cache_bytes=64 * block_bytes(loaded.layer_shapes, BLOCK_SIZE, loaded.form.kv_dtype),
        max_batch_size=2,
        max_context=2 * NUM_TOKENS,
    )
    config = EngineConfig(
        max_batched_tokens=NUM_TOKENS, block_size=BLOCK_SIZE, max_inter_token_ms=1_000_000
    )
    info = model_info(loaded, resources, config)
    assert info.local is not None
    return build_core(loaded, info, config), info.local.compute_bytes


@pytest.mark.skipif(not hasattr(LIBC, "mallinfo2"), reason="the C library does not tell")
def test_the_workspace_is_what_the_largest_step_takes_and_keeps(model: PreTrainedModel) -> None:
    LIBC.mallinfo2.restype = Mallinfo

    def grow() -> tuple[int, int]:
        torch.set_num_threads(1)
        core, told = core_over(model)
        core.warm_up()
        before = allocated_bytes()
        core.add(make_sequence((1,) * NUM_TOKENS, SamplingParams(max_tokens=1, temperature=0.0)))
        results = run_to_end(core)
        assert [result.stats.num_computed_prompt_tokens for result in results] == [NUM_TOKENS]
        del results
        return allocated_bytes() - before, told - kernel_workspace_bytes(model, 1, 1)

    # The kernels keep a workspace for each thread that calls them: a new one has none.
    with ThreadPoolExecutor(1) as thread:
        grown, told = thread.submit(grow).result()
    assert told > 2**22
    assert grown == pytest.approx(told, rel=0.02)


def test_each_thread_and_each_token_add_to_the_workspace(model: PreTrainedModel) -> None:
    fused = FusedModel.of(model)
    assert fused is not None
    torch.set_num_threads(1)
    alone = fused.workspace_bytes(NUM_TOKENS, 2)
    assert fused.workspace_bytes(NUM_TOKENS + 1, 2) > alone
    assert fused.workspace_bytes(NUM_TOKENS, 3) > alone
    torch.set_num_threads(2)
    query_rows, dim, tile = 128, 64, 64
    attention = 4 * (2 * query_rows * dim + query_rows * tile + 2 * tile * dim + 2 * query_rows)
    assert fused.workspace_bytes(NUM_TOKENS, 2) == alone + attention


def test_without_kernels_no_workspace_is_kept() -> None:
    assert kernel_workspace_bytes(served_model("llama"), NUM_TOKENS, 1) == 0
