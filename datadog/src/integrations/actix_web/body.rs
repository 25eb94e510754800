//! The body of a response.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

use crate::integrations::SpanBody;

impl<B: MessageBody> MessageBody for SpanBody<B> {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.inner().size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let poll = |body: Pin<&mut B>| body.poll_next(task).map_err(Into::into);
        self.poll_in_span(
            poll,
            |part: &Option<Result<_, Self::Error>>, _, span, _| match part {
                None => true,
                Some(Ok(_)) => false,
                Some(Err(error)) => {
                    span.set_error(&**error);
                    true
                }
            },
        )
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let (body, open) = self.into_parts();
        body.try_into_bytes().map_err(|body| Self::new(body, open))
    }
}
