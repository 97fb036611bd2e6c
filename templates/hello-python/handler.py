"""A function: gets an event, returns a response. README.md says what it can read and return."""


def handler(event, context):
    name = event["query"].get("name", "world")
    return {"statusCode": 200, "body": {"message": f"Hello, {name}!", "id": context.id}}
