"""Radix tree over token ids that records which owners hold which prefixes.

As in SGLang's RadixAttention, an edge is a segment of tokens and is split where two paths diverge.
Every owner (a sequence id or a saved state) has one path from the root to its end node. Segments
of different salts are never shared: one client cannot reuse what another computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

OwnerT = TypeVar("OwnerT")


@dataclass(frozen=True, slots=True, eq=False)
class CacheKey:
    """Token ids and the salt under which their state is cached (``cache_salt`` in vLLM)."""

    tokens: NDArray[np.int32]
    salt: str = ""
    """Keys share a prefix only if their salts are equal. The empty string is a salt, too."""
    num_shared: int = 0
    """Leading tokens keyed by the empty salt, and so shared by all salts."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_salted(self) -> bool:
        """True if some of its tokens are not shared by all salts."""
        return self.salt != "" and len(self.tokens) > self.num_shared

    def prefix(self, length: int) -> CacheKey:
        """Key of the first ``length`` tokens."""
        return replace(self, tokens=self.tokens[:length])

    def copy(self) -> CacheKey:
        """The same key with its own copy of the tokens."""
        return replace(self, tokens=self.tokens.copy())

    def salted_segment(self, start: int) -> tuple[str, NDArray[np.int32]]:
        """Salt at ``start``, and the tokens from there on that are keyed by it."""
        if self.salt != "" and start < self.num_shared:
            return "", self.tokens[start : self.num_shared]
        return self.salt, self.tokens[start:]

    def common_length(self, other: CacheKey) -> int:
        """Length of the common prefix of two keys."""
        length = 0
        while length < min(len(self), len(other)):
            (salt, segment), (other_salt, other_segment) = (
                self.salted_segment(length),
                other.salted_segment(length),
            )
            if salt != other_salt:
                break
            shared = common_prefix_length(segment, other_segment)
            length += shared
            if shared < min(len(segment), len(other_segment)):
                break
        return length


