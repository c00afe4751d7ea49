"""Real jobs over real servers, done by ours and by what a person would use instead.

``make bench-jobs``; docs/jobs.md says how it works and what came of it.

- ``job.py``: what a job is, how it is checked, and the catalogue; ``cases/`` has the jobs
- ``servers.py``, ``office.py``, ``web.py``: the servers and tools they are done with
- ``systems/``: what they are given to
- ``running.py``, ``records.py``, ``report.py``: one after the other, kept, and shown
"""
