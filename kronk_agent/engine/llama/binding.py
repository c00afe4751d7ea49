"""llama.cpp's C API through llama-cpp-python's low-level binding.

The binding annotates every handle as optional and some integers as ctypes objects, which is not
true at run time. So the functions are untyped here, and handles have types of their own.
"""

from __future__ import annotations

from typing import Any, NewType, TypeAlias

import llama_cpp.llama_cpp

llama: Any = llama_cpp.llama_cpp

ModelHandle = NewType("ModelHandle", object)
VocabHandle: TypeAlias = llama_cpp.llama_cpp.llama_vocab_p  # llguidance takes it too
ContextHandle = NewType("ContextHandle", object)
SamplerHandle = NewType("SamplerHandle", object)
AdapterHandle = NewType("AdapterHandle", object)
