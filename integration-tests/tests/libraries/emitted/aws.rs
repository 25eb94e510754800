//! aws-sdk-sqs. The HTTP client is the test's own: it answers as SQS does, without a network
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html>).

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use datadog_local_agent::Span;
use tracing::Instrument;

use crate::fixture::{Fixture, assert_child, in_order, named, tags};

#[derive(Debug)]
struct Sqs;

impl HttpConnector for Sqs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap());
        let (status, answer) = match body.contains("orders") {
            true => (
                200,
                r#"{"MessageId": "5fea7756-0ea4-451a-a703-a558b933e274"}"#,
            ),
            false => (
                400,
                r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "There is no such queue."}"#,
            ),
        };
        let status = u16::try_into(status).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, answer.into())))
    }
}

async fn ask() {
    let credentials = Credentials::builder()
        .access_key_id("me")
        .secret_access_key("secret")
        .provider_name("test");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(credentials.build())
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(|_, _| SharedHttpConnector::new(Sqs)));
    let sqs = Client::from_conf(config.build());
    let send = |queue: &str| {
        let url = format!("https://sqs.eu-west-1.amazonaws.com/17/{queue}");
        sqs.send_message().queue_url(url).message_body("secret")
    };
    let ask = async {
        send("orders").send().await.unwrap();
        send("nowhere").send().await.unwrap_err();
    };
    ask.instrument(tracing::info_span!("order")).await;
}

#[test]
fn calls_become_spans() {
    let fixture = Fixture::new();
    fixture.run_traced(ask());
    let spans = fixture.spans(26);
    let order = named(&spans, "order");
    let calls = in_order(&spans, "aws.sqs.request");
    for call in &calls {
        assert_child(call, order);
        assert_eq!((&*call.service, &*call.type_), ("shop", "http"));
        assert_eq!(call.resource, "SendMessage SQS");
        let keys = ["component", "span.kind", "aws.service", "aws.operation"];
        let expected = ["aws-sdk", "client", "SQS", "SendMessage"];
        assert_eq!(tags(call, keys), expected);
    }
    assert_eq!(calls.len(), 2);
    // It tells no failures: nothing says that the second call did not find its queue.
    assert!(spans.iter().all(|span| span.error == 0), "{spans:#?}");
    let is_step = |span: &&Span| !["order", "aws.sqs.request"].contains(&&*span.name);
    for step in spans.iter().filter(is_step) {
        assert_eq!(step.trace_id_128(), order.trace_id_128());
        assert!(![0, order.span_id].contains(&step.parent_id), "{step:?}");
        assert_eq!((&*step.service, &*step.type_), ("shop", "custom"));
        assert_eq!(tags(step, ["component", "span.kind"]), ["aws-sdk", "-"]);
    }
    let all = format!("{spans:?} {:?}", fixture.agent.logs());
    assert!(!all.contains("secret"), "{all}");
}
