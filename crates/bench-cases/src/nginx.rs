//! Debian's nginx with its brotli module, as a peer: static files, compressed as they are asked for.
//!
//! It is the one that is installed; without it, its side is left out. It ends when its starter does: a shell that holds
//! it reads its standard input, and ends it when that is closed.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ruleiq_bench::Fault;
use uuid::Uuid;

/// Where Debian has it, and whoever else.
const PROGRAMS: [&str; 3] = [
    "/usr/sbin/nginx",
    "/usr/local/sbin/nginx",
    "/usr/local/bin/nginx",
];
const BROTLI: &str = "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so";
/// How long its start may take.
const START: Duration = Duration::from_secs(10);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(20);
/// Ports that are tried: another one may take a port between its choice and its use.
const TRIES: usize = 3;

/// A running nginx; ended when dropped, and its files with it.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    stdin: Option<ChildStdin>,
    address: SocketAddr,
    directory: PathBuf,
}

impl Nginx {
    /// Starts one that serves `bodies` as `/0`, `/1` and so on, brotli and gzip at its defaults.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not listen in time.
    pub(crate) fn start(bodies: &[Bytes], content_type: &str) -> Result<Nginx, Fault> {
        let program = PROGRAMS.into_iter().map(Path::new).find(|it| it.is_file());
        let program = program.filter(|_| Path::new(BROTLI).is_file());
        let program = program.ok_or_else(|| {
            let what = "nginx with its brotli module is not installed: install Debian's \
                        `nginx-light` and `libnginx-mod-http-brotli-filter`";
            Fault::Failed(what.to_owned())
        })?;
        let mut last = Fault::Failed("no port was tried".to_owned());
        for _ in 0..TRIES {
            match Nginx::start_once(program, bodies, content_type) {
                Ok(nginx) => return Ok(nginx),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    fn start_once(program: &Path, bodies: &[Bytes], content_type: &str) -> Result<Nginx, Fault> {
        let failed = |error: std::io::Error| Fault::Failed(format!("nginx did not start: {error}"));
        let directory = std::env::temp_dir().join(format!("ruleiq-nginx-{}", Uuid::new_v4()));
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
        let address = port.map_err(failed)?;
        write(&directory, address, bodies, content_type).map_err(failed)?;
        let mut child = Command::new("sh")
            .args(["-c", r#""$@" & read -r _; kill $!; wait"#, "sh"])
            .arg(program)
            .arg("-p")
            .arg(&directory)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let nginx = Nginx {
            child,
            stdin,
            address,
            directory,
        };
        let deadline = Instant::now() + START;
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err(failed(std::io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(nginx)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// That of the shell whose child it is.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn write(
    directory: &Path,
    address: SocketAddr,
    bodies: &[Bytes],
    content_type: &str,
) -> std::io::Result<()> {
    fs::create_dir_all(directory.join("files"))?;
    for (number, body) in bodies.iter().enumerate() {
        fs::write(directory.join("files").join(number.to_string()), body)?;
    }
    let at = directory.display();
    let configuration = format!(
        "load_module {BROTLI};
daemon off;
master_process off;
pid {at}/pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type {content_type};
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    gzip on;
    gzip_types {content_type};
    brotli on;
    brotli_types {content_type};
    server {{
        listen {address};
        root {at}/files;
    }}
}}
"
    );
    fs::write(directory.join("nginx.conf"), configuration)
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The shell ends it, then itself.
        drop(self.stdin.take());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}
