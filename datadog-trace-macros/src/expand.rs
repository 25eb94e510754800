//! The function that the attribute makes of another one.

use proc_macro::{Group, Literal, Span, TokenStream, TokenTree};

use crate::error::Error;
use crate::function::Function;
use crate::options::Options;

/// Starts the span and says what is known of it.
const START: &str = "
    let mut __span = __start;
    if __span.span_id() != 0 {
        use __root::__private::{ByDisplay as _, ByValue as _};
        __settings
    }
";

/// `return` and `?` of the body end the closure, so that what it returns can be looked at.
const LOOKED_AT: &str = "{
    __begin
    let __result: __returns = __root::__private::once(move || -> __returns __body);
    {
        use __root::__private::{IsAny as _, IsDebug as _, IsDisplay as _, IsError as _, IsErrorBox as _, IsResult as _};
        (&&&&&&__root::__private::Outcome(&__result)).tell(&mut __span);
    }
    __result
}";

/// Ends the span with the function, whatever it returns.
const GUARDED: &str = "{
    __begin
    let __span = __span;
    __body
}";

const ASYNC: &str = "{
    let __span = {
        __begin
        __span.detach()
    };
    __root::__private::in_span::<__returns, _, _>(async move __body, __span, |__result, __span| {
        use __root::__private::{IsAny as _, IsDebug as _, IsDisplay as _, IsError as _, IsErrorBox as _, IsResult as _};
        (&&&&&&__root::__private::Outcome(__result)).tell(__span);
    })
    .await
}";

const ASYNC_UNNAMED: &str = "{
    let __span = {
        __begin
        __span.detach()
    };
    __root::FutureExt::in_span(async move __body, __span).await
}";

pub(crate) fn expand(function: &Function, options: &Options) -> Result<TokenStream, Error> {
    let root = options
        .root
        .clone()
        .map_or_else(|| template("::datadog", &[]), Ok)?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => text(&plain_name(function)),
    };
    let start = match &options.tracer {
        Some(tracer) => template(
            "(__tracer).trace(__name)",
            &[("__tracer", tracer), ("__name", &name)],
        ),
        None => template(
            "__root::__private::start(__name)",
            &[("__root", &root), ("__name", &name)],
        ),
    }?;
    let settings = settings(function, options, &root)?;
    let begin = template(
        START,
        &[
            ("__start", &start),
            ("__root", &root),
            ("__settings", &settings),
        ],
    )?;
    let returns: TokenStream = if function.returns.is_empty() {
        template("()", &[])?
    } else {
        function.returns.iter().cloned().collect()
    };
    let mut body = function.body.clone();
    let shape = match (function.is_async, function.return_type_has_name()) {
        (true, true) => ASYNC,
        (true, false) => ASYNC_UNNAMED,
        (false, true) if !function.returns.is_empty() => {
            refuse_track_caller(function)?;
            LOOKED_AT
        }
        (false, _) => {
            // The compiler takes the braces of a short body for needless, unless they come from here.
            body.set_span(body.span().resolved_at(Span::mixed_site()));
            GUARDED
        }
    };
    let body = TokenTree::from(body).into();
    let body = template(
        shape,
        &[
            ("__begin", &begin),
            ("__root", &root),
            ("__returns", &returns),
            ("__body", &body),
        ],
    )?;
    let head = function.head.iter().cloned();
    Ok(head.chain(body).collect())
}

/// A closure has no caller's place: the body would be told its own.
fn refuse_track_caller(function: &Function) -> Result<(), Error> {
    match function.track_caller {
        Some(place) => Err(Error::new(
            "`#[track_caller]` has no effect in a traced function that returns a value",
            place,
        )),
        None => Ok(()),
    }
}

/// The statements that set what the options say.
fn settings(
    function: &Function,
    options: &Options,
    root: &TokenStream,
) -> Result<TokenStream, Error> {
    let mut all = TokenStream::new();
    let resource = match &options.resource {
        Some(resource) => resource.clone(),
        None if options.name.is_none() => {
            let name = text(&plain_name(function));
            template(
                "::core::concat!(::core::module_path!(), \"::\", __name)",
                &[("__name", &name)],
            )?
        }
        None => TokenStream::new(),
    };
    let setters = [
        (
            "__span.set_resource(__value);",
            Some(&resource).filter(|resource| !resource.is_empty()),
        ),
        (
            "__span.set_service(::core::convert::AsRef::<str>::as_ref(&(__value)));",
            options.service.as_ref(),
        ),
        ("__span.set_type(__value);", options.span_type.as_ref()),
    ];
    for (setter, value) in setters {
        if let Some(value) = value {
            all.extend(template(setter, &[("__value", value)])?);
        }
    }
    for (key, value) in &options.tags {
        let parts = [("__key", &text(key)), ("__value", value), ("__root", root)];
        let setter = "__span.set_tag(__key, (&__root::__private::Value(&(__value))).tag());";
        all.extend(template(setter, &parts)?);
    }
    Ok(all)
}

fn plain_name(function: &Function) -> String {
    function
        .name
        .to_string()
        .trim_start_matches("r#")
        .to_owned()
}

fn text(text: &str) -> TokenStream {
    TokenTree::from(Literal::string(text)).into()
}

/// Rust code with names in place of which other tokens stand. Its own names are not those of the function around it.
fn template(code: &str, parts: &[(&str, &TokenStream)]) -> Result<TokenStream, Error> {
    let parsed: TokenStream = code.parse().map_err(|_| {
        Error::new(
            "this is a mistake in the attribute: please report it",
            Span::call_site(),
        )
    })?;
    Ok(fill(parsed, parts))
}

fn fill(code: TokenStream, parts: &[(&str, &TokenStream)]) -> TokenStream {
    code.into_iter()
        .flat_map(|mut token| {
            if let TokenTree::Group(group) = &token {
                let mut filled = Group::new(group.delimiter(), fill(group.stream(), parts));
                filled.set_span(Span::mixed_site());
                return TokenTree::from(filled).into();
            }
            if let TokenTree::Ident(ident) = &token {
                let name = ident.to_string();
                if let Some((_, part)) = parts.iter().find(|(known, _)| *known == name) {
                    return (*part).clone();
                }
            }
            token.set_span(Span::mixed_site());
            token.into()
        })
        .collect()
}
