//! What moves data to Datadog: the worker, bounded queues, HTTP over TCP and Unix sockets, DogStatsD sockets, retries and accounts.
