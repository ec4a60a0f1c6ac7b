//! The page that Prometheus reads: `GET /metrics` over plain HTTP/1.1, one request per connection.

use super::Metrics;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections served at once; more wait in the backlog.
const CONNECTIONS: usize = 8;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 8192;
/// Time for reading a request and for writing the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the socket for `host:port`; `:port` means loopback only.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    match address.strip_prefix(':') {
        Some(port) => TcpListener::bind(format!("127.0.0.1:{port}")).await,
        None => TcpListener::bind(address).await,
    }
}

/// Serves until the future is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                connections.spawn(async move {
                    // A scraper that goes away is no news.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, &metrics)).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "The metrics endpoint could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default().split(|&byte| byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", metrics.render()),
        (b"GET" | b"HEAD", b"/") => ("200 OK", "The metrics are at /metrics\n".to_owned()),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "Only /metrics is here\n".to_owned()),
        _ => ("405 Method Not Allowed", "Only GET is answered\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != b"HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    async fn ask(request: &str) -> String {
        let metrics = Metrics::default();
        metrics.gauge(&names::KAFKA_CONTROLLER_ACTIVE_CONTROLLER_COUNT, &[]).set(1);
        let listener = bind(":0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let server = tokio::spawn(serve(listener, metrics));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        server.abort();
        text
    }

    #[tokio::test]
    async fn a_scrape_gets_the_series() {
        let text = ask("GET /metrics?x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\nkafka_controller_kafkacontroller_activecontrollercount 1\n"), "{text}");
        assert!(ask("GET /x HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        assert!(ask("HEAD /metrics HTTP/1.1\r\n\r\n").await.ends_with("\r\n\r\n"));
        assert_eq!(ask(&"x".repeat(HEAD_BYTES)).await, "");
    }
}
