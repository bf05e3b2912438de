//! One connection through the proxy.

use std::{io, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::{self, Instant},
};

/// What one read takes at most.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way in one direction. A sender that is further ahead is made to wait.
const CHUNKS_IN_FLIGHT: usize = 64;

/// How bytes flow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) stalled: bool,
    pub(super) delay: Duration,
}

/// A chunk and when it is due. An empty one says that the sender has ended.
type Chunk = (Instant, Vec<u8>);

/// Both ends of a link. They are reset, rather than closed in an orderly way, unless both have
/// ended by themselves.
struct Ends {
    client: TcpStream,
    server: TcpStream,
    ended: bool,
}

/// A client whose other end is not there yet. It is reset if that never comes, also where its task is
/// aborted meanwhile, or before it has begun.
pub(super) struct Waiting(Option<TcpStream>);

impl Waiting {
    pub(super) fn new(client: TcpStream) -> Waiting {
        Waiting(Some(client))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            reset(client);
        }
    }
}

/// Carries bytes both ways until both ends have ended or one of them breaks.
pub(super) async fn carry(mut waiting: Waiting, upstream: String, mut flow: watch::Receiver<Flow>) {
    let Ok(server) = TcpStream::connect(&upstream).await else {
        return;
    };
    let Some(client) = waiting.0.take() else {
        return;
    };
    let mut ends = Ends {
        client,
        server,
        ended: false,
    };
    let carried = ends.carry(&flow).await;
    // Through a stalled network nobody learns that the other end has broken.
    wait_until_flowing(&mut flow).await;
    ends.ended = carried.is_ok();
}

/// Makes the connection end with a reset when it is dropped.
pub(super) fn reset(stream: &TcpStream) {
    // It fails for a connection that has broken, which needs no reset.
    drop(stream.set_zero_linger());
}

impl Ends {
    async fn carry(&mut self, flow: &watch::Receiver<Flow>) -> io::Result<()> {
        // The proxy itself must not add a delay to small messages.
        self.client.set_nodelay(true)?;
        self.server.set_nodelay(true)?;
        let (from_client, to_client) = self.client.split();
        let (from_server, to_server) = self.server.split();
        tokio::try_join!(
            pump(from_client, to_server, flow),
            pump(from_server, to_client, flow)
        )?;
        Ok(())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if !self.ended {
            reset(&self.client);
            reset(&self.server);
        }
    }
}

/// Carries bytes one way.
async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    flow: &watch::Receiver<Flow>,
) -> io::Result<()> {
    let (sender, due) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::try_join!(take(from, sender, flow), give(due, to, flow.clone()))?;
    Ok(())
}

async fn take(
    from: ReadHalf<'_>,
    sender: mpsc::Sender<Chunk>,
    flow: &watch::Receiver<Flow>,
) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let count = match from.try_read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        chunk.truncate(count);
        let due = Instant::now() + flow.borrow().delay;
        let sent = sender.send((due, chunk)).await;
        if count == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

async fn give(
    mut due: mpsc::Receiver<Chunk>,
    mut to: WriteHalf<'_>,
    mut flow: watch::Receiver<Flow>,
) -> io::Result<()> {
    while let Some((at, chunk)) = due.recv().await {
        time::sleep_until(at).await;
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            wait_until_flowing(&mut flow).await;
            to.writable().await?;
            let written = write_unless_stalled(&to, rest, &flow)?;
            rest = &rest[written..];
        }
    }
    wait_until_flowing(&mut flow).await;
    to.shutdown().await
}

/// Writes what can be written at once.
///
/// The flow stays borrowed meanwhile, and whoever changes it waits for that: once it has been
/// changed to stalled, not a byte passes.
fn write_unless_stalled(
    to: &WriteHalf<'_>,
    bytes: &[u8],
    flow: &watch::Receiver<Flow>,
) -> io::Result<usize> {
    let current = flow.borrow();
    if current.stalled {
        return Ok(0);
    }
    match to.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

async fn wait_until_flowing(flow: &mut watch::Receiver<Flow>) {
    // It fails when the gate is gone, which aborts this task as well.
    drop(flow.wait_for(|flow| !flow.stalled).await);
}
