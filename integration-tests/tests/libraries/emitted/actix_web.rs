//! actix-web, with the middleware of tracing-actix-web.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, ResponseError, rt};
use tracing_actix_web::TracingLogger;
use tracing_subscriber::layer::SubscriberExt;

use super::answered;
use crate::fixture::{Fixture, assert_child, named, tags};

#[derive(Debug)]
struct Failed(StatusCode);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stock is silent")
    }
}

impl ResponseError for Failed {
    fn status_code(&self) -> StatusCode {
        self.0
    }
}

fn shop(config: &mut ServiceConfig) {
    async fn cart() -> &'static str {
        let _span = tracing::info_span!("cart.load").entered();
        "cart"
    }
    async fn broken() -> Result<String, Failed> {
        Err(Failed(StatusCode::BAD_GATEWAY))
    }
    async fn refused() -> Result<String, Failed> {
        Err(Failed(StatusCode::CONFLICT))
    }
    config
        .route("/cart/{id}", web::get().to(cart))
        .route("/broken", web::get().to(broken))
        .route("/refused", web::get().to(refused));
}

/// Asks an application for these paths, one after the other, on a thread with the layer of the client.
macro_rules! ask {
    ($fixture:expr, $app:expr, $paths:expr) => {{
        let layer = $fixture.client.tracing_layer();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            rt::System::new().block_on(async {
                let app = init_service($app).await;
                let mut statuses = Vec::new();
                for path in $paths {
                    let request = TestRequest::get().uri(path).to_request();
                    let response = call_service(&app, request).await;
                    statuses.push(response.status().as_u16());
                    read_body(response).await;
                }
                statuses
            })
        })
    }};
}

#[test]
fn requests_become_spans() {
    let fixture = Fixture::new();
    let app = App::new().configure(shop).wrap(TracingLogger::default());
    let paths = ["/cart/17?token=secret", "/broken", "/refused", "/nowhere"];
    assert_eq!(ask!(fixture, app, paths), [200, 502, 409, 404]);
    let spans = fixture.spans(5);
    let expected = [
        ("GET /cart/{id}", "200", 0, "-"),
        ("GET /broken", "502", 1, "the stock is silent"),
        ("GET /refused", "409", 0, "-"),
        ("GET default", "404", 0, "-"),
    ];
    let requests = answered(&spans, &expected);
    for request in &requests {
        let keys = ["component", "span.kind"];
        assert_eq!(tags(request, keys), ["actix-web", "server"]);
        let told = request.meta.values().any(|value| value.contains("secret"));
        assert!(!told, "{request:?}");
    }
    assert_child(named(&spans, "cart.load"), requests[0]);
}

#[test]
fn the_middleware_of_this_crate_tells_the_same_once() {
    let fixture = Fixture::new();
    let app = App::new()
        .configure(shop)
        .wrap(TracingLogger::default())
        .wrap(fixture.client.actix_web_middleware());
    assert_eq!(ask!(fixture, app, ["/cart/17"]), [200]);
    let spans = fixture.spans(2);
    let request = named(&spans, "http.server.request");
    assert_eq!(request.resource, "GET /cart/{id}");
    assert_child(named(&spans, "cart.load"), request);
}
