"""A function: takes an event, gives back a response. What it can read and return stands in README.md."""


def handler(event, context):
    name = event["query"].get("name", "world")
    return {"statusCode": 200, "body": {"message": f"Hello, {name}!", "id": context.id}}
