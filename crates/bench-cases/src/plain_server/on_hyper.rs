//! The plain server on hyper, behind tower-http's compression: what is under axum, without axum.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::{TcpListener, TcpStream};
use tower::service_fn;
use tower_http::compression::Compression;

use super::{Compressor, PlainRoute, tell, when_closed};

/// Answers by their paths: a content type and a body.
type Answers = HashMap<String, (String, Bytes)>;

/// Serves on this thread until standard input is closed.
pub(super) fn serve(routes: &[PlainRoute]) -> anyhow::Result<()> {
    let mut answers = Answers::new();
    for route in routes {
        let path = &route.path;
        ensure!(
            route.compressor == Compressor::Framework && !route.is_marked && route.stall.is_none(),
            "`{path}` asks hyper for what it has not"
        );
        let body = STANDARD
            .decode(&route.body_base64)
            .with_context(|| format!("the body of `{path}` is no base64"))?;
        answers.insert(path.clone(), (route.content_type.clone(), body.into()));
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(accept(Arc::new(answers)))
}

async fn accept(answers: Arc<Answers>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("failed to listen")?;
    tell(listener.local_addr().context("no address")?.port())?;
    let mut closed = when_closed();
    loop {
        tokio::select! {
            connection = listener.accept() => {
                let (connection, _) = connection.context("failed to accept")?;
                tokio::spawn(answer(connection, Arc::clone(&answers)));
            }
            _ = &mut closed => return Ok(()),
        }
    }
}

async fn answer(connection: TcpStream, answers: Arc<Answers>) {
    let handler = service_fn(move |request: Request<Incoming>| {
        let response = respond(&answers, request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let service = TowerToHyperService::new(Compression::new(handler));
    let serving = async {
        connection.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        connection.await.map_err(std::io::Error::other)
    };
    // Its client sees that it ends, and says so.
    drop(serving.await);
}

fn respond(answers: &Answers, path: &str) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    match answers.get(path) {
        Some((content_type, body)) => {
            if let Ok(content_type) = content_type.parse() {
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, content_type);
            }
            *response.body_mut() = Full::new(body.clone());
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}
