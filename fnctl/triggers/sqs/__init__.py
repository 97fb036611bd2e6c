"""The part of Amazon SQS' API that its SDKs use, on the project's named queues."""
