"""What a function's code was written for."""

from __future__ import annotations

import enum


class Contract(enum.StrEnum):
    """What a function's code was written for: how it is called, and what its answer means.

    Each runtime names those that its agent speaks (`contracts` in `runtime.yaml`).
    """

    WEB = "web"  # an app that answers HTTP itself
    EVENT = "event"  # fnctl's own `(event, context)`
    COMMAND = "command"  # any program that listens on $PORT
    LAMBDA = "lambda"
    FC_EVENT = "fc-event"
    FC_HTTP = "fc-http"
    FC3_HTTP = "fc3-http"
    FRAMEWORK_HTTP = "functions-framework-http"
    FRAMEWORK_CLOUDEVENT = "functions-framework-cloudevent"
    OPENFAAS = "openfaas"
    OPENWHISK = "openwhisk"
    CLOUDEVENTS = "cloudevents"
