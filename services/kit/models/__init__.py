"""The port to language models and the ways behind it: a thin client, litellm, one layer of retries."""
