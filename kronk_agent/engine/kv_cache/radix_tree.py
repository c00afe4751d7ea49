"""Who has which prefix: a radix tree over token ids.

As in SGLang's RadixAttention, an edge is a run of tokens and is split where two paths part. Every
holder (a sequence id, or a saved state) has one path from the root, and its tip is the node where
that path ends. Runs of different salts never meet: what one caller computed is not there for
another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

H = TypeVar("H")


@dataclass(frozen=True, slots=True, eq=False)
class CacheKey:
    """Token ids with the salt under which their state is cached, as vLLM's ``cache_salt``."""

    tokens: NDArray[np.int32]
    salt: str = ""
    """Keys share a prefix only where their salts are equal. Empty is a salt like any other."""
    num_shared: int = 0
    """Leading tokens that are keyed by the empty salt, and so shared by all."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_salted(self) -> bool:
        """True if a part of it is not shared by all."""
        return self.salt != "" and len(self.tokens) > self.num_shared

    def prefix(self, length: int) -> CacheKey:
        """The key of the first tokens."""
        return replace(self, tokens=self.tokens[:length])

    def copy(self) -> CacheKey:
        """The same key on an array of its own."""
        return replace(self, tokens=self.tokens.copy())

    def segment(self, start: int) -> tuple[str, NDArray[np.int32]]:
        """The tokens from ``start`` on that are keyed by the same salt, and that salt."""
        if self.salt != "" and start < self.num_shared:
            return "", self.tokens[start : self.num_shared]
        return self.salt, self.tokens[start:]

    def common_length(self, other: CacheKey) -> int:
        """How many tokens two keys share from their beginnings."""
        length = 0
        while length < min(len(self), len(other)):
            (salt, run), (other_salt, other_run) = self.segment(length), other.segment(length)
            if salt != other_salt:
                break
            shared = common_prefix_length(run, other_run)
            length += shared
            if shared < min(len(run), len(other_run)):
                break
        return length


class RadixTree(Generic[H]):
    """Paths of tokens, and who holds them. Not safe for use by several threads."""

    def __init__(self) -> None:
        self._root: _Node[H] = _Node(np.empty(0, np.int32))
        self._tips: dict[H, _Node[H]] = {}

    @property
    def holders(self) -> frozenset[H]:
        return frozenset(self._tips)

    @property
    def num_tokens(self) -> int:
        """Tokens of all paths; those that paths share count once."""
        return sum(len(node.run) for node in self._nodes())

    def length(self, holder: H) -> int:
        """How long a holder's path is; 0 for who is not in the tree."""
        tip = self._tips.get(holder)
        return 0 if tip is None else tip.depth

    def path(self, holder: H) -> CacheKey:
        """A holder's tokens, in a new array."""
        nodes = list(_up_from(self._tips.get(holder)))
        if not nodes:
            return CacheKey(np.empty(0, np.int32))
        return CacheKey(
            np.concatenate([node.run for node in reversed(nodes)]),
            nodes[0].salt,
            sum(len(node.run) for node in nodes if node.salt == ""),
        )

    def private_length(self, holder: H) -> int:
        """How many tokens at the end of a holder's path nobody else holds."""
        node = self._tips.get(holder)
        length = 0
        while node is not None and node.parent is not None and len(node.holders) == 1:
            length += len(node.run)
            node = node.parent
        return length

    def extend(self, holder: H, key: CacheKey, *, onto_others: bool = True) -> int:
        """Lengthen a holder's path to ``key``, of which the path it has is a prefix.

        With ``onto_others=False`` it stops where the next tokens are on a path of others already.

        Returns:
            The length of its path now.
        """
        node = self._tips.get(holder, self._root)
        if holder not in self._tips:
            self._root.holders.add(holder)
        self._root.tips.discard(holder)
        node.tips.discard(holder)
        while node.depth < len(key):
            salt, rest = key.segment(node.depth)
            child = node.children.get((salt, int(rest[0])))
            if child is None and node.is_leaf_of(holder) and node.salt == salt:
                node.run = np.concatenate([node.run, rest])
                node.depth += len(rest)
                continue
            if child is None:
                child = _Node(rest.copy(), node, salt)
            elif not onto_others and holder not in child.holders:
                break
            else:
                shared = common_prefix_length(child.run, rest)
                if shared < len(child.run):
                    child = self._split(child, shared)
            child.holders.add(holder)
            node = child
        node.tips.add(holder)
        self._tips[holder] = node
        return node.depth

    def swap(self, one: H, other: H) -> None:
        """Give two holders each other's paths; who has none gives none."""
        moves = [(one, other, self._tips.pop(one, None)), (other, one, self._tips.pop(other, None))]
        for holder, _, tip in moves:
            for node in _up_from(tip):
                node.holders.discard(holder)
                node.tips.discard(holder)
        for _, holder, tip in moves:
            if tip is None:
                continue
            self._tips[holder] = tip
            tip.tips.add(holder)
            for node in _up_from(tip):
                node.holders.add(holder)

    def remove(self, holder: H) -> None:
        """Forget a holder and what only it held."""
        node: _Node[H] | None = self._tips.pop(holder, None)
        if node is None:
            return
        node.tips.discard(holder)
        while node is not None:
            node.holders.discard(holder)
            parent = node.parent
            if parent is not None and not node.holders:
                del parent.children[node.salt, int(node.run[0])]
            node = parent

    def match_prefix(self, key: CacheKey) -> tuple[int, H | None]:
        """The longest prefix of ``key`` that anyone holds, and one who holds it."""
        length, node = self._walk(key)
        return (length, next(iter(node.holders))) if length else (0, None)

    def match_complete_entry(self, key: CacheKey) -> tuple[int, H | None]:
        """The longest path that is as a whole a prefix of ``key``, and its holder."""
        length, node = self._walk(key)
        if length < node.depth:  # parted inside the run that leads to this node
            node = node.parent or node
        while not node.tips and node.parent is not None:
            node = node.parent
        return (node.depth, next(iter(node.tips))) if node.tips else (0, None)

    def contains(self, key: CacheKey, *, besides: H) -> bool:
        """Does somebody else hold all of these tokens?"""
        length, node = self._walk(key)
        return length == len(key) and len(node.holders - {besides}) > 0

    def _walk(self, key: CacheKey) -> tuple[int, _Node[H]]:
        """How far the tree knows the tokens, and the node at which or before which that is."""
        node, length = self._root, 0
        while length < len(key):
            salt, rest = key.segment(length)
            child = node.children.get((salt, int(rest[0])))
            if child is None:
                break
            shared = common_prefix_length(child.run, rest)
            node, length = child, length + shared
            if shared < len(child.run):
                break
        return length, node

    def _split(self, node: _Node[H], at: int) -> _Node[H]:
        """Put a node in the middle of the run that leads to ``node``; returns it."""
        parent = node.parent
        assert parent is not None
        upper = _Node(node.run[:at], parent, node.salt)
        upper.holders = set(node.holders)
        node.run = node.run[at:]
        node.parent = upper
        upper.children[node.salt, int(node.run[0])] = node
        return upper

    def _nodes(self) -> Iterator[_Node[H]]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())