class RadixTree(Generic[OwnerT]):
    """Token paths and their owners. Not thread-safe."""

    def __init__(self) -> None:
        self._root: _Node[OwnerT] = _Node(np.empty(0, np.int32))
        self._end_nodes: dict[OwnerT, _Node[OwnerT]] = {}

    @property
    def owners(self) -> frozenset[OwnerT]:
        """Owners of any path."""
        return frozenset(self._end_nodes)

    @property
    def num_tokens(self) -> int:
        """Tokens of all paths; shared tokens count once."""
        return sum(len(node.segment) for node in self._nodes())

    def length(self, owner: OwnerT) -> int:
        """Length of an owner's path; 0 if it is not in the tree."""
        end_node = self._end_nodes.get(owner)
        return 0 if end_node is None else end_node.depth

    def key_of(self, owner: OwnerT) -> CacheKey:
        """Key of an owner's path, in a new array."""
        nodes = list(_to_root(self._end_nodes.get(owner)))
        if not nodes:
            return CacheKey(np.empty(0, np.int32))
        return CacheKey(
            np.concatenate([node.segment for node in reversed(nodes)]),
            nodes[0].salt,
            sum(len(node.segment) for node in nodes if node.salt == ""),
        )

    def private_length(self, owner: OwnerT) -> int:
        """Number of tokens at the end of an owner's path that no other owner shares."""
        node = self._end_nodes.get(owner)
        length = 0
        while node is not None and node.parent is not None and len(node.owners) == 1:
            length += len(node.segment)
            node = node.parent
        return length

    def extend(self, owner: OwnerT, key: CacheKey, *, onto_others: bool = True) -> int:
        """Extend an owner's path to ``key``; its present path must be a prefix of ``key``.

        Args:
            owner: an owner; it may be new.
            key: the tokens of the new path.
            onto_others: False stops where the next tokens are already on a path of other owners.

        Returns:
            The new length of the owner's path.
        """
        node = self._end_nodes.get(owner, self._root)
        if owner not in self._end_nodes:
            self._root.owners.add(owner)
        self._root.ending_owners.discard(owner)
        node.ending_owners.discard(owner)
        while node.depth < len(key):
            salt, rest = key.salted_segment(node.depth)
            child = node.children.get((salt, int(rest[0])))
            if child is None and node.is_leaf_of(owner) and node.salt == salt:
                node.segment = np.concatenate([node.segment, rest])
                node.depth += len(rest)
                continue
            if child is None:
                child = _Node(rest.copy(), node, salt)
            elif not onto_others and owner not in child.owners:
                break
            else:
                shared = common_prefix_length(child.segment, rest)
                if shared < len(child.segment):
                    child = self._split(child, shared)
            child.owners.add(owner)
            node = child
        node.ending_owners.add(owner)
        self._end_nodes[owner] = node
        return node.depth

    def swap(self, one: OwnerT, other: OwnerT) -> None:
        """Exchange the paths of two owners; either may have none."""
        moves = [
            (one, other, self._end_nodes.pop(one, None)),
            (other, one, self._end_nodes.pop(other, None)),
        ]
        for owner, _, end_node in moves:
            for node in _to_root(end_node):
                node.owners.discard(owner)
                node.ending_owners.discard(owner)
        for _, owner, end_node in moves:
            if end_node is None:
                continue
            self._end_nodes[owner] = end_node
            end_node.ending_owners.add(owner)
            for node in _to_root(end_node):
                node.owners.add(owner)

    def remove(self, owner: OwnerT) -> None:
        """Remove an owner and the tokens that only it had."""
        node: _Node[OwnerT] | None = self._end_nodes.pop(owner, None)
        if node is None:
            return
        node.ending_owners.discard(owner)
        while node is not None:
            node.owners.discard(owner)
            parent = node.parent
            if parent is not None and not node.owners:
                del parent.children[node.salt, int(node.segment[0])]
            node = parent

    def match_prefix(self, key: CacheKey) -> tuple[int, OwnerT | None]:
        """Length of the longest prefix of ``key`` in the tree, and an owner that has it."""
        length, node = self._walk(key)
        return (length, next(iter(node.owners))) if length else (0, None)

    def match_complete_entry(self, key: CacheKey) -> tuple[int, OwnerT | None]:
        """Length of the longest complete path that is a prefix of ``key``, and its owner."""
        length, node = self._walk(key)
        if length < node.depth:  # diverged inside the segment that leads to this node
            node = node.parent or node
        while not node.ending_owners and node.parent is not None:
            node = node.parent
        return (node.depth, next(iter(node.ending_owners))) if node.ending_owners else (0, None)

    def contains(self, key: CacheKey, *, besides: OwnerT) -> bool:
        """True if an owner other than ``besides`` has all of these tokens."""
        length, node = self._walk(key)
        return length == len(key) and len(node.owners - {besides}) > 0

    def _walk(self, key: CacheKey) -> tuple[int, _Node[OwnerT]]:
        """Length of the longest prefix in the tree, and the node whose segment it ends in."""
        node, length = self._root, 0
        while length < len(key):
            salt, rest = key.salted_segment(length)
            child = node.children.get((salt, int(rest[0])))
            if child is None:
                break
            shared = common_prefix_length(child.segment, rest)
            node, length = child, length + shared
            if shared < len(child.segment):
                break
        return length, node

    def _split(self, node: _Node[OwnerT], at: int) -> _Node[OwnerT]:
        """Split the segment that leads to ``node`` and return the new node in its middle."""
        parent = node.parent
        assert parent is not None
        upper = _Node(node.segment[:at], parent, node.salt)
        upper.owners = set(node.owners)
        node.segment = node.segment[at:]
        node.parent = upper
        upper.children[node.salt, int(node.segment[0])] = node
        return upper

    def _nodes(self) -> Iterator[_Node[OwnerT]]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())


class _Node(Generic[OwnerT]):
    """Node of the tree, with the segment of tokens that leads to it from its parent."""

    __slots__ = ("children", "depth", "ending_owners", "owners", "parent", "salt", "segment")

    def __init__(
        self, segment: NDArray[np.int32], parent: _Node[OwnerT] | None = None, salt: str = ""
    ) -> None:
        self.segment = segment
        self.parent = parent
        self.salt = salt
        self.depth: int = len(segment) + (0 if parent is None else parent.depth)
        self.children: dict[tuple[str, int], _Node[OwnerT]] = {}
        """Children by the salt and first token of their segment."""
        self.owners: set[OwnerT] = set()
        """Owners whose path contains this node."""
        self.ending_owners: set[OwnerT] = set()
        """Owners whose path ends at this node."""
        if parent is not None:
            parent.children[salt, int(segment[0])] = self

    def is_leaf_of(self, owner: OwnerT) -> bool:
        """True if this is a leaf and ``owner`` is its only owner."""
        return self.parent is not None and not self.children and self.owners == {owner}


def _to_root(node: _Node[OwnerT] | None) -> Iterator[_Node[OwnerT]]:
    """The node and its ancestors, up to the root."""
    while node is not None:
        yield node
        node = node.parent


def common_prefix_length(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Length of the common prefix of two token arrays."""
    length = min(len(a), len(b))
    different = a[:length] != b[:length]
    first = int(different.argmax()) if length else 0
    return first if length and different[first] else length
