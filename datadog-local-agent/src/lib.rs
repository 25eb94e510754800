//! A Datadog receiver for tests and first steps: it decodes strictly, keeps what it got, and can be told to fail.
