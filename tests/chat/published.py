"""Small templates in the manner of published ones that are not beside the project.

Each writes assistant turns as the model's own template does; the rest is only what a conversation
needs. Sources: the chat templates and encoders in the models' repositories on Hugging Face.
"""

from __future__ import annotations

_TURNS = """\
{%%- if tools %%}%(tools)s{%%- endif %%}
{%%- for message in messages %%}
{%%- if message.role == 'assistant' %%}{{- %(assistant)s }}%(turn)s{{- %(end)s }}
{%%- elif message.role == 'tool' %%}{{- %(user)s + message.content + %(user_end)s }}
{%%- else %%}{{- %(user)s + message.content + %(user_end)s }}
{%%- endif %%}
{%%- endfor %%}
{%%- if add_generation_prompt %%}{{- %(opening)s }}{%%- endif %%}
"""
_CALLS = (
    "{%%- for call in message.tool_calls or [] %%}{%%- set f = call.function %%}%s{%%- endfor %%}"
)
_TOOLS = "{{- 'Tools: ' + (tools | tojson) + '\\n' }}"
_CHATML = {
    "tools": _TOOLS,
    "user": "'<|im_start|>user\\n'",
    "user_end": "'<|im_end|>\\n'",
    "assistant": "'<|im_start|>assistant\\n'",
    "end": "'<|im_end|>\\n'",
    "opening": "'<|im_start|>assistant\\n'",
}
_DEEPSEEK = {
    "tools": _TOOLS,
    "user": "'<｜User｜>'",
    "user_end": "''",
    "assistant": "'<｜Assistant｜>'",
    "end": "'<｜end▁of▁sentence｜>'",
    "opening": "'<｜Assistant｜>' + ('<think>' if thinking else '</think>')",
}
_LLAMA = {
    "tools": _TOOLS,
    "user": "'<|header_start|>user<|header_end|>\\n\\n'",
    "user_end": "'<|eot|>'",
    "assistant": "'<|header_start|>assistant<|header_end|>\\n\\n'",
    "end": "'<|eot|>'",
    "opening": "'<|header_start|>assistant<|header_end|>\\n\\n'",
}
_MISTRAL = {
    "tools": _TOOLS,
    "user": "'[INST]'",
    "user_end": "'[/INST]'",
    "assistant": "''",
    "end": "'</s>'",
    "opening": "''",
}
_GLM = {
    "tools": _TOOLS,
    "user": "'<|user|>'",
    "user_end": "''",
    "assistant": "'<|assistant|>'",
    "end": "''",
    "opening": "'<|assistant|>' + ('<think>' if enable_thinking is not false else '</think>')",
}


def _template(frame: dict[str, str], turn: str, calls: str) -> str:
    return _TURNS % {**frame, "turn": turn + _CALLS % calls}


QWEN3 = _template(
    _CHATML,
    "{%- if message.reasoning_content %}"
    "{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{- message.content or '' }}",
    "{%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}"
    '{{- \'<tool_call>\\n{"name": "\' + f.name + \'", "arguments": \' }}'
    "{{- (f.arguments | tojson) + '}\\n</tool_call>' }}",
)
DEEPSEEK_V3_1 = _template(
    _DEEPSEEK,
    "{%- if message.reasoning_content %}{{- '<think>' + message.reasoning_content }}{%- endif %}"
    "{{- '</think>' + (message.content or '') }}",
    "{%- if loop.first %}{{- '<｜tool▁calls▁begin｜>' }}{%- endif %}"
    "{{- '<｜tool▁call▁begin｜>' + f.name + '<｜tool▁sep｜>' + (f.arguments | tojson) }}"
    "{{- '<｜tool▁call▁end｜>' }}{%- if loop.last %}{{- '<｜tool▁calls▁end｜>' }}{%- endif %}",
)
DEEPSEEK_V4_1 = _template(
    _DEEPSEEK,
    "{%- if message.reasoning_content %}{{- '<think>' + message.reasoning_content }}{%- endif %}"
    "{{- '</think>' + (message.content or '') }}",
    "{%- if loop.first %}{{- '\\n\\n<｜DSML｜ calls>\\n' }}{%- endif %}"
    "{{- '<｜DSML｜ invoke name=\"' + f.name + '\">\\n' }}"
    "{%- for key, value in f.arguments | items %}"
    "{{- '<｜DSML｜ parameter name=\"' + key + '\" string=\"' }}"
    "{{- ('true\">' + value) if value is string else ('false\">' + (value | tojson)) }}"
    "{{- '</｜DSML｜ parameter>\\n' }}{%- endfor %}{{- '</｜DSML｜ invoke>\\n' }}"
    "{%- if loop.last %}{{- '</｜DSML｜ calls>' }}{%- endif %}",
)
GLM_4_7 = _template(
    _GLM,
    "{{- ('<think>' + message.reasoning_content) if message.reasoning_content }}"
    "{{- '</think>' + (message.content or '') }}",
    "{{- '<tool_call>' + f.name }}{%- for key, value in f.arguments | items %}"
    "{{- '<arg_key>' + key + '</arg_key><arg_value>' }}"
    "{{- value if value is string else (value | tojson) }}{{- '</arg_value>' }}{%- endfor %}"
    "{{- '</tool_call>' }}",
)
LLAMA_4 = _template(
    _LLAMA,
    "{{- message.content or '' }}",
    "{{- '<|python_start|>' + (f | tojson) + '<|python_end|>' }}",
)
MAGISTRAL_2506 = _template(
    _MISTRAL,
    "{%- if message.reasoning_content %}"
    "{{- '<think>' + message.reasoning_content + '</think>' }}{%- endif %}"
    "{{- message.content or '' }}",
    "{{- '[TOOL_CALLS]' + f.name + '[ARGS]' + (f.arguments | tojson) }}",
)
