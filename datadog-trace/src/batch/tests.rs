//! Batches by example.

use super::*;

fn span(id: u64, tags: &[(&'static str, &str)]) -> SpanData {
    let mut span = SpanData {
        span_id: id,
        is_local_root: id == 1,
        ..SpanData::default()
    };
    for (key, value) in tags {
        span.tags.set_text((*key).into(), value);
    }
    span.tags.set_number("id".into(), id as f64);
    span
}

fn shown(batch: &Batch) -> Vec<String> {
    let show = |span: FinishedSpan<'_>| {
        let texts: Vec<String> = span
            .texts()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let numbers: Vec<f64> = span.numbers().map(|(_, number)| number).collect();
        format!("{} {} {numbers:?}", span.span.span_id, texts.join(","))
    };
    batch.spans().map(show).collect()
}

#[test]
fn texts_that_are_not_static_are_kept_too() {
    let owned = |text: &str| Some(text.to_owned().into());
    let (mut one, mut other) = (Batch::default(), Batch::default());
    one.push(&mut span(1, &[("a", "x")]), Ticks::ZERO);
    let mut data = span(2, &[("b", "y")]);
    data.name = "web.request".into();
    data.span_type = owned("web");
    other.push(&mut data, Ticks::ZERO);
    data.name = "sql.query".to_owned().into();
    data.resource = owned("SELECT 1");
    other.push(&mut data, Ticks::ZERO);
    one.append(&mut other);
    let texts = one
        .spans()
        .map(|span| (span.name(), span.resource(), span.span_type()));
    assert_eq!(
        texts.collect::<Vec<_>>(),
        [
            ("", "", ""),
            ("web.request", "web.request", "web"),
            ("sql.query", "SELECT 1", "")
        ]
    );
    assert_eq!(size_of::<Finished>(), 72);
}

#[test]
fn what_marks_a_span_that_is_kept_alone_counts() {
    let mut batch = Batch::default();
    (1..4).for_each(|id| batch.push(&mut span(id, &[]), Ticks::ZERO));
    let bytes = batch.bytes();
    batch.keep_alone(|span| (span.span.span_id > 1).then_some((1.0, None)));
    batch.keep_alone(|_span| Some((1.0, None)));
    assert_eq!(batch.bytes() - bytes, 3 * size_of::<Extras>());
    let mut single = Batch::default();
    single.push(&mut span(1, &[]), Ticks::ZERO);
    let capacity = single.capacity();
    single.keep_alone(|_span| Some((1.0, None)));
    assert_eq!(single.capacity() - capacity, size_of::<Extras>());
    batch.clear();
    assert_eq!(batch.bytes(), 0);
}

#[test]
fn the_names_of_services_count() {
    let mut batch = Batch::default();
    let service: Arc<str> = "s".repeat(1000).into();
    for id in 1..4 {
        let mut span = span(id, &[]);
        span.service = Some(match id {
            3 => "other".into(),
            _ => Arc::clone(&service),
        });
        batch.push(&mut span, Ticks::ZERO);
    }
    let names = 2 * (ARC_BYTES + size_of::<Arc<str>>()) + 1000 + 5;
    let spans = 3 * size_of::<Finished>() + batch.tags.bytes();
    assert_eq!(batch.bytes(), spans + names);
    batch.clear();
    assert_eq!(batch.bytes(), 0);
}

#[test]
fn spans_keep_their_tags_through_everything() {
    let (mut one, mut other) = (Batch::default(), Batch::default());
    let mut first = span(3, &[("a", "x"), ("b", "yy")]);
    one.push(&mut first, Ticks::ZERO);
    assert!(first.tags.text("a").is_none() && first.tags.capacity() > 0);
    other.push(&mut span(2, &[]), Ticks::ZERO);
    other.push(&mut span(1, &[("c", "zzz")]), Ticks::ZERO);
    one.append(&mut other);
    assert_eq!((one.len(), other.len(), other.bytes()), (3, 0, 0));
    assert_eq!(
        shown(&one),
        ["3 a=x,b=yy [3.0]", "2  [2.0]", "1 c=zzz [1.0]"]
    );
    one.root_first();
    assert_eq!(
        shown(&one),
        ["1 c=zzz [1.0]", "2  [2.0]", "3 a=x,b=yy [3.0]"]
    );
    let span = one.spans().nth(2).unwrap();
    assert!(span.has_tag("b") && span.has_tag("id") && !span.has_tag("c"));
    let capacity = one.capacity();
    one.clear();
    assert_eq!((one.bytes(), one.capacity()), (0, capacity));
}

#[test]
fn a_span_keeps_its_own_texts_while_others_change() {
    let mut batch = Batch::default();
    for (resource, span_type) in [
        (Some("SELECT 1"), Some("sql")),
        (Some("GET /"), None),
        (None, Some("redis")),
        (None, None),
    ] {
        let mut span = span(1, &[("a", "x")]);
        span.name = "query".into();
        span.resource = resource.map(Into::into);
        span.span_type = span_type.map(Into::into);
        batch.push(&mut span, Ticks::ZERO);
    }
    let shown = |batch: &Batch| -> Vec<String> {
        let spans = batch.spans().map(|span| {
            let tags: Vec<_> = span
                .texts()
                .map(|(key, text)| [key, text].join("="))
                .collect();
            let own = [span.name(), span.resource(), span.span_type()];
            format!(
                "{} {} {:?}",
                own.join("|"),
                tags.join(","),
                span.number("id")
            )
        });
        spans.collect()
    };
    batch.set_texts(|span| {
        let own = format!("{}!", span.span_type());
        vec![("a", own), ("b", "z".to_owned())]
    });
    assert_eq!(
        shown(&batch),
        [
            "query|SELECT 1|sql a=sql!,b=z Some(1.0)",
            "query|GET /| a=!,b=z Some(1.0)",
            "query|query|redis a=redis!,b=z Some(1.0)",
            "query|query| a=!,b=z Some(1.0)",
        ]
    );
    batch.change_resources(|span_type, resource| Some(format!("{resource} of {span_type}")));
    batch.change_texts(|span_type, key, text| {
        (key == "b").then(|| format!("{text} of {span_type}").into())
    });
    assert_eq!(
        shown(&batch),
        [
            "query|SELECT 1 of sql|sql a=sql!,b=z of sql Some(1.0)",
            "query|GET / of | a=!,b=z of  Some(1.0)",
            "query|query of redis|redis a=redis!,b=z of redis Some(1.0)",
            "query|query of | a=!,b=z of  Some(1.0)",
        ]
    );
}

#[test]
fn services_and_extras_stay_with_their_spans() {
    let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
    let of = |id: u64, service: Option<&Arc<str>>, with_struct: bool| {
        let mut span = span(id, &[]);
        span.service = service.cloned();
        if with_struct {
            span.extras().structs.push(("key".into(), vec![id as u8]));
        }
        span
    };
    let (mut first, mut second) = (Batch::default(), Batch::default());
    first.push(&mut of(1, Some(&one), false), Ticks::ZERO);
    first.push(&mut of(2, None, true), Ticks::ZERO);
    second.push(&mut of(3, None, false), Ticks::ZERO);
    second.push(&mut of(4, Some(&other), true), Ticks::ZERO);
    second.push(&mut of(5, Some(&other), false), Ticks::ZERO);
    assert_eq!(second.services.len(), 1, "the same one once");
    let bytes = first.bytes() + second.bytes();
    first.append(&mut second);
    assert_eq!((first.bytes(), second.bytes()), (bytes, 0));
    first.retain(|span| span.span.span_id != 1);
    let seen: Vec<_> = first
        .spans()
        .map(|span| {
            let extras = span.extras().map(|extras| extras.structs[0].1[0]);
            (span.span.span_id, span.service(), extras)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (2, None, Some(2)),
            (3, None, None),
            (4, Some("other"), Some(4)),
            (5, Some("other"), None)
        ]
    );
    first.clear();
    assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (1, 1));
}

