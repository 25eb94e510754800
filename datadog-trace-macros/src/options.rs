//! What stands in the parentheses of the attribute.

use proc_macro::{Delimiter, Span, TokenStream, TokenTree};

use crate::error::Error;

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<TokenStream>,
    pub(crate) resource: Option<TokenStream>,
    pub(crate) service: Option<TokenStream>,
    pub(crate) span_type: Option<TokenStream>,
    pub(crate) tracer: Option<TokenStream>,
    pub(crate) root: Option<TokenStream>,
    /// Keys with the expressions of their values.
    pub(crate) tags: Vec<(String, TokenStream)>,
}

const KNOWN: &str =
    "expected `name`, `resource`, `service`, `span_type`, `tags(…)`, `tracer` or `crate`";

pub(crate) fn parse(tokens: TokenStream) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut root_place = None;
    for item in items(tokens) {
        let [TokenTree::Ident(key), rest @ ..] = &*item else {
            return Err(Error::new(KNOWN, place_of(&item)));
        };
        let slot = match &*key.to_string() {
            "tags" => {
                options.tags = tags(rest, key.span())?;
                continue;
            }
            "name" => &mut options.name,
            "resource" => &mut options.resource,
            "service" => &mut options.service,
            "span_type" => &mut options.span_type,
            "tracer" => &mut options.tracer,
            "crate" => {
                root_place = Some(key.span());
                &mut options.root
            }
            _ => return Err(Error::new(KNOWN, key.span())),
        };
        if slot.is_some() {
            return Err(Error::new(format!("`{key}` is set twice"), key.span()));
        }
        *slot = Some(value(rest, &key.to_string(), key.span())?);
    }
    match root_place {
        Some(place) if options.tracer.is_none() => Err(Error::new(
            "`crate` needs `tracer = …`: the default client is that of the crate `datadog`",
            place,
        )),
        _ => Ok(options),
    }
}

/// `(key, key = expression, …)`. A key may have several parts: `user.id`.
fn tags(rest: &[TokenTree], place: Span) -> Result<Vec<(String, TokenStream)>, Error> {
    let [TokenTree::Group(group)] = rest else {
        return Err(Error::new("expected `tags(…)`", place));
    };
    if group.delimiter() != Delimiter::Parenthesis {
        return Err(Error::new("expected `tags(…)`", group.span()));
    }
    items(group.stream())
        .into_iter()
        .map(|item| tag(&item))
        .collect()
}

fn tag(item: &[TokenTree]) -> Result<(String, TokenStream), Error> {
    let is_equals =
        |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '=');
    let (key, rest) = item.split_at(item.iter().position(is_equals).unwrap_or(item.len()));
    let name = match key {
        [TokenTree::Literal(literal)] => {
            let text = literal.to_string();
            text.strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .map(str::to_owned)
        }
        _ => dotted(key),
    };
    let Some(name) = name else {
        return Err(Error::new(
            "expected a tag's key, such as `user` or `user.id`",
            place_of(item),
        ));
    };
    let value = if rest.is_empty() {
        key.iter().cloned().collect()
    } else {
        value(rest, &name, place_of(item))?
    };
    Ok((name, value))
}

/// `a.b.c`
fn dotted(tokens: &[TokenTree]) -> Option<String> {
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(part) if at % 2 == 0 => {
                text.push_str(part.to_string().trim_start_matches("r#"))
            }
            TokenTree::Punct(dot) if at % 2 == 1 && dot.as_char() == '.' => text.push('.'),
            _ => return None,
        }
    }
    (tokens.len() % 2 == 1).then_some(text)
}

/// What stands behind the `=`.
fn value(rest: &[TokenTree], key: &str, place: Span) -> Result<TokenStream, Error> {
    match rest {
        [TokenTree::Punct(equals), value @ ..] if equals.as_char() == '=' && !value.is_empty() => {
            Ok(value.iter().cloned().collect())
        }
        _ => Err(Error::new(format!("expected `{key} = …`"), place)),
    }
}

/// What stands between commas.
fn items(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
    let items = tokens.split(is_comma).map(<[TokenTree]>::to_vec);
    items.filter(|item| !item.is_empty()).collect()
}

fn place_of(item: &[TokenTree]) -> Span {
    item.first().map_or_else(Span::call_site, TokenTree::span)
}
