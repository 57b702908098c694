//! Whom we trust and what we show.

use std::io;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};

use super::settings::AmqpTls;

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("`{what}` has no certificate in PEM")]
    Empty { what: &'static str },
    #[error("`{what}` is not PEM")]
    Pem {
        what: &'static str,
        source: pem::Error,
    },
    #[error("they are not accepted")]
    Refused { source: io::Error },
}

/// With `ca` only that is trusted, else what the system trusts.
pub(super) fn connector(tls: &AmqpTls) -> Result<RustlsConnector, TlsError> {
    let refused = |source| TlsError::Refused { source };
    let roots = match &tls.ca {
        Some(ca) => {
            RustlsConnectorConfig::default().with_parsable_certificates(certificates("tls.ca", ca)?)
        }
        None => RustlsConnectorConfig::new_with_native_certs().map_err(refused)?,
    };
    match &tls.identity {
        None => roots.connector_with_no_client_auth().map_err(refused),
        Some(identity) => {
            let chain = certificates("tls.cert", &identity.cert)?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes()).map_err(
                |source| TlsError::Pem {
                    what: "tls.key",
                    source,
                },
            )?;
            roots
                .connector_with_single_cert(chain, key)
                .map_err(refused)
        }
    }
}

fn certificates(what: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })?;
    if found.is_empty() {
        return Err(TlsError::Empty { what });
    }
    Ok(found)
}
