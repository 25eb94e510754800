//! The middleware for actix-web, in its servers.

use std::fmt;
use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorBadGateway, ErrorForbidden};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{App, Error, HttpResponse, HttpServer, ResponseError, guard, rt};
use datadog::DDClient;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, LIMIT, assert_child, named, tags};

/// A server with one worker thread, ended when dropped.
struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    fn start(
        client: &DDClient,
        routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> Self {
        let client = client.clone();
        let (told, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(Data::new(client.clone()))
                        .configure(routes.clone())
                        .wrap(client.actix_web_middleware().request_metrics(&client))
                });
                let server = server.workers(1).disable_signals().bind("127.0.0.1:0")?;
                let address = server.addrs()[0];
                let server = server.run();
                told.send((address, server.handle())).unwrap();
                server.await
            })
        });
        let (address, handle) = started.recv().unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    fn get(&self, path: &str) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        ureq::get(format!("http://{}{path}", self.address))
    }

    fn text(&self, path: &str) -> String {
        let mut response = self.get(path).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    }

    fn status(&self, path: &str) -> u16 {
        let request = self.get(path).config().http_status_as_error(false).build();
        request.call().unwrap().status().as_u16()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is told at once; the future is for those who wait.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

fn shop(config: &mut ServiceConfig) {
    async fn cart(client: Data<DDClient>) -> String {
        rt::task::yield_now().await;
        client.info("looked into the cart");
        client.trace("cart.load").span_id().to_string()
    }
    async fn broken() -> Result<String, Silent> {
        Err(Silent)
    }
    async fn report(client: Data<DDClient>) -> HttpResponse {
        HttpResponse::Ok().streaming(pages(client.get_ref().clone()))
    }
    config
        .route("/cart/{id}", web::get().to(cart))
        .route("/broken", web::get().to(broken))
        .route("/report", web::get().to(report))
        // Two scopes of one path, told apart by the method.
        .service(
            web::scope("/stock")
                .guard(guard::Post())
                .route("/{item}", web::post().to(broken)),
        )
        .service(
            web::scope("/stock")
                .guard(guard::Get())
                .route("/{shelf}/{item}", web::get().to(cart)),
        );
}

/// An error of the program's.
#[derive(Debug)]
struct Silent;

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stock is silent")
    }
}

impl ResponseError for Silent {
    fn status_code(&self) -> StatusCode {
        StatusCode::BAD_GATEWAY
    }
}

/// Pages that are made while the body is sent, each in a span.
fn pages(client: DDClient) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::iter(1..=3).map(move |page| {
        let _span = client.trace("report.page");
        Ok(Bytes::from(format!("page {page}\n")))
    })
}

