//! Without the layer for `tracing`, nothing that a library emits reaches the client.

use super::modules::Emitted;
use super::report::PatchStatus;
use crate::DDClient;

pub(super) fn status(_: &DDClient, _: &Emitted) -> PatchStatus {
    PatchStatus::FeatureMissing {
        feature: "tracing-subscriber",
    }
}
