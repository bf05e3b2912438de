//! TLS in front of servers that have none.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// The request for TLS of a PostgreSQL client has no more than its length and its code.
const SSL_REQUEST_BYTES: usize = 8;

/// Whoever signs certificates. Its own is in a file, as long as this lives.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

/// A server with TLS. It ends with this value.
#[derive(Debug)]
pub(super) struct Relay {
    url: String,
    task: JoinHandle<()>,
}

impl Authority {
    pub(super) fn new() -> Authority {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("ruleiq-pools-{}-{number}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, certificate.pem()).unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.file.clone()
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

impl Relay {
    /// Answers the request for TLS that PostgreSQL's protocol begins with. The certificate is for
    /// `name`; the address has `localhost`.
    pub(super) async fn for_postgres(url: &str, authority: &Authority, name: &str) -> Relay {
        Relay::start(url, authority, name, true).await
    }

    /// Speaks TLS from the first byte, as Redis does.
    pub(super) async fn for_redis(url: &str, authority: &Authority, name: &str) -> Relay {
        let url = url.replacen("redis://", "rediss://", 1);
        Relay::start(&url, authority, name, false).await
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    async fn start(url: &str, authority: &Authority, name: &str, asks_first: bool) -> Relay {
        let (credentials, rest) = url.rsplit_once('@').unwrap();
        let (upstream, path) = match rest.split_once('/') {
            Some((upstream, path)) => (upstream.to_owned(), format!("/{path}")),
            None => (rest.to_owned(), String::new()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = authority.acceptor(name);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                // Whoever is not let in has its error already.
                tokio::spawn(
                    async move { relay(client, acceptor, upstream, asks_first).await.ok() },
                );
            }
        });
        Relay {
            url: format!("{credentials}@localhost:{port}{path}"),
            task,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    mut client: TcpStream,
    acceptor: TlsAcceptor,
    upstream: String,
    asks_first: bool,
) -> std::io::Result<()> {
    if asks_first {
        client.read_exact(&mut [0; SSL_REQUEST_BYTES]).await?;
        client.write_all(b"S").await?;
    }
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(upstream).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
