//! Certificates of the listener: read, checked, and read again when they
//! change.
//!
//! Connections that are open keep what they began with. What has changed and
//! cannot be used leaves the former certificate in place, with a warning.

use std::{
    convert::Infallible,
    fmt, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Bytes of a certificate chain or a key.
const LARGEST_FILE: u64 = 1 << 20;

/// Others may neither read nor write a key.
const OTHERS: u32 = 0o007;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the {what} `{}`", .path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the {what} `{}` is not PEM", .path.display())]
    NotPem {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("`{}` holds no certificate", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("everybody on this machine may use the key `{}` (mode {mode:04o}); `chmod o= {}`", .path.display(), .path.display())]
    OpenKey { path: PathBuf, mode: u32 },
    #[error("the certificate `{}` and the key `{}` cannot be used together", .cert.display(), .key.display())]
    Unusable {
        cert: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// What connections to the listener are encrypted with.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    cert: PathBuf,
    key: PathBuf,
    now: RwLock<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    /// What the files looked like when they were read.
    seen: Seen,
}

/// Enough to see that a file is another: device, inode, size, changed when.
type Mark = Option<(u64, u64, u64, i64, i64)>;
type Seen = (Mark, Mark);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("cert", &self.shared.cert)
            .field("key", &self.shared.key)
            .finish()
    }
}

impl Tls {
    /// `cert` is a chain in PEM, the listener's own certificate first; `key`
    /// is its private key in PEM.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let seen = (mark(&cert), mark(&key));
        let config = read(&cert, &key)?;
        Ok(Self {
            shared: Arc::new(Shared {
                cert,
                key,
                now: RwLock::new(Loaded { config, seen }),
            }),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let now = self.shared.now.read();
        let now = now.unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&now.config))
    }

    /// Looks at the files for good.
    pub(crate) async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    fn look(&self) {
        let Shared { cert, key, now } = self.shared.as_ref();
        let seen = (mark(cert), mark(key));
        {
            let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
            if now.seen == seen {
                return;
            }
            // Whatever it is, it is looked at once.
            now.seen = seen;
        }
        match read(cert, key) {
            Ok(config) => {
                now.write().unwrap_or_else(PoisonError::into_inner).config = config;
                tracing::info!(cert = %cert.display(), "the certificate was read again");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                tracing::warn!("the certificate of before stays in use: {error}{cause}");
            }
        }
    }
}

fn mark(path: &Path) -> Mark {
    let found = fs_err::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_chain(cert)?;
    let private = read_key(key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|config| config.with_no_client_auth())
        .and_then(|config| config.with_single_cert(chain, private))
        .map_err(|source| TlsError::Unusable {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_file("certificate", path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| not_pem("certificate", path, source))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_file("key", path)?;
    let mode = fs_err::metadata(path).map_or(0, |found| found.mode()) & 0o7777;
    if mode & OTHERS != 0 {
        return Err(TlsError::OpenKey {
            path: path.to_owned(),
            mode,
        });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| not_pem("key", path, source))
}

/// A pipe or a device would be waited for, or have no end.
fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    };
    let found = fs_err::metadata(path).map_err(unreadable)?;
    if !found.is_file() || found.len() > LARGEST_FILE {
        let why = "not a file of at most 1 MiB";
        return Err(unreadable(io::Error::other(why)));
    }
    fs_err::read(path).map_err(unreadable)
}

fn not_pem(what: &'static str, path: &Path, source: pem::Error) -> TlsError {
    TlsError::NotPem {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
