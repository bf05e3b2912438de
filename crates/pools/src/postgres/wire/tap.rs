//! The streams that go by.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::{
    Wire,
    frames::{Frames, Garbled},
};

/// A stream that tells a [`Wire`] what goes by.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    stream: S,
    talk: Option<Talk>,
}

/// Both directions of a connection.
#[derive(Debug)]
struct Talk {
    wire: Arc<Wire>,
    sent: Frames,
    received: Frames,
    /// Requests without their `ReadyForQuery`, in the order of sending.
    requests: VecDeque<Request>,
    /// Whether the server, which takes in a COPY, overlooks the next `Sync` (53.2.6): it was sent with the
    /// statement, before anybody knew.
    overlooks_sync: bool,
    /// Whether the server's next byte is its answer to the wish for TLS, which is no message.
    is_asked_for_tls: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    Query,
    Sync,
}

/// TLS with the tap on its inside.
pub(crate) struct TapTls<T> {
    tls: T,
    wire: Arc<Wire>,
}

impl<S> Tap<S> {
    /// Listens from the first byte on.
    pub(crate) fn new(stream: S, wire: Arc<Wire>) -> Tap<S> {
        let talk = Talk {
            wire,
            sent: Frames::of_client(),
            received: Frames::of_server(),
            requests: VecDeque::new(),
            overlooks_sync: false,
            is_asked_for_tls: false,
        };
        Tap {
            stream,
            talk: Some(talk),
        }
    }

    /// Listens no more.
    fn deaf(mut self) -> Tap<S> {
        self.talk = None;
        self
    }
}

impl Talk {
    fn sent(&mut self, bytes: &[u8]) {
        let (requests, overlooks_sync) = (&mut self.requests, &mut self.overlooks_sync);
        let mut begun = 0;
        let read = self.sent.read(bytes, |kind, _| match kind {
            b'Q' | b'F' => {
                begun += 1;
                requests.push_back(Request::Query);
            }
            b'B' | b'P' => begun += 1,
            b'S' if std::mem::take(overlooks_sync) => {}
            b'S' => requests.push_back(Request::Sync),
            _ => {}
        });
        self.is_asked_for_tls |= self.sent.take_asked_for_tls();
        self.wire.begin(begun);
        self.wire.sent(self.requests.len());
        self.judge(&read);
    }

    fn received(&mut self, mut bytes: &[u8]) {
        if self.is_asked_for_tls && !bytes.is_empty() {
            self.is_asked_for_tls = false;
            bytes = &bytes[1..];
        }
        let (requests, overlooks_sync) = (&mut self.requests, &mut self.overlooks_sync);
        let wire = &self.wire;
        let read = self.received.read(bytes, |kind, first| match kind {
            b'Z' => {
                // The first one answers the login, which is no request.
                requests.pop_front();
                *overlooks_sync = false;
                wire.ready(first, requests.len());
            }
            b'G' | b'W' => *overlooks_sync = requests.front() == Some(&Request::Sync),
            _ => {}
        });
        self.judge(&read);
    }

