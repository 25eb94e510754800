//! Whatever is done to a batch, its spans say the same as those of a list of plain structures.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// A span as it is easily seen to be right.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    id: u64,
    name: String,
    resource: Option<String>,
    span_type: Option<String>,
    service: Option<String>,
    tags: Vec<(String, Tag)>,
    structs: Option<Vec<u8>>,
    kept_alone: bool,
    marks: [bool; 3],
}

#[derive(Clone, Debug, PartialEq)]
enum Tag {
    Text(String),
    /// Its bits.
    Number(u64),
}

/// A text that is static, or not.
type Given = Cow<'static, str>;

#[derive(Clone, Debug)]
struct New {
    texts: (Given, Option<Given>, Option<Given>),
    service: Option<usize>,
    tags: Vec<(Given, Tag)>,
    /// Tags of other keys that come with the end.
    further: Vec<Tag>,
    structs: Option<Vec<u8>>,
    marks: [bool; 3],
}

#[derive(Clone, Debug)]
enum Step {
    Push(New),
    PushOther(New),
    Append,
    AppendToOther,
    SetTexts(u64),
    ChangeTexts(u64),
    ChangeResources(u64),
    KeepAlone(u64),
    Retain(u64),
    RootFirst,
    Clear,
}

const KEYS: [&str; 5] = ["a", "b", "peer.service", "set", "sql.query"];
const FURTHER: [&str; 3] = ["further", "more", "most"];

fn given() -> impl Strategy<Value = Given> {
    let texts = vec!["", "a", "b", "sql", "GET /cart/ä"];
    (select(texts), any::<bool>()).prop_map(|(text, is_static)| match is_static {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_owned()),
    })
}

fn key() -> impl Strategy<Value = Given> {
    (select(&KEYS[..]), any::<bool>()).prop_map(|(text, is_static)| match is_static {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_owned()),
    })
}

fn tag() -> impl Strategy<Value = Tag> {
    let edges = vec![
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        5e-324,
        -5e-324,
        9_007_199_254_740_993.0,
    ];
    let numbers = prop_oneof![select(edges), any::<f64>()];
    prop_oneof![
        "[a-zä]{0,9}".prop_map(Tag::Text),
        numbers.prop_map(|number| Tag::Number(number.to_bits())),
    ]
}

prop_compose! {
    fn new()(
        texts in (given(), option::of(given()), option::of(given())),
        service in option::of(0..3_usize),
        tags in vec((key(), tag()), 0..6),
        further in vec(tag(), 0..3),
        structs in option::of(vec(any::<u8>(), 0..4)),
        marks in any::<[bool; 3]>(),
    ) -> New {
        New { texts, service, tags, further, structs, marks }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => new().prop_map(Step::Push),
        4 => new().prop_map(Step::PushOther),
        2 => Just(Step::Append),
        1 => Just(Step::AppendToOther),
        2 => any::<u64>().prop_map(Step::SetTexts),
        2 => any::<u64>().prop_map(Step::ChangeTexts),
        2 => any::<u64>().prop_map(Step::ChangeResources),
        1 => any::<u64>().prop_map(Step::KeepAlone),
        1 => any::<u64>().prop_map(Step::Retain),
        1 => Just(Step::RootFirst),
        1 => Just(Step::Clear),
    ]
}

fn value(tag: &Tag) -> TagValue<'_> {
    match tag {
        Tag::Text(text) => TagValue::from(&**text),
        Tag::Number(bits) => f64::from_bits(*bits).into(),
    }
}

/// As a span has it: what is no finite number is a text.
fn kept(tag: &Tag) -> Tag {
    match tag {
        Tag::Number(bits) if !f64::from_bits(*bits).is_finite() => {
            Tag::Text(f64::from_bits(*bits).to_string())
        }
        tag => tag.clone(),
    }
}

fn set(tags: &mut Vec<(String, Tag)>, key: &str, tag: Tag) {
    match tags.iter_mut().find(|(known, _)| known == key) {
        Some((_, known)) => *known = tag,
        None => tags.push((key.to_owned(), tag)),
    }
}

