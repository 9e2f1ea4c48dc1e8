//! An HTTP server: hyper for the protocol, a goroutine for each connection, and limits for all.
//!
//! ```sh
//! cargo run --release -p gorin-compat --example http                  # on 127.0.0.1:8080, or where you say
//! curl http://127.0.0.1:8080/ http://127.0.0.1:8080/json
//! curl --data 'five rings' http://127.0.0.1:8080/echo
//! curl --http2-prior-knowledge http://127.0.0.1:8080/json
//! python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:8080/json").read())'
//! ```
//!
//! What there is to learn here:
//!
//! - what hyper needs is `Io` around a stream, a `Timer`, without which its limits do not work, and for
//!   HTTP/2 an `Executor`;
//! - the limits that a server on the open net must have: how many connections (a channel whose places
//!   they take up), how long for the first byte, for the head of a request, for an answer, for sending it,
//!   and how much of a body;
//! - HTTP/1 and HTTP/2 on one port: `peek` looks at the first bytes and leaves them where they are.
//!   (hyper-util's `auto` does this too, but without a limit for a client that says nothing.);
//! - an access log over a channel: no request waits for whoever reads the output, and when the log
//!   cannot follow lines are dropped and not requests;
//! - an orderly end: connections that are idle end at once, requests that run get some seconds, a second
//!   Ctrl-C does not wait for that.
//!
//! An accept loop that uses `?` is safe: gorin's listeners tell only errors of their own, and wait by
//! themselves when descriptors run out.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gorin::Runtime;
use gorin::channel::Chan;
use gorin::hyper::{Executor, Io, Timer};
use gorin::io::{AsyncWriteExt, stdout};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::signal::shutdown_requested;
use gorin::sync::WaitGroup;
use gorin::time::{after, sleep, timeout};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 1000;

/// How long a client may take for its first bytes, and for the head of each request; also how long
/// connections are kept that ask for nothing.
const HEAD: Duration = Duration::from_secs(10);

/// How long an answer may take, the request's body included.
const ANSWER: Duration = Duration::from_secs(5);

/// How long the client may take to receive an answer.
const SENT: Duration = Duration::from_secs(10);

/// Bytes of a request's body.
const BODY_BYTES: usize = 1 << 20;

/// How long requests may go on after Ctrl-C or `SIGTERM`.
const DRAIN: Duration = Duration::from_secs(3);

/// How long the log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a client of HTTP/2 begins with, if it knows that the server has it.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const USAGE: &str = "usage: http [ADDRESS]    (127.0.0.1:8080 unless you say another)";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let address = match &arguments[..] {
        [] => "127.0.0.1:8080",
        [address] if !address.starts_with('-') => address,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match Runtime::builder().run(serve(address)).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: cannot serve on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A place among the connections, given back by dropping it, also when a handler panics.
struct Place(Chan<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

/// What all connections share.
#[derive(Clone)]
struct Site {
    log: Sender<String>,
    /// The requests that are being answered.
    requests: WaitGroup,
    /// Closed when the server ends.
    stopped: Receiver<()>,
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // Before the first line: who reads that may press Ctrl-C at once.
    let mut requested = pin!(shutdown_requested());
    // `println!` would end the server if whoever reads its output goes away.
    let _ = writeln!(io::stdout(), "http: listening on {address}");
    let _ = writeln!(io::stdout(), "try:  curl http://{address}/json");

    let (log, lines) = chan(1024);
    let logged = go(write_log(lines));
    let places = Chan::new(CONNECTIONS);
    let connections = WaitGroup::new();
    // Nobody sends here: closing it is the message.
    let (stop, stopped) = chan::<()>(0);
    let requests = WaitGroup::new();
    let site = Site {
        log: log.clone(),
        requests,
        stopped,
    };

    loop {
        let accepted = async {
            let _ = places.send(()).await;
            let place = Place(places.clone());
            let (stream, peer) = listener.accept().await?;
            io::Result::Ok((stream, peer, place))
        };
        select! {
            accepted = accepted => {
                let (stream, peer, place) = accepted?;
                let (site, token) = (site.clone(), connections.add());
                go(async move {
                    // An error is a peer that went away, was too slow, or speaks no HTTP.
                    let _ = serve_one(stream, peer, site).await;
                    drop((place, token));
                });
            }
            by = &mut requested => {
                by?;
                break;
            }
        }
    }
    drop(listener);
    let again = shutdown_requested();
    stop.close();
    select! {
        _ = connections.wait() => {}
        // Who is not done by then is cut off: the end of `main` ends all goroutines.
        _ = after(DRAIN) => {}
        _ = again => {}
    }
    log.close();
    // Somebody may have stopped reading them.
    let _ = timeout(LAST_LINES, logged).await;
    Ok(())
}

/// One connection, from its first byte to its last.
async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    site: Site,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let _ = stream.set_nodelay(true);
    let mut first = [0; HTTP2_PREFACE.len()];
    let len = select! {
        peeked = timeout(HEAD, stream.peek(&mut first)) => peeked??,
        _ = site.stopped.recv() => return Ok(()),
    };
    if &first[..len] == HTTP2_PREFACE {
        serve_http2(stream, peer, site).await?;
    } else {
        serve_http1(stream, peer, site).await?;
    }
    Ok(())
}

