"""Of what a dying program prints, the reason is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.host.diagnostics.exit_reason import exit_reason

NODE = """\
file:///srv/server.js:3
    throw new Error(`${name} is not set`)
          ^

Error: DB is not set
    at main (file:///srv/server.js:3:11)
    at node:internal/main/run_main_module:36:49 {
  [cause]: Error: connect ECONNREFUSED 127.0.0.1:5432
      at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16)
}

Node.js v22.11.0
"""
NODE_MODULE = """\
node:internal/modules/cjs/loader:1228
  throw err;
  ^

Error: Cannot find module '/srv/none.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2
"""
NPM = """\
npm warn exec The following package was not found and will be installed: nope@1
npm error code E404
npm error 404 Not Found - GET nope
npm error 404
npm error 404  'nope@*' is not in this registry.
npm error 404
npm error 404 Note that you can also install from a
npm error 404 tarball, folder, http url, or git folder.
npm error A complete log of this run can be found in: /home/u/.npm/_logs/1-debug-0.log
npm notice
npm notice New minor version of npm available! 10.8.2 -> 11.1.0
"""
GO = """\
2026/11/30 12:00:00 starting
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.(*Server).start(...)
\t/src/server.go:40
main.main()
\t/src/main.go:17 +0x2c
exit status 2
"""
JAVA = """\
INFO  starting
Exception in thread "main" java.lang.IllegalStateException: cannot start
\tat com.example.Main.main(Main.java:10)
Caused by: java.sql.SQLException: DB is not set
\tat com.example.Db.open(Db.java:20)
\t... 40 more
"""
DOTNET = """\
Unhandled exception. System.InvalidOperationException: DB is not set
   at Program.<Main>$(String[] args) in /src/Program.cs:line 3
   at Program.<Main>(String[] args)
"""
RUBY = """\
server.rb:3:in 'Hash#fetch': key not found: "DB" (KeyError)
\tfrom server.rb:3:in '<main>'
\tfrom a.rb:2:in `require'
"""
PYTHON = """\
Traceback (most recent call last):
  File "/srv/server.py", line 3, in <module>
    raise RuntimeError(os.environ["DB"])
                       ~~~~~~~~~~^^^^^^
  File "<frozen os>", line 679, in __getitem__
KeyError: 'DB'
"""
PYDANTIC = """\
Traceback (most recent call last):
  File "/srv/server.py", line 3, in <module>
    settings = Settings()
pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
db_url
  Field required [type=missing, input_value={}, input_type=dict]
"""
RUST = """\
thread 'main' panicked at src/main.rs:5:10:
DB is not set: NotPresent
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
COBRA = """\
Error: required flag(s) "db" not set
Usage:
  thing serve [flags]

Flags:
  -h, --help          help for serve
      --cert string   Path to a certificate, required for TLS

Global Flags:
      --debug   print more
"""
CLAP = """\
error: the following required arguments were not provided:
  --token <TOKEN>

Usage: thing --token <TOKEN>

For more information, try '--help'.
"""
ANYHOW = """\
Error: cannot open the database

Caused by:
    0: connection refused
    1: os error 111

Stack backtrace:
   0: anyhow::error::<impl anyhow::Error>::msg
   1: server::main
"""
SPAWN = """\
Error: spawn git ENOENT
    at ChildProcess._handle.onexit (node:internal/child_process:286:19) {
  errno: -2,
  code: 'ENOENT',
  syscall: 'spawn git',
  path: 'git',
  spawnargs: [ 'status' ]
}
"""
CLICK = """\
Usage: thing [OPTIONS]
Try 'thing --help' for help.

Error: Missing option '--db'.
"""
PHP = """\
PHP Fatal error:  Uncaught RuntimeException: DB is not set in /srv/server.php:3
Stack trace:
#0 {main}
  thrown in /srv/server.php on line 3
"""
ARGPARSE = """\
usage: thing [-h] --db DB
thing: error: the following arguments are required: --db
"""


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (NODE, "Error: DB is not set | [cause]: Error: connect ECONNREFUSED 127.0.0.1:5432"),
        (NODE_MODULE, "Error: Cannot find module '/srv/none.js'"),
        (
            NPM,
            "npm error code E404 | npm error 404 Not Found - GET nope | "
            "npm error 404 'nope@*' is not in this registry.",
        ),
        (GO, "panic: runtime error: index out of range [3] with length 3"),
        (JAVA, "Caused by: java.sql.SQLException: DB is not set"),
        (
            DOTNET,
            "Unhandled exception. System.InvalidOperationException: DB is not set",
        ),
        (RUBY, "server.rb:3:in 'Hash#fetch': key not found: \"DB\" (KeyError)"),
        (PYTHON, "KeyError: 'DB'"),
        (
            PYDANTIC,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings | db_url"
            " | Field required [type=missing, input_value={}, input_type=dict]",
        ),
        (RUST, "thread 'main' panicked at src/main.rs:5:10: | DB is not set: NotPresent"),
        (COBRA, 'Error: required flag(s) "db" not set'),
        (
            CLAP,
            "error: the following required arguments were not provided: | --token <TOKEN>",
        ),
        (
            ANYHOW,
            "Error: cannot open the database | Caused by: | 0: connection refused | "
            "1: os error 111",
        ),
        (SPAWN, "Error: spawn git ENOENT"),
        (CLICK, "Error: Missing option '--db'."),
        (
            PHP,
            "PHP Fatal error: Uncaught RuntimeException: DB is not set in /srv/server.php:3",
        ),
        (ARGPARSE, "thing: error: the following arguments are required: --db"),
        ("one\ntwo\n\nthree\nfour\n", "two | three | four"),
        ("    at x (y)\n", "at x (y)"),
        ("", ""),
    ],
)
def test_the_reason_is_found(stderr: str, reason: str) -> None:
    assert exit_reason(stderr) == reason


def test_a_reason_stands_before_any_number_of_frames() -> None:
    frames = "".join(f"\tat com.example.Main.m{n}(Main.java:{n})\n" for n in range(500))

    assert (
        exit_reason(f"java.lang.Error: DB is not set\n{frames}") == "java.lang.Error: DB is not set"
    )


@given(st.text())
def test_any_output_gives_one_short_line(stderr: str) -> None:
    words = exit_reason(stderr)

    assert "\n" not in words
    assert len(words) < 1100
    assert bool(words) == bool(stderr.strip())
