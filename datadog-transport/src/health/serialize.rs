//! Accounts for programs that show them elsewhere, such as at a health endpoint.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use super::{Drops, Health, SignalHealth};

/// A map from each signal's name to its account.
impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(kind, health)| (kind.to_string(), health)))
    }
}

/// The fields by their names; of the last error, its message.
impl Serialize for SignalHealth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("SignalHealth", 8)?;
        fields.serialize_field("accepted", &self.accepted)?;
        fields.serialize_field("delivered", &self.delivered)?;
        fields.serialize_field("buffered", &self.buffered)?;
        fields.serialize_field("dropped", &self.dropped)?;
        fields.serialize_field("bytes", &self.bytes)?;
        fields.serialize_field("requests", &self.requests)?;
        fields.serialize_field("retries", &self.retries)?;
        let last_error = self.last_error.as_ref().map(|error| &error.message);
        fields.serialize_field("last_error", &last_error)?;
        fields.end()
    }
}

/// A map from each reason, in words, to its count.
impl Serialize for Drops {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reasons = serializer.serialize_map(None)?;
        for (reason, count) in self.iter() {
            reasons.serialize_entry(&reason.to_string(), &count)?;
        }
        reasons.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, DropReason, SignalKind};

    #[test]
    fn a_health_endpoint_can_show_it_as_json() {
        let account = Account::default();
        account.accept(3);
        account.deliver(2, 100);
        account.drop_items(DropReason::Refused(403), 1);
        account.error("a wrong key");
        let health = Health::new([(SignalKind::Logs, account.snapshot())]);
        let expected = serde_json::json!({"logs": {
            "accepted": 3, "delivered": 2, "buffered": 0, "dropped": {"refused with 403": 1},
            "bytes": 100, "requests": 0, "retries": 0, "last_error": "a wrong key",
        }});
        assert_eq!(serde_json::to_value(&health).unwrap(), expected);
    }
}
