"""llama.cpp's C API through llama-cpp-python's low-level binding.

The binding's annotations call every handle optional and some integers ctypes objects, which they
are not at run time, so the functions are untyped here and the handles get names of our own.
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
