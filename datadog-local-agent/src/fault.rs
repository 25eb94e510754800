//! Scripted faults: what the agent does instead of answering properly.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use crate::Endpoint;

/// One way to treat a request badly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Read the request, keep nothing of its payload and answer this status.
    ///
    /// As the trace-agent does, a 429 on the traces endpoint is turned into a 200 when the request has no
    /// `Datadog-Send-Real-Http-Status` header; the payload is lost all the same
    /// (`datadog-agent: pkg/trace/api/api.go`).
    Status(u16),
    /// Like [`Fault::Status`], with a `Retry-After` header of this many seconds.
    RetryAfter(u16, u64),
    /// Handle the request properly, and answer this much later.
    Delay(Duration),
    /// Read the request, keep nothing of its payload and stay silent with the connection open.
    NeverAnswer,
    /// Close the connection in the middle of the request: the head and at most one piece of the body are read.
    CloseBeforeAnswer,
    /// Take the payload, answer its status and half of a body, then close the connection.
    CloseMidAnswer,
    /// Take the payload and answer its status with a body that is neither JSON nor UTF-8.
    GarbageBody,
}

/// Which faults are to come, for which endpoint.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    rules: Mutex<VecDeque<Rule>>,
}

#[derive(Debug)]
struct Rule {
    endpoint: Option<Endpoint>,
    /// `None`: until healed.
    left: Option<usize>,
    fault: Fault,
}

impl FaultPlan {
    /// Adds a rule behind those already there. `None` for the endpoint means every one; `None` for the number of
    /// requests means until healed.
    pub(crate) fn add(&self, endpoint: Option<Endpoint>, requests: Option<usize>, fault: Fault) {
        self.rules.lock().push_back(Rule {
            endpoint,
            left: requests,
            fault,
        });
    }

    /// Forgets all rules.
    pub(crate) fn clear(&self) {
        self.rules.lock().clear();
    }

    /// The fault for the next request to `endpoint`: of the oldest counted rule that fits, else of the newest
    /// lasting one.
    pub(crate) fn next(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut rules = self.rules.lock();
        let fits = |rule: &Rule| rule.endpoint.is_none_or(|wanted| wanted == endpoint);
        let counted = rules
            .iter()
            .position(|rule| fits(rule) && rule.left.is_some());
        let Some(at) = counted else {
            let lasting = rules.iter().rev().find(|rule| fits(rule));
            return lasting.map(|rule| rule.fault.clone());
        };
        let rule = &mut rules[at];
        let fault = rule.fault.clone();
        rule.left = rule.left.map(|left| left.saturating_sub(1));
        if rule.left == Some(0) {
            rules.remove(at);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_come_first_and_run_out() {
        let plan = FaultPlan::default();
        plan.add(None, None, Fault::Status(500));
        plan.add(Some(Endpoint::Logs), Some(2), Fault::Status(429));
        assert_eq!(plan.next(Endpoint::Logs), Some(Fault::Status(429)));
        assert_eq!(plan.next(Endpoint::Traces), Some(Fault::Status(500)));
        assert_eq!(plan.next(Endpoint::Logs), Some(Fault::Status(429)));
        assert_eq!(plan.next(Endpoint::Logs), Some(Fault::Status(500)));
        plan.clear();
        assert_eq!(plan.next(Endpoint::Logs), None);
    }

    #[test]
    fn the_newest_lasting_fault_wins() {
        let plan = FaultPlan::default();
        plan.add(None, None, Fault::Status(500));
        plan.add(None, None, Fault::NeverAnswer);
        assert_eq!(plan.next(Endpoint::Info), Some(Fault::NeverAnswer));
    }
}
