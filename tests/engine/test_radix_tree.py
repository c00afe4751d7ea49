"""The radix tree compared with the simplest correct model: a dict of token lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.radix_tree import CacheKey, RadixTree, common_prefix_length

# Few different tokens, so that paths share prefixes, diverge and contain each other.
TOKENS = st.lists(st.integers(0, 2), max_size=12)
OWNERS = st.integers(0, 5)
SALTS = st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 6))
"""A salt, and the number of leading tokens shared by all salts."""

Salt: TypeAlias = tuple[str, int]
Path: TypeAlias = list[tuple[str, int]]
"""Tokens, each with its salt."""


def array(tokens: list[int]) -> NDArray[np.int32]:
    return np.array(tokens, np.int32)


def salted(tokens: list[int], salt: Salt) -> Path:
    name, num_shared = salt
    return [("" if i < num_shared else name, token) for i, token in enumerate(tokens)]


def key(path: Path, salt: Salt) -> CacheKey:
    return CacheKey(array([token for _, token in path]), *salt)


def shared(a: Sequence[object], b: Sequence[object]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


class TreeAgainstDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree: RadixTree[int] = RadixTree()
        self.paths: dict[int, Path] = {}
        self.salts: dict[int, Salt] = {}

    def lengthened(self, owner: int, more: list[int], salt: Salt) -> tuple[Path, CacheKey]:
        salt = self.salts.setdefault(owner, salt)
        tokens = [token for _, token in self.paths.get(owner, [])] + more
        path = salted(tokens, salt)
        return path, key(path, salt)

    @rule(owner=OWNERS, more=TOKENS, salt=SALTS)
    def extend(self, owner: int, more: list[int], salt: Salt) -> None:
        path, longer = self.lengthened(owner, more, salt)
        assert self.tree.extend(owner, longer) == len(path)
        self.paths[owner] = path

    @rule(owner=OWNERS, more=TOKENS, salt=SALTS)
    def extend_where_nobody_was(self, owner: int, more: list[int], salt: Salt) -> None:
        path, longer = self.lengthened(owner, more, salt)
        start = len(self.paths.get(owner, []))
        others = [other for key, other in self.paths.items() if key != owner]
        known = max((shared(other, path) for other in others), default=0)

        length = self.tree.extend(owner, longer, onto_others=False)

        assert length == (start if known > start else len(path))
        self.paths[owner] = path[:length]

    @rule(one=OWNERS, other=OWNERS)
    def swap(self, one: int, other: int) -> None:
        if one != other:
            self.tree.swap(one, other)
            self.paths = swapped(self.paths, one, other)
            self.salts = swapped(self.salts, one, other)

    @rule(owner=OWNERS)
    def remove(self, owner: int) -> None:
        self.tree.remove(owner)
        self.paths.pop(owner, None)
        self.salts.pop(owner, None)

    @rule(tokens=TOKENS, salt=SALTS)
    def find_longest(self, tokens: list[int], salt: Salt) -> None:
        query = salted(tokens, salt)
        length, owner = self.tree.match_prefix(key(query, salt))
        assert length == max((shared(path, query) for path in self.paths.values()), default=0)
        assert (owner is None) == (length == 0)
        if owner is not None:
            assert shared(self.paths[owner], query) >= length

    @rule(tokens=TOKENS, salt=SALTS)
    def find_longest_whole(self, tokens: list[int], salt: Salt) -> None:
        query = salted(tokens, salt)
        length, owner = self.tree.match_complete_entry(key(query, salt))
        whole = [path for path in self.paths.values() if shared(path, query) == len(path)]
        assert length == max(map(len, whole), default=0)
        assert owner is None or self.paths[owner] == query[:length]

    @rule(tokens=TOKENS.filter(bool), salt=SALTS, owner=OWNERS)
    def ask_whether_covered(self, tokens: list[int], salt: Salt, owner: int) -> None:
        query = salted(tokens, salt)
        others = [path for key, path in self.paths.items() if key != owner]
        is_covered = any(shared(path, query) == len(query) for path in others)
        assert self.tree.contains(key(query, salt), besides=owner) == is_covered

    @invariant()
    def every_path_is_there(self) -> None:
        assert self.tree.owners == self.paths.keys()
        for owner, path in self.paths.items():
            kept = self.tree.key_of(owner)
            assert salted(kept.tokens.tolist(), (kept.salt, kept.num_shared)) == path
            assert self.tree.length(owner) == len(path)

    @invariant()
    def shared_tokens_count_once(self) -> None:
        distinct = {tuple(path[: i + 1]) for path in self.paths.values() for i in range(len(path))}
        assert self.tree.num_tokens == len(distinct)

    @invariant()
    def the_private_end_is_what_nobody_shares(self) -> None:
        for owner, path in self.paths.items():
            others = [other for key, other in self.paths.items() if key != owner]
            most = max((shared(other, path) for other in others), default=0)
            assert self.tree.private_length(owner) == len(path) - most


TestTreeAgainstDict = TreeAgainstDict.TestCase
TestTreeAgainstDict.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


T = TypeVar("T")


def swapped(values: dict[int, T], one: int, other: int) -> dict[int, T]:
    names = {one: other, other: one}
    return {names.get(owner, owner): value for owner, value in values.items()}


@given(TOKENS, SALTS, TOKENS, SALTS)
def test_the_common_prefix_equals_that_of_a_plain_loop(
    a: list[int], salt: Salt, b: list[int], other: Salt
) -> None:
    one, two = salted(a, salt), salted(b, other)
    assert common_prefix_length(array(a), array(b)) == shared(a, b)
    assert key(one, salt).common_length(key(two, other)) == shared(one, two)
