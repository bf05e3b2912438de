//! One keep-alive connection.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{Expectation, PreparedRequest, expectation::Answer, thread::Task};
use crate::Fault;

/// What opening a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Reads and writes; ends with the connection.
    _driver: Task<()>,
    has_timed_out: bool,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Connection, Fault> {
        match timeout(CONNECT_LIMIT, Connection::open_at_leisure(address)).await {
            Ok(opened) => opened.map_err(|it| Fault::Failed(format!("`{address}`: {it}"))),
            Err(_) => Err(Fault::Failed(format!(
                "`{address}`: no connection within {CONNECT_LIMIT:?}"
            ))),
        }
    }

    async fn open_at_leisure(address: SocketAddr) -> Result<Connection, Fault> {
        let stream = TcpStream::connect(address).await.map_err(Fault::failed)?;
        stream.set_nodelay(true).map_err(Fault::failed)?;
        if !stream.nodelay().map_err(Fault::failed)? {
            return Err(Fault::Failed("TCP_NODELAY cannot be set".into()));
        }
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Fault::failed)?;
        // What breaks the connection is told to whoever waits for an answer on it.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Ok(Connection {
            sender,
            _driver: Task(driver),
            has_timed_out: false,
        })
    }

    /// Whether another request can be sent, once the last one's answer is read.
    pub(super) async fn is_open(&mut self) -> bool {
        let is_ready = timeout(CONNECT_LIMIT, self.sender.ready()).await;
        !self.has_timed_out && matches!(is_ready, Ok(Ok(())))
    }

    /// Sends a request, reads the whole answer and judges it, its body's hash only if `in_full`.
    pub(super) async fn exchange(
        &mut self,
        request: &PreparedRequest,
        expect: &Expectation,
        in_full: bool,
        limit: Duration,
    ) -> Result<(), Fault> {
        match timeout(limit, self.answer(request, in_full)).await {
            Ok(answer) => expect.judge(&answer?),
            Err(_) => {
                self.has_timed_out = true;
                Err(Fault::Failed(format!("no answer within {limit:?}")))
            }
        }
    }

    async fn answer(&mut self, request: &PreparedRequest, in_full: bool) -> Result<Answer, Fault> {
        if self.sender.ready().await.is_err() {
            return Err(Fault::Failed("the server closed the connection".into()));
        }
        let sent = self.sender.send_request(request.to_send()).await;
        let mut response = sent.map_err(|it| broken(&it))?;
        let mut answer = Answer::new(response.status().as_u16(), in_full);
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(bytes) = frame.map_err(|it| broken(&it))?.into_data() {
                answer.take(&bytes);
            }
        }
        Ok(answer)
    }
}

/// Without the parts of an error that differ from one time to the next.
fn broken(error: &hyper::Error) -> Fault {
    match error.source() {
        Some(source) => Fault::Failed(format!("the connection broke: {error}: {source}")),
        None => Fault::Failed(format!("the connection broke: {error}")),
    }
}
