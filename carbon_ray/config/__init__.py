"""One validated configuration, read from the cluster YAML; the only user of pydantic beside provider payloads."""
