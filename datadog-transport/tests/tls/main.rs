//! TLS against a server whose certificate nobody vouches for.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_transport::{Payload, TransportBuilder};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

/// For `localhost`, signed by its own key. Made by `openssl req -x509`, for a hundred years.
const CERTIFICATE: &[u8] = include_bytes!("cert.der");
const KEY: &[u8] = include_bytes!("key.der");

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let server = thread::spawn(move || shake_hands(&listener));
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(&url)
        .build()
        .unwrap();
    let client = TransportBuilder::new(&config).agent().unwrap();
    let payload = Payload::new(b"secret".to_vec(), Vec::new(), 0);
    let error = client
        .post("/v0.4/traces", &payload, Duration::from_secs(20))
        .unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains(&url) && text.contains("certificate"),
        "{text}"
    );
    // It was left before it got anything.
    server.join().unwrap().unwrap_err();
}

/// Does what a server does up to the first byte of the request.
fn shake_hands(listener: &TcpListener) -> std::io::Result<()> {
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(CERTIFICATE)],
                PrivatePkcs8KeyDer::from(KEY).into(),
            )
            .unwrap();
    let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
    let (mut stream, _) = listener.accept()?;
    loop {
        connection.complete_io(&mut stream)?;
        assert!(connection.is_handshaking(), "the client trusts anyone");
    }
}