class _Node(Generic[H]):
    """A place in the tree, with the run of tokens that leads to it from its parent."""

    __slots__ = ("children", "depth", "holders", "parent", "run", "salt", "tips")

    def __init__(
        self, run: NDArray[np.int32], parent: _Node[H] | None = None, salt: str = ""
    ) -> None:
        self.run = run
        self.parent = parent
        self.salt = salt
        self.depth: int = len(run) + (0 if parent is None else parent.depth)
        self.children: dict[tuple[str, int], _Node[H]] = {}
        """By the salt and the first token of the run that leads there."""
        self.holders: set[H] = set()
        """Everyone whose path goes through here."""
        self.tips: set[H] = set()
        """Those whose path ends here."""
        if parent is not None:
            parent.children[salt, int(run[0])] = self

    def is_leaf_of(self, holder: H) -> bool:
        """Is this the end of a path that nobody else's goes on from?"""
        return self.parent is not None and not self.children and self.holders == {holder}


def _up_from(node: _Node[H] | None) -> Iterator[_Node[H]]:
    """The node, and all on the way to the root."""
    while node is not None:
        yield node
        node = node.parent


def common_prefix_length(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """How many tokens two token arrays share from their beginnings."""
    length = min(len(a), len(b))
    different = a[:length] != b[:length]
    first = int(different.argmax()) if length else 0
    return first if length and different[first] else length
