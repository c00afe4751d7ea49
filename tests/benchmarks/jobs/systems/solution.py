"""A model that knows each job's solution, in our runtime: shows that every job can be solved."""

from __future__ import annotations

from benchmarks.jobs.job import Job, World
from benchmarks.jobs.systems import Outcome
from benchmarks.jobs.systems.ours import Ours

from kronk_agent.testing import ScriptedModel


class Solution:
    """Says what the job's solution says."""

    name = "solution"

    async def do(self, job: Job, world: World, outcome: Outcome) -> None:
        turns = [turn for prompt in job.solution for turn in prompt]
        await Ours(ScriptedModel(turns)).do(job, world, outcome)
