//! Both layers around a service of tonic that is written by hand.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};
use tower::ServiceBuilder;

use crate::fixture::{Fixture, assert_child, runtime, tags};

/// Texts as messages.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let text = String::from_utf8(bytes.to_vec());
        text.map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// `shop.Greeter`, with one method, that greets everybody but `nobody`.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "shop.Greeter";
}

impl UnaryService<String> for Greeter {
    type Response = String;
    type Future = Answer<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async move {
            match &**request.get_ref() {
                "nobody" => Err(Status::not_found("nobody is there: 100 %")),
                name => Ok(Response::new(format!("hello {name}"))),
            }
        })
    }
}

impl tower::Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let greeter = self.clone();
        Box::pin(async move { Ok(tonic::server::Grpc::new(Text).unary(greeter, request).await) })
    }
}

/// Calls the greeter over a connection, within a span `order`.
fn greet(fixture: &Fixture, name: &str) -> Result<String, Status> {
    let mut server = tonic::transport::Server::builder()
        .layer(fixture.client.tower_server_layer().component("tonic"));
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(server.add_service(Greeter).serve_with_incoming(incoming));
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let channel = ServiceBuilder::new()
            .layer(fixture.client.tower_client_layer())
            .service(channel);
        let mut client = tonic::client::Grpc::new(channel);
        let order = fixture.client.trace("order").detach();
        let call = async {
            client.ready().await.unwrap();
            let path = http::uri::PathAndQuery::from_static("/shop.Greeter/Greet");
            client
                .unary(Request::new(name.to_owned()), path, Text)
                .await
        };
        let answer: Result<Response<String>, Status> =
            datadog::FutureExt::in_span(call, order).await;
        answer.map(Response::into_inner)
    })
}

#[test]
fn a_call_is_one_trace_with_its_status_from_the_trailers() {
    let fixture = Fixture::new();
    assert_eq!(greet(&fixture, "you").unwrap(), "hello you");
    let spans = fixture.spans(3);
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (client, server) = (of("grpc.client.request"), of("grpc.server.request"));
    assert_child(client, of("order"));
    assert_child(server, client);
    let keys = [
        "rpc.system",
        "rpc.service",
        "rpc.method",
        "rpc.grpc.status_code",
    ];
    for (span, kind, type_) in [(client, "client", "http"), (server, "server", "web")] {
        assert_eq!(span.resource, "Greet shop.Greeter");
        assert_eq!((&*span.type_, span.error), (type_, 0));
        assert_eq!(tags(span, keys), ["grpc", "shop.Greeter", "Greet", "0"]);
        assert_eq!(tags(span, ["span.kind"]), [kind]);
    }
}

#[test]
fn a_call_that_fails_fails_both_spans() {
    let fixture = Fixture::new();
    let status = greet(&fixture, "nobody").unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let spans = fixture.spans(3);
    for span in spans.iter().filter(|span| span.name != "order") {
        assert_eq!(span.error, 1, "{span:?}");
        let keys = ["rpc.grpc.status_code", "error.type", "error.message"];
        let expected = ["5", "grpc.status", "NOT_FOUND: nobody is there: 100 %"];
        assert_eq!(tags(span, keys), expected);
    }
}
