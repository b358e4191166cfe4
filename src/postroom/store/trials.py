"""Tests of settings that run as jobs: at most one per tenant, seen by every machine."""

from sqlalchemy import Connection, delete, insert, select, update

from postroom.domain.delivery import Stage
from postroom.domain.trial import Job, Verdict
from postroom.store.ids import new_id
from postroom.store.schema import trial


def start(connection: Connection, tenant_id: int, now: int) -> Job:
    """A new job in place of the last one."""
    job = Job(new_id(now), Stage.SETTINGS)
    connection.execute(delete(trial).where(trial.c.tenant_id == tenant_id))
    connection.execute(insert(trial).values(tenant_id=tenant_id, id=job.id, started_at=now, stage=job.stage.value))
    return job


def reach(connection: Connection, job_id: str, stage: Stage) -> None:
    connection.execute(update(trial).where(trial.c.id == job_id).values(stage=stage.value))


def end(connection: Connection, job_id: str, verdict: Verdict) -> None:
    values = {"stage": verdict.stage.value, "code": verdict.code, "message": verdict.message}
    connection.execute(update(trial).where(trial.c.id == job_id).values(values))


def find(connection: Connection, tenant_id: int, newer_than: int) -> Job | None:
    """The tenant's job; one that began before `newer_than` and never ended died with its server."""
    row = connection.execute(select(trial).where(trial.c.tenant_id == tenant_id)).one_or_none()
    if row is None or (row.code is None and row.started_at < newer_than):
        return None
    stage = Stage(row.stage)
    return Job(row.id, stage, Verdict(stage, row.code, row.message or "") if row.code is not None else None)


def take(connection: Connection, tenant_id: int, newer_than: int) -> Job | None:
    """The tenant's job; a finished one is told once and then forgotten."""
    job = find(connection, tenant_id, newer_than)
    if job is not None and job.verdict is not None:
        connection.execute(delete(trial).where(trial.c.tenant_id == tenant_id))
    return job