#[test]
fn a_request_goes_on_with_the_trace_of_its_caller() {
    let fixture = Fixture::with(|config| {
        config
            .client_ip_enabled(true)
            .header_tags(["X-Buyer:buyer", "Content-Type"])
    });
    let server = Server::start(&fixture.client, shop);
    let mut response = server
        .get("/cart/17?token=secret")
        .header("x-datadog-trace-id", "1234")
        .header("x-datadog-parent-id", "5678")
        .header("x-datadog-sampling-priority", "1")
        .header("user-agent", "test/1")
        .header("x-buyer", "b-1")
        .header("x-forwarded-for", "203.0.113.7")
        .call()
        .unwrap();
    let child = response.body_mut().read_to_string().unwrap();

    let spans = fixture.spans(2);
    let request = named(&spans, "http.server.request");
    assert_eq!((request.trace_id, request.parent_id), (1234, 5678));
    assert_eq!(
        (&*request.resource, &*request.type_, &*request.service),
        ("GET /cart/{id}", "web", "shop")
    );
    let keys = [
        "http.method",
        "http.route",
        "http.status_code",
        "http.useragent",
        "span.kind",
    ];
    let expected = ["GET", "/cart/{id}", "200", "test/1", "server"];
    assert_eq!(tags(request, keys), expected);
    let keys = ["component", "buyer", "http.client_ip", "network.client.ip"];
    let expected = ["actix-web", "b-1", "203.0.113.7", "127.0.0.1"];
    assert_eq!(tags(request, keys), expected);
    let shown = format!("http://{}/cart/17?<redacted>", server.address);
    assert_eq!(request.tag("http.url"), Some(shown));
    assert_eq!(
        request.tag("http.response.headers.content-type").as_deref(),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(request.error, 0);

    let loaded = named(&spans, "cart.load");
    assert_eq!(loaded.span_id.to_string(), child);
    assert_child(loaded, request);

    let log = &fixture.agent.logs()[0];
    assert_eq!(log.message, "looked into the cart");
    assert_eq!(
        (log.trace_id(), log.span_id()),
        (Some(1234), Some(request.span_id))
    );
}

#[test]
fn requests_are_measured_and_those_that_fail_are_errors() {
    let fixture = Fixture::new();
    let server = Server::start(&fixture.client, shop);
    assert_eq!(
        (server.status("/broken"), server.status("/nowhere")),
        (502, 404)
    );
    let spans = fixture.spans(2);
    let found = |resource: &str| spans.iter().find(|span| span.resource == resource).unwrap();
    let broken = found("GET /broken");
    assert_eq!((broken.error, broken.parent_id), (1, 0));
    let keys = ["http.status_code", "error.type", "error.message"];
    assert_eq!(tags(broken, keys), ["502", "Silent", "the stock is silent"]);
    let nowhere = found("GET");
    assert_eq!(nowhere.error, 0);
    assert_eq!(
        tags(nowhere, ["http.status_code", "http.route"]),
        ["404", "-"]
    );

    let name = "http.server.request.duration";
    fixture
        .agent
        .wait_for(LIMIT, |got| got.metric_values(name).len() == 2)
        .unwrap();
    let metrics = fixture.agent.metrics_named(name);
    let with = |tag: &str| metrics.iter().find(|metric| metric.has_tag(tag)).unwrap();
    let broken = with("http.response.status_code:502");
    for tag in [
        "http.request.method:GET",
        "http.route:/broken",
        "service:shop",
    ] {
        assert!(broken.has_tag(tag), "{tag} in {broken:?}");
    }
    let nowhere = with("http.response.status_code:404");
    assert!(!nowhere.tags.iter().any(|tag| tag.starts_with("http.route")));
}

#[test]
fn the_route_is_the_one_that_guards_chose() {
    let fixture = Fixture::new();
    let server = Server::start(&fixture.client, shop);
    server.text("/stock/left/nails");
    let spans = fixture.spans(2);
    let request = named(&spans, "http.server.request");
    assert_eq!(request.resource, "GET /stock/{shelf}/{item}");
    assert_eq!(tags(request, ["http.route"]), ["/stock/{shelf}/{item}"]);
    let name = "http.server.request.duration";
    fixture
        .agent
        .wait_for(LIMIT, |got| got.metric_values(name).len() == 1)
        .unwrap();
    let metrics = fixture.agent.metrics_named(name);
    assert!(
        metrics[0].has_tag("http.route:/stock/{shelf}/{item}"),
        "{metrics:?}"
    );
}

#[test]
fn a_request_lasts_until_the_end_of_its_body() {
    let fixture = Fixture::new();
    let server = Server::start(&fixture.client, shop);
    assert_eq!(server.text("/report"), "page 1\npage 2\npage 3\n");

    let spans = fixture.spans(4);
    let request = named(&spans, "http.server.request");
    for page in spans.iter().filter(|span| span.name == "report.page") {
        assert_child(page, request);
        assert!(page.start_ns >= request.start_ns);
        let end = |span: &datadog_local_agent::Span| span.start_ns + span.duration_ns;
        assert!(end(page) <= end(request), "{page:?} outlives {request:?}");
    }
}

#[test]
fn requests_that_take_turns_on_a_thread_have_their_own_spans() {
    let fixture = Fixture::new();
    let both = Arc::new(Barrier::new(2));
    let server = Server::start(&fixture.client, move |config| {
        let both = Arc::clone(&both);
        let handler = move |client: Data<DDClient>| {
            let both = Arc::clone(&both);
            async move {
                let mut ids = Vec::new();
                for _ in 0..3 {
                    // None goes on before the other is here.
                    both.wait().await;
                    ids.push(client.trace("turn").span_id().to_string());
                }
                ids.join(" ")
            }
        };
        config.route("/{name}", web::get().to(handler));
    });
    let answers = std::thread::scope(|scope| {
        let server = &server;
        let threads = ["/one", "/two"].map(|path| scope.spawn(move || (path, server.text(path))));
        threads.map(|thread| thread.join().unwrap())
    });
    let spans = fixture.spans(8);
    for (path, ids) in answers {
        let url = format!("http://{}{path}", server.address);
        let is_it = |span: &&datadog_local_agent::Span| span.tag("http.url") == Some(url.clone());
        let request = spans.iter().find(is_it).unwrap();
        for id in ids.split(' ') {
            let turn = spans.iter().find(|span| span.span_id.to_string() == id);
            assert_child(turn.unwrap(), request);
        }
    }
}

#[test]
fn a_request_that_is_given_up_ends_without_a_status() {
    let fixture = Fixture::new();
    let (told, handling) = mpsc::channel();
    let server = Server::start(&fixture.client, move |config| {
        let told = told.clone();
        let handler = move || {
            told.send(()).unwrap();
            pending::<HttpResponse>()
        };
        config.route("/slow", web::get().to(handler));
    });
    let mut connection = TcpStream::connect(server.address).unwrap();
    connection
        .write_all(b"GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n")
        .unwrap();
    handling.recv().unwrap();
    drop(connection);
    drop(server);
    let spans = fixture.spans(1);
    assert_eq!((&*spans[0].resource, spans[0].error), ("GET /slow", 0));
    assert_eq!(tags(&spans[0], ["http.status_code"]), ["-"]);
}

#[test]
fn a_panic_fails_the_request() {
    async fn panics() -> HttpResponse {
        rt::task::yield_now().await;
        panic!("no more");
    }
    let fixture = Fixture::new();
    let server = Server::start(&fixture.client, |config| {
        config.route("/panics", web::get().to(panics));
    });
    let mut connection = TcpStream::connect(server.address).unwrap();
    connection
        .write_all(b"GET /panics HTTP/1.1\r\nhost: shop\r\n\r\n")
        .unwrap();
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    let spans = fixture.spans(1);
    assert_eq!(
        (spans[0].error, spans[0].tag("error.type")),
        (1, Some("panic".to_owned()))
    );
}

#[test]
fn an_error_of_other_middleware_has_the_status_of_its_response() {
    async fn refuse(
        request: ServiceRequest,
        _: Next<impl MessageBody>,
    ) -> Result<ServiceResponse, Error> {
        Err(match request.path() {
            "/closed" => ErrorForbidden("not yours"),
            _ => ErrorBadGateway("no way there"),
        })
    }
    let fixture = Fixture::new();
    let server = Server::start(&fixture.client, |config| {
        let scope = web::scope("").wrap(from_fn(refuse));
        config.service(scope);
    });
    assert_eq!(
        (server.status("/closed"), server.status("/far")),
        (403, 502)
    );
    let spans = fixture.spans(2);
    let keys = ["http.status_code", "error.message"];
    let mut told: Vec<_> = spans
        .iter()
        .map(|span| (tags(span, keys), span.error))
        .collect();
    told.sort();
    let owned = |texts: [&str; 2]| texts.map(str::to_owned);
    let expected = [
        (owned(["403", "-"]), 0),
        (owned(["502", "no way there"]), 1),
    ];
    assert_eq!(told, expected);
}

#[test]
fn without_tracing_requests_are_served_and_measured() {
    let fixture = Fixture::with(|config| config.tracing_enabled(false));
    let server = Server::start(&fixture.client, shop);
    assert_eq!(server.text("/cart/1"), "0");
    fixture.client.flush(LIMIT);
    let name = "http.server.request.duration";
    fixture
        .agent
        .wait_for(LIMIT, |got| got.metric_values(name).len() == 1)
        .unwrap();
    assert!(fixture.agent.spans().is_empty());
}
