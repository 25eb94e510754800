//! What statistics and the agent's filters see of a span: the same that is sent.

use std::borrow::Cow;

use super::{Encoder, SERVICE_SOURCE, or_nameless};
use crate::batch::FinishedSpan;
use crate::stats::Facts;
use crate::ticks::Ticks;

impl Encoder {
    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        self.clock.times(Ticks::now(), Ticks::now()).0
    }

    pub(crate) fn resource_of<'a>(&self, span: FinishedSpan<'a>) -> &'a str {
        or_nameless(span.resource())
    }

    /// `origin` is what another process told of the trace.
    pub(crate) fn facts<'a>(
        &'a self,
        tagged: FinishedSpan<'a>,
        origin: Option<&'a str>,
    ) -> Facts<'a> {
        let service = self.service_of(tagged);
        let base_service = self.base_service_of(service);
        Facts {
            service,
            base_service,
            service_source: base_service.map(|_| self.service_source(tagged)),
            name: or_nameless(tagged.name()),
            resource: self.resource_of(tagged),
            span_type: tagged.span_type(),
            origin,
        }
    }

    /// The text of a tag.
    pub(crate) fn text_of<'a>(
        &'a self,
        tagged: FinishedSpan<'a>,
        key: &str,
    ) -> Option<Cow<'a, str>> {
        if let Some((_, text)) = tagged.texts().find(|(known, _)| *known == key) {
            return Some(Cow::Borrowed(text));
        }
        let mut everywhere = self.span_tags.iter();
        if let Some((_, text)) = everywhere.find(|(known, _)| known == key) {
            return Some(Cow::Borrowed(text));
        }
        let base_service = self.base_service_of(self.service_of(tagged));
        match key {
            "version" if base_service.is_none() => self.version.as_deref().map(Cow::Borrowed),
            "_dd.base_service" => base_service.map(Cow::Borrowed),
            SERVICE_SOURCE => base_service.map(|_| self.service_source(tagged).into()),
            _ => {
                let tags = self.chunk_tags.iter().find(|(known, _)| *known == key);
                tags.map(|(_, text)| Cow::Borrowed(&**text))
            }
        }
    }

    /// The service of the process, for spans of another one.
    fn base_service_of(&self, service: &str) -> Option<&str> {
        (!self.services.is_own(service)).then_some(self.services.own())
    }
}
