"""The task, for Celery's workers. As a program: hands tasks in whenever a line on stdin says how many."""

import os
import smtplib
from email.message import EmailMessage
from functools import cache

import load
from celery import Celery

app = Celery("celery_tasks", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, task_acks_late=True, broker_connection_retry_on_startup=True)


@cache
def relay() -> smtplib.SMTP:
    """One connection for each worker process, kept."""
    return smtplib.SMTP("127.0.0.1", int(os.environ["BENCH_SMTP_PORT"]))


@app.task(name="send_mail")
def send_mail(recipient: str, subject: str, text: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = load.SENDER, recipient, subject
    message.set_content(text)
    relay().send_message(message)


if __name__ == "__main__":
    load.accept_when_told(lambda: send_mail.delay(load.RECIPIENT, "Your build has finished", load.TEXT))
