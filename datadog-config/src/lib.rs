//! The configuration of the Datadog client: options, their origins, identity and endpoints.
