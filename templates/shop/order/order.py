"""An order in steps. If one fails, what was done before is undone, the last first."""

import json
import urllib.error
import urllib.request


class Failed(Exception):
    """A step came to nothing."""


def handler(event, context):
    order = {**json.loads(event["body"] or "{}"), "order": context.id}
    undo = []
    try:
        call("stock", "/reserve", order)
        undo.append(("stock", "/release"))
        paid = call("payment", "/charge", order)
    except Failed as failed:
        for function, path in reversed(undo):
            call(function, path, order)
        return {"statusCode": 409, "body": {"order": context.id, "failed": str(failed), "undone": len(undo)}}
    return {"statusCode": 201, "body": {"order": context.id, "receipt": paid["receipt"]}}


def call(function, path, order):
    request = urllib.request.Request(
        f"http://{function}.fnctl.internal{path}", json.dumps(order).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise Failed(f"{function}: {error.read().decode()}") from error
    except OSError as error:
        raise Failed(f"{function}: {error}") from error
