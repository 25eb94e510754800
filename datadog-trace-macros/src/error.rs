//! Errors that the compiler shows where the mistake is.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

pub(crate) struct Error {
    message: String,
    place: Span,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>, place: Span) -> Self {
        Self {
            message: message.into(),
            place,
        }
    }

    /// `::core::compile_error! { "…" }`, at the place of the mistake.
    pub(crate) fn tokens(&self) -> TokenStream {
        let punct = |sign, spacing| TokenTree::from(Punct::new(sign, spacing));
        let ident = |name| TokenTree::from(Ident::new(name, self.place));
        let message = TokenTree::from(Literal::string(&format!("#[traced]: {}", self.message)));
        let tokens = [
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            ident("core"),
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            ident("compile_error"),
            punct('!', Spacing::Alone),
            Group::new(Delimiter::Brace, message.into()).into(),
        ];
        let at_place = tokens.into_iter().map(|mut token| {
            token.set_span(self.place);
            token
        });
        at_place.collect()
    }
}