/// When the server ends the request that runs is the last, and if there is none the connection ends at
/// once.
async fn serve_http1(stream: TcpStream, peer: SocketAddr, site: Site) -> hyper::Result<()> {
    let (writer, stopped) = (stream.clone(), site.stopped.clone());
    let service = service_fn(move |request| {
        // hyper waits for a client that does not read as long as it takes; the socket does not.
        writer.set_write_deadline(Some(Instant::now() + ANSWER + SENT));
        answer_in_time(request, peer, site.clone())
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(HEAD)
        .serve_connection(Io::new(stream), service);
    let mut connection = pin!(connection);
    select! {
        ended = &mut connection => return ended,
        _ = stopped.recv() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// As [`serve_http1`]. Each request is a goroutine; a client that answers no ping is cut off, which goes
/// for one that does not read too.
async fn serve_http2(stream: TcpStream, peer: SocketAddr, site: Site) -> hyper::Result<()> {
    let stopped = site.stopped.clone();
    let connection = http2::Builder::new(Executor)
        .timer(Timer)
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(SENT)
        .max_concurrent_streams(100)
        .serve_connection(
            Io::new(stream),
            service_fn(move |request| answer_in_time(request, peer, site.clone())),
        );
    let mut connection = pin!(connection);
    select! {
        ended = &mut connection => return ended,
        _ = stopped.recv() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

async fn answer_in_time(
    request: Request<Incoming>,
    peer: SocketAddr,
    site: Site,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let begun = Instant::now();
    let _running = site.requests.add();
    let what = format!(
        "{} {} {:?}",
        request.method(),
        request.uri().path(),
        request.version()
    );
    let response = match timeout(ANSWER, answer(request, &site)).await {
        Ok(response) => response,
        Err(_elapsed) => text(StatusCode::SERVICE_UNAVAILABLE, "it took too long\n"),
    };
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    // A log that cannot follow loses lines, and keeps nobody waiting.
    let _ = site
        .log
        .try_send(format!("{peer} {what} {status} {took:?}\n"));
    Ok(response)
}

async fn answer(request: Request<Incoming>, site: &Site) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => text(StatusCode::OK, "hello\n"),
        (&Method::GET, "/json") => {
            let requests = site.requests.count();
            let mut response = text(StatusCode::OK, format!("{{\"requests\":{requests}}}\n"));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        (&Method::POST, "/echo") => {
            let body = Limited::new(request.into_body(), BODY_BYTES);
            match body.collect().await {
                Ok(body) => text(StatusCode::OK, body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => {
                    text(StatusCode::PAYLOAD_TOO_LARGE, "that is too much\n")
                }
                Err(_broken) => text(StatusCode::BAD_REQUEST, "the body did not come\n"),
            }
        }
        // For trying out the end of the server, and what becomes of the others meanwhile.
        (&Method::GET, "/slow") => {
            sleep(Duration::from_secs(1)).await;
            text(StatusCode::OK, "at last\n")
        }
        _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// Writes the lines out, until the channel is closed or nobody reads them.
async fn write_log(lines: Receiver<String>) -> io::Result<()> {
    let mut out = stdout();
    while let Some(line) = lines.recv().await {
        out.write_all(line.as_bytes()).await?;
    }
    out.flush().await
}
