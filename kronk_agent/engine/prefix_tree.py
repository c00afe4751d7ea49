"""Who has which prefix: a radix tree over token ids.

As in SGLang's RadixAttention, an edge is a run of tokens and is split where two paths part. Every
holder (a sequence id, or a saved state) has one path from the root, and its tip is the node where
that path ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

H = TypeVar("H")


class PrefixTree(Generic[H]):
    """Paths of tokens, and who holds them. Not safe for use by several threads."""

    def __init__(self) -> None:
        self._root: _Node[H] = _Node(np.empty(0, np.int32), None)
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

    def path(self, holder: H) -> NDArray[np.int32]:
        """A holder's tokens, in a new array."""
        runs = [node.run for node in _up_from(self._tips.get(holder))]
        return np.concatenate(runs[::-1]) if runs else np.empty(0, np.int32)

    def private_length(self, holder: H) -> int:
        """How many tokens at the end of a holder's path nobody else holds."""
        node = self._tips.get(holder)
        length = 0
        while node is not None and node.parent is not None and len(node.holders) == 1:
            length += len(node.run)
            node = node.parent
        return length

    def extend(self, holder: H, tokens: NDArray[np.int32], *, onto_others: bool = True) -> int:
        """Lengthen a holder's path to ``tokens``, of which the path it has is a prefix.

        With ``onto_others=False`` it stops where the next tokens are on a path of others already.

        Returns:
            The length of its path now.
        """
        node = self._tips.get(holder, self._root)
        if holder not in self._tips:
            self._root.holders.add(holder)
        self._root.tips.discard(holder)
        node.tips.discard(holder)
        while node.depth < len(tokens):
            rest = tokens[node.depth :]
            child = node.children.get(int(rest[0]))
            if child is None and node.is_leaf_of(holder):
                node.run = np.concatenate([node.run, rest])
                node.depth += len(rest)
                break
            if child is None:
                child = _Node(rest.copy(), node)
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
                del parent.children[int(node.run[0])]
            node = parent

    def longest(self, tokens: NDArray[np.int32]) -> tuple[int, H | None]:
        """The longest prefix of ``tokens`` that anyone holds, and one who holds it."""
        length, node = self._walk(tokens)
        return (length, next(iter(node.holders))) if length else (0, None)

    def longest_whole(self, tokens: NDArray[np.int32]) -> tuple[int, H | None]:
        """The longest path that is as a whole a prefix of ``tokens``, and its holder."""
        length, node = self._walk(tokens)
        if length < node.depth:  # parted inside the run that leads to this node
            node = node.parent or node
        while not node.tips and node.parent is not None:
            node = node.parent
        return (node.depth, next(iter(node.tips))) if node.tips else (0, None)

    def covers(self, tokens: NDArray[np.int32], *, besides: H) -> bool:
        """Does somebody else hold all of these tokens?"""
        length, node = self._walk(tokens)
        return length == len(tokens) and len(node.holders - {besides}) > 0

    def _walk(self, tokens: NDArray[np.int32]) -> tuple[int, _Node[H]]:
        """How far the tree knows the tokens, and the node at which or before which that is."""
        node, length = self._root, 0
        while length < len(tokens):
            child = node.children.get(int(tokens[length]))
            if child is None:
                break
            shared = common_prefix_length(child.run, tokens[length:])
            node, length = child, length + shared
            if shared < len(child.run):
                break
        return length, node

    def _split(self, node: _Node[H], at: int) -> _Node[H]:
        """Put a node in the middle of the run that leads to ``node``; returns it."""
        parent = node.parent
        assert parent is not None
        upper = _Node(node.run[:at], parent)
        upper.holders = set(node.holders)
        node.run = node.run[at:]
        node.parent = upper
        upper.children[int(node.run[0])] = node
        return upper

    def _nodes(self) -> Iterator[_Node[H]]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())


class _Node(Generic[H]):
    """A place in the tree, with the run of tokens that leads to it from its parent."""

    __slots__ = ("children", "depth", "holders", "parent", "run", "tips")

    def __init__(self, run: NDArray[np.int32], parent: _Node[H] | None) -> None:
        self.run = run
        self.parent = parent
        self.depth: int = len(run) + (0 if parent is None else parent.depth)
        self.children: dict[int, _Node[H]] = {}
        self.holders: set[H] = set()
        """Everyone whose path goes through here."""
        self.tips: set[H] = set()
        """Those whose path ends here."""
        if parent is not None:
            parent.children[int(run[0])] = self

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