/// Some yes and some no, the same for the same.
fn says(seed: u64, id: u64) -> bool {
    (seed >> (id % 64)) & 1 == 1
}

/// Changes a text for some spans and not for others.
fn changed(seed: u64, span_type: &str, text: &str) -> Option<String> {
    let sum = span_type.len() as u64 + text.len() as u64;
    says(seed, sum).then(|| format!("{seed:x} {span_type} {text}"))
}

/// What `set_texts` sets, by what the span is.
fn texts_of(seed: u64, id: u64, span_type: &str, resource: &str) -> Vec<(&'static str, String)> {
    let texts = [
        ("set", format!("{id} {resource}")),
        ("peer.service", span_type.to_owned()),
        ("peer.service", format!("{span_type}!")),
    ];
    let wanted = (0..).map(|at| says(seed, id + at));
    let texts = texts.into_iter().zip(wanted);
    texts
        .filter_map(|(text, wanted)| wanted.then_some(text))
        .collect()
}

impl Plain {
    fn resource(&self) -> &str {
        self.resource.as_ref().unwrap_or(&self.name)
    }

    fn span_type(&self) -> &str {
        self.span_type.as_deref().unwrap_or_default()
    }

    /// What is shown of it.
    fn shown(mut self) -> Self {
        self.resource = Some(self.resource().to_owned());
        self.span_type = Some(self.span_type().to_owned());
        let texts = |(_, tag): &(String, Tag)| matches!(tag, Tag::Text(_));
        self.tags.sort_by_key(|tag| !texts(tag));
        self
    }
}

fn shown(span: FinishedSpan<'_>) -> Plain {
    let texts = span
        .texts()
        .map(|(key, text)| (key, Tag::Text(text.to_owned())));
    let numbers = span.numbers();
    let numbers = numbers.map(|(key, number)| (key, Tag::Number(number.to_bits())));
    let tags = texts.chain(numbers).map(|(key, tag)| (key.to_owned(), tag));
    let structs = |extras: &Extras| Some(extras.structs.first()?.1.clone());
    Plain {
        id: span.span.span_id,
        name: span.name().to_owned(),
        resource: Some(span.resource().to_owned()),
        span_type: Some(span.span_type().to_owned()),
        service: span.service().map(str::to_owned),
        tags: tags.collect(),
        structs: span.extras().and_then(structs),
        kept_alone: span
            .extras()
            .is_some_and(|extras| extras.kept_alone.is_some()),
        marks: [
            span.span.is_local_root,
            span.span.top_level,
            span.span.error,
        ],
    }
}

/// Two batches beside what they should be, and a span whose memory is used again.
struct Both {
    batches: [(Batch, Vec<Plain>); 2],
    memory: SpanData,
    services: [Arc<str>; 3],
    last_id: u64,
}

impl Both {
    fn push(&mut self, at: usize, new: New) {
        self.last_id += 1;
        let span = &mut self.memory;
        assert!(span.service.is_none() && span.extras.is_none() && span.resource.is_none());
        assert!(span.span_type.is_none() && matches!(span.name, Cow::Borrowed(_)));
        assert_eq!(span.tags.bytes(), 0);
        let (name, resource, span_type) = new.texts;
        span.begin(self.last_id, 0, name.clone(), Ticks::ZERO);
        (span.resource, span.span_type) = (resource.clone(), span_type.clone());
        span.service = new
            .service
            .map(|service| Arc::clone(&self.services[service]));
        [span.is_local_root, span.top_level, span.error] = new.marks;
        let mut tags = Vec::new();
        for (key, tag) in new.tags {
            match value(&tag) {
                TagValue::Text(text) => span.tags.set_text(key.clone(), &text),
                TagValue::Number(number) => span.tags.set_number(key.clone(), number),
            }
            set(&mut tags, &key, kept(&tag));
        }
        if let Some(map) = &new.structs {
            span.extras().structs.push(("map".into(), map.clone()));
        }
        let further = FURTHER.into_iter().zip(&new.further);
        for (key, tag) in further.clone() {
            set(&mut tags, key, kept(tag));
        }
        let (batch, plain) = &mut self.batches[at];
        batch.push_with(
            span,
            Ticks::ZERO,
            further.map(|(key, tag)| (key, value(tag))),
        );
        plain.push(Plain {
            id: self.last_id,
            name: name.into_owned(),
            resource: resource.map(Cow::into_owned),
            span_type: span_type.map(Cow::into_owned),
            service: new
                .service
                .map(|service| self.services[service].to_string()),
            tags,
            structs: new.structs,
            kept_alone: false,
            marks: new.marks,
        });
    }

