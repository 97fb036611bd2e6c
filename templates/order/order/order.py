"""An order in three steps, each on disk before the next begins. If one fails, what was done is undone in reverse."""

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.exceptions import InvokeError


@durable_execution
def handler(event, context):
    order = {"order": event["id"], "product": event["product"]}
    undo = []
    try:
        context.invoke("stock", {"do": "reserve", **order}, name="reserve")
        undo.append(("stock", "release"))
        paid = context.invoke("payment", {"do": "charge", "card": event["card"], **order}, name="charge")
        undo.append(("payment", "refund"))
        context.invoke("shipping", {"do": "ship", **order}, name="ship")
    except InvokeError as failed:
        for function, what in reversed(undo):
            context.invoke(function, {"do": what, **order}, name=what)
        return {"state": "undone", "failed": str(failed)}
    return {"state": "shipped", "receipt": paid["receipt"]}
