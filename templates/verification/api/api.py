"""What a person's browser talks to: ask for a code, and enter it. Two functions, and no state of their own."""

import json
import logging
import urllib.error
import urllib.request


class Failed(Exception):
    """Another function answered with an error, or not at all."""


ENTERED = {  # what `codes` says of a code, and the status that says it to the caller
    "verified": (200, "the address is verified"),
    "wrong": (403, "this is not the code"),
    "expired": (410, "the code has expired: ask for another one"),
    "unknown": (404, "there is no code for this address: ask for one"),
}


def send(event, context):
    """POST /send {"address": …}: 202, or 503 if no mail can be sent. `valid_s`, to try what happens later."""
    asked = said(event)
    address = asked.get("address")
    if not isinstance(address, str) or "@" not in address:
        return answer(400, sent=False, message='send {"address": "you@example.org"}')
    made = call("codes", {"do": "make", "address": address, "valid_s": asked.get("valid_s", 600)})
    try:
        call("mailer", {"to": address, "code": made["code"]})
    except Failed as failed:
        call("codes", {"do": "forget", "address": address})
        logging.warning("no mail to %s: %s", address, failed)
        return answer(503, sent=False, message="no mail can be sent at the moment: try again in a minute")
    return answer(202, sent=True, message="look into your mail", expires=made["expires"])


def verify(event, context):
    """POST /verify {"address": …, "code": …}: 200, 403, 404 or 410."""
    asked = said(event)
    address, code = str(asked.get("address")), str(asked.get("code"))
    found = call("codes", {"do": "check", "address": address, "code": code})
    verified = found["is"] == "verified"
    if verified:
        tell(address, found["callback"], context.id)
    status, message = ENTERED[found["is"]]
    left = {"tries_left": found["tries_left"]} if "tries_left" in found else {}
    return answer(status, verified=verified, message=message, **left)


def said(event):
    """The body's fields; none where it is no JSON object."""
    try:
        body = json.loads(event["body"] or "{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def tell(address, callback, id):
    """Whoever waits for this address: workflows for an event, a durable function for its callback."""
    event = {"specversion": "1.0", "id": id, "source": "/verification", "type": "address.verified", "subject": address}
    post("http://fnctl.internal/_fnctl/events", event, "application/cloudevents+json")
    if callback is not None:
        post(f"http://fnctl.internal/2025-12-01/durable-execution-callbacks/{callback}/succeed", {"address": address})


def answer(status, **body):
    return {"statusCode": status, "body": body}


def call(function, asked):
    return post(f"http://{function}.fnctl.internal/", asked)


def post(url, body, kind="application/json"):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=20) as answered:
            return json.loads(answered.read() or "null")
    except urllib.error.HTTPError as error:
        raise Failed(f"{url}: {error.code} {error.read().decode()}") from error
    except OSError as error:
        raise Failed(f"{url}: {error}") from error