    fn append(&mut self) {
        let [(one, plain), (other, others)] = &mut self.batches;
        let bytes = one.bytes() + other.bytes();
        one.append(other);
        plain.append(others);
        assert_eq!((one.bytes(), other.bytes()), (bytes, 0));
    }

    fn step(&mut self, step: Step) {
        let (batch, plain) = &mut self.batches[0];
        match step {
            Step::Push(new) => self.push(0, new),
            Step::PushOther(new) => self.push(1, new),
            Step::Append => self.append(),
            Step::AppendToOther => {
                self.batches.swap(0, 1);
                self.append();
            }
            Step::SetTexts(seed) => {
                batch.set_texts(|span| {
                    texts_of(seed, span.span.span_id, span.span_type(), span.resource())
                });
                for span in plain {
                    let texts = texts_of(seed, span.id, span.span_type(), span.resource());
                    for (key, text) in texts {
                        set(&mut span.tags, key, Tag::Text(text));
                    }
                }
            }
            Step::ChangeTexts(seed) => {
                batch.change_texts(|span_type, key, text| {
                    changed(seed, span_type, &format!("{key}={text}")).map(Into::into)
                });
                for span in plain {
                    let span_type = span.span_type().to_owned();
                    for (key, tag) in &mut span.tags {
                        if let Tag::Text(text) = tag
                            && let Some(other) = changed(seed, &span_type, &format!("{key}={text}"))
                        {
                            *text = other;
                        }
                    }
                }
            }
            Step::ChangeResources(seed) => {
                batch.change_resources(|span_type, resource| changed(seed, span_type, resource));
                for span in plain {
                    if let Some(other) = changed(seed, span.span_type(), span.resource()) {
                        span.resource = Some(other);
                    }
                }
            }
            Step::KeepAlone(seed) => {
                batch.keep_alone(|span| says(seed, span.span.span_id).then_some((1.0, None)));
                let plain = plain.iter_mut();
                plain.for_each(|span| span.kept_alone |= says(seed, span.id));
            }
            Step::Retain(seed) => {
                batch.retain(|span| says(seed, span.span.span_id));
                plain.retain(|span| says(seed, span.id));
            }
            Step::RootFirst => {
                batch.root_first();
                if let Some(root) = plain.iter().position(|span| span.marks[0]) {
                    plain.swap(0, root);
                }
            }
            Step::Clear => {
                batch.clear();
                plain.clear();
                assert_eq!(batch.bytes(), 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 128 }) })]

    #[test]
    fn a_batch_is_as_a_list_of_plain_spans(steps in vec(step(), 0..24)) {
        let mut both = Both {
            batches: Default::default(),
            memory: SpanData::default(),
            services: ["one", "other", ""].map(Into::into),
            last_id: 0,
        };
        for step in steps {
            both.step(step);
            for (batch, plain) in &both.batches {
                let seen: Vec<Plain> = batch.spans().map(shown).collect();
                let plain: Vec<Plain> = plain.iter().cloned().map(Plain::shown).collect();
                prop_assert_eq!(seen, plain);
            }
        }
        both.batches.iter_mut().for_each(|(batch, _)| batch.clear());
        prop_assert!(both.services.iter().all(|service| Arc::strong_count(service) == 1));
    }
}