#[test]
fn what_is_out_of_reach_is_left_out_and_the_rest_stays() {
    const HALF: usize = 33 << 20;
    let huge = || "x".repeat(HALF);
    let mut batch = Batch::default();
    batch.push(&mut span(1, &[("a", "x"), ("b", "y")]), Ticks::ZERO);
    for id in 2..4 {
        let mut other = span(id, &[("c", "z")]);
        other.resource = Some(huge().into());
        batch.push(&mut other, Ticks::ZERO);
    }
    batch.set_texts(|_span| vec![("b", "new".to_owned())]);
    batch.change_texts(|_type, key, _text| (key == "a").then(|| "changed".into()));
    assert_eq!(
        shown(&batch),
        ["1 a=,b= [1.0]", "2 c=z,b= [2.0]", "3 c=z,b=new [3.0]"]
    );
    assert!(
        batch
            .spans()
            .skip(1)
            .all(|span| span.resource().len() == HALF)
    );
    // Of its own texts, a span keeps what is within its bound.
    let further = ["more", "most"].map(|key| (key, huge().into()));
    let mut last = span(4, &[("a", "x")]);
    batch.clear();
    batch.push_with(&mut last, Ticks::ZERO, further.into_iter());
    assert_eq!(shown(&batch), ["4 a=x [4.0]"]);
}
