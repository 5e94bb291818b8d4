"""The block manager's books hold whatever is allocated, advanced, preempted and freed."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_service.engine.batched.block_manager import BlockManager
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams

BLOCK_SIZE = 4


def sequence(*tokens: int, salt: str = "") -> Sequence:
    request = GenerationRequest("r", Prompt(tokens), SamplingParams(max_tokens=1), cache_salt=salt)
    return Sequence.from_request(request, submitted=0.0)


def computed(manager: BlockManager, *tokens: int, salt: str = "") -> Sequence:
    """A sequence whose whole prompt has been computed."""
    one = sequence(*tokens, salt=salt)
    assert manager.allocate(one) is not None
    manager.advance(one, one.num_uncomputed_tokens)
    return one


def test_a_prompt_takes_as_many_blocks_as_it_fills_or_begins() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    one = computed(manager, *range(9))
    assert len(one.block_table) == 3
    assert manager.num_used_blocks == 3


def test_an_allocation_without_room_takes_nothing() -> None:
    manager = BlockManager(2, BLOCK_SIZE)
    big = sequence(*range(9))
    assert manager.allocate(big) is None
    assert big.block_table == []
    assert manager.num_free_blocks == 2


def test_spare_blocks_are_left_free() -> None:
    manager = BlockManager(3, BLOCK_SIZE)
    assert manager.allocate(sequence(*range(8)), num_spare_blocks=2) is None
    assert manager.allocate(sequence(*range(8)), num_spare_blocks=1) is not None


def test_an_equal_prefix_shares_blocks_while_both_run() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    first = computed(manager, *range(10))
    second = sequence(*range(8), 99, 98)
    allocation = manager.allocate(second)
    assert allocation is not None
    assert allocation.num_cached_tokens == 8
    assert second.block_table[:2] == first.block_table[:2]
    assert second.block_table[2] != first.block_table[2]
    manager.check_integrity([first, second])


def test_a_freed_prefix_is_found_again() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    first = computed(manager, *range(9))
    blocks = first.block_table
    manager.free(first)
    assert manager.num_used_blocks == 0
    second = computed(manager, *range(9))
    assert second.block_table[:2] == blocks[:2]


def test_the_last_token_is_never_taken_from_the_cache() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    manager.free(computed(manager, *range(8)))
    again = sequence(*range(8))
    allocation = manager.allocate(again)
    assert allocation is not None
    assert allocation.num_cached_tokens == 4
    assert again.num_uncomputed_tokens == 4


def test_a_prefix_is_not_found_under_another_salt() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    manager.free(computed(manager, *range(9), salt="alice"))
    stranger = sequence(*range(9), salt="bob")
    allocation = manager.allocate(stranger)
    assert allocation is not None
    assert allocation.num_cached_tokens == 0


def test_the_same_block_content_after_another_prefix_is_not_shared() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    computed(manager, 1, 1, 1, 1, 5, 6, 7, 8, 0)
    other = sequence(2, 2, 2, 2, 5, 6, 7, 8, 0)
    allocation = manager.allocate(other)
    assert allocation is not None
    assert allocation.num_cached_tokens == 0


def test_what_is_not_computed_yet_is_not_shared() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    first = sequence(*range(9))
    manager.allocate(first)
    manager.advance(first, 5)
    second = sequence(*range(9))
    allocation = manager.allocate(second)
    assert allocation is not None
    assert allocation.num_cached_tokens == 4


def test_nothing_is_shared_when_the_prefix_cache_is_off() -> None:
    manager = BlockManager(8, BLOCK_SIZE, prefix_cache=False)
    manager.free(computed(manager, *range(9)))
    again = sequence(*range(9))
    allocation = manager.allocate(again)
    assert allocation is not None
    assert allocation.num_cached_tokens == 0


def test_of_freed_prefixes_the_one_freed_longest_ago_is_reused_first() -> None:
    manager = BlockManager(4, BLOCK_SIZE)
    manager.free(computed(manager, *range(8)))
    manager.free(computed(manager, *range(100, 108)))
    computed(manager, *range(200, 208))
    newer = manager.allocate(sequence(*range(100, 108), 0))
    assert newer is None  # 2 cached and 1 new block: only 2 are free
    assert manager.allocate(sequence(*range(100, 106))) is not None
    assert manager.num_free_blocks == 0


def test_the_start_of_a_freed_prompt_outlives_its_end() -> None:
    manager = BlockManager(3, BLOCK_SIZE)
    manager.free(computed(manager, *range(12)))
    other = computed(manager, 77)
    manager.free(other)
    again = sequence(*range(12))
    allocation = manager.allocate(again)
    assert allocation is not None
    assert allocation.num_cached_tokens == 8


def test_integrity_notices_a_block_that_two_sequences_believe_to_own() -> None:
    manager = BlockManager(8, BLOCK_SIZE)
    first, second = computed(manager, 1, 2), computed(manager, 3, 4)
    second.block_table = list(first.block_table)
    with pytest.raises(AssertionError):
        manager.check_integrity([first, second])


class BlockManagerMachine(RuleBasedStateMachine):
    """Random lives of sequences over few blocks and few token values, so that they collide."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(12, BLOCK_SIZE)
        self.live: list[Sequence] = []
        # what each block's content is known to be: (salt, all tokens up to its end)
        self.written: dict[int, tuple[str, tuple[int, ...]]] = {}

    @rule(
        tokens=st.lists(st.integers(0, 1), min_size=1, max_size=22),
        salt=st.sampled_from(["", "a"]),
        spare=st.integers(0, 3),
    )
    def allocate(self, tokens: list[int], salt: str, spare: int) -> None:
        new = sequence(*tokens, salt=salt)
        free_before = self.manager.num_free_blocks
        allocation = self.manager.allocate(new, num_spare_blocks=spare)
        if allocation is None:
            assert self.manager.num_free_blocks == free_before
            assert free_before < self.manager.num_blocks_for(len(tokens)) + spare
            return
        assert self.manager.num_free_blocks >= spare
        assert allocation.num_cached_tokens < len(tokens)
        self._check_cached(new, allocation.num_cached_tokens)
        self.live.append(new)

    def _check_cached(self, new: Sequence, num_cached: int) -> None:
        for index in range(num_cached // BLOCK_SIZE):
            end = (index + 1) * BLOCK_SIZE
            content = (new.request.cache_salt, tuple(new.token_ids[:end]))
            assert self.written[new.block_table[index]] == content

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.live))
        if one.num_uncomputed_tokens == 0:
            return
        num_tokens = data.draw(st.integers(1, one.num_uncomputed_tokens))
        start = one.num_computed_tokens
        self.manager.advance(one, num_tokens)
        for index in range(start // BLOCK_SIZE, one.num_computed_tokens // BLOCK_SIZE):
            end = (index + 1) * BLOCK_SIZE
            content = (one.request.cache_salt, tuple(one.token_ids[:end]))
            self.written[one.block_table[index]] = content

    @precondition(lambda self: self.live)
    @rule(data=st.data(), token=st.integers(0, 1))
    def append(self, data: st.DataObject, token: int) -> None:
        one = data.draw(st.sampled_from(self.live))
        if one.num_uncomputed_tokens > 0:
            return
        one.token_ids.append(token)
        if not self.manager.append(one):
            assert self.manager.num_free_blocks == 0
            one.token_ids.pop()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.live))
        self.live.remove(one)
        self.manager.free(one)
        assert one.block_table == []
        assert one.num_computed_tokens == 0

    @invariant()
    def books_are_in_order(self) -> None:
        self.manager.check_integrity(self.live)

    def teardown(self) -> None:
        for one in self.live:
            self.manager.free(one)
        assert self.manager.num_used_blocks == 0
        self.manager.check_integrity([])


TestBlockManagerMachine = BlockManagerMachine.TestCase
TestBlockManagerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
