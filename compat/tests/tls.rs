//! TLS over gorin's sockets, with a certificate that signs itself: by the futures crate's traits, by
//! tokio's, and HTTP inside of it.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use std::sync::Arc;

use common::everywhere;
use futures_rustls::rustls;
use gorin::hyper::{Executor, Io, Timer};
use gorin::io::{AsyncReadExt, AsyncWriteExt};
use gorin::prelude::*;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::service::service_fn;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_util::compat::TokioAsyncReadCompatExt;
use web::{ask, mirror, pattern, tcp_pair};

/// The settings of both sides.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn configs(protocol: &[u8]) -> Configs {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    client.alpn_protocols = vec![protocol.to_vec()];
    server.alpn_protocols = vec![protocol.to_vec()];
    Configs {
        client: Arc::new(client),
        server: Arc::new(server),
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[test]
fn http1_over_futures_rustls() {
    let Configs { client, server } = configs(b"http/1.1");
    everywhere(move || {
        let acceptor = futures_rustls::TlsAcceptor::from(server.clone());
        let connector = futures_rustls::TlsConnector::from(client.clone());
        async move {
            let (ours, theirs) = tcp_pair().await;
            go(async move {
                let stream = acceptor.accept(theirs).await.unwrap();
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(Timer)
                    .writev(false)
                    .serve_connection(Io::new(stream), service_fn(mirror));
                connection.await.unwrap();
            });
            let stream = connector.connect(name(), ours).await?;
            let mut client = web::client(stream).await;
            for len in [0, 10, 1_000_000] {
                assert!(ask(&mut client, pattern(len)).await == pattern(len));
            }
            Ok(())
        }
    });
}

#[test]
fn http2_over_tokio_rustls() {
    let Configs { client, server } = configs(b"h2");
    everywhere(move || {
        let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
        let connector = tokio_rustls::TlsConnector::from(client.clone());
        async move {
            let (ours, theirs) = tcp_pair().await;
            go(async move {
                let stream = acceptor.accept(theirs).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
                let io = Io::new(stream.compat());
                let builder = hyper::server::conn::http2::Builder::new(Executor);
                let _ = builder.serve_connection(io, service_fn(mirror)).await;
            });
            let stream = connector.connect(name(), ours).await?;
            let builder = hyper::client::conn::http2::Builder::new(Executor);
            let (mut client, connection) = builder
                .handshake(Io::new(stream.compat()))
                .await
                .map_err(std::io::Error::other)?;
            go(connection);
            let request = Request::new(Full::new(pattern(500_000)));
            let answer = client.send_request(request).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body == pattern(500_000));
            Ok(())
        }
    });
}

#[test]
fn what_one_says_the_other_hears_and_its_end() {
    let Configs { client, server } = configs(b"words");
    everywhere(move || {
        let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
        let connector = futures_rustls::TlsConnector::from(client.clone());
        async move {
            let (ours, theirs) = tcp_pair().await;
            let server = go(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut stream = acceptor.accept(theirs).await.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
                stream.shutdown().await.unwrap();
            });
            let mut stream = connector.connect(name(), ours).await?;
            stream.write_all(&pattern(100_000)).await?;
            // Says so in TLS, and then in TCP.
            stream.close().await?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            assert!(all == pattern(100_000));
            server.await.unwrap();
            Ok(())
        }
    });
}

#[gorin::test]
async fn a_client_without_the_certificate_is_told_so() {
    let Configs { server, .. } = configs(b"words");
    let Configs { client, .. } = configs(b"words");
    let (ours, theirs) = tcp_pair().await;
    let acceptor = tokio_rustls::TlsAcceptor::from(server);
    let accepted = go(async move { acceptor.accept(theirs).await.map(drop) });
    let connector = tokio_rustls::TlsConnector::from(client);
    let error = connector.connect(name(), ours).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    assert!(accepted.await.unwrap().is_err());
}
