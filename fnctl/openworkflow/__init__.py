"""The Open Workflow Specification (CNCF Serverless Workflow DSL) 1.0.3: reading, checking and running a definition.

Pure but for the world that it is given: it knows neither Docker nor the store, nor what a function is.
"""
