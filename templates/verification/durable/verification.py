"""The story of one address, as one function: it waits for the person, and tries again where no mail can be sent."""

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration
from aws_durable_execution_sdk_python.exceptions import CallbackError, InvokeError

PAUSES_S = (1, 5, 30, 120)


@durable_execution
def handler(event, context):
    address, valid_s = event["address"], event.get("valid_s", 600)
    longer = Duration.from_seconds(valid_s + 1)  # than the code is valid: a right one is never too late
    entered = context.create_callback("entered", CallbackConfig(timeout=longer))
    asked = {"do": "make", "address": address, "valid_s": valid_s, "callback": entered.callback_id}
    code = context.invoke("codes", asked, name="make")["code"]
    if not sent(context, {"to": address, "code": code}):
        context.invoke("codes", {"do": "forget", "address": address}, name="forget")
        return {"address": address, "state": "no mail"}
    try:
        entered.result()
    except CallbackError:
        return {"address": address, "state": "expired"}
    return {"address": address, "state": "verified"}


def sent(context, mail):
    """Whether a mail server took it, by the fifth time at last."""
    for pause in (*PAUSES_S, None):
        try:
            context.invoke("mailer", mail, name="send")
            return True
        except InvokeError:
            if pause is not None:
                context.wait(Duration.from_seconds(pause), name="pause")
    return False
