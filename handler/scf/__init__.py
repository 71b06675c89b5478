"""The interface to SCF (Serverless Cloud Function): events, invocations and their deadlines."""
