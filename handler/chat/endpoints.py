"""The webhook of each chat platform, and the endpoint that runs their jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.api.problem_details import ProblemDetailsEndpoint, problem_details
from handler.chat.command import action_of
from handler.chat.jobs import Job
from handler.chat.platforms.base import ImmediateResponse, Message
from handler.http.messages import json_response
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.auth.admission import Admission
    from handler.chat.bot import Bot
    from handler.chat.platforms.base import Platform
    from handler.errors import KeyPairFunctionError
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Response


@dataclass(frozen=True)
class ChatWebhook:
    """Receives the messages of one chat platform. A later invocation runs the job that they ask for."""

    platform: Platform
    bot: Bot
    admission: Admission

    def handle(self, context: RequestContext) -> Response:
        """Answer a message, or a request by which the platform checks that the bot is there."""
        # Failed proofs are not counted. All customers of a platform share its addresses, so anybody could
        # make it send bad signatures until all are blocked. A check is as cheap as a count.
        message = self.platform.parse_webhook(context.request)
        if isinstance(message, ImmediateResponse):
            return message.response
        context.parsed = message
        caller_id = self.bot.caller_of(message)
        context.trail.note(caller=caller_id)
        self.admission.count(caller_id, message.event_id, context, action_of(message.text))
        return self.bot.receive(message, context.invocation)

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Tell the author of the message, or return problem details where there is no message."""
        if isinstance(context.parsed, Message):
            return self.bot.refuse(context.parsed, error, context.invocation.deadline)
        return problem_details(error, context.request_id)


@dataclass(frozen=True)
class JobEndpoint(ProblemDetailsEndpoint):
    """Runs the jobs that messages ask for."""

    bot: Bot

    def handle(self, context: RequestContext) -> Response:
        """Run one job."""
        job = self.bot.jobs.decode(context.event)
        context.parsed = job
        context.trail.endpoint = job.message.platform
        self.bot.run_job(job, context.invocation, context.trail)
        return json_response(200, {"worked": True})

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Tell the author of the message as well."""
        if isinstance(context.parsed, Job):
            self.bot.report_failure(context.parsed, error, context.invocation)
        return super().render_error(error, context)
