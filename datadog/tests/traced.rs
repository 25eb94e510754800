//! `#[traced]` and the default client, which is one for the whole program: alone in its binary.

#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use datadog::{DDClient, DDConfig, FutureExt, SignalKind, traced};
use datadog_local_agent::{LocalAgent, Span};

const LIMIT: Duration = Duration::from_secs(5);

#[traced]
fn plain(count: u32) -> u32 {
    if count == 0 {
        return 7;
    }
    count + 1
}

#[traced(
    name = "cart.checkout",
    resource = format!("checkout {user}"),
    service = "checkout",
    span_type = "worker",
    tags(count, user, "the.user" = user.len(), address = std::net::Ipv4Addr::LOCALHOST),
)]
pub(crate) async fn checkout(count: u32, user: &str) -> Result<u32, std::num::ParseIntError> {
    let number: u32 = user.parse()?;
    plain(number);
    YieldOnce(false).await;
    Ok(number + count)
}

#[traced]
fn boxed(fails: bool) -> Result<(), Box<dyn std::error::Error>> {
    if fails {
        Err("no luck")?
    }
    Ok(())
}

#[traced]
fn text_error() -> Result<(), String> {
    Err("plain text".to_owned())
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Mute;

#[traced]
fn mute() -> Result<(), Mute> {
    Err(Mute)
}

#[traced]
fn iterate<'a, T>(values: &'a [T], least: impl Fn(&T) -> bool) -> impl Iterator<Item = &'a T>
where
    T: PartialOrd,
{
    values.iter().filter(move |value| least(value))
}

#[traced]
unsafe fn first<const N: usize, F: Fn(u8) -> u8>(bytes: &[u8; N], change: F) -> Option<&u8> {
    change(1);
    bytes.first()
}

#[traced]
fn nothing() {}

#[traced]
async fn failing_panics(panics: bool) {
    assert!(!panics, "on purpose");
}

struct Shop {
    client: DDClient,
    orders: Vec<String>,
}

impl Shop {
    #[traced(tracer = self.client, tags(order))]
    fn add(&mut self, order: String) -> &mut Self {
        self.orders.push(order);
        self
    }

    #[traced]
    fn first_order(&mut self) -> Option<&mut String> {
        self.orders.first_mut()
    }

    #[traced]
    fn last_order(&mut self) -> Result<&mut String, String> {
        self.orders.last_mut().ok_or_else(|| "no order".to_owned())
    }

    #[traced]
    fn orders(&mut self) -> std::slice::IterMut<'_, String> {
        self.orders.iter_mut()
    }

    #[traced]
    async fn cleared(&mut self) -> &mut Self {
        self.orders.clear();
        self
    }

    #[traced]
    fn into_orders(self) -> Vec<String> {
        self.orders
    }
}

#[traced]
fn entry(counts: &mut BTreeMap<u32, u32>, key: u32) -> &mut u32 {
    counts.entry(key).or_default()
}

macro_rules! function {
    ($name:ident, $returned:ty, $body:block) => {
        #[traced]
        fn $name() -> $returned $body
    };
}

function!(from_macro, Result<u32, String>, { Err("of a macro".to_owned()) });
function!(never, !, {
    std::panic::panic_any("never");
});

/// The span is told of nothing that it returns, so that the body has the caller's place.
#[traced]
#[track_caller]
fn expect_line(line: u32) {
    assert_eq!(std::panic::Location::caller().line(), line);
}

/// Pending once.
struct YieldOnce(bool);

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

fn block_on<T>(future: impl Future<Output = T> + Send) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return result;
        }
    }
}

