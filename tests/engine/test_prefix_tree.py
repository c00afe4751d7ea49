"""The radix tree against the plainest thing that could be right: a dict of token lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from kronk_agent.engine.prefix_tree import PrefixTree, common_prefix_length

# Few different tokens, so that paths share, part and run inside one another.
TOKENS = st.lists(st.integers(0, 2), max_size=12)
HOLDERS = st.integers(0, 5)


def array(tokens: list[int]) -> NDArray[np.int32]:
    return np.array(tokens, np.int32)


def shared(a: list[int], b: list[int]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


class TreeAgainstDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree: PrefixTree[int] = PrefixTree()
        self.paths: dict[int, list[int]] = {}

    @rule(holder=HOLDERS, more=TOKENS)
    def extend(self, holder: int, more: list[int]) -> None:
        path = self.paths.get(holder, []) + more
        assert self.tree.extend(holder, array(path)) == len(path)
        self.paths[holder] = path

    @rule(holder=HOLDERS, more=TOKENS)
    def extend_where_nobody_was(self, holder: int, more: list[int]) -> None:
        path = self.paths.get(holder, []) + more
        start = len(self.paths.get(holder, []))
        others = [other for key, other in self.paths.items() if key != holder]
        known = max((shared(other, path) for other in others), default=0)
        expected = start if known > start else len(path)

        length = self.tree.extend(holder, array(path), onto_others=False)

        assert length == expected
        self.paths[holder] = path[:length]

    @rule(one=HOLDERS, other=HOLDERS)
    def swap(self, one: int, other: int) -> None:
        if one != other:
            self.tree.swap(one, other)
            paths = {one: self.paths.pop(other, None), other: self.paths.pop(one, None)}
            self.paths |= {holder: path for holder, path in paths.items() if path is not None}

    @rule(holder=HOLDERS)
    def remove(self, holder: int) -> None:
        self.tree.remove(holder)
        self.paths.pop(holder, None)

    @rule(query=TOKENS)
    def find_longest(self, query: list[int]) -> None:
        length, holder = self.tree.longest(array(query))
        assert length == max((shared(path, query) for path in self.paths.values()), default=0)
        assert (holder is None) == (length == 0)
        if holder is not None:
            assert shared(self.paths[holder], query) >= length

    @rule(query=TOKENS)
    def find_longest_whole(self, query: list[int]) -> None:
        length, holder = self.tree.longest_whole(array(query))
        whole = [path for path in self.paths.values() if shared(path, query) == len(path)]
        assert length == max(map(len, whole), default=0)
        assert holder is None or self.paths[holder] == query[:length]

    @rule(query=TOKENS.filter(bool), holder=HOLDERS)
    def ask_whether_covered(self, query: list[int], holder: int) -> None:
        others = [path for key, path in self.paths.items() if key != holder]
        is_covered = any(shared(path, query) == len(query) for path in others)
        assert self.tree.covers(array(query), besides=holder) == is_covered

    @invariant()
    def every_path_is_there(self) -> None:
        assert self.tree.holders == self.paths.keys()
        for holder, path in self.paths.items():
            assert self.tree.path(holder).tolist() == path
            assert self.tree.length(holder) == len(path)

    @invariant()
    def shared_tokens_count_once(self) -> None:
        distinct = {tuple(path[: i + 1]) for path in self.paths.values() for i in range(len(path))}
        assert self.tree.num_tokens == len(distinct)

    @invariant()
    def the_private_end_is_what_nobody_shares(self) -> None:
        for holder, path in self.paths.items():
            others = [other for key, other in self.paths.items() if key != holder]
            most = max((shared(other, path) for other in others), default=0)
            assert self.tree.private_length(holder) == len(path) - most


TestTreeAgainstDict = TreeAgainstDict.TestCase
TestTreeAgainstDict.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(TOKENS, TOKENS)
def test_the_common_prefix_is_what_a_loop_finds(a: list[int], b: list[int]) -> None:
    assert common_prefix_length(array(a), array(b)) == shared(a, b)