    fn judge(&self, read: &Result<(), Garbled>) {
        if read.is_err() {
            self.wire.garble();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if let Some(talk) = &mut self.talk {
            talk.received(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if let Some(talk) = &mut self.talk {
            talk.sent(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends once the other side has closed, too: only then has the server let go of the connection.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if self.talk.is_none() {
            return Poll::Ready(Ok(()));
        }
        let mut rest = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut rest);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // A reset is an end as well.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for Tap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

impl<T> TapTls<T> {
    pub(crate) fn new(tls: T, wire: Arc<Wire>) -> TapTls<T> {
        TapTls { tls, wire }
    }
}

impl<S, T> TlsConnect<Tap<S>> for TapTls<T>
where
    T: TlsConnect<Tap<S>, Future: Send> + 'static,
    T::Stream: Send,
    S: 'static,
{
    type Stream = Tap<T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: Tap<S>) -> Self::Future {
        let connecting = self.tls.connect(stream.deaf());
        let wire = self.wire;
        async move { Ok(Tap::new(connecting.await?, wire)) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::super::Status;
    use super::*;

    struct Line {
        client: Tap<DuplexStream>,
        server: DuplexStream,
        wire: Arc<Wire>,
    }

    impl Line {
        /// After the login.
        async fn open() -> Line {
            let (client, server) = tokio::io::duplex(1 << 16);
            let wire = Arc::new(Wire::new());
            let client = Tap::new(client, Arc::clone(&wire));
            let mut line = Line {
                client,
                server,
                wire,
            };
            line.say(&[0, 0, 0, 8, 0, 3, 0, 0]).await;
            line.hear(&ready(b'I')).await;
            line
        }

        async fn say(&mut self, bytes: &[u8]) {
            self.client.write_all(bytes).await.unwrap();
        }

        async fn hear(&mut self, bytes: &[u8]) {
            self.server.write_all(bytes).await.unwrap();
            let mut heard = vec![0; bytes.len()];
            self.client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, bytes);
        }

        fn is_busy(&self) -> bool {
            self.wire.is_busy()
        }
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    fn sync() -> Vec<u8> {
        message(b'S', b"")
    }

    fn ready(status: u8) -> Vec<u8> {
        message(b'Z', &[status])
    }

    #[tokio::test]
    async fn each_request_is_under_way_until_its_answer_ends() {
        let mut line = Line::open().await;
        assert!(!line.is_busy());
        line.say(&message(b'Q', b"SELECT 1\0")).await;
        line.say(&[message(b'B', b"\0"), message(b'E', b"\0"), sync()].concat())
            .await;
        line.hear(&message(b'D', b"a row")).await;
        line.hear(&ready(b'I')).await;
        assert!(line.is_busy());
        line.hear(&ready(b'I')).await;
        assert!(!line.is_busy());
        assert_eq!((line.wire.begun(), line.wire.answers()), (2, 3));
    }

    #[tokio::test]
    async fn the_transaction_has_the_status_of_the_last_answer() {
        let mut line = Line::open().await;
        for (status, expected) in [
            (b'T', Status::Open),
            (b'E', Status::Failed),
            (b'I', Status::Idle),
        ] {
            line.say(&message(b'Q', b"\0")).await;
            line.hear(&ready(status)).await;
            assert_eq!(line.wire.status(), expected);
            assert_eq!(line.wire.is_at_rest(), expected == Status::Idle);
            assert_eq!(
                line.wire.transaction_age().is_some(),
                expected != Status::Idle
            );
        }
    }

    #[tokio::test]
    async fn a_copy_is_one_request_although_it_has_two_syncs() {
        let mut line = Line::open().await;
        line.say(&[message(b'E', b"\0"), sync()].concat()).await;
        line.hear(&message(b'G', b"\0\0\0")).await;
        line.say(&message(b'd', b"1\n")).await;
        assert!(line.is_busy());
        line.say(&[message(b'c', b""), sync()].concat()).await;
        line.hear(&ready(b'I')).await;
        assert!(!line.is_busy());
    }

    #[tokio::test]
    async fn a_copy_that_fails_before_its_sync_is_read_leaves_nothing_behind() {
        let mut line = Line::open().await;
        line.say(&[message(b'E', b"\0"), sync()].concat()).await;
        line.hear(&[message(b'G', b"\0\0\0"), message(b'E', b"\0"), ready(b'I')].concat())
            .await;
        assert!(!line.is_busy());
        line.say(&[message(b'f', b"\0"), sync()].concat()).await;
        assert!(line.is_busy());
        line.hear(&ready(b'I')).await;
        assert!(!line.is_busy());
    }

    #[tokio::test]
    async fn a_server_that_has_no_tls_says_so_in_one_byte() {
        let (client, mut server) = tokio::io::duplex(1 << 16);
        let wire = Arc::new(Wire::new());
        let mut client = Tap::new(client, Arc::clone(&wire));
        client
            .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
            .await
            .unwrap();
        server.write_all(b"N").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'N');
        client.write_all(&[0, 0, 0, 8, 0, 3, 0, 0]).await.unwrap();
        server.write_all(&ready(b'I')).await.unwrap();
        let mut heard = [0; 6];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(wire.answers(), 1);
        assert!(!wire.is_busy());
    }

    #[tokio::test]
    async fn after_nonsense_nothing_is_believed() {
        let mut line = Line::open().await;
        line.hear(&[b'Z', 0, 0, 0, 0]).await;
        assert!(line.is_busy());
    }
}