fn all_of_them(client: &DDClient) {
    assert_eq!((plain(0), plain(1)), (7, 2));
    assert_eq!(block_on(checkout(1, "41")), Ok(42));
    assert!(block_on(checkout(1, "no number").in_span(client.trace("outer"))).is_err());
    assert!(boxed(false).is_ok() && boxed(true).is_err());
    assert_eq!(
        (text_error(), mute()),
        (Err("plain text".to_owned()), Err(Mute))
    );
    assert_eq!(iterate(&[1, 2, 3], |value| *value > 1).count(), 2);
    #[expect(unsafe_code, reason = "such functions can be traced too")]
    // SAFETY: it asks for nothing.
    let first = unsafe { first(&[3, 4], |byte| byte) };
    assert_eq!(first, Some(&3));
    nothing();
    let panicked = std::panic::catch_unwind(|| block_on(failing_panics(true)));
    assert!(panicked.is_err());
    let mut shop = Shop {
        client: client.clone(),
        orders: Vec::new(),
    };
    shop.add("a".to_owned()).add("b".to_owned());
    shop.first_order().unwrap().push('1');
    shop.last_order().unwrap().push('2');
    shop.orders().for_each(|order| order.push('!'));
    assert_eq!(shop.orders, ["a1!", "b2!"]);
    assert!(block_on(shop.cleared()).last_order().is_err());
    assert!(shop.into_orders().is_empty());
    let mut counts = BTreeMap::new();
    *entry(&mut counts, 3) += 2;
    assert_eq!(counts[&3], 2);
    assert!(from_macro().is_err() && std::panic::catch_unwind(|| never()).is_err());
    expect_line(line!());
}

#[test]
fn functions_run_in_spans_of_the_default_client() {
    let off = datadog::client();
    off.trace("nothing").finish();
    off.count("nothing", 1, ());
    datadog::count!("nothing", 1);
    all_of_them(off);
    assert_eq!(off.health().signal(SignalKind::Traces).accepted, 0);
    assert!(!off.flush(LIMIT).complete, "there is no worker");

    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .dogstatsd_url(agent.dogstatsd_url())
        .service("shop");
    let client = DDClient::new(config.build().unwrap()).unwrap();
    assert!(client.set_default() && !client.set_default());
    assert!(datadog::init_from_env().is_err());
    datadog::count!("orders", 2, "shop" => "main");
    all_of_them(datadog::client());
    assert!(datadog::client().flush(LIMIT).complete);
    assert_eq!(agent.metrics_named("orders").len(), 1);

    let spans = agent.spans();
    let named =
        |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let errors: BTreeMap<&str, Vec<(bool, Option<&str>)>> =
        spans.iter().fold(BTreeMap::new(), |mut all, span| {
            let message = span.meta.get("error.message").map(String::as_str);
            all.entry(&*span.name)
                .or_insert_with(Vec::new)
                .push((span.error != 0, message));
            all
        });
    assert_eq!(errors["plain"], [(false, None); 3]);
    assert_eq!(errors["boxed"], [(false, None), (true, Some("no luck"))]);
    assert_eq!(errors["text_error"], [(true, Some("plain text"))]);
    assert_eq!(errors["mute"], [(true, Some("Mute"))]);
    assert_eq!(errors["iterate"], [(false, None)]);
    assert_eq!(errors["first"], [(false, None)]);
    assert_eq!(errors["nothing"], [(false, None)]);
    assert!(errors["failing_panics"][0].0 && errors["never"][0].0);
    assert_eq!(errors["from_macro"], [(true, Some("of a macro"))]);
    assert_eq!(errors["expect_line"], [(false, None)]);
    assert_eq!(errors["entry"], [(false, None)]);
    assert_eq!(
        errors["last_order"],
        [(false, None), (true, Some("no order"))]
    );
    for name in ["first_order", "orders", "cleared"] {
        assert_eq!(errors[name], [(false, None)]);
    }
    assert_eq!(named("plain")[0].resource, "traced::plain");
    assert_eq!((named("add").len(), named("into_orders").len()), (2, 1));
    assert_eq!(named("add")[1].meta["order"], "b");

    let checkouts = named("cart.checkout");
    assert_eq!(checkouts.len(), 2);
    let good = checkouts.iter().find(|span| span.error == 0).unwrap();
    assert_eq!(
        (&*good.resource, &*good.service),
        ("checkout 41", "checkout")
    );
    assert_eq!(good.type_, "worker");
    assert_eq!(
        (&*good.meta["user"], &*good.meta["address"]),
        ("41", "127.0.0.1")
    );
    assert_eq!(
        (good.metrics["count"], good.metrics["the.user"]),
        (1.0, 2.0)
    );
    assert!(
        named("plain")
            .iter()
            .any(|span| span.parent_id == good.span_id)
    );
    let bad = checkouts.iter().find(|span| span.error != 0).unwrap();
    assert_eq!(bad.parent_id, named("outer")[0].span_id);
    assert_eq!(bad.meta["error.message"], "invalid digit found in string");
}
