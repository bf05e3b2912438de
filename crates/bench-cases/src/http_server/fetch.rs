//! One request at a time, for what is asked before anything is measured.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use ruleiq_bench::Fault;
use tokio::{net::TcpStream, time::timeout};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Larger bodies are refused.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its status code.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Its content coding, if it has one.
    pub coding: Option<String>,
    /// Its body, as it came.
    pub body: Bytes,
}

/// The answer of whoever listens there to a `GET` with these headers.
///
/// # Errors
///
/// When there is none within ten seconds.
pub async fn get(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<Fetched, Fault> {
    send(address, "GET", path, headers, "").await
}

pub(super) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &str,
) -> Result<Fetched, Fault> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned())));
    let request = request.map_err(Fault::failed)?;
    let answer = timeout(LIMIT, exchange(address, request)).await;
    answer.unwrap_or_else(|_| {
        Err(Fault::Failed(format!(
            "no answer to `{method} {path}` within {} s",
            LIMIT.as_secs()
        )))
    })
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Fetched, Fault> {
    let stream = TcpStream::connect(address).await.map_err(Fault::failed)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Fault::failed)?;
    // It ends with the sender; what breaks it, the sender tells.
    tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(Fault::failed)?;
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let (status, content_type, coding) = (
        response.status().as_u16(),
        header("content-type").unwrap_or_default(),
        header("content-encoding"),
    );
    let body = Limited::new(response.into_body(), MAX_BODY_BYTES);
    let body = body.collect().await;
    let body = body.map_err(|it| Fault::Failed(it.to_string()))?.to_bytes();
    Ok(Fetched {
        status,
        content_type,
        coding,
        body,
    })
}
