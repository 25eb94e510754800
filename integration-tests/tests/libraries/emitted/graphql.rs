//! async-graphql, with its extension `Tracing`.

use async_graphql::extensions::Tracing;
use async_graphql::{EmptyMutation, EmptySubscription, Name, Object, Request, Schema, Variables};
use tracing::Instrument;

use crate::fixture::{Fixture, assert_child, named, tags};

struct Cart(u64);

#[Object]
impl Cart {
    async fn id(&self) -> u64 {
        self.0
    }
}

struct Query;

#[Object]
impl Query {
    async fn cart(&self, id: u64, token: String) -> Cart {
        assert_eq!(token, "secret");
        let _span = tracing::info_span!("cart.load").entered();
        Cart(id)
    }

    async fn stored(&self, password: String) -> async_graphql::Result<Option<Cart>> {
        assert_eq!(password, "secret");
        Err("the stock is silent".into())
    }
}

/// Asks within a span `order`, with a value in a variable and one in the query.
fn ask(fixture: &Fixture, query: &str) -> async_graphql::Response {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .extension(Tracing)
        .finish();
    let mut variables = Variables::default();
    variables.insert(Name::new("token"), "secret".into());
    let request = Request::new(query).variables(variables);
    fixture.run_traced(async {
        let order = tracing::info_span!("order");
        schema.execute(request).instrument(order).await
    })
}

#[test]
fn requests_and_their_steps_become_spans() {
    let fixture = Fixture::new();
    let query = "query ($token: String!) { cart(id: 17, token: $token) { id } }";
    let answer = ask(&fixture, query);
    assert_eq!(answer.data.to_string(), "{cart: {id: 17}}");
    let spans = fixture.spans(7);
    let request = named(&spans, "request");
    assert_child(request, named(&spans, "order"));
    for step in ["parse", "validation", "execute"] {
        assert_child(named(&spans, step), request);
    }
    let field = named(&spans, "field");
    assert_child(field, named(&spans, "execute"));
    assert_child(named(&spans, "cart.load"), field);
    let keys = ["graphql.path", "graphql.parent_type", "graphql.return_type"];
    assert_eq!(tags(field, keys), ["cart", "Query", "Cart!"]);
    for span in spans
        .iter()
        .filter(|span| !["order", "cart.load"].contains(&&*span.name))
    {
        assert_eq!((&*span.service, &span.resource), ("shop", &span.name));
        assert_eq!((&*span.type_, span.error), ("custom", 0));
        let keys = ["component", "span.kind"];
        assert_eq!(tags(span, keys), ["async-graphql", "-"]);
        let told = span.meta.values().any(|value| value.contains("secret"));
        assert!(!told, "{span:?}");
    }
}

#[test]
fn what_a_field_fails_with_fails_the_request() {
    let fixture = Fixture::new();
    let query = "query ($token: String!) { \
        stored(password: \"secret\") { id } cart(id: 17, token: $token) { id } }";
    let answer = ask(&fixture, query);
    assert_eq!(answer.errors[0].message, "the stock is silent");
    let spans = fixture.spans(8);
    let order = named(&spans, "order");
    assert_child(named(&spans, "request"), order);
    assert_eq!(order.error, 0);
    let failed = spans.iter().filter(|span| span.error == 1);
    let mut failed: Vec<_> = failed
        .map(|span| (&*span.name, tags(span, ["graphql.path", "error.message"])))
        .collect();
    failed.sort_unstable();
    let expected = [
        (
            "field",
            ["stored", "the stock is silent"].map(str::to_owned),
        ),
        ("request", ["-", "the stock is silent"].map(str::to_owned)),
    ];
    assert_eq!(failed, expected);
    let all = format!("{spans:?} {:?}", fixture.agent.logs());
    assert!(!all.contains("secret"), "{all}");
}
