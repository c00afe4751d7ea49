"""The items of requests and responses: schema, conversion, storage and listing."""
