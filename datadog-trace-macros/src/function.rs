//! The parts of a function that matter here; the rest is passed on as it came.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use crate::error::Error;

pub(crate) struct Function {
    /// Everything before the body.
    pub(crate) head: Vec<TokenTree>,
    pub(crate) name: Ident,
    pub(crate) is_async: bool,
    /// What stands behind `->`; empty for `()`.
    pub(crate) returns: Vec<TokenTree>,
    /// Where `#[track_caller]` stands.
    pub(crate) track_caller: Option<Span>,
    pub(crate) body: Group,
}

pub(crate) fn parse(item: TokenStream) -> Result<Function, Error> {
    let mut head: Vec<TokenTree> = item.into_iter().collect();
    let is_fn = |token: &TokenTree| is_word(token, "fn");
    let Some(at) = head.iter().position(is_fn) else {
        return Err(Error::new("expected a function", place_of(&head)));
    };
    let (before, rest) = head.split_at(at);
    if let Some(word) = before.iter().find(|token| is_word(token, "const")) {
        return Err(Error::new(
            "a `const fn` can't be traced: to start a span is no constant",
            word.span(),
        ));
    }
    let is_async = before.iter().any(|token| is_word(token, "async"));
    let Some(TokenTree::Ident(name)) = rest.get(1) else {
        return Err(Error::new("expected a function", place_of(rest)));
    };
    let name = name.clone();
    let returns = return_type(rest);
    let track_caller = before.iter().find_map(track_caller);
    match head.pop().map(unwrapped) {
        Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => Ok(Function {
            head,
            name,
            is_async,
            returns,
            track_caller,
            body,
        }),
        _ => Err(Error::new(
            "only a function with a body can be traced",
            name.span(),
        )),
    }
}

/// From `fn` on: what stands between the `->` behind the parameters and `where` or the body.
fn return_type(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let mut depth = 0usize;
    let mut parameters_seen = false;
    let mut returns = None;
    let mut arrow_begins = false;
    for token in tokens {
        let sign = match token {
            TokenTree::Punct(sign) => sign.as_char(),
            _ => ' ',
        };
        let ends_arrow = arrow_begins && sign == '>';
        arrow_begins = sign == '-';
        if depth == 0 && is_word(token, "where") {
            break;
        }
        match sign {
            '<' => depth += 1,
            '>' if ends_arrow && depth == 0 && parameters_seen && returns.is_none() => {
                returns = Some(Vec::new());
                continue;
            }
            '>' if ends_arrow => {}
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let TokenTree::Group(group) = token
            && depth == 0
            && group.delimiter() == Delimiter::Parenthesis
        {
            parameters_seen = true;
        }
        if let Some(returns) = &mut returns {
            returns.push(token.clone());
        }
    }
    let mut returns = returns.unwrap_or_default();
    // The body, where no `where` stands before it.
    let last = returns.last().cloned().map(unwrapped);
    if matches!(last, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace) {
        returns.pop();
    }
    returns
}

impl Function {
    /// Whether the type that it returns can be named.
    pub(crate) fn return_type_has_name(&self) -> bool {
        let is_never = |returned: &TokenTree| matches!(unwrapped(returned.clone()), TokenTree::Punct(sign) if sign.as_char() == '!');
        !matches!(&*self.returns, [returned] if is_never(returned))
            && !has_impl(self.returns.iter().cloned())
    }
}

/// What a `macro_rules!` was given as `$body:block` or `$returned:ty` comes in a group that can't be seen.
fn unwrapped(token: TokenTree) -> TokenTree {
    if let TokenTree::Group(group) = &token
        && group.delimiter() == Delimiter::None
    {
        let mut inside = group.stream().into_iter();
        if let (Some(only), None) = (inside.next(), inside.next()) {
            return unwrapped(only);
        }
    }
    token
}

/// The place of an attribute's brackets, where that is `#[track_caller]`.
fn track_caller(token: &TokenTree) -> Option<Span> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
            let first = group.stream().into_iter().next()?;
            is_word(&first, "track_caller").then(|| first.span())
        }
        _ => None,
    }
}

fn has_impl(tokens: impl IntoIterator<Item = TokenTree>) -> bool {
    tokens.into_iter().any(|token| match &token {
        TokenTree::Group(group) => has_impl(group.stream()),
        token => is_word(token, "impl"),
    })
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

fn place_of(tokens: &[TokenTree]) -> Span {
    tokens.first().map_or_else(Span::call_site, TokenTree::span)
}
