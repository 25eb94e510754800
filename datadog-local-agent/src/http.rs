//! HTTP over TCP and Unix sockets: reads requests, plays the faults, sends answers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::endpoint::{self, Answer, Endpoint};
use crate::fault::Fault;
use crate::received::Items;
use crate::request::{Headers, Refusal, Refused, Request, Transport};
use crate::thread::{ACCEPT_PAUSE, Shared};

/// Accepts TCP connections for ever.
pub(crate) async fn accept_tcp(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => spawn_connection(&shared, stream, Transport::Tcp),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Accepts connections on the Unix socket for ever.
pub(crate) async fn accept_unix(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => spawn_connection(&shared, stream, Transport::Unix),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn spawn_connection<S>(shared: &Arc<Shared>, stream: S, transport: Transport)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = Connection {
        number: shared.count_connection(),
        transport,
    };
    let task = serve(Arc::clone(shared), stream, connection);
    let mut connections = shared.connections.lock();
    while connections.try_join_next().is_some() {}
    connections.spawn(task);
}

#[derive(Clone, Copy)]
struct Connection {
    number: u64,
    transport: Transport,
}

async fn serve<S>(shared: Arc<Shared>, stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| respond(Arc::clone(&shared), connection, request));
    // An error is a client that went away or a fault that hung up: nothing to do about it here.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Reads a request, records it and answers. An error makes hyper close the connection without an answer.
async fn respond(
    shared: Arc<Shared>,
    connection: Connection,
    incoming: hyper::Request<Incoming>,
) -> Result<hyper::Response<AnswerBody>, HungUp> {
    let (head, body) = incoming.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let endpoint = Endpoint::of(head.uri.path());
    let mut request = Request {
        method: head.method.to_string(),
        path,
        headers: Headers::of(&head.headers),
        body: Vec::new(),
        status: None,
        transport: connection.transport,
        connection: connection.number,
    };
    let fault = shared.faults.next(endpoint);
    let limit = endpoint.max_body();
    let whole = match fault {
        Some(Fault::CloseBeforeAnswer) => {
            read_piece(body, &mut request.body).await;
            shared.store.add_request(request, Items::None, None);
            return Err(HungUp);
        }
        _ => read_body(body, &mut request.body, limit).await,
    };
    if let Err(reason) = whole {
        let refusal = refusal(&request, None, reason);
        shared
            .store
            .add_request(request, Items::None, Some(refusal));
        return Err(HungUp);
    }
    match fault {
        Some(Fault::Status(status)) => Ok(failed(&shared, request, endpoint, status, None)),
        Some(Fault::RetryAfter(status, seconds)) => {
            Ok(failed(&shared, request, endpoint, status, Some(seconds)))
        }
        Some(Fault::NeverAnswer) => {
            shared.store.add_request(request, Items::None, None);
            std::future::pending().await
        }
        Some(Fault::Delay(delay)) => {
            let answer = handle(&shared, request, endpoint).await;
            tokio::time::sleep(delay).await;
            Ok(response(&shared, answer, Ending::Proper))
        }
        Some(Fault::CloseMidAnswer) => {
            let answer = handle(&shared, request, endpoint).await;
            Ok(response(&shared, answer, Ending::CutOff))
        }
        Some(Fault::GarbageBody) => {
            let answer = handle(&shared, request, endpoint).await;
            Ok(response(&shared, answer, Ending::Garbage))
        }
        // The early return above has taken the other one.
        None | Some(Fault::CloseBeforeAnswer) => {
            let answer = handle(&shared, request, endpoint).await;
            Ok(response(&shared, answer, Ending::Proper))
        }
    }
}

/// Reads a body to its end, so that the client can always send it all, and keeps one byte more than `limit`.
async fn read_body(mut body: Incoming, kept: &mut Vec<u8>, limit: usize) -> Result<(), String> {
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| format!("the body broke off after {} bytes: {error}", kept.len()))?;
        if let Some(data) = frame.data_ref() {
            let room = (limit + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(())
}

/// Reads the first piece of a body, if there is one.
async fn read_piece(mut body: Incoming, kept: &mut Vec<u8>) {
    if let Some(Ok(frame)) = body.frame().await {
        kept.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
    }
}

/// Handles a request properly and records it.
async fn handle(shared: &Shared, mut request: Request, endpoint: Endpoint) -> Answer {
    let handled = if request.body.len() > endpoint.max_body() {
        let reason = format!("a body of more than {} bytes", endpoint.max_body());
        Err(Refused::new(413, reason))
    } else {
        endpoint::handle(endpoint, &request, &shared.settings).await
    };
    match handled {
        Ok((answer, items)) => {
            request.status = Some(answer.status);
            shared.store.add_request(request, items, None);
            answer
        }
        Err(refused) => {
            request.status = Some(refused.status);
            let answer = Answer::refusing(&refused);
            let refusal = refusal(&request, Some(refused.status), refused.reason);
            shared
                .store
                .add_request(request, Items::None, Some(refusal));
            answer
        }
    }
}

/// Answers a scripted status, having kept nothing of the payload.
fn failed(
    shared: &Shared,
    mut request: Request,
    endpoint: Endpoint,
    status: u16,
    retry_after: Option<u64>,
) -> hyper::Response<AnswerBody> {
    let hidden = status == 429
        && endpoint == Endpoint::Traces
        && !is_true(request.header("datadog-send-real-http-status"));
    let mut answer = if hidden {
        endpoint::traces_answer(&request, &shared.settings)
    } else {
        Answer::refusing(&Refused::new(status, "a fault was asked for"))
    };
    if !hidden {
        let retry_after = retry_after.map(|seconds| ("retry-after", seconds.to_string()));
        answer.headers.extend(retry_after);
    }
    request.status = Some(answer.status);
    shared.store.add_request(request, Items::None, None);
    response(shared, answer, Ending::Proper)
}

/// As the trace-agent reads its boolean headers (`datadog-agent: pkg/trace/api/api.go`): any value is true but an empty
/// one and the words for false.
fn is_true(header: Option<&str>) -> bool {
    let value = header.unwrap_or_default();
    !["", "0", "f", "F", "false", "FALSE", "False"].contains(&value)
}

fn refusal(request: &Request, status: Option<u16>, reason: String) -> Refusal {
    Refusal {
        place: format!("{} {}", request.method, request.route()),
        status,
        reason,
    }
}

fn response(shared: &Shared, answer: Answer, ending: Ending) -> hyper::Response<AnswerBody> {
    let body = match ending {
        Ending::Garbage => Bytes::from_static(b"\xff\xfe{[<garbage\x00"),
        Ending::Proper | Ending::CutOff => Bytes::from(answer.body),
    };
    let mut response = hyper::Response::new(AnswerBody {
        cut_off: ending == Ending::CutOff,
        told: body.len() as u64,
        data: Some(body),
        paused: false,
    });
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status)
        .unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let agent_headers = endpoint::agent_headers(&shared.settings);
    for (name, value) in answer.headers.into_iter().chain(agent_headers) {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Proper,
    CutOff,
    Garbage,
}

/// The body of an answer; one that is cut off promises more than it sends, then fails.
struct AnswerBody {
    data: Option<Bytes>,
    told: u64,
    cut_off: bool,
    paused: bool,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = HungUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HungUp>>> {
        if let Some(mut data) = self.data.take().filter(|data| !data.is_empty()) {
            if self.cut_off {
                data.truncate(data.len() / 2);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.cut_off {
            return Poll::Ready(None);
        }
        // hyper writes out what it has before it asks again, so the head and the half body do get sent.
        if !self.paused {
            self.paused = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(HungUp)))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.told)
    }
}

/// The agent hangs up without a (whole) answer.
#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HungUp {}
