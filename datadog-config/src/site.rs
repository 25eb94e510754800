//! Datadog's sites.

use crate::endpoint::is_host_name;

pub(crate) const EXPECTS: &str =
    "a Datadog site such as datadoghq.com, datadoghq.eu or us5.datadoghq.com";

/// The public sites and the short names people use for them.
///
/// From Datadog's documentation ("Getting started: Datadog sites") and `datadog-api-client-rust: src/datadog/configuration.rs`.
const SITES: [(&str, &str); 10] = [
    ("us1", "datadoghq.com"),
    ("us3", "us3.datadoghq.com"),
    ("us5", "us5.datadoghq.com"),
    ("eu1", "datadoghq.eu"),
    ("ap1", "ap1.datadoghq.com"),
    ("ap2", "ap2.datadoghq.com"),
    ("uk1", "uk1.datadoghq.com"),
    ("us1-fed", "ddog-gov.com"),
    ("us2-fed", "us2.ddog-gov.com"),
    ("staging", "datad0g.com"),
];

/// The site that `text` means, and a remark if it is spelled unusually or not known. `None` if it is not a host name.
pub(crate) fn parse(text: &str) -> Option<(String, Option<String>)> {
    let text = text.trim().to_ascii_lowercase();
    if SITES.iter().any(|(_, site)| *site == text) {
        return Some((text, None));
    }
    let short = text.strip_suffix(".datadoghq.com").unwrap_or(&text);
    if let Some((_, site)) = SITES.iter().find(|(name, _)| *name == short) {
        return Some((
            (*site).to_owned(),
            Some(format!("this site is written {site}")),
        ));
    }
    let is_domain = is_host_name(&text) && text.contains('.');
    is_domain.then(|| {
        (
            text,
            Some("not a site known to this version, used as given".to_owned()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sites_are_taken_without_a_word() {
        for (_, site) in SITES {
            assert_eq!(parse(site), Some((site.to_owned(), None)));
        }
        assert_eq!(
            parse(" DatadogHQ.eu "),
            Some(("datadoghq.eu".to_owned(), None))
        );
    }

    #[test]
    fn other_spellings_are_mapped_with_a_remark() {
        for (text, site) in [
            ("us1", "datadoghq.com"),
            ("US1.datadoghq.com", "datadoghq.com"),
            ("eu1", "datadoghq.eu"),
            ("eu1.datadoghq.com", "datadoghq.eu"),
            ("ap2", "ap2.datadoghq.com"),
            ("us1-fed", "ddog-gov.com"),
        ] {
            assert_eq!(
                parse(text),
                Some((
                    site.to_owned(),
                    Some(format!("this site is written {site}"))
                )),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_sites_are_used_with_a_remark() {
        let (site, remark) = parse("ap3.datadoghq.com").unwrap();
        assert_eq!(site, "ap3.datadoghq.com");
        assert!(remark.unwrap().contains("not a site known"));
    }

    #[test]
    fn what_is_no_host_is_no_site() {
        for text in [
            "",
            "https://datadoghq.com",
            "datadoghq.com/",
            "data dog.com",
            "nowhere",
            "...",
            "a.b:443",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
